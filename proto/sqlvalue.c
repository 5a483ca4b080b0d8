/* SPDX-License-Identifier: ISC */
/*
 * What a token stands for: words folded, quotes undone, escapes decoded. The readers trust the
 * lexer about where a token ends and nothing else: a malformed escape is copied as it is written,
 * because the server will refuse the statement anyway.
 */
#include "pgw/sqllex.h"

#include "sqllex_priv.h"

#include <string.h>

/* The caller's buffer: bytes beyond it are dropped. */
struct out {
	char *buf;
	size_t cap;
	size_t n;
};

static void put(struct out *out, char c)
{
	if (out->n + 1 < out->cap)
		out->buf[out->n++] = c;
}

static size_t finish(struct out *out)
{
	if (out->cap)
		out->buf[out->n] = '\0';
	return out->n;
}

static void put_utf8(struct out *out, uint32_t c)
{
	if (c < 0x80) {
		put(out, (char)c);
		return;
	}
	if (c < 0x800) {
		put(out, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			put(out, (char)(0xe0 | c >> 12));
		} else {
			put(out, (char)(0xf0 | c >> 18));
			put(out, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		put(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	put(out, (char)(0x80 | (c & 0x3f)));
}

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = fold(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Up to n_max digits of the base at p; returns how many there were. */
static size_t read_digits(const char *p, const char *end, size_t n_max, int base, uint32_t *value_r)
{
	size_t n = 0;

	*value_r = 0;
	while (n < n_max && p + n < end) {
		int digit = digit_value(p[n]);

		if (digit < 0 || digit >= base)
			break;
		*value_r = *value_r * (uint32_t)base + (uint32_t)digit;
		n++;
	}
	return n;
}

/*
 * A Unicode escape of either spelling, p behind its backslash: U&'\XXXX \+XXXXXX' or E'\uXXXX
 * \UXXXXXXXX'. Returns its length, 0 when malformed.
 */
static size_t read_unicode(const char *p, const char *end, bool c_style, uint32_t *c_r)
{
	size_t n_lead = 1;
	size_t n_digits;

	if (p == end)
		return 0;
	if (c_style) {
		n_digits = *p == 'U' ? 8 : 4;
	} else if (*p == '+') {
		n_digits = 6;
	} else {
		n_lead = 0;
		n_digits = 4;
	}
	if (read_digits(p + n_lead, end, n_digits, 16, c_r) < n_digits || *c_r > 0x10ffff)
		return 0;
	return n_lead + n_digits;
}

/* As read_unicode, and an escaped pair of UTF-16 surrogates is one character. */
static size_t read_character(const char *p, const char *end, bool c_style, uint32_t *c_r)
{
	size_t n = read_unicode(p, end, c_style, c_r);
	uint32_t low;
	size_t n_low;

	if (!n || *c_r < 0xd800 || *c_r > 0xdfff)
		return n;
	if (*c_r > 0xdbff || end - p - (ptrdiff_t)n < 2 || p[n] != '\\')
		return 0;
	if (c_style && (p[n + 1] | 0x20) != 'u')
		return 0;
	n_low = read_unicode(p + n + 1, end, c_style, &low);
	if (!n_low || low < 0xdc00 || low > 0xdfff)
		return 0;
	*c_r = 0x10000 + ((*c_r - 0xd800) << 10) + (low - 0xdc00);
	return n + 1 + n_low;
}

/* p behind the backslash of an escape of E'…'; returns the place behind it. */
static const char *put_c_escape(struct out *out, const char *p, const char *end)
{
	static const char from[] = "bfnrt";
	static const char to[] = "\b\f\n\r\t";
	const char *simple;
	uint32_t c;
	size_t n;

	if (p == end)
		return p;
	n = read_digits(p, end, 3, 8, &c);
	if (n) {
		put(out, (char)c);
		return p + n;
	}
	if (*p == 'x' && (n = read_digits(p + 1, end, 2, 16, &c)) != 0) {
		put(out, (char)c);
		return p + 1 + n;
	}
	if ((*p | 0x20) == 'u' && (n = read_character(p, end, true, &c)) != 0) {
		put_utf8(out, c);
		return p + n;
	}
	simple = *p ? strchr(from, *p) : NULL;
	put(out, simple ? to[simple - from] : *p);
	return p + 1;
}

static const char *put_u_escape(struct out *out, const char *p, const char *end)
{
	uint32_t c;
	size_t n;

	if (p < end && *p == '\\') {
		put(out, '\\');
		return p + 1;
	}
	n = read_character(p, end, false, &c);
	if (n)
		put_utf8(out, c);
	else
		put(out, '\\');
	return p + n;
}

enum escapes {
	ESCAPES_NONE,
	ESCAPES_C,
	ESCAPES_UNICODE,
};

/*
 * The quoted text from p (behind the opening quote) to the token's end, parts on further lines
 * included.
 */
static size_t put_quoted(
	struct out *out, const char *p, const char *end, char quote, enum escapes escapes)
{
	while (p && p < end) {
		char c = *p++;

		if (c == '\\' && escapes == ESCAPES_C) {
			p = put_c_escape(out, p, end);
		} else if (c == '\\' && escapes == ESCAPES_UNICODE) {
			p = put_u_escape(out, p, end);
		} else if (c != quote) {
			put(out, c);
		} else if (p < end && *p == quote) {
			put(out, quote);
			p++;
		} else {
			p = pgw__literal_goes_on(p, end);
		}
	}
	return finish(out);
}

static size_t put_dollar_quoted(struct out *out, const struct pgw_token *token)
{
	const char *tag_end = memchr(token->at + 1, '$', token->len - 1);
	size_t n_delimiter = (size_t)(tag_end - token->at) + 1;
	size_t n = token->len - 2 * n_delimiter;

	if (n >= out->cap)
		n = out->cap ? out->cap - 1 : 0;
	if (n)
		memcpy(out->buf, token->at + n_delimiter, n);
	out->n = n;
	return finish(out);
}

size_t pgw_token_string(const struct pgw_token *token, char *buf, size_t cap)
{
	struct out out = { .buf = buf, .cap = cap };
	const char *end = token->at + token->len;

	if (token->kind != PGW_TOK_STRING)
		return finish(&out);
	switch (*token->at) {
	case '$':
		return put_dollar_quoted(&out, token);
	case 'u':
	case 'U':
		return put_quoted(&out, token->at + 3, end, '\'', ESCAPES_UNICODE);
	case '\'':
		return put_quoted(&out, token->at + 1, end, '\'',
			token->escapes ? ESCAPES_C : ESCAPES_NONE);
	default: /* E'…' and N'…' */
		return put_quoted(&out, token->at + 2, end, '\'',
			token->escapes ? ESCAPES_C : ESCAPES_NONE);
	}
}

size_t pgw_token_ident(const struct pgw_token *token, char *buf, size_t cap)
{
	struct out out = { .buf = buf, .cap = cap };
	const char *end = token->at + token->len;

	if (token->kind == PGW_TOK_QUOTED_IDENT) {
		if (*token->at == '"')
			return put_quoted(&out, token->at + 1, end, '"', ESCAPES_NONE);
		return put_quoted(&out, token->at + 3, end, '"', ESCAPES_UNICODE);
	}
	if (token->kind == PGW_TOK_WORD)
		for (const char *p = token->at; p < end; p++)
			put(&out, fold(*p));
	return finish(&out);
}

bool pgw_word_is(const struct pgw_token *token, const char *lower)
{
	uint32_t i;

	if (token->kind != PGW_TOK_WORD)
		return false;
	for (i = 0; i < token->len; i++)
		if (fold(token->at[i]) != lower[i])
			return false; /* at the latest at the NUL, which no word contains */
	return lower[i] == '\0';
}
