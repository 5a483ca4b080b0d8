/* SPDX-License-Identifier: ISC */
/*
 * A configuration file with everything it includes, as a flat list of entries with their places.
 * What the entries mean is not known here.
 *
 * The syntax is PgBouncer's: a line is a comment only when it starts (after blanks) with ; or #;
 * `[section]`; `key = value`, where the value is the rest of the line whatever is in it; keys that
 * are not plain words stand in double quotes, with "" for a quote; `%include FILE`. The parser is
 * inih, whose own dialect differs: it cuts lines at 199 bytes and sections at 49, starts comments
 * inside values at ` ;`, takes `:` for `=`, continues the value above on an indented line, is
 * silent about empty sections, and tells no line numbers. So it is given lines in which none of
 * this can happen (reader.c says how), and what it returns is put together again.
 */
#ifndef CONFIG_READER_H
#define CONFIG_READER_H

#include "config/problems.h"

#define READER_MAX_DEPTH 10   /* of includes */
#define READER_MAX_FILES 1000 /* included by one configuration */

enum config_entry_kind {
	ENTRY_SECTION, /* a section begins: key and value are NULL */
	ENTRY_PAIR,
	ENTRY_RULE, /* a line of [rules], whole, in value; key is NULL */
};

struct config_entry {
	enum config_entry_kind kind;
	const char *file; /* owned by the list */
	unsigned line;
	char *section, *key, *value;
};

struct config_entries {
	struct config_entry *items;
	size_t n, cap;
	char **files; /* the names of all files read */
	unsigned n_files;
};

/*
 * Both add to entries (start with all zero) and to problems; what could be read is there even when
 * something was wrong.
 */
void reader_load_file(
	const char *file_name, struct config_entries *entries, struct config_problems *problems);
/* From memory: no file is touched, an %include is a problem. */
void reader_load_text(const char *name, const char *text, size_t n, struct config_entries *entries,
	struct config_problems *problems);
void config_entries_release(struct config_entries *entries);

#endif
