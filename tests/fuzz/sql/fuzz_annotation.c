/* SPDX-License-Identifier: ISC */
/*
 * Whatever the statement, what is read from it is bounded, terminated and in one piece; nothing is
 * found where none is possible; and what was found, written out again as a comment, is found
 * again.
 */
#include "pgw/annotation.h"

#include "fuzz/fuzz.h"

#include <string.h>

static bool is_in_text(const struct pgw_annotation *a, const char *s)
{
	return s >= a->text && s < a->text + a->n_text &&
	       memchr(s, '\0', (size_t)(a->text + a->n_text - s));
}

static void check_bounds(const struct pgw_annotation *a)
{
	FUZZ_CHECK(a->n <= PGW_ANNOTATION_MAX_KEYS && a->n_text <= PGW_ANNOTATION_BYTES);
	for (unsigned i = 0; i < a->n; i++) {
		FUZZ_CHECK(is_in_text(a, a->keys[i]) && is_in_text(a, a->values[i]));
		FUZZ_CHECK(*a->keys[i]);
		FUZZ_CHECK(pgw_annotation_get(a, a->keys[i]) == a->values[i]); /* no key twice */
	}
}

static char *write_encoded(char *to, const char *value)
{
	for (; *value; value++)
		to += sprintf(to, "%%%02X", (unsigned)(unsigned char)*value);
	return to;
}

static void check_round_trip(const struct pgw_annotation *a)
{
	static char sql[PGW_ANNOTATION_BYTES * 3 + PGW_ANNOTATION_MAX_KEYS * 8 + 32];
	struct pgw_annotation again;
	char *to = stpcpy(sql, "select 1 /*");

	for (unsigned i = 0; i < a->n; i++) {
		to = write_encoded(to, a->keys[i]);
		to = stpcpy(to, " = '");
		to = write_encoded(to, a->values[i]);
		to = stpcpy(to, i + 1 < a->n ? "', " : "'");
	}
	to = stpcpy(to, "*/;");
	FUZZ_CHECK(pgw_annotation_read(pgw_lexer_on(sql, (size_t)(to - sql)), &again) == a->n);
	for (unsigned i = 0; i < a->n; i++) {
		FUZZ_CHECK(strcmp(again.keys[i], a->keys[i]) == 0);
		FUZZ_CHECK(strcmp(again.values[i], a->values[i]) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *sql = (const char *)data;
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	struct pgw_annotation a;
	unsigned n_pairs = pgw_annotation_read(pgw_lexer_on(sql, n), &a);

	FUZZ_CHECK(n_pairs == a.n);
	while (pgw_lex(&lexer).kind != PGW_TOK_END)
		continue;
	FUZZ_CHECK((!a.n && !a.n_malformed) || lexer.passed_comment);
	check_bounds(&a);
	if (a.n)
		check_round_trip(&a);
	return 0;
}
