/* SPDX-License-Identifier: ISC */
/*
 * pglane-weaviate: what its commands share. Results go to standard output, progress and errors to
 * standard error. A command returns the exit status.
 */
#ifndef TOOLS_TOOL_H
#define TOOLS_TOOL_H

#include "config/config.h"
#include "service/wv_schema.h"
#include "tools/db.h"
#include "tools/rest.h"

enum {
	EXIT_FINE = 0,
	EXIT_DIFFERENCES = 1, /* it worked, and not all is as it should be */
	EXIT_TROUBLE = 2,
};

struct tool_options {
	bool quiet, dry_run, repair, unknown, yes;
	unsigned wait_s;
	const char *config_file;
	char *const *names; /* classes or entity types; for retry: a type and an id */
	int n_names;
};

struct tool {
	const struct tool_options *options;
	struct config *config;
	struct wv_classes classes; /* all that the directory has, as the configuration wants them */
	struct rest *rest;
	struct db *db;
};

/* Loads configuration and classes. false: it was told. Release in any case. */
bool tool_open(struct tool *tool, const struct tool_options *options) WARN_UNUSED;
bool tool_open_db(struct tool *tool) WARN_UNUSED; /* once is enough; false: it was told */
void tool_release(struct tool *tool);

/* "pglane-weaviate: ..." on standard error. One returns EXIT_TROUBLE, the other false. */
int tool_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
bool tool_complain(const char *fmt, ...) PRINTF_LIKE(1, 2);
void tool_say(const struct tool *tool, const char *fmt, ...) PRINTF_LIKE(2, 3); /* unless quiet */

/* An entity type with its class. */
struct tool_type {
	char *name;
	const struct wv_class *class;
	const struct config_entity *entity; /* NULL: no section */
};

struct tool_types {
	struct tool_type *items; /* sorted by class, then name */
	unsigned n;
};

/* The class of a type: as its section says, else as ml_vector_objects() does. The caller frees. */
char *tool_class_name(const struct config *config, const char *type);

/*
 * The types that the options name (by type or class), else all that are in use: with a section, with
 * triggers, or with vectors. false: it was told.
 */
bool tool_find_types(struct tool *tool, struct tool_types *types) WARN_UNUSED;
void tool_types_release(struct tool_types *types);

/* Whether the options name this class; true when they name nothing. */
bool tool_wants_class(const struct tool *tool, const char *name);
bool tool_check_class_names(const struct tool *tool) WARN_UNUSED; /* each is one; false: it was told */

int command_init(struct tool *tool);
int command_status(struct tool *tool);
int command_reconcile(struct tool *tool);
int command_retry(struct tool *tool);
int command_drop(struct tool *tool);

#endif
