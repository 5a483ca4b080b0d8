/* SPDX-License-Identifier: ISC */
/*
 * The process as the system sees it: whose it is, how many files it may open, where it logs, its
 * pid file and its way into the background. What is wrong is said here; the caller only gives up.
 */
#include "daemon/process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "config/config.h"
#include "daemon/daemon.h"

static int facility_of(const char *name)
{
	static const struct {
		const char *name;
		int facility;
	} facilities[] = {{"auth", LOG_AUTH}, {"authpriv", LOG_AUTHPRIV}, {"cron", LOG_CRON},
		{"daemon", LOG_DAEMON}, {"ftp", LOG_FTP}, {"local0", LOG_LOCAL0},
		{"local1", LOG_LOCAL1}, {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3},
		{"local4", LOG_LOCAL4}, {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6},
		{"local7", LOG_LOCAL7}, {"lpr", LOG_LPR}, {"mail", LOG_MAIL}, {"news", LOG_NEWS},
		{"syslog", LOG_SYSLOG}, {"user", LOG_USER}, {"uucp", LOG_UUCP}};
	unsigned i;

	for (i = 0; name && i < N_ELEMENTS(facilities); i++)
		if (strcmp(facilities[i].name, name) == 0)
			return facilities[i].facility;
	return LOG_DAEMON;
}

bool process_open_log(const struct daemon_options *options, const struct config *config)
{
	unsigned verbose = config->verbose + options->verbose;
	struct log_config log = {
		.level = verbose >= 2	? LOG_LEVEL_NOISE
			 : verbose == 1 ? LOG_LEVEL_DEBUG
					: LOG_LEVEL_INFO,
		.to_stderr = !options->quiet && !options->background,
		.file = config->logfile && config->logfile[0] ? config->logfile : NULL,
		.syslog_ident = config->syslog ? config->syslog_ident : NULL,
		.syslog_facility = facility_of(config->syslog_facility),
	};
	char text[128];
	int err = log_open(&log);

	if (err == 0)
		return true;
	log_error("cannot open logfile %s: %s", config->logfile,
		strerror_r(-err, text, sizeof(text)));
	return false;
}

void process_raise_file_limit(const struct config *config)
{
	rlim_t want = (rlim_t)config->max_client_conn + config->budget + 256;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= want)
		return;
	limit.rlim_cur = MIN_OF(want, limit.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < want)
		log_warning("the limit of open files is %llu; max_client_conn and the budget may "
			    "need %llu",
			(unsigned long long)limit.rlim_cur, (unsigned long long)want);
}

/* NULL: none is named. */
static const char *user_to_be(const struct daemon_options *options, const struct config *config)
{
	const char *name = options->user ? options->user : config->user;

	return name && name[0] ? name : NULL;
}

bool process_check(const struct daemon_options *options, const struct config *config)
{
	const char *name = user_to_be(options, config);
	bool ok = true;

	if (name == NULL && geteuid() == 0) {
		fprintf(stderr, "pglane: will not run as root: give -u USER or set user in the "
				"configuration\n");
		ok = false;
	}
	if (name && getpwnam(name) == NULL) {
		fprintf(stderr, "pglane: no such user: %s\n", name);
		ok = false;
	}
	if (options->background && (config->logfile == NULL || config->logfile[0] == '\0') &&
		!config->syslog) {
		fprintf(stderr, "pglane: -d needs logfile or syslog\n");
		ok = false;
	}
	return ok;
}

bool process_drop_privileges(const struct daemon_options *options, const struct config *config)
{
	const char *name = user_to_be(options, config);
	const struct passwd *entry = name ? getpwnam(name) : NULL;

	if (name == NULL || (entry && geteuid() == entry->pw_uid))
		return true;
	if (entry && initgroups(name, entry->pw_gid) == 0 && setgid(entry->pw_gid) == 0 &&
		setuid(entry->pw_uid) == 0)
		return true;
	fprintf(stderr, "pglane: cannot change to user %s\n", name);
	return false;
}

bool process_write_pidfile(const struct config *config)
{
	char text[32];
	int fd, n;

	if (config->pidfile == NULL || config->pidfile[0] == '\0')
		return true;
	fd = open(config->pidfile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (fd < 0 || write(fd, text, (size_t)n) != n) {
		fprintf(stderr, "pglane: cannot write pidfile %s\n", config->pidfile);
		return false;
	}
	close(fd);
	return true;
}

bool process_go_background(void)
{
	pid_t pid;
	int fd;

	pid = fork();
	if (pid < 0)
		return false;
	if (pid > 0)
		_exit(0);
	(void)setsid();
	fd = open("/dev/null", O_RDWR);
	if (fd >= 0) {
		(void)dup2(fd, STDIN_FILENO);
		(void)dup2(fd, STDOUT_FILENO);
		(void)dup2(fd, STDERR_FILENO);
		if (fd > STDERR_FILENO)
			close(fd);
	}
	return true;
}
