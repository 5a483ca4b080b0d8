/* SPDX-License-Identifier: ISC */
/*
 * PostgreSQL's lexical rules, written by hand over two tables: what a token that begins with a
 * byte can be, and what a byte may continue. Every function takes the place to look at and returns
 * the place behind what it read; the end of the text is asked for before each byte, so that
 * nothing is read beyond it.
 *
 * Where PostgreSQL's releases differ, the newest rule wins when the older one knows only an error
 * there (0x1F, 1_000, vertical tab as white space), so that a statement is read alike whatever the
 * server is.
 */
#include "pgw/sqllex.h"

#include "sqllex_priv.h"
#include "sqllex_tables.h"

#include <string.h>

/* The longest operator that PostgreSQL accepts: NAMEDATALEN - 1. */
#define OPERATOR_MAX 63

/* Kept out of pgw_lex(), so that words and punctuation save no registers for what others need. */
#define APART __attribute__((noinline))
#define COLD __attribute__((noinline, cold))

static inline unsigned traits(const char *p)
{
	return traits_of[(unsigned char)*p];
}

static inline const char *skip_all(const char *p, const char *end, unsigned wanted)
{
	while (p < end && traits(p) & wanted)
		p++;
	return p;
}

static inline bool is_byte(const char *p, const char *end, char c)
{
	return p < end && *p == c;
}

static inline struct pgw_token take(
	struct pgw_lexer *lexer, enum pgw_token_kind kind, const char *at, const char *to)
{
	lexer->at = to;
	return (struct pgw_token){ .kind = kind, .at = at, .len = (uint32_t)(to - at) };
}

#define FOLD UINT64_C(0x2020202020202020)

/* The first n of eight bytes at p, 1 to 8. */
static inline uint64_t load_folded(const char *p, size_t n)
{
	uint64_t eight;

	memcpy(&eight, p, sizeof(eight));
	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		return (eight | FOLD) & UINT64_MAX >> (64 - 8 * n);
	return (eight | FOLD) & ~(n < 8 ? UINT64_MAX >> 8 * n : 0);
}

/* Byte by byte: the text ends too soon. */
APART static void fold_last(struct pgw_lexer *lexer, const char *at, size_t n)
{
	char *folded = (char *)lexer->folded;

	lexer->folded[0] = 0;
	lexer->folded[1] = 0;
	for (size_t i = 0; i < n; i++)
		folded[i] = (char)(at[i] | 0x20);
}

/* The characters of a name, for lexer->folded. */
static inline void fold(struct pgw_lexer *lexer, const char *at, size_t n)
{
	size_t n_left = (size_t)(lexer->end - at);

	if (n > 16) {
		lexer->folded[0] = 0;
	} else if (n_left < (n > 8 ? 16 : 8)) {
		fold_last(lexer, at, n);
	} else if (n > 8) {
		lexer->folded[0] = load_folded(at, 8);
		lexer->folded[1] = load_folded(at + 8, n - 8);
	} else {
		lexer->folded[0] = load_folded(at, n);
		lexer->folded[1] = 0;
	}
}

COLD static struct pgw_token take_unterminated(struct pgw_lexer *lexer, const char *at)
{
	struct pgw_token token = take(lexer, PGW_TOK_ERROR, at, lexer->end);

	token.unterminated = true;
	return token;
}

/* ---- comments ---- */

APART static const char *skip_line_comment(const char *p, const char *end)
{
	while (p < end && !(traits(p) & NEWLINE))
		p++;
	return p;
}

/* p stands behind the opening; NULL when the comment is never closed. Block comments nest. */
APART static const char *skip_block_comment(const char *p, const char *end)
{
	size_t depth = 1;

	while (end - p >= 2) {
		if (p[0] == '*' && p[1] == '/') {
			p += 2;
			if (--depth == 0)
				return p;
		} else if (p[0] == '/' && p[1] == '*') {
			p += 2;
			depth++;
		} else {
			p++;
		}
	}
	return NULL;
}

/* ---- literals ---- */

const char *pgw__literal_goes_on(const char *p, const char *end)
{
	bool newline = false;

	while (p < end) {
		if (traits(p) & SPACE) {
			newline |= (traits(p) & NEWLINE) != 0;
			p++;
		} else if (*p == '-' && is_byte(p + 1, end, '-')) {
			p = skip_line_comment(p, end);
		} else {
			return newline && *p == '\'' ? p + 1 : NULL;
		}
	}
	return NULL;
}

