/* SPDX-License-Identifier: ISC */
/*
 * Any bytes are a text of tokens: they follow each other, end where the text ends, and leave
 * nothing out but white space and comments. Wanting comments changes none of the others, and no
 * value is longer than its token.
 */
#include "pgw/sqllex.h"

#include "fuzz/fuzz.h"

#include <string.h>

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void check_token(const struct pgw_token *token, const char *end)
{
	bool has_unterminated = token->kind == PGW_TOK_ERROR && token->at + token->len == end;

	FUZZ_CHECK(token->len > 0 && token->len <= (size_t)(end - token->at));
	FUZZ_CHECK(!token->unterminated || has_unterminated);
	FUZZ_CHECK(!token->escapes || token->kind == PGW_TOK_STRING);
	if (token->kind == PGW_TOK_PUNCT)
		FUZZ_CHECK(token->len == 1 && strchr(",()[].;:", *token->at));
	if (token->kind == PGW_TOK_OPERATOR)
		FUZZ_CHECK(token->len <= 63 && !memmem(token->at, token->len, "--", 2) &&
			   !memmem(token->at, token->len, "/*", 2));
}

static void check_values(const struct pgw_token *token)
{
	char *buf = malloc(token->len + 1);
	char small[4];
	size_t n_string = pgw_token_string(token, buf, token->len + 1);
	size_t n_ident;

	FUZZ_CHECK(n_string <= token->len && buf[n_string] == '\0');
	FUZZ_CHECK(n_string == 0 || token->kind == PGW_TOK_STRING);
	FUZZ_CHECK(pgw_token_string(token, small, sizeof(small)) == (n_string < 3 ? n_string : 3));
	FUZZ_CHECK(memcmp(small, buf, n_string < 3 ? n_string : 3) == 0);
	n_ident = pgw_token_ident(token, buf, token->len + 1);
	FUZZ_CHECK(n_ident <= token->len && buf[n_ident] == '\0');
	if (token->kind == PGW_TOK_WORD)
		FUZZ_CHECK(n_ident == token->len &&
			   (memchr(buf, '\0', n_ident) || pgw_word_is(token, buf)));
	free(buf);
}

static void check_text(const char *text, size_t n, bool standard_conforming_strings)
{
	struct pgw_lexer all = pgw_lexer_on(text, n);
	struct pgw_lexer code = pgw_lexer_on(text, n);
	const char *behind = text;
	struct pgw_token token;
	struct pgw_token same;

	all.want_comments = true;
	all.standard_conforming_strings = standard_conforming_strings;
	code.standard_conforming_strings = standard_conforming_strings;
	while ((token = pgw_lex(&all)).kind != PGW_TOK_END) {
		FUZZ_CHECK(token.at >= behind);
		for (; behind < token.at; behind++)
			FUZZ_CHECK(is_space(*behind));
		check_token(&token, text + n);
		check_values(&token);
		behind = token.at + token.len;
		FUZZ_CHECK(all.at == behind);
		if (token.kind == PGW_TOK_COMMENT)
			continue;
		same = pgw_lex(&code);
		FUZZ_CHECK(same.kind == token.kind && same.at == token.at && same.len == token.len);
	}
	for (; behind < text + n; behind++)
		FUZZ_CHECK(is_space(*behind));
	FUZZ_CHECK(pgw_lex(&code).kind == PGW_TOK_END && code.at == text + n);
	FUZZ_CHECK(pgw_lex(&all).kind == PGW_TOK_END && all.at == text + n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	check_text((const char *)data, n, true);
	check_text((const char *)data, n, false);
	return 0;
}
