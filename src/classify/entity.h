/* SPDX-License-Identifier: ISC */
/*
 * Which entities a text's annotations say that it changes: ml_entity='type:uuid', 'type:$1' (a bind parameter), several separated by commas, or 'type'
 * alone, whose ids are in the rows that the statement returns (RETURNING), or all that a COPY loads. The annotation of each statement of a
 * string counts for that statement. Pure; any thread.
 */
#ifndef CLASSIFY_ENTITY_H
#define CLASSIFY_ENTITY_H

#include "base/base.h"
#include "pgw/fault.h"

#define ENTITY_TYPE_BYTES 51 /* the outbox's varchar(50) */
#define ENTITY_UUID_BYTES 16u
#define ENTITY_UUID_CHARACTERS 36u
#define ENTITY_MARKS_MAX 64u

enum entity_source {
	ENTITY_LITERAL,	  /* the id stands in the annotation */
	ENTITY_PARAMETER, /* it is a bind parameter */
	ENTITY_RETURNED,  /* it is in the rows that come back */
	ENTITY_LOADED,	  /* COPY … FROM: the rows themselves */
	N_ENTITY_SOURCES
};

struct entity_mark {
	uint8_t source; /* enum entity_source */
	uint16_t parameter; /* if PARAMETER: from 1 */
	uint32_t statement; /* of the string, from 0; empty ones do not count */
	bool has_id;
	uint8_t id[ENTITY_UUID_BYTES]; /* if has_id: of a LITERAL always, of a PARAMETER when the reader's caller has put it there */
	const char *table; /* if LOADED: its name as it is written, in the text */
	uint32_t n_table;
	char type[ENTITY_TYPE_BYTES];
};

struct entity_marks {
	unsigned n;
	bool has_returned, has_parameter;
	bool may_commit; /* CALL, DO: a procedure may end the transaction amid its work */
	bool has_organization;
	uint32_t n_statements;
	uint8_t organization[ENTITY_UUID_BYTES];
	struct entity_mark items[ENTITY_MARKS_MAX];
};

/* May there be an ml_entity? Few texts are looked at twice for it. */
bool entity_is_asked_for(const char *sql, size_t n);
/* false: *fault_r says what is wrong. marks_r->n may be 0: what looked like one is none. is_cut: the text goes on, unseen. */
bool entity_read(const char *sql, size_t n, bool backslash_escapes, bool is_cut,
	struct entity_marks *marks_r, struct pgw_fault *fault_r) WARN_UNUSED;
/* As PostgreSQL's uuid_in() reads it: hexadecimal digits, a hyphen after any group of four, braces around all or not. */
bool entity_uuid_parse(const char *text, size_t n, uint8_t id_r[static ENTITY_UUID_BYTES]);
void entity_uuid_write(const uint8_t id[static ENTITY_UUID_BYTES], char text_r[static ENTITY_UUID_CHARACTERS + 1]);

#endif
