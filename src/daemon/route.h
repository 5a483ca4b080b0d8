/* SPDX-License-Identifier: ISC */
/*
 * `pglane route [-0] [CONFIG.ini]`: the decision for statements on standard input, without a server. JSON lines with the key "sql" (and, if
 * present, "user", "database", "application_name"), or with -0 plain text separated by NUL; one JSON line each on standard output.
 */
#ifndef DAEMON_ROUTE_H
#define DAEMON_ROUTE_H

/* argv[0] is the subcommand's own name. Returns the exit code: 0; 1 when a line could not be read as JSON or the configuration is wrong; 2 for bad usage. */
int route_main(int argc, char **argv);

#endif
