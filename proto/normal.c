/* SPDX-License-Identifier: ISC */
/*
 * A statement as it may be shown to others: in consoles, logs and samples of statistics. Literals
 * may be passwords, names, whole documents, so none of their bytes is copied; comments may say
 * anything. What is left are the words of whoever wrote the program.
 */
#include "pgw/printer.h"

#include <string.h>

/* A list of constants, as far as it was read. */
enum list {
	LIST_NONE,
	LIST_CONSTANT, /* the last that was written is a constant */
	LIST_COMMA,    /* and a comma, which is not written yet */
	LIST_FOLDED,   /* more constants of the list came: ... stands for them */
	LIST_FOLDED_COMMA,
};

struct normal {
	char *out;
	size_t n, cap; /* cap without the NUL */
	enum list list;
	bool full;
};

static void put(struct normal *normal, const char *text, size_t n)
{
	if (n > normal->cap - normal->n)
		normal->full = true;
	if (normal->full)
		return;
	memcpy(normal->out + normal->n, text, n);
	normal->n += n;
}

/* How many bytes the UTF-8 character at p has; 0: it is none. */
static size_t character(const unsigned char *p, size_t n)
{
	size_t length = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;

	if (length > n)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (length == 3 && ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f)))
		return 0;
	if (length == 4 && ((*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f)))
		return 0;
	return length;
}

/* A token as it is written, in characters that can be shown. */
static void put_text(struct normal *normal, const struct pgw_token *token)
{
	const unsigned char *p = (const unsigned char *)token->at;
	size_t n;

	for (size_t left = token->len; left > 0; p += n, left -= n) {
		n = character(p, left);
		if (n == 0) {
			put(normal, "?", 1);
			n = 1;
		} else {
			put(normal, *p < 0x20 || *p == 0x7f ? " " : (const char *)p, n);
		}
	}
}

static bool is_constant(const struct pgw_token *token)
{
	switch (token->kind) {
	case PGW_TOK_STRING:
	case PGW_TOK_BITS:
	case PGW_TOK_NUMBER:
		return true;
	case PGW_TOK_ERROR:
		return token->len > 1; /* of no use, but it may be private */
	case PGW_TOK_END:
	case PGW_TOK_WORD:
	case PGW_TOK_QUOTED_IDENT:
	case PGW_TOK_PARAM:
	case PGW_TOK_OPERATOR:
	case PGW_TOK_PUNCT:
	case PGW_TOK_COMMENT:
		break;
	}
	return false;
}

/* What a comma was held back for came to nothing. */
static void settle_list(struct normal *normal)
{
	if (normal->list == LIST_COMMA || normal->list == LIST_FOLDED_COMMA)
		put(normal, ",", 1);
	normal->list = LIST_NONE;
}

static void put_constant(struct normal *normal, bool blank_before)
{
	if (normal->list == LIST_COMMA)
		put(normal, ", ...", 5);
	if (normal->list == LIST_COMMA || normal->list == LIST_FOLDED_COMMA) {
		normal->list = LIST_FOLDED;
		return;
	}
	settle_list(normal);
	if (blank_before)
		put(normal, " ", 1);
	put(normal, "?", 1);
	normal->list = LIST_CONSTANT;
}

static void put_token(struct normal *normal, const struct pgw_token *token, bool blank_before)
{
	if (is_constant(token)) {
		put_constant(normal, blank_before);
		return;
	}
	if (token->kind == PGW_TOK_PUNCT && *token->at == ',' &&
		(normal->list == LIST_CONSTANT || normal->list == LIST_FOLDED)) {
		normal->list = normal->list == LIST_CONSTANT ? LIST_COMMA : LIST_FOLDED_COMMA;
		return;
	}
	settle_list(normal);
	if (blank_before)
		put(normal, " ", 1);
	put_text(normal, token);
}

/* Where `...` can stand: behind whole characters. */
static size_t cut(const struct normal *normal)
{
	size_t n = normal->n < normal->cap - 3 ? normal->n : normal->cap - 3;

	while (n > 0 && ((unsigned char)normal->out[n] & 0xc0) == 0x80 && n < normal->n)
		n--;
	return n;
}

size_t pgw_normalize(struct pgw_lexer lexer, char *out, size_t cap)
{
	struct normal normal = { .out = out, .cap = cap - 1 };
	const char *end_of_last = NULL;
	struct pgw_token token;

	while (!normal.full && (token = pgw_lex(&lexer)).kind != PGW_TOK_END) {
		put_token(&normal, &token, end_of_last && token.at > end_of_last);
		end_of_last = token.at + token.len;
	}
	settle_list(&normal);
	if (normal.full) {
		normal.n = cut(&normal);
		memcpy(out + normal.n, "...", 3);
		normal.n += 3;
	}
	out[normal.n] = '\0';
	return normal.n;
}
