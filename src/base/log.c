/* SPDX-License-Identifier: ISC */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum log_level log_current_level = LOG_LEVEL_INFO;

/* Guarded by log_mutex; the descriptor is swapped by log_reopen(). */
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct log_config sinks = {.level = LOG_LEVEL_INFO, .to_stderr = true};
static char *log_file_name;
static char *log_ident;
static int log_fd = -1;

static const char *const level_names[] = {"FATAL", "ERROR", "WARNING", "LOG", "DEBUG", "NOISE"};
static const int syslog_levels[] = {LOG_CRIT, LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_DEBUG};

static int open_file(const char *name)
{
	return open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

int log_open(const struct log_config *config)
{
	int fd = -1;

	if (config->file && (fd = open_file(config->file)) < 0)
		return -errno;
	pthread_mutex_lock(&log_mutex);
	if (log_fd >= 0)
		close(log_fd);
	log_fd = fd;
	mem_free(log_file_name);
	mem_free(log_ident);
	log_file_name = mem_strdup(config->file);
	log_ident = mem_strdup(config->syslog_ident);
	sinks = *config;
	if (log_ident)
		openlog(log_ident, LOG_PID, config->syslog_facility);
	pthread_mutex_unlock(&log_mutex);
	log_set_level(config->level);
	return 0;
}

void log_reopen(void)
{
	pthread_mutex_lock(&log_mutex);
	if (log_file_name) {
		int fd = open_file(log_file_name);

		if (fd >= 0) {
			close(log_fd);
			log_fd = fd;
		}
	}
	pthread_mutex_unlock(&log_mutex);
}

void log_set_level(enum log_level level)
{
	__atomic_store_n(&log_current_level, level, __ATOMIC_RELAXED);
}

bool log_rate_allows(struct log_rate *rate)
{
	uint64_t now_us = clock_mono_us();
	uint64_t start_us = __atomic_load_n(&rate->window_us, __ATOMIC_RELAXED);

	if (now_us - start_us > 1000000u) {
		uint64_t n = __atomic_exchange_n(&rate->n_in_window, 0, __ATOMIC_RELAXED);

		__atomic_store_n(&rate->window_us, now_us, __ATOMIC_RELAXED);
		if (n > LOG_RATE_PER_S)
			log_write(LOG_LEVEL_WARNING, "%llu lines of the kind of the next one were dropped",
				(unsigned long long)(n - LOG_RATE_PER_S));
	}
	return __atomic_fetch_add(&rate->n_in_window, 1, __ATOMIC_RELAXED) < LOG_RATE_PER_S;
}

/* Copies text into out with control characters made visible; returns the length written. */
static size_t copy_visible(char *out, size_t cap, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (; *text && n + 5 < cap; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c != 0x7f) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return n;
}

static int format_prefix(char *out, size_t cap, enum log_level level)
{
	uint64_t wall_us = clock_wall_us();
	time_t seconds = (time_t)(wall_us / 1000000u);
	char stamp[32] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		(void)strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	return snprintf(out, cap, "%s.%03u [%d] %s ", stamp, (unsigned)(wall_us / 1000u % 1000u),
		(int)getpid(), level_names[level]);
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char text[1024];
	char line[2048];
	va_list ap;
	size_t n_prefix, len;
	ssize_t done = 0;

	if (level > log_level_now())
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n_prefix = (size_t)format_prefix(line, sizeof(line), level);
	len = n_prefix + copy_visible(line + n_prefix, sizeof(line) - n_prefix - 1, text);
	line[len++] = '\n';
	pthread_mutex_lock(&log_mutex);
	if (sinks.to_stderr)
		done = write(STDERR_FILENO, line, len);
	if (log_fd >= 0)
		done = write(log_fd, line, len);
	if (log_ident)
		syslog(syslog_levels[level], "%.*s", (int)(len - 1 - n_prefix), line + n_prefix);
	pthread_mutex_unlock(&log_mutex);
	(void)done; /* a full disk must not stop the proxy */
}
