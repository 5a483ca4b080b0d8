/* SPDX-License-Identifier: ISC */
/*
 * The console: what a client of the database `pglane` (or `pgbouncer`) speaks with instead of PostgreSQL. It answers PgBouncer's commands with the
 * columns of PgBouncer PGLANE_COMPAT_VERSION, and commands of its own for lanes and classes, over the simple and the extended protocol.
 */
#ifndef ADMIN_CONSOLE_H
#define ADMIN_CONSOLE_H

#include "session/worker.h"

extern const struct console_ops console_ops; /* for cluster->console */

/* PAUSE and RESUME of everything, as the signals mean them: returns at once, no client waits for it. Any thread. */
void console_pause_all(struct cluster *cluster);
void console_resume_all(struct cluster *cluster);

#endif
