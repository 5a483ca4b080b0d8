/* SPDX-License-Identifier: ISC */
/*
 * pg_query_scan() answers in protobuf. Its message is a list (field 2) of tokens whose fields are
 * all integers, so a few lines read it, and the tests need no protobuf library.
 */
#include "property/sql/oracle.h"

#include <pg_query.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From pg_query.proto: field numbers of ScanResult and ScanToken, values of Token. */
#define FIELD_TOKENS 2
#define FIELD_START 1
#define FIELD_END 2
#define FIELD_TOKEN 4
#define N_FIELDS 6

enum token {
	TOKEN_IDENT = 258,
	TOKEN_UIDENT,
	TOKEN_FCONST,
	TOKEN_SCONST,
	TOKEN_USCONST,
	TOKEN_BCONST,
	TOKEN_XCONST,
	TOKEN_OP,
	TOKEN_ICONST,
	TOKEN_PARAM,
	TOKEN_TYPECAST,
	TOKEN_NOT_EQUALS = 274,
	TOKEN_SQL_COMMENT,
	TOKEN_C_COMMENT,
	TOKEN_FIRST_KEYWORD,
};

static uint64_t read_varint(const uint8_t **p, const uint8_t *end)
{
	uint64_t value = 0;

	for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t byte = *(*p)++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	fprintf(stderr, "libpg_query's answer is cut short\n");
	abort();
}

static char kind_of(uint64_t token, char first)
{
	if (token >= TOKEN_FIRST_KEYWORD)
		return 'W';
	if (token < 256)
		return strchr(",()[].;:", first) ? 'U' : strchr("+-*/%^<>=", first) ? 'O' : 'E';
	switch (token) {
	case TOKEN_IDENT:
		return first == '"' ? 'Q' : 'W';
	case TOKEN_UIDENT:
		return 'Q';
	case TOKEN_FCONST:
	case TOKEN_ICONST:
		return 'N';
	case TOKEN_SCONST:
	case TOKEN_USCONST:
		return 'S';
	case TOKEN_BCONST:
	case TOKEN_XCONST:
		return 'B';
	case TOKEN_PARAM:
		return 'P';
	case TOKEN_SQL_COMMENT:
	case TOKEN_C_COMMENT:
		return 'C';
	default:
		return 'O';
	}
}

static void add_token(struct oracle *oracle, struct oracle_token token)
{
	if (oracle->n == oracle->cap) {
		oracle->cap = oracle->cap ? oracle->cap * 2 : 64;
		oracle->tokens = realloc(oracle->tokens, oracle->cap * sizeof(*oracle->tokens));
		if (!oracle->tokens)
			abort();
	}
	oracle->tokens[oracle->n++] = token;
}

static void read_token(
	struct oracle *oracle, const char *text, const uint8_t *p, const uint8_t *end)
{
	uint64_t fields[N_FIELDS] = { 0 };
	struct oracle_token token;
	struct oracle_token *last = oracle->n ? &oracle->tokens[oracle->n - 1] : NULL;

	while (p < end) {
		uint64_t key = read_varint(&p, end);

		if (key & 7 || key >> 3 >= N_FIELDS)
			abort();
		fields[key >> 3] = read_varint(&p, end);
	}
	token.start = fields[FIELD_START];
	token.end = fields[FIELD_END];
	if (fields[FIELD_TOKEN] == TOKEN_UIDENT || fields[FIELD_TOKEN] == TOKEN_USCONST)
		token.end = 0;
	token.kind = kind_of(fields[FIELD_TOKEN], text[token.start]);
	if (last && token.kind == 'S' && text[token.start] == '\'' && last->kind == 'W' &&
		last->end == token.start && last->end - last->start == 1 &&
		(text[last->start] | 0x20) == 'n') {
		last->kind = 'S';
		last->end = token.end;
	} else {
		add_token(oracle, token);
	}
}

/*
 * cursorpos counts characters from 1; a character begins at any byte that is no UTF-8 continuation.
 */
static size_t byte_offset(const char *text, int cursorpos)
{
	size_t at = 0;

	for (int n = 1; n < cursorpos && text[at]; n++)
		for (at++; (text[at] & 0xc0) == 0x80; at++)
			;
	return at;
}

static void read_error(struct oracle *oracle, const char *text, const PgQueryError *error)
{
	static const char *const of_tokens[] = { "unterminated ", "trailing junk after ",
		"zero-length delimited identifier", "operator too long" };

	oracle->verdict = ORACLE_REFUSES_VALUE;
	oracle->refused_at = byte_offset(text, error->cursorpos);
	for (size_t i = 0; i < sizeof(of_tokens) / sizeof(of_tokens[0]); i++)
		if (strncmp(error->message, of_tokens[i], strlen(of_tokens[i])) == 0)
			oracle->verdict = ORACLE_REFUSES_TOKEN;
	oracle->junk_number = strncmp(error->message, "trailing junk after numeric", 27) == 0;
	if (oracle->verdict == ORACLE_REFUSES_VALUE &&
		strncmp(error->message, "invalid ", 8) != 0) {
		fprintf(stderr, "a refusal of an unknown kind: %s\n", error->message);
		abort();
	}
}

void oracle_scan(struct oracle *oracle, const char *text)
{
	PgQueryScanResult result = pg_query_scan(text);

	oracle->n = 0;
	if (result.error) {
		read_error(oracle, text, result.error);
	} else {
		const uint8_t *p = (const uint8_t *)result.pbuf.data;
		const uint8_t *end = p + result.pbuf.len;

		oracle->verdict = ORACLE_ACCEPTS;
		while (p < end) {
			uint64_t key = read_varint(&p, end);
			uint64_t n = read_varint(&p, end);

			if (key >> 3 == FIELD_TOKENS)
				read_token(oracle, text, p, p + n);
			if (key & 7)
				p += n;
		}
	}
	pg_query_free_scan_result(result);
}

void oracle_release(struct oracle *oracle)
{
	free(oracle->tokens);
	*oracle = (struct oracle){ 0 };
}
