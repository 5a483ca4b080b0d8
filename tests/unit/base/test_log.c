/* SPDX-License-Identifier: ISC */
/* The log: one line for a call whatever the text, to each of its places, and no flood. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/strbuf.h"

static char dir[] = "/tmp/pglane_log_XXXXXX";
static char file_name[64];
static struct strbuf content;

/* ---- a syslog of our own, in place of the C library's ---- */

static char said[4096];
static int said_level = -1;
static const char *opened_as;

void openlog(const char *ident, int option, int facility)
{
	opened_as = ident;
}

void syslog(int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(said, sizeof(said), fmt, ap);
	va_end(ap);
	said_level = level;
}

/* ---- the file ---- */

static void open_log(enum log_level level, const char *ident)
{
	struct log_config config = {.level = level,
		.file = file_name,
		.syslog_ident = ident,
		.syslog_facility = LOG_DAEMON};

	assert_int_equal(log_open(&config), 0);
}

static int fresh_file(void **state)
{
	(void)unlink(file_name);
	open_log(LOG_LEVEL_INFO, NULL);
	return 0;
}

static void read_file(const char *name)
{
	int fd = open(name, O_RDONLY);
	ssize_t n;

	strbuf_reset(&content);
	assert_true(fd >= 0);
	do {
		strbuf_reserve(&content, 65536);
		n = read(fd, content.data + content.len, 65536);
		assert_true(n >= 0);
		content.len += (size_t)n;
	} while (n > 0);
	content.data[content.len] = '\0';
	close(fd);
}

static unsigned n_lines(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < content.len; i++)
		n += content.data[i] == '\n';
	return n;
}

/* The file is one line: time, pid, level and this text. */
static void assert_line(const char *level, const char *text)
{
	static const char stamp[] =
		"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} \\[[0-9]+\\] ";
	struct strbuf tail = STRBUF_INIT;
	regmatch_t match;
	regex_t regex;

	read_file(file_name);
	assert_int_equal(n_lines(), 1);
	assert_int_equal(regcomp(&regex, stamp, REG_EXTENDED), 0);
	assert_int_equal(regexec(&regex, content.data, 1, &match, 0), 0);
	regfree(&regex);
	strbuf_addf(&tail, "%s %s\n", level, text);
	assert_string_equal(content.data + match.rm_eo, tail.data);
	strbuf_release(&tail);
}

/* ---- lines ---- */

static void a_line(void **state)
{
	log_info("C-%d: login attempt: db=%s", 7, "shop");
	assert_line("LOG", "C-7: login attempt: db=shop");
}

static void names_of_levels(void **state)
{
	static const char *const names[] = {"FATAL", "ERROR", "WARNING", "LOG", "DEBUG", "NOISE"};

	for (int level = LOG_LEVEL_FATAL; level <= LOG_LEVEL_NOISE; level++) {
		(void)unlink(file_name);
		open_log(LOG_LEVEL_NOISE, NULL);
		log_write((enum log_level)level, "x");
		assert_line(names[level], "x");
	}
}

static void lines_above_the_level_are_dropped(void **state)
{
	log_debug("not this");
	log_write(LOG_LEVEL_NOISE, "nor this");
	log_set_level(LOG_LEVEL_WARNING);
	log_info("nor this");
	log_warning("this");
	assert_line("WARNING", "this");
	log_set_level(LOG_LEVEL_INFO);
}

/* What a peer sends may stand in a line and never ends it. */
static void nobody_forges_a_line(void **state)
{
	log_info("user=%s", "bob\n2024-01-01 00:00:00.000 [1] FATAL forged\r\x1b[2K\t\b\x7f\x01");
	assert_line("LOG", "user=bob\\x0a2024-01-01 00:00:00.000 [1] FATAL "
			   "forged\\x0d\\x1b[2K\\x09\\x08\\x7f\\x01");
}

static void bytes_of_other_alphabets_stay(void **state)
{
	log_info("user=%s", "Zo\xc3\xab \xe7\x8c\xab");
	assert_line("LOG", "user=Zo\xc3\xab \xe7\x8c\xab");
}

static void long_texts_are_cut(void **state)
{
	static const char fillers[] = {'x', '\n', '\xff'};

	for (unsigned i = 0; i < N_ELEMENTS(fillers); i++) {
		for (size_t n = 1000; n < 5000; n += 333) {
			char *text = mem_alloc(n + 1);

			memset(text, fillers[i], n);
			text[n] = '\0';
			(void)unlink(file_name);
			open_log(LOG_LEVEL_INFO, NULL);
			log_info("%s", text);
			read_file(file_name);
			assert_int_equal(n_lines(), 1);
			assert_int_equal(content.data[content.len - 1], '\n');
			assert_in_range(content.len, 1000, 2048);
			mem_free(text);
		}
	}
}

/* ---- places ---- */

