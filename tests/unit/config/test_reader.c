/* SPDX-License-Identifier: ISC */
/*
 * Each trap of inih has a test here: what inih would make of the line by itself is named beside it.
 */
#include "config/reader.h"

#include "unit/config/config_test.h"

/* All entries as lines "N [section] key=<value>", then problems as "! text". */
static char *entries_text(struct config_entries *entries, struct config_problems *problems)
{
	struct strbuf out = STRBUF_INIT;

	for (size_t i = 0; i < entries->n; i++) {
		const struct config_entry *e = &entries->items[i];

		strbuf_addf(&out, "%u [%s]", e->line, e->section);
		if (e->kind == ENTRY_PAIR)
			strbuf_addf(&out, " %s=<%s>", e->key, e->value);
		else if (e->kind == ENTRY_RULE)
			strbuf_addf(&out, " rule <%s>", e->value);
		strbuf_addc(&out, '\n');
	}
	for (unsigned i = 0; i < problems->n; i++)
		strbuf_addf(&out, "! %s\n", problems->items[i].text);
	config_entries_release(entries);
	config_problems_release(problems);
	return strbuf_detach(&out);
}

static char *read_bytes(const char *text, size_t n)
{
	struct config_entries entries = { .items = NULL };
	struct config_problems problems = { .items = NULL };

	reader_load_text("t.ini", text, n, &entries, &problems);
	return entries_text(&entries, &problems);
}

static char *read_path(const char *path)
{
	struct config_entries entries = { .items = NULL };
	struct config_problems problems = { .items = NULL };

	reader_load_file(path, &entries, &problems);
	return entries_text(&entries, &problems);
}

static void expect(const char *text, const char *expected)
{
	char *found = read_bytes(text, strlen(text));

	assert_string_equal(found, expected);
	mem_free(found);
}

static void sections_keys_and_lines(void **state)
{
	expect("", "");
	expect("[a]\nk = v\n\n\n[b]\nx=y", "1 [a]\n2 [a] k=<v>\n5 [b]\n6 [b] x=<y>\n");
	expect("[a]\r\nk = v\r\n", "1 [a]\n2 [a] k=<v>\n");
	expect("k=v\n", "1 [] k=<v>\n");
	expect("[lane:ml]\npermits=1", "1 [lane:ml]\n2 [lane:ml] permits=<1>\n");
	expect("[ a ]  ; why\n", "1 [a]\n");
	expect("\xef\xbb\xbf[a]\nk=v\n", "1 [a]\n2 [a] k=<v>\n");
}

/* inih says nothing of a section without keys. */
static void empty_sections_are_seen(void **state)
{
	expect("[pgbouncer]\n[b]\n", "1 [pgbouncer]\n2 [b]\n");
}

/* inih cuts a value at " ;". */
static void comments_start_lines_only(void **state)
{
	expect("[a]\n;x=y\n  ; x=y\n#x\n\t# x\nk = a ; b # c ;d\n",
		"1 [a]\n6 [a] k=<a ; b # c ;d>\n");
	expect("[a]\nk =;x\n", "1 [a]\n2 [a] k=<;x>\n");
	expect("[a]\nk ;x = y\n",
		"1 [a]\n! t.ini:2: [a] k ;x: a key that is more than letters, digits and _ . - * must stand in double quotes\n");
}

/* inih ends the key at a colon. */
static void a_colon_is_no_equals_sign(void **state)
{
	expect("[a]\nk = host:1 x:y\n", "1 [a]\n2 [a] k=<host:1 x:y>\n");
	expect("[a]\n\"b:c\" = d\n", "1 [a]\n2 [a] b:c=<d>\n");
	expect("[a]\nb:c\n",
		"1 [a]\n! t.ini:2: [a]: this is neither a comment, a [section] nor key = value\n");
	expect("[a]\nk==b=c\n", "1 [a]\n2 [a] k=<=b=c>\n");
}

/* inih takes an indented line for more of the value above. */
static void indented_lines_are_lines(void **state)
{
	expect("[a]\nk = v\n   l = w\n\tm=x\n  [b]\n n=y\n",
		"1 [a]\n2 [a] k=<v>\n3 [a] l=<w>\n4 [a] m=<x>\n5 [b]\n6 [b] n=<y>\n");
}

/*
 * inih cuts a line at 199 bytes and takes the rest for a line of its own: a password could become a
 * key.
 */
static void long_lines_are_whole(void **state)
{
	static const char alphabet[] = "abc def;#:=%\"'[]\\\x80\xff ";

	for (size_t n = 0; n < 1000; n += n < 260 ? 1 : 97) {
		struct strbuf text = STRBUF_INIT, expected = STRBUF_INIT;
		char *found;

		strbuf_adds(&text, "[a]\nk = <");
		strbuf_adds(&expected, "1 [a]\n2 [a] k=<<");
		for (size_t i = 0; i < n; i++) {
			strbuf_addc(&text, alphabet[i % (sizeof(alphabet) - 1)]);
			strbuf_addc(&expected, alphabet[i % (sizeof(alphabet) - 1)]);
		}
		strbuf_adds(&text, ">\nl = 1\n");
		strbuf_adds(&expected, ">>\n3 [a] l=<1>\n");
		found = read_bytes(text.data, text.len);
		assert_string_equal(found, expected.data);
		mem_free(found);
		strbuf_release(&text);
		strbuf_release(&expected);
	}
}

