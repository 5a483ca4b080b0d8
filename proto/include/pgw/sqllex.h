/* SPDX-License-Identifier: ISC */
/*
 * PostgreSQL's lexer rules (scan.l of PostgreSQL 15 to 17) over a whole statement text in memory: no allocation, no recursion, never
 * reads past `end`, any bytes accepted, time linear in the text. To come back to a place, keep a copy of the whole lexer. Source of the rules: PostgreSQL manual "Lexical Structure"; token boundaries agree with
 * libpg_query's scanner (tests/property/sql).
 */
#ifndef PGW_SQLLEX_H
#define PGW_SQLLEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pgw_token_kind {
	PGW_TOK_END = 0,	 /* end of the text */
	PGW_TOK_WORD,		 /* identifier or key word, as written (fold with pgw_word_is) */
	PGW_TOK_QUOTED_IDENT,	 /* "…" or U&"…" */
	PGW_TOK_STRING,		 /* '…', E'…', N'…', U&'…', $tag$…$tag$; continued literals ('a' newline 'b') are one token */
	PGW_TOK_BITS,		 /* B'…' X'…' */
	PGW_TOK_NUMBER,		 /* 1, 1.5, 1e10, .5, 0x1F, 0o7, 0b1, 1_000 */
	PGW_TOK_PARAM,		 /* $1 */
	PGW_TOK_OPERATOR,	 /* maximal operator by scan.l's rules (trailing + - trimmed), also := => :: .. */
	PGW_TOK_PUNCT,		 /* one of , ( ) [ ] . ; : */
	PGW_TOK_COMMENT,	 /* only when want_comments: -- … or nested block comment */
	PGW_TOK_ERROR,		 /* unterminated literal, comment, or a character no token begins with; consumes it */
};

/* 16 bytes, so that it is returned in registers: copying it from memory would cost more than lexing it. */
struct pgw_token {
	const char *at;		/* borrowed from the text */
	uint32_t len;
	enum pgw_token_kind kind : 8;
	bool unterminated : 1;	/* with ERROR: a literal, quoted identifier or comment runs to the end of the text */
	bool escapes : 1;	/* with STRING: a backslash escapes in it (E'…', or '…' without standard_conforming_strings) */
};

struct pgw_lexer {
	const char *at;
	const char *end;
	bool want_comments;
	bool passed_comment;	/* out: a block comment, closed, has been passed or returned */
	bool standard_conforming_strings; /* true by default; false: backslash escapes in '…' */
	/*
	 * Out: the characters of a WORD with bit 5 of each set (letters are lower case then), in the order of memory, zero behind them; of a QUOTED_IDENT too
	 * if it is what it would be without its quotes: no capitals, no quote inside. folded[0] is 0 if it is not, or longer than 16 bytes.
	 */
	uint64_t folded[2];
	const char *signs_until; /* private: up to here every character is a + or - that stands alone */
};

static inline struct pgw_lexer pgw_lexer_on(const char *sql, size_t n)
{
	return (struct pgw_lexer){ .at = sql, .end = sql + n, .standard_conforming_strings = true };
}

/* The next token; PGW_TOK_END for ever at the end. Leading white space and (unless asked for) comments are skipped. */
struct pgw_token pgw_lex(struct pgw_lexer *lexer);

/* Case-insensitive (ASCII) comparison of a WORD token with a lower-case word. */
bool pgw_word_is(const struct pgw_token *token, const char *lower);
/* Value of a quoted identifier or plain word, folded as Postgres folds it, into buf (cut at cap - 1, NUL-terminated); returns its length. */
size_t pgw_token_ident(const struct pgw_token *token, char *buf, size_t cap);
/* Value of a simple string literal ('…' with '' undone, E'…' escapes, dollar quotes); returns the length, cut at cap - 1. */
size_t pgw_token_string(const struct pgw_token *token, char *buf, size_t cap);

#endif
