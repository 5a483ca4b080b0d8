/* SPDX-License-Identifier: ISC */
/*
 * What the programs of this folder share: configurations from text and from files of a fresh
 * directory, and their mistakes.
 */
#ifndef CONFIG_TEST_H
#define CONFIG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/load.h"

/* The configuration of a text that must be right. */
static inline struct config *load_ok(const char *text)
{
	struct config_problems problems;
	struct config *config = config_load_text("t.ini", text, strlen(text), &problems);

	for (unsigned i = 0; i < problems.n; i++)
		print_error("%s\n", problems.items[i].text);
	assert_int_equal(problems.n, problems.n_warnings);
	assert_non_null(config);
	config_problems_release(&problems);
	return config;
}

/* The text must be wrong in exactly one way, whose line begins so. */
static inline void load_bad(const char *text, const char *begins)
{
	struct config_problems problems;
	struct config *config = config_load_text("t.ini", text, strlen(text), &problems);

	assert_null(config);
	if (problems.n != 1 || strncmp(problems.items[0].text, begins, strlen(begins))) {
		print_error("expected one problem: %s\n", begins);
		for (unsigned i = 0; i < problems.n; i++)
			print_error("found: %s\n", problems.items[i].text);
		fail();
	}
	config_problems_release(&problems);
}

/* A directory of the test's own; remove_dir() takes away it and the files in it. */
static inline char *make_dir(void)
{
	char *dir = mem_strdup("/tmp/pglane-test-XXXXXX");

	assert_non_null(mkdtemp(dir));
	return dir;
}

static inline char *write_bytes(const char *dir, const char *name, const void *bytes, size_t n)
{
	char *path = mem_printf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	return path;
}

static inline char *write_file(const char *dir, const char *name, const char *text)
{
	return write_bytes(dir, name, text, strlen(text));
}

static inline void remove_dir(char *dir, const char *const *names)
{
	for (; *names; names++) {
		char *path = mem_printf("%s/%s", dir, *names);

		assert_int_equal(unlink(path), 0);
		mem_free(path);
	}
	assert_int_equal(rmdir(dir), 0);
	mem_free(dir);
}

/* The value of a main key as SHOW CONFIG shows it; the caller frees it. */
static inline char *shown(const struct config *config, const char *key)
{
	struct strbuf out = STRBUF_INIT;

	for (unsigned i = 0; i < config_n_rows(); i++) {
		if (strcmp(config_row(i)->key, key) == 0) {
			config_row_value(config, i, &out);
			return strbuf_detach(&out);
		}
	}
	fail_msg("no key %s", key);
	return NULL;
}

static inline void assert_shown(const struct config *config, const char *key, const char *expected)
{
	char *text = shown(config, key);

	if (strcmp(text, expected))
		fail_msg("%s is \"%s\", expected \"%s\"", key, text, expected);
	mem_free(text);
}

#endif
