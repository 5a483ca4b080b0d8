/* SPDX-License-Identifier: ISC */
/*
 * What can be said to the console: one table of commands, and the parser that finds a command and its argument in a text. The grammar is
 * PgBouncer's (COMMAND [argument][;], SET key = value) with comments allowed everywhere. Pure; any thread.
 */
#ifndef ADMIN_COMMAND_H
#define ADMIN_COMMAND_H

#include "admin/rows.h"
#include "pgw/fault.h"

struct run;

enum argument {
	ARGUMENT_NONE,
	ARGUMENT_OPTIONAL, /* one word; who needs it says so itself */
	ARGUMENT_WORDS,	   /* any words, ignored: BEGIN ISOLATION LEVEL … */
	ARGUMENT_SETTING,  /* key = value, key TO value */
	ARGUMENT_FILTERS,  /* words and key=value pairs, in any order, perhaps none */
	ARGUMENT_SQL,	   /* [ON database], then the rest of the text as it stands, comments included */
};

/* What a command does to the console's own session. */
enum command_role {
	ROLE_PLAIN,
	ROLE_BEGINS,  /* a transaction */
	ROLE_ENDS,
	ROLE_FORGETS, /* prepared statements */
};

struct command {
	const char *verb, *noun; /* noun: a word that belongs to it, as SHOW's; else NULL */
	const char *usage;	 /* what SHOW HELP says behind the verb; NULL: not mentioned there */
	const char *tag;
	enum argument argument;
	bool admin;		/* admin_users only */
	enum command_role role;
	struct columns columns;
	void (*start)(struct run *run); /* ends in run_done(), now or later */
};

extern const struct command commands[];
extern const unsigned n_commands;

/* A word of ARGUMENT_FILTERS. Never empty but for the value of a pair. */
struct filter {
	char *key; /* NULL: it stands alone */
	char *value;
};

/* A parsed text. */
struct request {
	const struct command *command; /* NULL: an empty text */
	char *argument;		       /* of SET: the key; "" when there is none, NULL for an empty text */
	char *value;		       /* of SET; of EXPLAIN ROUTE: the database; else NULL */
	struct filter *filters;
	unsigned n_filters;
};

/* false: *fault_r says what the client is told, and nothing is to be released. */
bool request_parse(struct request *request_r, const char *text, size_t n, struct pgw_fault *fault_r) WARN_UNUSED;
void request_release(struct request *request);

#endif
