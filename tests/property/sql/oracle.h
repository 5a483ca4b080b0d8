/* SPDX-License-Identifier: ISC */
/*
 * PostgreSQL's own scanner as libpg_query packages it (release 15), for comparison. It differs
 * from the server's in three ways that are undone or named here:
 *  - it hands comments out as tokens, and for that lets a comment end a literal that the server
 *    would continue in the next line: a caller blanks such comments before it asks;
 *  - it gives U&'…' and U&"…" the right beginning and a wrong end (end is 0 here);
 *  - N'…' is two tokens to the grammar: they are one here.
 */
#ifndef TESTS_PROPERTY_SQL_ORACLE_H
#define TESTS_PROPERTY_SQL_ORACLE_H

#include <stdbool.h>
#include <stddef.h>

struct oracle_token {
	size_t start;
	size_t end;	/* 0: not known */
	char kind;	/* W Q S B N P O U C as in the unit test, E: a character that is nothing's
			   beginning */
};

enum oracle_verdict {
	ORACLE_ACCEPTS,
	ORACLE_REFUSES_TOKEN, /* where a token begins or ends */
	ORACLE_REFUSES_VALUE, /* an escape or encoding within a literal: boundaries are not in doubt
			       */
};

struct oracle {
	enum oracle_verdict verdict;
	size_t refused_at;	/* offset in bytes */
	bool junk_number; /* refused for letters behind a number, where later releases may see one
			     number */
	struct oracle_token *tokens; /* with ORACLE_ACCEPTS; owned, grows */
	size_t n;
	size_t cap;
};

/* The text must be free of NUL bytes and end in one. */
void oracle_scan(struct oracle *oracle, const char *text);
void oracle_release(struct oracle *oracle);

#endif