static void a_long_connection_string_keeps_every_byte(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct config_entries entries = { .items = NULL };
	struct config_problems problems = { .items = NULL };
	struct strbuf value = STRBUF_INIT;

	strbuf_adds(&value, "host=db.example.org");
	for (unsigned i = 0; i < 3000; i++)
		strbuf_addf(&value, " option%u='v ; %u'", i, i);
	strbuf_adds(&text, "[databases]\napp = ");
	strbuf_add(&text, value.data, value.len);
	reader_load_text("t.ini", text.data, text.len, &entries, &problems);
	assert_int_equal(problems.n, 0);
	assert_int_equal(entries.n, 2);
	assert_string_equal(entries.items[1].value, value.data);
	config_entries_release(&entries);
	strbuf_release(&value);
	strbuf_release(&text);
}

/* inih would take these for what the reader itself writes. */
static void nothing_in_a_file_is_taken_for_the_readers_own(void **state)
{
	expect("[a]\nk=%more=x %3B\n", "1 [a]\n2 [a] k=<%more=x %3B>\n");
	expect("[a]\n\"%more\"=x\n", "1 [a]\n2 [a] %more=<x>\n");
	expect("[a]\n%more=x\n",
		"1 [a]\n! t.ini:2: [a]: unknown directive; expected %include FILE\n");
	expect("[%skipped]\nk=v\n",
		"! t.ini:1: a section's name has letters, digits and _ . - : only\n");
}

static void keys_may_stand_in_quotes(void **state)
{
	expect("[a]\n\"my db\" = x\n", "1 [a]\n2 [a] my db=<x>\n");
	expect("[a]\n\"a\"\"b\" = x\n", "1 [a]\n2 [a] a\"b=<x>\n");
	expect("[a]\n\"a=b\"=x\n", "1 [a]\n2 [a] a=b=<x>\n");
	expect("[a]\n\"\"\"\" = x\n", "1 [a]\n2 [a] \"=<x>\n");
	expect("[a]\n* = x\n", "1 [a]\n2 [a] *=<x>\n");
	expect("[a]\n\"a\"b = x\n",
		"1 [a]\n! t.ini:2: [a] \"a\"b: the key's double quotes do not match; write \"\" for a double quote inside it\n");
	expect("[a]\nm\xc3\xbcll = x\n", "1 [a]\n2 [a] m\xc3\xbcll=<x>\n");
}

static void long_keys(void **state)
{
	char text[400];
	char name[64];
	char expected[400];

	memset(name, ' ', 63); /* the worst that PostgreSQL allows: each byte needs shielding */
	name[62] = 'x';
	name[63] = '\0';
	(void)snprintf(text, sizeof(text), "[a]\n\"%s\" = v\n", name);
	(void)snprintf(expected, sizeof(expected), "1 [a]\n2 [a] %s=<v>\n", name);
	expect(text, expected);
	(void)snprintf(text, sizeof(text), "[a]\n%0200d = v\nk=w\n", 0);
	expect(text,
		"1 [a]\n3 [a] k=<w>\n! t.ini:2: [a]: the key is too long; PostgreSQL's names have at most 63 bytes\n");
}

/* inih goes on after an error and tells the first line only. */
static void every_broken_line_is_told(void **state)
{
	expect("[a]\nfoo\nk=v\n = x\nbar\n",
		"1 [a]\n3 [a] k=<v>\n"
		"! t.ini:2: [a]: this is neither a comment, a [section] nor key = value\n"
		"! t.ini:4: [a]: there is no key before the equals sign; expected key = value\n"
		"! t.ini:5: [a]: this is neither a comment, a [section] nor key = value\n");
}

/* inih would put these keys into the section above. */
static void what_is_below_a_broken_section_is_skipped(void **state)
{
	expect("[a]\n[b\nk=v\nfoo\n[c]\nl=w\n",
		"1 [a]\n5 [c]\n6 [c] l=<w>\n! t.ini:2: the section's closing bracket is missing; expected [section]\n");
	expect("[a] b\nk=v\n",
		"! t.ini:1: nothing may follow a section on its line; write what follows on the next\n");
	expect("[]\nk=v\n", "! t.ini:1: a section's name has letters, digits and _ . - : only\n");
	/* 49 bytes is what inih keeps of a section. */
	expect("[a23456789012345678901234567890123456789012345678]\n",
		"1 [a23456789012345678901234567890123456789012345678]\n");
	expect("[a2345678901234567890123456789012345678901234567890]\n",
		"! t.ini:1: the section's name is too long; 49 bytes is the most\n");
}

