/* SPDX-License-Identifier: ISC */
/*
 * The two tables of the lexer: what a token that begins with a byte can be, and what a byte may
 * continue. Private to sqllex.c.
 */
#ifndef PGW_SQLLEX_TABLES_H
#define PGW_SQLLEX_TABLES_H

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
#define PLAIN 0x800	  /* may continue an identifier, and is in no need of quotes */
#define TAG_PART (WORD_START | DECIMAL)

static const unsigned short traits_of[256] = {
	['\t'] = SPACE,
	['\n'] = SPACE | NEWLINE,
	['\v' ... '\f'] = SPACE,
	['\r'] = SPACE | NEWLINE,
	[' '] = SPACE,
	['!'] = OPERATOR | KEEPS_SIGN,
	['#'] = OPERATOR | KEEPS_SIGN,
	['$'] = PLAIN | WORD_PART,
	['%' ... '&'] = OPERATOR | KEEPS_SIGN,
	['*'] = OPERATOR,
	['+'] = OPERATOR | SIGN,
	['-'] = OPERATOR | SIGN,
	['/'] = OPERATOR,
	['0' ... '1'] = PLAIN | WORD_PART | DECIMAL | HEXADECIMAL | OCTAL | BINARY,
	['2' ... '7'] = PLAIN | WORD_PART | DECIMAL | HEXADECIMAL | OCTAL,
	['8' ... '9'] = PLAIN | WORD_PART | DECIMAL | HEXADECIMAL,
	['<' ... '>'] = OPERATOR,
	['?' ... '@'] = OPERATOR | KEEPS_SIGN,
	['A' ... 'F'] = WORD_START | WORD_PART | HEXADECIMAL,
	['G' ... 'Z'] = WORD_START | WORD_PART,
	['^'] = OPERATOR | KEEPS_SIGN,
	['_'] = PLAIN | WORD_START | WORD_PART,
	['`'] = OPERATOR | KEEPS_SIGN,
	['a' ... 'f'] = PLAIN | WORD_START | WORD_PART | HEXADECIMAL,
	['g' ... 'z'] = PLAIN | WORD_START | WORD_PART,
	['|'] = OPERATOR | KEEPS_SIGN,
	['~'] = OPERATOR | KEEPS_SIGN,
	[0x80 ... 0xff] = PLAIN | WORD_START | WORD_PART,
};

#endif
