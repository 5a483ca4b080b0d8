/* SPDX-License-Identifier: ISC */
/* Which entities a text's annotations name, to which of its statements they belong, and what is refused. */
#include "classify/entity.h"

#include "base/strbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define A "00000000-0000-0000-0000-00000000000a"

static bool read_cut(
	const char *sql, bool is_cut, struct entity_marks *marks_r, struct pgw_fault *fault_r)
{
	size_t n = strlen(sql);
	char *text = malloc(n ? n : 1); /* ASan watches its end */
	bool ok;

	memcpy(text, sql, n);
	ok = entity_read(text, n, false, is_cut, marks_r, fault_r);
	for (unsigned i = 0; ok && i < marks_r->n; i++)
		if (marks_r->items[i].table)
			marks_r->items[i].table = sql + (marks_r->items[i].table - text);
	free(text);
	return ok;
}

/* Each mark as "source statement type[ what]", separated by "; ". */
static void said(const char *sql, const char *wanted)
{
	static const char letters[] = {'l', 'p', 'r', 'c'};
	struct entity_marks marks;
	struct pgw_fault fault;
	char text[1024] = "";
	size_t n = 0;

	if (!read_cut(sql, false, &marks, &fault))
		fail_msg("<%s>: %s: %s", sql, fault.message, fault.detail);
	for (unsigned i = 0; i < marks.n; i++) {
		const struct entity_mark *mark = &marks.items[i];
		char id[ENTITY_UUID_CHARACTERS + 1] = "";

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%c%u %s", i ? "; " : "",
			letters[mark->source], mark->statement, mark->type);
		if (mark->source == ENTITY_LITERAL)
			entity_uuid_write(mark->id, id);
		if (mark->source == ENTITY_LITERAL)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", id + 34);
		if (mark->source == ENTITY_PARAMETER)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %u", mark->parameter);
		if (mark->source == ENTITY_LOADED)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %.*s",
				(int)mark->n_table, mark->table);
	}
	if (strcmp(text, wanted) != 0)
		fail_msg("<%s>: <%s>, not <%s>", sql, text, wanted);
}

static void refused(const char *sql, const char *sqlstate)
{
	struct entity_marks marks;
	struct pgw_fault fault;

	if (read_cut(sql, false, &marks, &fault))
		fail_msg("<%s> was not refused", sql);
	if (strcmp(fault.sqlstate, sqlstate) != 0)
		fail_msg("<%s>: %s (%s), not %s", sql, fault.sqlstate, fault.message, sqlstate);
}

static void entities_are_named_by_id(void **state)
{
	said("/*ml_entity='x:" A "'*/ UPDATE t SET a = 1", "l0 x 0a");
	said("UPDATE t SET a = 1 /*traceparent='1',ml_entity='x:" A "'*/", "l0 x 0a");
	said("UPDATE t /*ml_entity='x:" A "'*/ SET a = 1", "l0 x 0a");
	said("/*ml_entity='x:" A ", Y_2:{0000000000000000000000000000000B} '*/ SELECT 1", "l0 x 0a; l0 Y_2 0b");
	said("/*ml_entity='x%3A" A "'*/ SELECT 1", "l0 x 0a");
	said("/*ml_entity='x:$1,y:$65535'*/ SELECT 1", "p0 x 1; p0 y 65535");
	said("COMMIT /*ml_entity='x:" A "'*/", "l0 x 0a");
}

static void each_statement_has_its_own(void **state)
{
	said("/*ml_entity='x:" A "'*/ SELECT 1; ; /*ml_entity='y:" A "'*/ SELECT 2 /*ml_entity='z:" A "'*/; /*ml_entity='w:" A "'*/",
		"l0 x 0a; l1 y 0a; l1 z 0a; l1 w 0a");
	said("SELECT 1; INSERT INTO t DEFAULT VALUES RETURNING id /*ml_entity='x'*/;", "r1 x");
	said("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 1 /*ml_entity='x:" A "'*/", "l1 x 0a");
	refused("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 1 AS id /*ml_entity='x'*/", "0A000");
}

static void ids_may_be_in_rows(void **state)
{
	said("/*ml_entity='x,y'*/ INSERT INTO t DEFAULT VALUES RETURNING id", "r0 x; r0 y");
	said("/*ml_entity='x'*/ (SELECT 1)", "r0 x");
	said("/*ml_entity='x'*/ EXECUTE p", "r0 x");
	said("/*ml_entity='x'*/ WITH a AS (DELETE FROM t RETURNING id) SELECT * FROM a", "r0 x");
	said("/*ml_entity='x'*/ COPY a.\"B c\"  (id) FROM STDIN", "c0 x a.\"B c\"");
	said("/*ml_entity='x'*/ COPY BINARY t FROM STDIN", "c0 x t");
	refused("/*ml_entity='x'*/ UPDATE t SET returning_ = 1", "42703");
	refused("/*ml_entity='x'*/ UPDATE t SET a = 'returning'", "42703");
	refused("/*ml_entity='x'*/ COPY t TO STDOUT", "0A000");
	refused("/*ml_entity='x'*/ COPY (SELECT 1 FROM t) TO STDOUT", "0A000");
	refused("/*ml_entity='x'*/ TRUNCATE t", "0A000");
	refused("/*ml_entity='x'*/ COMMIT", "0A000");
}

static void a_cut_text_may_return(void **state)
{
	struct entity_marks marks;
	struct pgw_fault fault;

	assert_true(read_cut("/*ml_entity='x'*/ INSERT INTO t VALUES ('abc", true, &marks, &fault));
	assert_true(marks.has_returned);
}