static void standard_error(void **state)
{
	struct log_config config = {.level = LOG_LEVEL_INFO, .to_stderr = true};
	int kept = dup(STDERR_FILENO), fd = open(file_name, O_WRONLY | O_TRUNC);

	assert_int_equal(log_open(&config), 0);
	assert_true(kept >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	log_error("seen");
	assert_true(dup2(kept, STDERR_FILENO) >= 0);
	close(fd);
	close(kept);
	assert_line("ERROR", "seen");
}

static void the_system_log(void **state)
{
	static const int levels[] = {
		LOG_CRIT, LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_DEBUG};
	char ident[] = "pglane-7";

	open_log(LOG_LEVEL_NOISE, ident);
	memset(ident, 'x', sizeof(ident) - 1); /* nothing of the configuration is kept */
	assert_string_equal(opened_as, "pglane-7");
	for (int level = LOG_LEVEL_FATAL; level <= LOG_LEVEL_NOISE; level++) {
		log_write((enum log_level)level, "text %d", level);
		assert_int_equal(said_level, levels[level]);
		assert_int_equal(said[5], '0' + level);
		assert_memory_equal(said, "text ", 5); /* its own time and name: not ours too */
	}
	log_info("a\nFATAL forged");
	assert_string_equal(said, "a\\x0aFATAL forged");

	open_log(LOG_LEVEL_INFO, NULL);
	said[0] = '\0';
	log_info("no more");
	assert_string_equal(said, "");
}

static void a_file_that_cannot_be_opened(void **state)
{
	struct log_config config = {.level = LOG_LEVEL_FATAL, .file = "/nonexistent/pglane.log"};

	assert_int_equal(log_open(&config), -ENOENT);
	log_info("still here");
	assert_line("LOG", "still here"); /* the old one stays, with its level */
}

static void reopening_after_a_rotation(void **state)
{
	char old_name[80];

	(void)snprintf(old_name, sizeof(old_name), "%s.1", file_name);
	log_info("old");
	assert_int_equal(rename(file_name, old_name), 0);
	log_info("old too");
	log_reopen();
	log_info("new");
	assert_line("LOG", "new");
	read_file(old_name);
	assert_int_equal(n_lines(), 2);
	assert_int_equal(unlink(old_name), 0);
}

/* ---- rate ---- */

static void a_flood_is_cut(void **state)
{
	struct log_rate rate = {0};
	unsigned n = 0;

	for (unsigned i = 0; i < 100; i++)
		n += log_rate_allows(&rate);
	/* A second may have ended on the way. */
	assert_in_range(n, LOG_RATE_PER_S, 2 * LOG_RATE_PER_S);
	read_file(file_name);
	assert_true(n_lines() <= 1);
}

static void the_next_second_says_how_many(void **state)
{
	struct log_rate rate = {.window_us = clock_mono_us(), .n_in_window = LOG_RATE_PER_S + 25};

	rate.window_us -= 1500000; /* that second is over */
	assert_true(log_rate_allows(&rate));
	assert_line("WARNING", "25 lines of the kind of the next one were dropped");
	assert_int_equal(rate.n_in_window, 1);
}

static void what_was_not_dropped_is_not_mentioned(void **state)
{
	struct log_rate rate = {.window_us = clock_mono_us(), .n_in_window = LOG_RATE_PER_S};

	rate.window_us -= 1500000;
	assert_true(log_rate_allows(&rate));
	read_file(file_name);
	assert_int_equal(n_lines(), 0);
}

static void each_call_site_has_its_own(void **state)
{
	for (unsigned i = 0; i < 50; i++) {
		log_rated(LOG_LEVEL_INFO, "here");
		if (i == 49)
			log_rated(LOG_LEVEL_ERROR, "and here");
	}
	read_file(file_name);
	assert_non_null(strstr(content.data, "ERROR and here"));
	assert_in_range(n_lines(), LOG_RATE_PER_S + 1, 2 * LOG_RATE_PER_S + 2);
}

/* ---- threads ---- */

#define N_THREADS 4
#define N_LINES 500

static void *write_lines(void *arg)
{
	char text[600];
	int c = (int)(intptr_t)arg;

	memset(text, c, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (unsigned i = 0; i < N_LINES; i++) {
		log_info("%s", text);
		log_debug("%s", text); /* reads the level that another thread sets */
	}
	return NULL;
}

static void lines_of_threads_are_whole(void **state)
{
	pthread_t threads[N_THREADS];
	unsigned n_ok = 0;
	char *at;

	for (intptr_t i = 0; i < N_THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, write_lines, (void *)('a' + i)), 0);
	for (unsigned i = 0; i < 200; i++) {
		log_set_level(LOG_LEVEL_INFO);
		log_reopen();
	}
	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	read_file(file_name);
	assert_int_equal(n_lines(), N_THREADS * N_LINES);
	for (at = content.data; (at = strstr(at, " LOG ")) != NULL; n_ok++) {
		at += 5;
		assert_int_equal(strspn(at, (char[]){*at, '\0'}), 599);
		assert_int_equal(at[599], '\n');
	}
	assert_int_equal(n_ok, N_THREADS * N_LINES);
}

static int group_setup(void **state)
{
	strbuf_init(&content);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(file_name, sizeof(file_name), "%s/pglane.log", dir);
	return 0;
}

static int group_teardown(void **state)
{
	struct log_config config = {.level = LOG_LEVEL_INFO, .to_stderr = true};

	assert_int_equal(log_open(&config), 0);
	strbuf_release(&content);
	(void)unlink(file_name);
	return rmdir(dir);
}

int main(void)
{
#define LOG_TEST(name) cmocka_unit_test_setup(name, fresh_file)
	const struct CMUnitTest tests[] = {
		LOG_TEST(a_line),
		LOG_TEST(names_of_levels),
		LOG_TEST(lines_above_the_level_are_dropped),
		LOG_TEST(nobody_forges_a_line),
		LOG_TEST(bytes_of_other_alphabets_stay),
		LOG_TEST(long_texts_are_cut),
		LOG_TEST(standard_error),
		LOG_TEST(the_system_log),
		LOG_TEST(a_file_that_cannot_be_opened),
		LOG_TEST(reopening_after_a_rotation),
		LOG_TEST(a_flood_is_cut),
		LOG_TEST(the_next_second_says_how_many),
		LOG_TEST(what_was_not_dropped_is_not_mentioned),
		LOG_TEST(each_call_site_has_its_own),
		LOG_TEST(lines_of_threads_are_whole),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