/*
 * These return the byte behind the closing quote of the part that p stands in, NULL if there is
 * none.
 */
static const char *close_bits(const char *p, const char *end)
{
	p = memchr(p, '\'', (size_t)(end - p));
	return p ? p + 1 : NULL;
}

static inline const char *close_plain(const char *p, const char *end, char quote)
{
	for (;;) {
		p = memchr(p, quote, (size_t)(end - p));
		if (!p)
			return NULL;
		p++;
		if (!is_byte(p, end, quote))
			return p;
		p++;
	}
}

static const char *close_escaped(const char *p, const char *end)
{
	for (; p < end; p++) {
		if (*p == '\\') {
			p++;
		} else if (*p == '\'') {
			p++;
			if (!is_byte(p, end, '\''))
				return p;
		}
	}
	return NULL;
}

/* A literal of any kind; p stands behind its first opening quote. */
APART static struct pgw_token lex_literal(struct pgw_lexer *lexer, enum pgw_token_kind kind, bool escapes,
	const char *at, const char *p)
{
	const char *end = lexer->end;
	struct pgw_token token;
	const char *closed;

	do {
		if (kind == PGW_TOK_BITS)
			closed = close_bits(p, end);
		else if (escapes)
			closed = close_escaped(p, end);
		else
			closed = close_plain(p, end, '\'');
		if (!closed)
			return take_unterminated(lexer, at);
		p = pgw__literal_goes_on(closed, end);
	} while (p);
	token = take(lexer, kind, at, closed);
	token.escapes = escapes;
	return token;
}

/* p stands behind the opening quote. An identifier of no characters is an error to PostgreSQL. */
APART static struct pgw_token lex_any_quoted_ident(
	struct pgw_lexer *lexer, const char *at, const char *p)
{
	const char *closed = close_plain(p, lexer->end, '"');

	lexer->folded[0] = 0;
	if (!closed)
		return take_unterminated(lexer, at);
	return take(lexer, closed - p == 1 ? PGW_TOK_ERROR : PGW_TOK_QUOTED_IDENT, at, closed);
}

/* Most are what they would be without their quotes. */
APART static struct pgw_token lex_quoted_ident(struct pgw_lexer *lexer, const char *at)
{
	const char *end = lexer->end;
	const char *quote = skip_all(at + 1, end, PLAIN);

	if (quote == at + 1 || !is_byte(quote, end, '"') || is_byte(quote + 1, end, '"'))
		return lex_any_quoted_ident(lexer, at, at + 1);
	fold(lexer, at + 1, (size_t)(quote - at) - 1);
	return take(lexer, PGW_TOK_QUOTED_IDENT, at, quote + 1);
}

/*
 * Finds the delimiter that stands at `at` again. A delimiter has no $ inside, so a comparison that
 * fails never looks further than the next $, and the search stays linear.
 */
static struct pgw_token lex_dollar_quote(
	struct pgw_lexer *lexer, const char *at, size_t n_delimiter)
{
	const char *end = lexer->end;
	const char *p = at + n_delimiter;

	while ((size_t)(end - p) >= n_delimiter) {
		p = memchr(p, '$', (size_t)(end - p) - (n_delimiter - 1));
		if (!p)
			break;
		if (memcmp(p + 1, at + 1, n_delimiter - 1) == 0)
			return take(lexer, PGW_TOK_STRING, at, p + n_delimiter);
		p++;
	}
	return take_unterminated(lexer, at);
}

APART static struct pgw_token lex_dollar(struct pgw_lexer *lexer, const char *at)
{
	const char *end = lexer->end;
	const char *p = at + 1;

	if (p < end && traits(p) & DECIMAL) {
		p = skip_all(p, end, DECIMAL);
		if (p == end || !(traits(p) & WORD_START))
			return take(lexer, PGW_TOK_PARAM, at, p);
		return take(lexer, PGW_TOK_ERROR, at, skip_all(p, end, WORD_PART));
	}
	if (p < end && traits(p) & WORD_START)
		p = skip_all(p, end, TAG_PART);
	if (is_byte(p, end, '$'))
		return lex_dollar_quote(lexer, at, (size_t)(p + 1 - at));
	return take(lexer, PGW_TOK_ERROR, at, at + 1);
}

