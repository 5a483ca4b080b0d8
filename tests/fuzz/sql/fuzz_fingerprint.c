/* SPDX-License-Identifier: ISC */
/*
 * A fingerprint is of the tokens alone: the same statement with a comment and a newline for each
 * gap, in capital letters, and with other constants has the same one.
 */
#include "pgw/fingerprint.h"

#include "pgw/sqllex.h"

#include "fuzz/fuzz.h"

#include <stdbool.h>
#include <string.h>

static bool same(struct pgw_hash128 a, struct pgw_hash128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

static char *put(char *to, const struct pgw_token *token)
{
	memcpy(to, token->at, token->len);
	return to + token->len;
}

static char *put_upper(char *to, const struct pgw_token *token)
{
	for (uint32_t i = 0; i < token->len; i++) {
		char c = token->at[i];

		*to++ = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
	}
	return to;
}

/*
 * The statement in other clothes; NULL if it ends in a literal that is not closed, which has no
 * others.
 */
static char *dressed_up(const char *sql, size_t n, size_t *n_r)
{
	static const char gap[] = "/* ' */\n";
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	char *text = malloc(n * (sizeof(gap) + 4) + 1);
	char *to = text;
	struct pgw_token token;

	while ((token = pgw_lex(&lexer)).kind != PGW_TOK_END) {
		if (token.unterminated) {
			free(text);
			return NULL;
		}
		if (token.kind == PGW_TOK_WORD)
			to = put_upper(to, &token);
		else if (token.kind == PGW_TOK_STRING || token.kind == PGW_TOK_NUMBER)
			to = stpcpy(to, "$77");
		else
			to = put(to, &token);
		to = stpcpy(to, gap);
	}
	*n_r = (size_t)(to - text);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *sql = (const char *)data;
	struct pgw_hash128 print = pgw_fingerprint(sql, n);
	size_t n_other;
	char *other = dressed_up(sql, n, &n_other);

	if (other)
		FUZZ_CHECK(same(print, pgw_fingerprint(other, n_other)));
	free(other);
	return 0;
}
