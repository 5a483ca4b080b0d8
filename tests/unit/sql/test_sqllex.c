/* SPDX-License-Identifier: ISC */
/*
 * Token boundaries and kinds, construct by construct. Agreement with PostgreSQL at large is the
 * property test's business; here stands what it cannot see: NUL bytes, releases after its own,
 * comments inside continued literals, standard_conforming_strings, and linear time.
 */
#include "pgw/sqllex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One letter for each kind, in the order of the enum. */
static const char letters[] = ".WQSBNPOUCE";

/*
 * The tokens that follow, each written as its kind's letter, a blank and its text ("!" behind the
 * letter: unterminated); NULL at the end. The text is a heap block of its exact size, so that ASan
 * sees a read beyond it.
 */
static void expect_tokens(struct pgw_lexer lexer, va_list wanted)
{
	struct pgw_token token;
	const char *want;
	const char *text;

	while ((want = va_arg(wanted, const char *)) != NULL) {
		token = pgw_lex(&lexer);
		text = want[1] == '!' ? want + 3 : want + 2;
		if (letters[token.kind] != want[0] || token.len != strlen(text) ||
			memcmp(token.at, text, token.len) != 0)
			fail_msg("want <%s>, have <%c %.*s>", want, letters[token.kind],
				(int)token.len, token.at);
		assert_int_equal(token.unterminated, want[1] == '!');
		assert_ptr_equal(lexer.at, token.at + token.len);
	}
	for (int i = 0; i < 3; i++) {
		token = pgw_lex(&lexer);
		if (token.kind != PGW_TOK_END)
			fail_msg("beyond the last: <%.*s>", (int)token.len, token.at);
		assert_ptr_equal(token.at, lexer.end);
	}
}

static void expect(const char *sql, ...)
{
	size_t n = strlen(sql);
	char *text = malloc(n ? n : 1);
	va_list wanted;

	memcpy(text, sql, n);
	va_start(wanted, sql);
	expect_tokens(pgw_lexer_on(text, n), wanted);
	va_end(wanted);
	free(text);
}

static void expect_with(struct pgw_lexer lexer, ...)
{
	va_list wanted;

	va_start(wanted, lexer);
	expect_tokens(lexer, wanted);
	va_end(wanted);
}

static void test_nothing(void **state)
{
	expect("", NULL);
	expect(" \t\r\n\f\v", NULL);
	expect("-- only a comment", NULL);
	expect("/* only a comment */", NULL);
}

static void test_words(void **state)
{
	expect("select _x a1 foo$bar$baz", "W select", "W _x", "W a1", "W foo$bar$baz", NULL);
	expect("\xc3\xa9t\xc3\xa9 \xff\x80", "W \xc3\xa9t\xc3\xa9", "W \xff\x80", NULL);
	expect("b x e n u nb'1'", "W b", "W x", "W e", "W n", "W u", "W nb", "S '1'", NULL);
	expect("u& 1", "W u", "O &", "N 1", NULL);
	expect("u&", "W u", "O &", NULL);
	expect("U&x", "W U", "O &", "W x", NULL);
}

static void test_quoted_identifiers(void **state)
{
	expect("\"a b\" \"c\"\"d\"", "Q \"a b\"", "Q \"c\"\"d\"", NULL);
	expect("\"a\"\n\"b\"", "Q \"a\"", "Q \"b\"", NULL);
	expect("U&\"d!0061t\" UESCAPE '!'", "Q U&\"d!0061t\"", "W UESCAPE", "S '!'", NULL);
	expect("\"--\" \"/*\" \"'\"", "Q \"--\"", "Q \"/*\"", "Q \"'\"", NULL);
	expect("\"\" a", "E \"\"", "W a", NULL);
	expect("U&\"\" a", "E U&\"\"", "W a", NULL);
	expect("\"\"\"\"", "Q \"\"\"\"", NULL);
}

