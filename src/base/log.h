/* SPDX-License-Identifier: ISC */
/*
 * The log. One line per call: time, pid, level, text; to stderr, to `logfile`, to syslog. Any
 * thread; a line is written with one write(2). Control characters of the text are printed as \xNN,
 * so that a peer cannot forge lines. LOG_RATE_* drops repeats of one call site beyond 10 a second
 * and says how many.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"

enum log_level {
	LOG_LEVEL_FATAL,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_NOISE
};

struct log_config {
	enum log_level level; /* lines above it are dropped */
	bool to_stderr;
	const char *file;	  /* NULL: none; reopened by log_reopen() */
	const char *syslog_ident; /* NULL: no syslog */
	int syslog_facility;
};

/* Call sites use these: log_info("C-%p: login attempt: db=%s", …). */
#define log_fatal(...) log_write(LOG_LEVEL_FATAL, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (UNLIKELY(log_level_now() >= LOG_LEVEL_DEBUG))                                  \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                   \
	} while (0)

/* A call site that a peer or a dead server could flood: at most LOG_RATE_PER_S lines a second. */
#define LOG_RATE_PER_S 10
struct log_rate {
	uint64_t window_us; /* both fields: relaxed atomics */
	uint64_t n_in_window;
};
#define log_rated(level, ...)                                                                      \
	do {                                                                                       \
		static struct log_rate rate_here;                                                  \
		if (log_rate_allows(&rate_here))                                                   \
			log_write(level, __VA_ARGS__);                                             \
	} while (0)

extern enum log_level log_current_level; /* relaxed atomic; written by log_set_level() */
static inline enum log_level log_level_now(void)
{
	return __atomic_load_n(&log_current_level, __ATOMIC_RELAXED);
}

int log_open(const struct log_config *config)
	WARN_UNUSED; /* 0, or -errno when the file cannot be opened */
void log_reopen(void);
void log_set_level(enum log_level level);
bool log_rate_allows(struct log_rate *rate);
void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