static inline struct pgw_token lex_word(struct pgw_lexer *lexer, const char *at)
{
	const char *to = skip_all(at + 1, lexer->end, WORD_PART);

	fold(lexer, at, (size_t)(to - at));
	return take(lexer, PGW_TOK_WORD, at, to);
}

APART static struct pgw_token lex_prefixed(struct pgw_lexer *lexer, const char *at)
{
	const char *end = lexer->end;
	char letter = *at | 0x20;

	if (letter == 'u') {
		if (end - at < 3 || at[1] != '&')
			return lex_word(lexer, at);
		if (at[2] == '"')
			return lex_any_quoted_ident(lexer, at, at + 3);
		if (at[2] == '\'')
			return lex_literal(lexer, PGW_TOK_STRING, false, at, at + 3);
		return lex_word(lexer, at);
	}
	if (!is_byte(at + 1, end, '\''))
		return lex_word(lexer, at);
	if (letter == 'e')
		return lex_literal(lexer, PGW_TOK_STRING, true, at, at + 2);
	if (letter == 'n')
		return lex_literal(
			lexer, PGW_TOK_STRING, !lexer->standard_conforming_strings, at, at + 2);
	return lex_literal(lexer, PGW_TOK_BITS, false, at, at + 2);
}

/* ---- numbers ---- */

/* Digits with single underscores among them; the first may be an underscore too, as in 0x_1F. */
static const char *skip_digits(const char *p, const char *end, unsigned digit)
{
	for (; p < end; p++) {
		if (traits(p) & digit)
			continue;
		if (*p != '_' || p + 1 == end || !(traits(p + 1) & digit))
			break;
	}
	return p;
}

/* A number at once followed by a letter is an error and takes the whole word with it. */
static struct pgw_token take_number(
	struct pgw_lexer *lexer, const char *at, const char *p, unsigned junk)
{
	const char *end = lexer->end;

	if (p == end || !(traits(p) & junk))
		return take(lexer, PGW_TOK_NUMBER, at, p);
	return take(lexer, PGW_TOK_ERROR, at, skip_all(p, end, WORD_PART));
}

static unsigned radix_digit(char letter)
{
	switch (letter | 0x20) {
	case 'x':
		return HEXADECIMAL;
	case 'o':
		return OCTAL;
	case 'b':
		return BINARY;
	default:
		return 0;
	}
}

/* p stands behind the digits of an integer or a decimal. */
static struct pgw_token lex_exponent(struct pgw_lexer *lexer, const char *at, const char *p)
{
	const char *end = lexer->end;
	const char *digits;

	if (p < end && (*p | 0x20) == 'e') {
		digits = p + 1;
		if (digits < end && traits(digits) & SIGN)
			digits++;
		if (digits < end && traits(digits) & DECIMAL)
			p = skip_digits(digits, end, DECIMAL);
		else if (digits > p + 1)
			return take(lexer, PGW_TOK_ERROR, at, digits);
	}
	return take_number(lexer, at, p, WORD_START);
}

APART static struct pgw_token lex_number(struct pgw_lexer *lexer, const char *at)
{
	const char *end = lexer->end;
	const char *p = skip_all(at + 1, end, DECIMAL);
	unsigned digit;

	if (p == end || !(traits(p) & WORD_PART || *p == '.'))
		return take(lexer, PGW_TOK_NUMBER, at, p); /* as nearly all */
	if (*at == '0' && end - at >= 2 && (digit = radix_digit(at[1])) != 0) {
		p = skip_digits(at + 2, end, digit);
		if (p == at + 2)
			p = at + 1; /* the letter itself is then what does not belong there */
		return take_number(lexer, at, p, WORD_PART);
	}
	p = skip_digits(at, end, DECIMAL);
	if (is_byte(p, end, '.')) {
		if (is_byte(p + 1, end, '.'))
			return take(lexer, PGW_TOK_NUMBER, at, p); /* 1..10 is a range */
		p++;
		if (p < end && traits(p) & DECIMAL)
			p = skip_digits(p, end, DECIMAL);
	}
	return lex_exponent(lexer, at, p);
}

/* ---- operators ---- */

/*
 * The longest run of operator characters, cut before a comment; and, unless a character that
 * standard SQL has no operator with is among them, without the + and - at its end (so that a*-1 is
 * a * -1). Those signs are then tokens by themselves: noting where they end keeps a long row of
 * them linear.
 */