static void test_strings(void **state)
{
	expect("'' 'it''s' 'a'", "S ''", "S 'it''s'", "S 'a'", NULL);
	expect("'a\\' b", "S 'a\\'", "W b", NULL);
	expect("E'a\\'b' e'\\\\'", "S E'a\\'b'", "S e'\\\\'", NULL);
	expect("e'it''s\\'' x", "S e'it''s\\''", "W x", NULL);
	expect("N'a' n'b'", "S N'a'", "S n'b'", NULL);
	expect("U&'\\0061\\' u&'x'", "S U&'\\0061\\'", "S u&'x'", NULL);
	expect("'-- no' '/* no'", "S '-- no'", "S '/* no'", NULL);
	expect("a'b'", "W a", "S 'b'", NULL);
}

static void test_bits(void **state)
{
	expect("B'01' x'1F'", "B B'01'", "B x'1F'", NULL);
	expect("B'1''0'", "B B'1'", "S '0'", NULL);
	expect("B'1'\n'0'", "B B'1'\n'0'", NULL);
	expect("X'not hex'", "B X'not hex'", NULL);
}

static void test_continuation(void **state)
{
	expect("'a' 'b'", "S 'a'", "S 'b'", NULL);
	expect("'a'\n'b'", "S 'a'\n'b'", NULL);
	expect("'a' \t\r 'b'\v\n\f'c' 'd'", "S 'a' \t\r 'b'\v\n\f'c'", "S 'd'", NULL);
	expect("'a' -- it's\n 'b' c", "S 'a' -- it's\n 'b'", "W c", NULL);
	expect("'a'\n-- x\n--\n'b'", "S 'a'\n-- x\n--\n'b'", NULL);
	expect("'a' -- 'b'", "S 'a'", NULL);
	expect("'a'\n/* no */'b'", "S 'a'", "S 'b'", NULL);
	expect("'a'\n- 'b'", "S 'a'", "O -", "S 'b'", NULL);
	expect("'a'\n", "S 'a'", NULL);
	expect("'a'\n--", "S 'a'", NULL);
	expect("E'a'\n'b\\'c'", "S E'a'\n'b\\'c'", NULL);
	expect("U&'a'\n'b\\' c", "S U&'a'\n'b\\'", "W c", NULL);
	expect("'a'\nE'b'", "S 'a'", "S E'b'", NULL);
	expect("$$a$$\n'b'", "S $$a$$", "S 'b'", NULL);
}

static void test_dollar_quotes(void **state)
{
	expect("$$a$$ $$$$", "S $$a$$", "S $$$$", NULL);
	expect("$a$ $b$ $a$ x", "S $a$ $b$ $a$", "W x", NULL);
	expect("$a$ $$ '\" $a $aa$ $A$ $a$", "S $a$ $$ '\" $a $aa$ $A$ $a$", NULL);
	expect("$a$$b$a$a$", "S $a$$b$a$", "W a$", NULL);
	expect("$a$x$a$a$", "S $a$x$a$", "W a$", NULL);
	expect("$\xc3\xa9_1$ x $\xc3\xa9_1$", "S $\xc3\xa9_1$ x $\xc3\xa9_1$", NULL);
	expect("$1$$x$$", "P $1", "S $$x$$", NULL);
	expect("$a b$", "E $", "W a", "W b$", NULL);
	expect("$", "E $", NULL);
	expect("a$$b$$", "W a$$b$$", NULL);
}

static void test_params(void **state)
{
	expect("$1 $23,$4::int", "P $1", "P $23", "U ,", "P $4", "O ::", "W int", NULL);
	expect("$1a$2 b", "E $1a$2", "W b", NULL);
	expect("$1_0", "E $1_0", NULL);
}

