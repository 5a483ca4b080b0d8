/* SPDX-License-Identifier: ISC */
/*
 * What a start asks of the system. Each function that can fail says why, and returns false.
 */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include <stdbool.h>

struct config;
struct daemon_options;

/* Opens the log, or opens it anew with other settings; where that fails the old one stays. */
bool process_open_log(const struct daemon_options *options, const struct config *config);
/* Room for all clients and servers, as far as the hard limit allows; less is a warning. */
void process_raise_file_limit(const struct config *config);
/* Before anything is opened: root must be told whom to become, that user must be there, and the
 * background needs a log. All that is wrong is said. */
bool process_check(const struct daemon_options *options, const struct config *config);
/* Becomes the user of -u or of the configuration, as far as either is given. */
bool process_drop_privileges(const struct daemon_options *options, const struct config *config);
bool process_write_pidfile(const struct config *config);
/* Leaves the terminal; the parent ends here. Before any thread is started. */
bool process_go_background(void);

#endif
