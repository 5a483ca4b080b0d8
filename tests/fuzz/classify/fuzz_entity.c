/* SPDX-License-Identifier: ISC */
/*
 * Whatever the statement, what is read of its entities is bounded and within it; a fault says what it is; a uuid that is read is written and
 * read again as the same.
 */
#include "classify/entity.h"

#include "fuzz/fuzz.h"

#include <string.h>

static void check_mark(const struct entity_mark *mark, const struct entity_marks *marks,
	const char *sql, size_t n)
{
	char text[ENTITY_UUID_CHARACTERS + 1];
	uint8_t again[ENTITY_UUID_BYTES];

	FUZZ_CHECK(mark->source < N_ENTITY_SOURCES);
	FUZZ_CHECK(mark->type[0] && memchr(mark->type, '\0', ENTITY_TYPE_BYTES));
	FUZZ_CHECK(mark->statement < marks->n_statements);
	FUZZ_CHECK(mark->has_id == (mark->source == ENTITY_LITERAL));
	if (mark->source == ENTITY_PARAMETER)
		FUZZ_CHECK(mark->parameter > 0 && marks->has_parameter);
	if (mark->source == ENTITY_RETURNED)
		FUZZ_CHECK(marks->has_returned);
	if (mark->source == ENTITY_LOADED)
		FUZZ_CHECK(mark->n_table > 0 && mark->table >= sql &&
			   mark->table + mark->n_table <= sql + n);
	if (!mark->has_id)
		return;
	entity_uuid_write(mark->id, text);
	FUZZ_CHECK(entity_uuid_parse(text, strlen(text), again));
	FUZZ_CHECK(memcmp(mark->id, again, ENTITY_UUID_BYTES) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *sql = (const char *)data;
	struct entity_marks marks;
	struct pgw_fault fault;

	for (unsigned way = 0; way < 4; way++) {
		if (!entity_read(sql, n, way & 1, (way & 2) != 0, &marks, &fault)) {
			FUZZ_CHECK(fault.sqlstate[0] && fault.detail[0]);
			continue;
		}
		FUZZ_CHECK(marks.n <= ENTITY_MARKS_MAX);
		for (unsigned i = 0; i < marks.n; i++)
			check_mark(&marks.items[i], &marks, sql, n);
	}
	return 0;
}