static void test_numbers(void **state)
{
	expect("1 42 007", "N 1", "N 42", "N 007", NULL);
	expect("1.5 .5 1. 1.e5 1e10 1E+10 .5e-3", "N 1.5", "N .5", "N 1.", "N 1.e5", "N 1e10",
		"N 1E+10", "N .5e-3", NULL);
	expect("1..10", "N 1", "O ..", "N 10", NULL);
	expect("1...5", "N 1", "O ..", "N .5", NULL);
	expect("1.5.6", "N 1.5", "N .6", NULL);
	expect("1.5..6", "N 1.5", "O ..", "N 6", NULL);
	expect("a.1.b", "W a", "N .1", "U .", "W b", NULL);
	expect("-1+2", "O -", "N 1", "O +", "N 2", NULL);
	expect("1$ 1$2", "N 1", "E $", "N 1", "P $2", NULL);
}

static void test_numbers_since_16(void **state)
{
	expect("0x1F 0XaB 0o17 0B101", "N 0x1F", "N 0XaB", "N 0o17", "N 0B101", NULL);
	expect("1_000 1_0.0_1 1_0e1_0 .1_0", "N 1_000", "N 1_0.0_1", "N 1_0e1_0", "N .1_0", NULL);
	expect("0x_1F 0b_1 0x1_F", "N 0x_1F", "N 0b_1", "N 0x1_F", NULL);
	expect("1_0..2_0", "N 1_0", "O ..", "N 2_0", NULL);
	expect("0x1F.5", "N 0x1F", "N .5", NULL);
}

static void test_numbers_with_junk(void **state)
{
	expect("1a 1_ 1__0 1_e5 1._5 x", "E 1a", "E 1_", "E 1__0", "E 1_e5", "E 1._5", "W x", NULL);
	expect("1_", "E 1_", NULL);
	expect("1e", "E 1e", NULL);
	expect("1e+", "E 1e+", NULL);
	expect("0x_", "E 0x_", NULL);
	expect("1e 1e+ 1e-a", "E 1e", "E 1e+", "E 1e-", "W a", NULL);
	expect("1.5e5e5 1.5x$y", "E 1.5e5e5", "E 1.5x$y", NULL);
	expect("0x 0xg 0b12 0o8 0x1Fg 0x_ 0x__1", "E 0x", "E 0xg", "E 0b12", "E 0o8", "E 0x1Fg",
		"E 0x_", "E 0x__1", NULL);
	expect("0x1F$", "E 0x1F$", NULL);
	expect("1\xc3\xa9", "E 1\xc3\xa9", NULL);
}

static void test_operators(void **state)
{
	expect("a<->b <=> <#> <+> <~> <%>", "W a", "O <->", "W b", "O <=>", "O <#>", "O <+>",
		"O <~>", "O <%>", NULL);
	expect("a->>'b' #>> @> <@ ?| ?& || !~* ~~", "W a", "O ->>", "S 'b'", "O #>>", "O @>",
		"O <@", "O ?|", "O ?&", "O ||", "O !~*", "O ~~", NULL);
	expect("a<>b!=c<=d>=e=>f", "W a", "O <>", "W b", "O !=", "W c", "O <=", "W d", "O >=",
		"W e", "O =>", "W f", NULL);
	expect("a:=b::c:d", "W a", "O :=", "W b", "O ::", "W c", "U :", "W d", NULL);
	expect(":::= ", "O ::", "O :=", NULL);
	expect("OPERATOR(public.<=>)", "W OPERATOR", "U (", "W public", "U .", "O <=>", "U )",
		NULL);
}

static void test_operator_signs(void **state)
{
	expect("|| -1", "O ||", "O -", "N 1", NULL);
	expect("*-1", "O *", "O -", "N 1", NULL);
	expect("=-1 <=-1 <>-+-1", "O =", "O -", "N 1", "O <=", "O -", "N 1", "O <>", "O -", "O +",
		"O -", "N 1", NULL);
	expect("@-1 ||-1 ?- <->-1", "O @-", "N 1", "O ||-", "N 1", "O ?-", "O <->", "O -", "N 1",
		NULL);
	expect("+++a", "O +", "O +", "O +", "W a", NULL);
	expect("+-+@+", "O +-+@+", NULL);
	expect("+-+=", "O +-+=", NULL);
	expect("*+-+ -@-", "O *", "O +", "O -", "O +", "O -@-", NULL);
}