APART static struct pgw_token lex_operator(struct pgw_lexer *lexer, const char *at)
{
	const char *end = lexer->end;
	const char *p = at;
	unsigned seen = 0;

	if (at + 1 == end || !(traits(at + 1) & OPERATOR) || at < lexer->signs_until)
		return take(lexer, PGW_TOK_OPERATOR, at, at + 1);
	while (p < end && traits(p) & OPERATOR) {
		if (p[0] == '-' && is_byte(p + 1, end, '-'))
			break;
		if (p[0] == '/' && is_byte(p + 1, end, '*'))
			break;
		seen |= traits(p);
		p++;
	}
	if (!(seen & KEEPS_SIGN) && traits(p - 1) & SIGN) {
		lexer->signs_until = p;
		while (p - at > 1 && traits(p - 1) & SIGN)
			p--;
	}
	return take(lexer, p - at > OPERATOR_MAX ? PGW_TOK_ERROR : PGW_TOK_OPERATOR, at, p);
}

APART static struct pgw_token lex_dot(struct pgw_lexer *lexer, const char *at)
{
	const char *end = lexer->end;
	const char *p = at + 1;

	if (is_byte(p, end, '.'))
		return take(lexer, PGW_TOK_OPERATOR, at, p + 1);
	if (p < end && traits(p) & DECIMAL)
		return lex_exponent(lexer, at, skip_digits(p, end, DECIMAL));
	return take(lexer, PGW_TOK_PUNCT, at, p);
}

APART static struct pgw_token lex_colon(struct pgw_lexer *lexer, const char *at)
{
	const char *p = at + 1;

	if (is_byte(p, lexer->end, ':') || is_byte(p, lexer->end, '='))
		return take(lexer, PGW_TOK_OPERATOR, at, p + 1);
	return take(lexer, PGW_TOK_PUNCT, at, p);
}

/* ---- the token ---- */

static inline bool begins_comment(const char *p, const char *end)
{
	return end - p >= 2 && ((p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*'));
}

/* Returns the byte behind the comment at p; NULL: it is never closed. */
static const char *skip_comment(struct pgw_lexer *lexer, const char *p)
{
	const char *behind;

	if (*p == '-')
		return skip_line_comment(p + 2, lexer->end);
	behind = skip_block_comment(p + 2, lexer->end);
	lexer->passed_comment |= behind != NULL;
	return behind;
}

/* A comment begins at p. Unless it is wanted, the token behind it and those that follow at once. */
APART static struct pgw_token lex_comment(struct pgw_lexer *lexer, const char *p)
{
	const char *behind;

	do {
		behind = skip_comment(lexer, p);
		if (!behind)
			return take_unterminated(lexer, p);
		if (lexer->want_comments)
			return take(lexer, PGW_TOK_COMMENT, p, behind);
		p = skip_all(behind, lexer->end, SPACE);
	} while (begins_comment(p, lexer->end));
	lexer->at = p;
	return pgw_lex(lexer); /* no comment, so it does not come back here */
}

struct pgw_token pgw_lex(struct pgw_lexer *lexer)
{
	const char *end = lexer->end;
	const char *p = lexer->at;

	if (is_byte(p, end, ' ')) /* as between most tokens */
		p++;
	for (; p < end; p++) {
		switch ((enum start)start_of[(unsigned char)*p]) {
		case START_SPACE:
			continue;
		case START_WORD:
			return lex_word(lexer, p);
		case START_PREFIX:
			return lex_prefixed(lexer, p);
		case START_PUNCT:
			return take(lexer, PGW_TOK_PUNCT, p, p + 1);
		case START_OPERATOR:
			return lex_operator(lexer, p);
		case START_DOT:
			return lex_dot(lexer, p);
		case START_DIGIT:
			return lex_number(lexer, p);
		case START_QUOTE:
			return lex_literal(lexer, PGW_TOK_STRING,
				!lexer->standard_conforming_strings, p, p + 1);
		case START_DQUOTE:
			return lex_quoted_ident(lexer, p);
		case START_DOLLAR:
			return lex_dollar(lexer, p);
		case START_COLON:
			return lex_colon(lexer, p);
		case START_DASH:
		case START_SLASH:
			if (begins_comment(p, end))
				return lex_comment(lexer, p);
			return lex_operator(lexer, p);
		case START_OTHER:
			return take(lexer, PGW_TOK_ERROR, p, p + 1);
		default:
			__builtin_unreachable();
		}
	}
	return take(lexer, PGW_TOK_END, end, end);
}
