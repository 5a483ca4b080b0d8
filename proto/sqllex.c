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

#include <string.h>

/* The longest operator that PostgreSQL accepts: NAMEDATALEN - 1. */
#define OPERATOR_MAX 63

enum start {
	START_OTHER = 0, /* no token begins with it */
	START_SPACE,
	START_WORD,
	START_PREFIX, /* b e n u x: a word, unless a quote makes it a literal */
	START_DIGIT,
	START_QUOTE,
	START_DQUOTE,
	START_DOLLAR,
	START_DOT,
	START_COLON,
	START_PUNCT,
	START_OPERATOR,
	START_DASH,
	START_SLASH,
};

static const unsigned char start_of[256] = {
	['\t' ... '\r'] = START_SPACE,
	[' '] = START_SPACE,
	['!'] = START_OPERATOR,
	['"'] = START_DQUOTE,
	['#'] = START_OPERATOR,
	['$'] = START_DOLLAR,
	['%' ... '&'] = START_OPERATOR,
	['\''] = START_QUOTE,
	['(' ... ')'] = START_PUNCT,
	['*' ... '+'] = START_OPERATOR,
	[','] = START_PUNCT,
	['-'] = START_DASH,
	['.'] = START_DOT,
	['/'] = START_SLASH,
	['0' ... '9'] = START_DIGIT,
	[':'] = START_COLON,
	[';'] = START_PUNCT,
	['<' ... '@'] = START_OPERATOR,
	['A'] = START_WORD,
	['B'] = START_PREFIX,
	['C' ... 'D'] = START_WORD,
	['E'] = START_PREFIX,
	['F' ... 'M'] = START_WORD,
	['N'] = START_PREFIX,
	['O' ... 'T'] = START_WORD,
	['U'] = START_PREFIX,
	['V' ... 'W'] = START_WORD,
	['X'] = START_PREFIX,
	['Y' ... 'Z'] = START_WORD,
	['['] = START_PUNCT,
	[']'] = START_PUNCT,
	['^'] = START_OPERATOR,
	['_'] = START_WORD,
	['`'] = START_OPERATOR,
	['a'] = START_WORD,
	['b'] = START_PREFIX,
	['c' ... 'd'] = START_WORD,
	['e'] = START_PREFIX,
	['f' ... 'm'] = START_WORD,
	['n'] = START_PREFIX,
	['o' ... 't'] = START_WORD,
	['u'] = START_PREFIX,
	['v' ... 'w'] = START_WORD,
	['x'] = START_PREFIX,
	['y' ... 'z'] = START_WORD,
	['|'] = START_OPERATOR,
	['~'] = START_OPERATOR,
	[0x80 ... 0xff] = START_WORD,
};

#define WORD_START 0x001  /* may begin an identifier, or the tag of a dollar quote */
#define WORD_PART 0x002	  /* may continue an identifier */
#define DECIMAL 0x004
#define HEXADECIMAL 0x008
#define OCTAL 0x010
#define BINARY 0x020
#define SPACE 0x040
#define NEWLINE 0x080
#define OPERATOR 0x100	  /* may be part of an operator */
#define KEEPS_SIGN 0x200  /* in no operator of standard SQL: its operators may end with + or - */
#define SIGN 0x400
#define TAG_PART (WORD_START | DECIMAL)

static const unsigned short traits_of[256] = {
	['\t'] = SPACE,
	['\n'] = SPACE | NEWLINE,
	['\v' ... '\f'] = SPACE,
	['\r'] = SPACE | NEWLINE,
	[' '] = SPACE,
	['!'] = OPERATOR | KEEPS_SIGN,
	['#'] = OPERATOR | KEEPS_SIGN,
	['$'] = WORD_PART,
	['%' ... '&'] = OPERATOR | KEEPS_SIGN,
	['*'] = OPERATOR,
	['+'] = OPERATOR | SIGN,
	['-'] = OPERATOR | SIGN,
	['/'] = OPERATOR,
	['0' ... '1'] = WORD_PART | DECIMAL | HEXADECIMAL | OCTAL | BINARY,
	['2' ... '7'] = WORD_PART | DECIMAL | HEXADECIMAL | OCTAL,
	['8' ... '9'] = WORD_PART | DECIMAL | HEXADECIMAL,
	['<' ... '>'] = OPERATOR,
	['?' ... '@'] = OPERATOR | KEEPS_SIGN,
	['A' ... 'F'] = WORD_START | WORD_PART | HEXADECIMAL,
	['G' ... 'Z'] = WORD_START | WORD_PART,
	['^'] = OPERATOR | KEEPS_SIGN,
	['_'] = WORD_START | WORD_PART,
	['`'] = OPERATOR | KEEPS_SIGN,
	['a' ... 'f'] = WORD_START | WORD_PART | HEXADECIMAL,
	['g' ... 'z'] = WORD_START | WORD_PART,
	['|'] = OPERATOR | KEEPS_SIGN,
	['~'] = OPERATOR | KEEPS_SIGN,
	[0x80 ... 0xff] = WORD_START | WORD_PART,
};

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