static void test_operators_and_comments(void **state)
{
	expect("a-- x", "W a", NULL);
	expect("a<--x\nb", "W a", "O <", "W b", NULL);
	expect("a*/*x*/b", "W a", "O *", "W b", NULL);
	expect("+-- x\n+", "O +", "O +", NULL);
	expect("@-/*x*/-1", "O @-", "O -", "N 1", NULL);
	expect("<-/*x*/-1", "O <", "O -", "O -", "N 1", NULL);
	expect("*/", "O */", NULL);
}

static void test_operator_length(void **state)
{
	char sql[65];

	memset(sql, '<', 64);
	sql[64] = '\0';
	expect(sql + 1,
		(char[]){"O <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<"},
		NULL);
	expect(sql, (char[]){"E <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<"},
		NULL);
}

static void test_punctuation(void **state)
{
	expect(",()[].;:", "U ,", "U (", "U )", "U [", "U ]", "U .", "U ;", "U :", NULL);
	expect("a.b.*", "W a", "U .", "W b", "U .", "O *", NULL);
	expect("a[1:2]", "W a", "U [", "N 1", "U :", "N 2", "U ]", NULL);
	expect("\\ { }", "E \\", "E {", "E }", NULL);
}

static void test_comments_skipped(void **state)
{
	expect("a-- comment\nb", "W a", "W b", NULL);
	expect("a -- x\rb", "W a", "W b", NULL);
	expect("/* nested /* */ */a", "W a", NULL);
	expect("/**/a/***/b/*/**/*/c", "W a", "W b", "W c", NULL);
	expect("/* ' \" $$ -- */a", "W a", NULL);
	expect("-- /* \na", "W a", NULL);
	expect("/", "O /", NULL);
	expect("-", "O -", NULL);
}

static void test_comments_wanted(void **state)
{
	const char *sql = "a-- x\n/* y /* z */*/b--";
	struct pgw_lexer lexer = pgw_lexer_on(sql, strlen(sql));

	lexer.want_comments = true;
	expect_with(lexer, "W a", "C -- x", "C /* y /* z */*/", "W b", "C --", NULL);
}

static void test_unterminated(void **state)
{
	expect("a 'b", "W a", "E! 'b", NULL);
	expect("'", "E! '", NULL);
	expect("'a''", "E! 'a''", NULL);
	expect("'a'\n'b", "E! 'a'\n'b", NULL);
	expect("E'a\\'", "E! E'a\\'", NULL);
	expect("E'a\\", "E! E'a\\", NULL);
	expect("B'1", "E! B'1", NULL);
	expect("U&'a", "E! U&'a", NULL);
	expect("\"a", "E! \"a", NULL);
	expect("U&\"a", "E! U&\"a", NULL);
	expect("$$a$", "E! $$a$", NULL);
	expect("$a$ $b$", "E! $a$ $b$", NULL);
	expect("$foo$bar", "E! $foo$bar", NULL);
	expect("/* a", "E! /* a", NULL);
	expect("/*/", "E! /*/", NULL);
	expect("/* /* */", "E! /* /* */", NULL);
}

static void test_backslashes_in_plain_strings(void **state)
{
	const char *sql = "'a\\'b' N'\\'' U&'\\' $$\\$$";
	struct pgw_lexer lexer = pgw_lexer_on(sql, strlen(sql));

	lexer.standard_conforming_strings = false;
	expect_with(lexer, "S 'a\\'b'", "S N'\\''", "S U&'\\'", "S $$\\$$", NULL);
}

