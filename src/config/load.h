/* SPDX-License-Identifier: ISC */
/*
 * From entries to a snapshot. For SET, tests and the fuzzer, the parts of config_load() that are
 * useful alone.
 */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include "config/problems.h"
#include "config/reader.h"
#include "config/schema.h"

/*
 * config_load() of a text in memory: touches no file; %include is a problem, auth_file is not read.
 */
struct config *config_load_text(
	const char *name, const char *text, size_t n, struct config_problems *problems) WARN_UNUSED;

/*
 * Sets one key of the main scope. false: `why` says what is wrong. file_name: for relative paths;
 * NULL: they stay as they are.
 */
bool load_set_main(struct config *config, const struct schema_row *row, const char *file_name,
	const char *value, struct strbuf *why) WARN_UNUSED;

/* Reads auth_file into the secrets, in place of those there are. */
void load_secrets(
	struct config *config, const struct config_place *place, struct config_problems *problems);

/* The last place where a main key is written; the whole file when nowhere. entries may be NULL. */
struct config_place load_place_of_key(
	const struct config *config, const struct config_entries *entries, const char *key);

/* What no key can say alone. entries: where keys stand; NULL: problems have no place. */
void load_check(const struct config *config, const struct config_entries *entries,
	bool may_read_files, struct config_problems *problems);

#endif