static void what_writes_nothing_has_none(void **state)
{
	static const char *const silent[] = {"BEGIN", "START TRANSACTION", "SET a = 1", "SHOW a",
		"SAVEPOINT s", "PREPARE p AS SELECT 1", "DISCARD ALL", "LISTEN x", ";", ""};
	char sql[256];

	for (unsigned i = 0; i < N_ELEMENTS(silent); i++) {
		(void)snprintf(sql, sizeof(sql), "/*ml_entity='x:" A "'*/ %s", silent[i]);
		refused(sql, "0A000");
	}
}

static void bad_values_are_refused(void **state)
{
	refused("/*ml_entity=''*/ SELECT 1", "22023");
	refused("/*ml_entity='x:" A ",'*/ SELECT 1", "22023");
	refused("/*ml_entity=':" A "'*/ SELECT 1", "22023");
	refused("/*ml_entity='a-b:" A "'*/ SELECT 1", "22023");
	refused("/*ml_entity='xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx:" A "'*/ SELECT 1", "22023");
	refused("/*ml_entity='x:'*/ SELECT 1", "22P02");
	refused("/*ml_entity='x:1234'*/ SELECT 1", "22P02");
	refused("/*ml_entity='x:" A "0'*/ SELECT 1", "22P02");
	refused("/*ml_entity='x:$0'*/ SELECT 1", "22023");
	refused("/*ml_entity='x:$65536'*/ SELECT 1", "22023");
	refused("/*ml_entity='x:$1a'*/ SELECT 1", "22023");
	refused("/*ml_entity=x*/ SELECT 1", "22023");
	refused("/*ml_entity='x*/ SELECT 1", "22023");
	refused("/*ml_class='vector' ml_entity='x:" A "'*/ SELECT 1", "22023");
	refused("/*\"ml_entity\": \"x\"*/ SELECT 1", "22023");
}

static void what_may_commit_is_said(void **state)
{
	static const char *const texts[] = {"/*ml_entity='x:" A "'*/ CALL p()", "DO $$ $$ /*ml_entity='x:" A "'*/", "SELECT 1; CALL p() /*ml_entity='x:" A "'*/"};
	struct entity_marks marks;
	struct pgw_fault fault;

	for (unsigned i = 0; i < N_ELEMENTS(texts); i++) {
		assert_true(read_cut(texts[i], false, &marks, &fault));
		assert_true(marks.may_commit);
	}
	assert_true(read_cut("CALL p(); SELECT 1 /*ml_entity='x:" A "'*/", false, &marks, &fault));
	assert_false(marks.may_commit);
	refused("/*ml_entity='x'*/ CALL p()", "0A000");
}

static void sixty_four_are_enough(void **state)
{
	struct strbuf sql = STRBUF_INIT;

	strbuf_adds(&sql, "/*ml_entity='x:" A);
	for (unsigned i = 1; i < ENTITY_MARKS_MAX; i++)
		strbuf_adds(&sql, ",x:" A);
	strbuf_adds(&sql, "'*/ SELECT 1");
	struct entity_marks marks;
	struct pgw_fault fault;
	assert_true(entity_read(sql.data, sql.len, false, false, &marks, &fault));
	assert_int_equal(marks.n, ENTITY_MARKS_MAX);
	strbuf_adds(&sql, "/*ml_entity='x:" A "'*/");
	refused(sql.data, "54000");
	strbuf_release(&sql);
}

static void what_is_no_annotation_says_nothing(void **state)
{
	said("SELECT '/*ml_entity=''x'' */'", "");
	said("SELECT 1 -- ml_entity='x'", "");
	said("SELECT $$/*ml_entity='x'*/$$", "");
	said("/* about ml_entity and others */ SELECT 1", "");
	said("/*ml_entity_id='x'*/ SELECT 1", "");
	said("", "");
}

static void uuids_are_read_as_postgresql_does(void **state)
{
	static const char *const good[] = {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
		"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc999c0b4ef8bb6d6bb9bd380a11}",
		"a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
		"{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}"};
	static const char *const bad[] = {"", "{", "{}", "a0eebc999c0b4ef8bb6d6bb9bd380a1",
		"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 ", "{a0eebc999c0b4ef8bb6d6bb9bd380a11",
		"a0eebc999c0b4ef8bb6d6bb9bd380a11}", "a-0eebc999c0b4ef8bb6d6bb9bd380a11",
		"a0eebc999c0b4ef8bb6d6bb9bd380a11-", "g0eebc999c0b4ef8bb6d6bb9bd380a11"};
	uint8_t id[ENTITY_UUID_BYTES];
	char text[ENTITY_UUID_CHARACTERS + 1];

	for (unsigned i = 0; i < N_ELEMENTS(good); i++) {
		assert_true(entity_uuid_parse(good[i], strlen(good[i]), id));
		entity_uuid_write(id, text);
		assert_string_equal(text, good[0]);
	}
	for (unsigned i = 0; i < N_ELEMENTS(bad); i++)
		assert_false(entity_uuid_parse(bad[i], strlen(bad[i]), id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entities_are_named_by_id),
		cmocka_unit_test(each_statement_has_its_own),
		cmocka_unit_test(ids_may_be_in_rows),
		cmocka_unit_test(a_cut_text_may_return),
		cmocka_unit_test(what_writes_nothing_has_none),
		cmocka_unit_test(bad_values_are_refused),
		cmocka_unit_test(what_may_commit_is_said),
		cmocka_unit_test(sixty_four_are_enough),
		cmocka_unit_test(what_is_no_annotation_says_nothing),
		cmocka_unit_test(uuids_are_read_as_postgresql_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
