/* SPDX-License-Identifier: ISC */
/*
 * What is shown of a statement does not hang on the insides of its literals, and is text that any
 * client can read, within its room.
 */
#include "pgw/printer.h"

#include "fuzz/fuzz.h"

#include <stdbool.h>
#include <string.h>

#define CAP 64u

/* The same statement with other digits and letters in its literals. */
static char *other_constants(const char *sql, size_t n)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	char *text = malloc(n + 1);
	struct pgw_token token;

	memcpy(text, sql, n);
	while ((token = pgw_lex(&lexer)).kind != PGW_TOK_END)
		if (token.kind == PGW_TOK_STRING && *token.at == '\'' && !token.escapes)
			for (uint32_t i = 1; i + 1 < token.len; i++)
				if (token.at[i] >= 'a' && token.at[i] <= 'z')
					text[(token.at - sql) + i] = 'q';
	return text;
}

static bool is_shown(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		size_t more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;

		if (c < 0x20 || (c >= 0x80 && c < 0xc2) || c > 0xf4 || i + more >= n)
			return false;
		for (; more > 0; more--)
			if (((unsigned char)text[++i] & 0xc0) != 0x80)
				return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *sql = (const char *)data;
	char *other = other_constants(sql, n);
	char a[CAP], b[CAP];
	size_t n_a = pgw_normalize(pgw_lexer_on(sql, n), a, sizeof(a));
	size_t n_b = pgw_normalize(pgw_lexer_on(other, n), b, sizeof(b));

	FUZZ_CHECK(n_a < CAP && strlen(a) == n_a);
	FUZZ_CHECK(is_shown(a, n_a));
	FUZZ_CHECK(n_a == n_b && memcmp(a, b, n_a) == 0);
	free(other);
	return 0;
}