static void a_zero_byte_is_told(void **state)
{
	static const char text[] = "[a]\nk=v\0w\nl=x\n";
	char *found = read_bytes(text, sizeof(text) - 1);

	assert_string_equal(found,
		"1 [a]\n3 [a] l=<x>\n! t.ini:2: [a]: there is a zero byte on this line; is this a text file?\n");
	mem_free(found);
}

static void rules_are_kept_as_they_are(void **state)
{
	expect("[rules]\nuser = x ; y -> training\n  foo\n; no\n[b]\nk=v\n",
		"1 [rules]\n2 [rules] rule <user = x ; y -> training>\n3 [rules] rule <foo>\n5 [b]\n6 [b] k=<v>\n");
}

static void includes_are_beside_the_including_file(void **state)
{
	char *dir = make_dir();
	char *main_path = write_file(
		dir, "main.ini", "[a]\nk=1\n%include two.ini\nafter=1\n%include\tgone.ini\n");
	char *two_path = write_file(dir, "two.ini", "first=2\n[b]\nsecond=2");
	char *found = read_path(main_path);
	char *expected = mem_printf(
		"1 [a]\n2 [a] k=<1>\n1 [a] first=<2>\n2 [b]\n3 [b] second=<2>\n4 [b] after=<1>\n"
		"! %s:5: [b] %%include: cannot read %s/gone.ini: No such file or directory\n",
		main_path, dir);

	assert_string_equal(found, expected);
	mem_free(found);
	mem_free(expected);
	mem_free(main_path);
	mem_free(two_path);
	remove_dir(dir, (const char *const[]){ "main.ini", "two.ini", NULL });
}

static void a_file_may_not_include_itself(void **state)
{
	char *dir = make_dir();
	char *main_path = write_file(dir, "main.ini", "%include two.ini\n");
	char *two_path = write_file(dir, "two.ini", "[a]\n%include main.ini\nk=v\n");
	char *found = read_path(main_path);
	char *expected = mem_printf(
		"1 [a]\n3 [a] k=<v>\n! %s:2: [a] %%include: this file includes itself; remove one of the %%include lines\n",
		two_path);

	assert_string_equal(found, expected);
	mem_free(found);
	mem_free(expected);
	mem_free(main_path);
	mem_free(two_path);
	remove_dir(dir, (const char *const[]){ "main.ini", "two.ini", NULL });
}

static void includes_have_a_depth(void **state)
{
	static const char *const names[] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10",
		NULL };
	char *dir = make_dir();
	char *path = NULL, *found;

	for (unsigned i = 0; names[i]; i++) {
		char *text = mem_printf("k%u=v\n%%include %u\n", i, i + 1);

		mem_free(write_file(dir, names[i], text));
		mem_free(text);
	}
	path = mem_printf("%s/0", dir);
	found = read_path(path);
	assert_non_null(strstr(found, "k9=<v>"));
	assert_null(strstr(found, "k10=<v>"));
	assert_non_null(strstr(found,
		"/9:2: %include: files include one another too deeply; 10 levels is the most\n"));
	mem_free(found);
	mem_free(path);
	remove_dir(dir, names);
}

static void what_is_no_file_is_told(void **state)
{
	char *found = read_path("/nonexistent/p.ini");

	assert_string_equal(found,
		"! /nonexistent/p.ini: cannot be read: No such file or directory\n");
	mem_free(found);
	found = read_path("/tmp");
	assert_string_equal(found, "! /tmp: cannot be read: Is a directory\n");
	mem_free(found);
	found = read_path("/dev/zero");
	assert_string_equal(found, "! /dev/zero: cannot be read: File too large\n");
	mem_free(found);
	expect("%include /etc/passwd\n", "! t.ini:1: %include: files are not read here\n");
	expect("%include\n", "! t.ini:1: unknown directive; expected %include FILE\n");
	expect("%includefoo\n", "! t.ini:1: unknown directive; expected %include FILE\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_keys_and_lines),
		cmocka_unit_test(empty_sections_are_seen),
		cmocka_unit_test(comments_start_lines_only),
		cmocka_unit_test(a_colon_is_no_equals_sign),
		cmocka_unit_test(indented_lines_are_lines),
		cmocka_unit_test(long_lines_are_whole),
		cmocka_unit_test(a_long_connection_string_keeps_every_byte),
		cmocka_unit_test(nothing_in_a_file_is_taken_for_the_readers_own),
		cmocka_unit_test(keys_may_stand_in_quotes),
		cmocka_unit_test(long_keys),
		cmocka_unit_test(every_broken_line_is_told),
		cmocka_unit_test(what_is_below_a_broken_section_is_skipped),
		cmocka_unit_test(a_zero_byte_is_told),
		cmocka_unit_test(rules_are_kept_as_they_are),
		cmocka_unit_test(includes_are_beside_the_including_file),
		cmocka_unit_test(a_file_may_not_include_itself),
		cmocka_unit_test(includes_have_a_depth),
		cmocka_unit_test(what_is_no_file_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
