/* SPDX-License-Identifier: ISC */
/*
 * PgBouncer's auth_file: lines of "user" "secret", each in double quotes with "" for a quote; the
 * rest of a line is ignored, ; starts a comment line. A secret is a plain text password, md5 and 32
 * hex digits, a SCRAM-SHA-256$ secret of PostgreSQL, or empty.
 */
#ifndef CONFIG_USERLIST_H
#define CONFIG_USERLIST_H

#include "config/problems.h"

#define USERLIST_USER_MAX_BYTES 127
#define USERLIST_SECRET_MAX_BYTES 2047

/*
 * Appends to *secrets. Every broken line is a problem; no problem text holds any part of a secret.
 */
void userlist_parse(const char *file_name, const char *text, size_t n,
	struct config_secret **secrets, unsigned *n_secrets, struct config_problems *problems);

#endif
