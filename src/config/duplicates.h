/* SPDX-License-Identifier: ISC */
/*
 * What a file gives twice. PgBouncer lets the last one count, and so do we; but who wrote it twice
 * may look at the first. Any thread.
 */
#ifndef CONFIG_DUPLICATES_H
#define CONFIG_DUPLICATES_H

#include "config/reader.h"

/* A warning at each key that its section has had before, with both places. [pglane] and [pgbouncer]
 * are one section. */
void duplicates_warn(const struct config_entries *entries, struct config_problems *problems);

#endif
