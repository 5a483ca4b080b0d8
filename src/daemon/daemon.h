/* SPDX-License-Identifier: ISC */
/*
 * The process: settings, threads, signals, reload, drain. Runs on the control thread (the one that
 * main() is), which also runs the services.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "base/base.h"

struct daemon_options {
	const char *config_file;
	const char *user; /* -u: instead of the configuration's */
	bool background;  /* -d */
	bool quiet;	  /* -q: nothing on stderr but fatal trouble */
	unsigned verbose; /* -v, -vv */
};

/* Loads, listens, serves until it is told to end. Returns the exit code. */
int daemon_run(const struct daemon_options *options);
/* --check: loads and reports every mistake. Returns the exit code. */
int daemon_check(const char *config_file);

#endif
