/* SPDX-License-Identifier: ISC */
/* Growing strings: the invariants of the header after every operation, and quoting that PostgreSQL
 * reads back. */
#include "base/strbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "unit/random.h"

static void check(const struct strbuf *sb)
{
	assert_non_null(sb->data);
	assert_int_equal(sb->data[sb->len], '\0');
	if (sb->cap == 0)
		assert_true(sb->data == strbuf_empty && sb->len == 0);
	else
		assert_true(sb->cap > sb->len && sb->data != strbuf_empty);
	assert_int_equal(strbuf_empty[0], '\0'); /* shared by all: nobody wrote to it */
}

static void assert_text(const struct strbuf *sb, const char *text)
{
	check(sb);
	assert_string_equal(sb->data, text);
	assert_int_equal(sb->len, strlen(text));
}

static void an_empty_one(void **state)
{
	struct strbuf sb = STRBUF_INIT, other;

	assert_text(&sb, "");
	strbuf_reset(&sb);
	strbuf_adds(&sb, "");
	strbuf_add(&sb, NULL, 0);
	assert_text(&sb, "");
	assert_int_equal(sb.cap, 0); /* nothing costs nothing */
	strbuf_release(&sb);
	assert_text(&sb, "");
	strbuf_init(&other);
	assert_text(&other, "");
}

static void adding(void **state)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_adds(&sb, "one");
	strbuf_addc(&sb, ' ');
	strbuf_add(&sb, "two three", 3);
	strbuf_addf(&sb, " %d%s", 3, "!");
	assert_text(&sb, "one two 3!");
	strbuf_reset(&sb);
	assert_text(&sb, "");
	assert_true(sb.cap > 0); /* the memory is kept */
	strbuf_adds(&sb, "again");
	assert_text(&sb, "again");
	strbuf_release(&sb);
	assert_text(&sb, "");
	assert_int_equal(sb.cap, 0);
}

static void bytes_of_any_value(void **state)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_add(&sb, "a\0b", 3);
	strbuf_addc(&sb, '\0');
	check(&sb);
	assert_int_equal(sb.len, 4);
	assert_memory_equal(sb.data, "a\0b\0", 5);
	strbuf_release(&sb);
}

/* Every length around every capacity, with something in front of it already. */
static void formatting_fits_to_the_byte(void **state)
{
	char text[400];

	for (size_t n = 0; n < sizeof(text); n++) {
		struct strbuf sb = STRBUF_INIT;

		memset(text, 'x', n);
		text[n] = '\0';
		strbuf_addf(&sb, "%s", text);
		assert_text(&sb, text);
		strbuf_addf(&sb, "%s-%zu", text, n);
		check(&sb);
		assert_int_equal(strncmp(sb.data + n, text, n), 0);
		assert_int_equal(strtoul(sb.data + 2 * n + 1, NULL, 10), n);
		strbuf_release(&sb);
	}
}

static void what_is_reserved_does_not_move(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	char *data;

	strbuf_adds(&sb, "head");
	strbuf_reserve(&sb, 1000);
	check(&sb);
	data = sb.data;
	for (unsigned i = 0; i < 1000; i++)
		strbuf_addc(&sb, 'x');
	assert_ptr_equal(sb.data, data);
	check(&sb);
	strbuf_release(&sb);
	strbuf_reserve(&sb, 0);
	assert_text(&sb, "");
	strbuf_release(&sb);
}

/* Byte by byte to a megabyte: copied a few dozen times, not a million times. */
static void it_grows_by_leaps(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	size_t cap = 0;
	unsigned n_moves = 0;

	for (unsigned i = 0; i < 1000000; i++) {
		strbuf_addc(&sb, 'x');
		n_moves += sb.cap != cap;
		cap = sb.cap;
	}
	check(&sb);
	assert_in_range(n_moves, 1, 60);
	strbuf_release(&sb);
}

static void detaching(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	char *text;

	strbuf_adds(&sb, "mine");
	text = strbuf_detach(&sb);
	assert_string_equal(text, "mine");
	assert_text(&sb, "");
	mem_free(text);
	text = strbuf_detach(&sb); /* the shared empty string is nobody's to free */
	assert_string_equal(text, "");
	assert_true(text != strbuf_empty);
	mem_free(text);
	assert_text(&sb, "");
}

static void assert_literal(const char *text, const char *expected)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_add_literal(&sb, text);
	assert_text(&sb, expected);
	strbuf_release(&sb);
}

static void assert_ident(const char *text, const char *expected)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_add_ident(&sb, text);
	assert_text(&sb, expected);
	strbuf_release(&sb);
}

static void literals_and_identifiers(void **state)
{
	assert_literal("", "''");
	assert_literal("plain", "'plain'");
	assert_literal("it's", "'it''s'");
	assert_literal("''", "''''''");
	/* With a blank in front: "x" E'…' must not become one word with what stands before it. */
	assert_literal("a\\b", " E'a\\\\b'");
	assert_literal("\\'", " E'\\\\'''");
	assert_literal("\\", " E'\\\\'");
	assert_literal("new\nline", "'new\nline'");
	assert_ident("", "\"\"");
	assert_ident("Order", "\"Order\"");
	assert_ident("a\"b", "\"a\"\"b\"");
	assert_ident("a\\b'c", "\"a\\b'c\"");
}

/* ---- random histories against plain memory ---- */

#define MODEL_BYTES 20000u

static void random_histories(void **state)
{
	struct random random = random_open();
	struct strbuf sb = STRBUF_INIT;
	char *model = mem_alloc(MODEL_BYTES), piece[300];
	size_t n_model = 0;

	for (unsigned step = 0; step < 50000; step++) {
		size_t n = random_below(&random, sizeof(piece));
		const char *before;

		for (size_t i = 0; i < n; i++)
			piece[i] = (char)('a' + random_below(&random, 26));
		switch (random_below(&random, n_model + n + 1 > MODEL_BYTES ? 2 : 8)) {
		case 0:
			strbuf_reset(&sb);
			n_model = 0;
			n = 0;
			break;
		case 1:
			strbuf_release(&sb);
			n_model = 0;
			n = 0;
			break;
		case 2:
			before = sb.data;
			strbuf_reserve(&sb, n);
			assert_true(sb.data == before || sb.cap > 0);
			n = 0;
			break;
		case 3:
			strbuf_addf(&sb, "%.*s", (int)n, piece);
			break;
		case 4:
			n = 1;
			strbuf_addc(&sb, piece[0] = 'z');
			break;
		default:
			strbuf_add(&sb, piece, n);
			break;
		}
		memcpy(model + n_model, piece, n);
		n_model += n;
		check(&sb);
		assert_int_equal(sb.len, n_model);
		assert_int_equal(memcmp(sb.data, model, n_model), 0);
	}
	strbuf_release(&sb);
	mem_free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one),
		cmocka_unit_test(adding),
		cmocka_unit_test(bytes_of_any_value),
		cmocka_unit_test(formatting_fits_to_the_byte),
		cmocka_unit_test(what_is_reserved_does_not_move),
		cmocka_unit_test(it_grows_by_leaps),
		cmocka_unit_test(detaching),
		cmocka_unit_test(literals_and_identifiers),
		cmocka_unit_test(random_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