static void test_nul_bytes(void **state)
{
	struct pgw_lexer lexer = pgw_lexer_on("a\0c'\0'", 6);
	struct pgw_token token;

	assert_int_equal(pgw_lex(&lexer).len, 1);
	token = pgw_lex(&lexer);
	assert_int_equal(token.kind, PGW_TOK_ERROR);
	assert_int_equal(token.len, 1);
	assert_false(token.unterminated);
	assert_int_equal(pgw_lex(&lexer).kind, PGW_TOK_WORD);
	token = pgw_lex(&lexer);
	assert_int_equal(token.kind, PGW_TOK_STRING);
	assert_int_equal(token.len, 3);
}

static void test_escapes_are_marked(void **state)
{
	const char *sql = "'a' E'a' N'a' U&'a' $$a$$";
	struct pgw_lexer lexer = pgw_lexer_on(sql, strlen(sql));
	static const bool marked[] = { false, true, false, false, false };

	for (size_t i = 0; i < COUNT(marked); i++)
		assert_int_equal(pgw_lex(&lexer).escapes, marked[i]);
}

/* The text may end anywhere, also within what needs a second look; ASan watches its end. */
static void test_every_prefix(void **state)
{
	static const char sql[] =
		"a e'\\'' U&'a'\n--x\n'b' u&\"c\" $1a$ $b$ $$ $b$ 0x_1F 1_0.5e-1_0 1..2 .5 "
		"a<-/* /* */ */ := :: N'' b'1'\n'0' x$1 $2 \"\"\"\" @-- c\n+-+ \\ \xc3\xa9 1e+2 "
		"0b1 'c''";

	for (size_t n = 0; n < sizeof(sql); n++) {
		char *text = malloc(n ? n : 1);
		struct pgw_lexer lexer = pgw_lexer_on(text, n);
		struct pgw_token token;

		memcpy(text, sql, n);
		while ((token = pgw_lex(&lexer)).kind != PGW_TOK_END)
			assert_true(token.len > 0 && token.at + token.len <= text + n);
		free(text);
	}
}

/*
 * What would need the square of the time if a token looked ahead further than it goes: 10 MB of it
 * would take hours, not milliseconds, so that no clock is needed to notice.
 */
static void test_long_texts(void **state)
{
	static const char *const parts[] = {"+", "+-", "*+", "'a'\n--\n1", "$a", "$$ ", "/*",
		"/**/", "'", "''", "\"", "E'\\", "1e", "$1$", "-- x\n", "(", "a$", "\xff", "'a'\n",
		"..", "\\"};
	const size_t size = 10 << 20;
	char *text = malloc(size);

	for (size_t i = 0; i < COUNT(parts); i++) {
		size_t n = strlen(parts[i]);
		struct pgw_lexer lexer;
		struct pgw_token token;
		const char *last = text;

		for (size_t at = 0; at + n <= size; at += n)
			memcpy(text + at, parts[i], n);
		lexer = pgw_lexer_on(text, size - size % n);
		while ((token = pgw_lex(&lexer)).kind != PGW_TOK_END) {
			if (token.at < last || !token.len)
				fail_msg("<%s>: no progress", parts[i]);
			last = token.at + token.len;
		}
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_quoted_identifiers),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_continuation),
		cmocka_unit_test(test_dollar_quotes),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_numbers_since_16),
		cmocka_unit_test(test_numbers_with_junk),
		cmocka_unit_test(test_operators),
		cmocka_unit_test(test_operator_signs),
		cmocka_unit_test(test_operators_and_comments),
		cmocka_unit_test(test_operator_length),
		cmocka_unit_test(test_punctuation),
		cmocka_unit_test(test_comments_skipped),
		cmocka_unit_test(test_comments_wanted),
		cmocka_unit_test(test_unterminated),
		cmocka_unit_test(test_backslashes_in_plain_strings),
		cmocka_unit_test(test_nul_bytes),
		cmocka_unit_test(test_escapes_are_marked),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_long_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
