/* SPDX-License-Identifier: ISC */
/*
 * The key=value strings of [databases], [users] and [peers], by PgBouncer's rules: pairs separated
 * by blanks; a value that starts with a single quote goes to the closing one, and '' inside is one
 * quote; any other value goes to the next blank. Pure.
 */
#ifndef CONFIG_CONNSTR_H
#define CONFIG_CONNSTR_H

#include "base/strbuf.h"

enum connstr_event { CONNSTR_PAIR, CONNSTR_END, CONNSTR_ERROR };

/*
 * Reads the next pair at *p and moves on. PAIR: key and value hold it. ERROR: key holds what was
 * read of it, *error_r says what is wrong (a constant; it never repeats the value, which may be a
 * password), and the rest of the string cannot be read.
 */
enum connstr_event connstr_next(
	const char **p, struct strbuf *key, struct strbuf *value, const char **error_r) WARN_UNUSED;

#endif