static struct pgw_token take_unterminated(struct pgw_lexer *lexer, const char *at)
{
	struct pgw_token token = take(lexer, PGW_TOK_ERROR, at, lexer->end);

	token.unterminated = true;
	return token;
}

/* ---- comments ---- */

static const char *skip_line_comment(const char *p, const char *end)
{
	while (p < end && !(traits(p) & NEWLINE))
		p++;
	return p;
}

/* p stands behind the opening; NULL when the comment is never closed. Block comments nest. */
static const char *skip_block_comment(const char *p, const char *end)
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
static struct pgw_token lex_literal(struct pgw_lexer *lexer, enum pgw_token_kind kind, bool escapes,
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
static struct pgw_token lex_quoted_ident(struct pgw_lexer *lexer, const char *at, const char *p)
{
	const char *closed = close_plain(p, lexer->end, '"');

	if (!closed)
		return take_unterminated(lexer, at);
	return take(lexer, closed - p == 1 ? PGW_TOK_ERROR : PGW_TOK_QUOTED_IDENT, at, closed);
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

static struct pgw_token lex_dollar(struct pgw_lexer *lexer, const char *at)
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

static struct pgw_token lex_word(struct pgw_lexer *lexer, const char *at)
{
	return take(lexer, PGW_TOK_WORD, at, skip_all(at + 1, lexer->end, WORD_PART));
}

static struct pgw_token lex_prefixed(struct pgw_lexer *lexer, const char *at)
{
	const char *end = lexer->end;
	char letter = *at | 0x20;

	if (letter == 'u') {
		if (end - at < 3 || at[1] != '&')
			return lex_word(lexer, at);
		if (at[2] == '"')
			return lex_quoted_ident(lexer, at, at + 3);
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

static struct pgw_token lex_number(struct pgw_lexer *lexer, const char *at)
{
	const char *end = lexer->end;
	const char *p;
	unsigned digit;

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
static struct pgw_token lex_operator(struct pgw_lexer *lexer, const char *at)
{
	const char *end = lexer->end;
	const char *p = at;
	unsigned seen = 0;

	if (at < lexer->signs_until)
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

static struct pgw_token lex_dot(struct pgw_lexer *lexer, const char *at)
{
	const char *end = lexer->end;
	const char *p = at + 1;

	if (is_byte(p, end, '.'))
		return take(lexer, PGW_TOK_OPERATOR, at, p + 1);
	if (p < end && traits(p) & DECIMAL)
		return lex_exponent(lexer, at, skip_digits(p, end, DECIMAL));
	return take(lexer, PGW_TOK_PUNCT, at, p);
}

static struct pgw_token lex_colon(struct pgw_lexer *lexer, const char *at)
{
	const char *p = at + 1;

	if (is_byte(p, lexer->end, ':') || is_byte(p, lexer->end, '='))
		return take(lexer, PGW_TOK_OPERATOR, at, p + 1);
	return take(lexer, PGW_TOK_PUNCT, at, p);
}

/* ---- the token ---- */

/*
 * Line or block comment at p? Then *behind_r is the byte behind it (NULL: unterminated).
 */
static bool read_comment(const char *p, const char *end, const char **behind_r)
{
	if (p[0] == '-' && is_byte(p + 1, end, '-')) {
		*behind_r = skip_line_comment(p + 2, end);
		return true;
	}
	if (p[0] == '/' && is_byte(p + 1, end, '*')) {
		*behind_r = skip_block_comment(p + 2, end);
		return true;
	}
	return false;
}

struct pgw_token pgw_lex(struct pgw_lexer *lexer)
{
	const char *end = lexer->end;
	const char *p = lexer->at;
	const char *behind;

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
			return lex_quoted_ident(lexer, p, p + 1);
		case START_DOLLAR:
			return lex_dollar(lexer, p);
		case START_COLON:
			return lex_colon(lexer, p);
		case START_DASH:
		case START_SLASH:
			if (!read_comment(p, end, &behind))
				return lex_operator(lexer, p);
			if (!behind)
				return take_unterminated(lexer, p);
			if (lexer->want_comments)
				return take(lexer, PGW_TOK_COMMENT, p, behind);
			p = behind - 1;
			continue;
		case START_OTHER:
			return take(lexer, PGW_TOK_ERROR, p, p + 1);
		}
	}
	return take(lexer, PGW_TOK_END, end, end);
}
