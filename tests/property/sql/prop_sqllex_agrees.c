/* SPDX-License-Identifier: ISC */
/*
 * The lexer against PostgreSQL's own scanner: same tokens, same beginnings and ends, same kinds,
 * and a refusal at the same place. First the corpus, one file for each part of scan.l, then
 * generated texts: tidy ones glued from whole tokens, and wild ones made of the bytes that the
 * rules are about.
 *
 * The scanner asked is release 15's. What later releases read otherwise is put before it in a
 * spelling that it knows, of the same length: `seen` beside `sql` below, NAME.pg15 beside NAME.sql
 * in the corpus.
 *
 * usage: prop_sqllex_agrees CORPUS_DIRECTORY
 */
#include "pgw/sqllex.h"

#include "property/sql/oracle.h"
#include "property/wire/seed.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#define N_TIDY 200000
#define N_WILD 200000
#define TEXT_MAX 512
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *corpus_path;

/* ---- the comparison ---- */

static struct {
	unsigned long accepted;
	unsigned long refused_token;
	unsigned long refused_value;
	unsigned long newer_number;
	unsigned long tokens;
} counts;

static void disagree(const char *sql, size_t at, const char *what)
{
	fail_msg("at byte %zu: %s, in <<%s>>", at, what, sql);
}

static char kind_letter(const struct pgw_token *token)
{
	return ".WQSBNPOUCE"[token->kind];
}

/* Only since release 16 these are numbers: 0x1F, 0o7, 0b1, 1_000. */
static bool is_newer_number(const struct pgw_token *token)
{
	if (token->kind != PGW_TOK_NUMBER)
		return false;
	if (memchr(token->at, '_', token->len))
		return true;
	return token->len > 2 && *token->at == '0' && strchr("xob", token->at[1] | 0x20);
}

/* The next token that the scanner has seen too: not a comment that was blanked for it. */
static struct pgw_token next_seen(struct pgw_lexer *lexer, const char *sql, const char *seen)
{
	for (;;) {
		struct pgw_token token = pgw_lex(lexer);

		if (token.kind != PGW_TOK_COMMENT || seen[token.at - sql] != ' ')
			return token;
	}
}

static void compare_tokens(
	const char *sql, const char *seen, struct pgw_lexer lexer, const struct oracle *oracle)
{
	for (size_t i = 0; i < oracle->n; i++) {
		const struct oracle_token *want = &oracle->tokens[i];
		struct pgw_token token = next_seen(&lexer, sql, seen);
		size_t start = (size_t)(token.at - sql);

		if (token.kind == PGW_TOK_END)
			disagree(sql, want->start, "ended, but a token begins here");
		if (start != want->start)
			disagree(
				sql, start < want->start ? start : want->start, "begins elsewhere");
		if (kind_letter(&token) != want->kind)
			disagree(sql, start, "other kind");
		if (want->end && start + token.len != want->end)
			disagree(sql, start, "ends elsewhere");
		counts.tokens++;
	}
	if (next_seen(&lexer, sql, seen).kind != PGW_TOK_END)
		disagree(sql, (size_t)(lexer.at - sql), "a token too many");
}

/* The first token that is an error and more than a stray character, which the scanner hands on. */
static void compare_refusal(const char *sql, struct pgw_lexer lexer, const struct oracle *oracle)
{
	struct pgw_token token;

	while ((token = pgw_lex(&lexer)).kind != PGW_TOK_END) {
		size_t start = (size_t)(token.at - sql);

		if (oracle->junk_number && start == oracle->refused_at && is_newer_number(&token)) {
			counts.newer_number++;
			return;
		}
		if (token.kind == PGW_TOK_ERROR && (token.len > 1 || token.unterminated)) {
			if ((*token.at | 0x20) == 'n')
				start++; /* N'…: refused at the quote */
			if (start != oracle->refused_at)
				disagree(sql, start, "refused, but not here");
			counts.refused_token++;
			return;
		}
	}
	disagree(sql, oracle->refused_at, "not refused");
}

static void compare(struct oracle *oracle, const char *sql, const char *seen)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, strlen(sql));

	lexer.want_comments = true;
	oracle_scan(oracle, seen);
	switch (oracle->verdict) {
	case ORACLE_ACCEPTS:
		compare_tokens(sql, seen, lexer, oracle);
		counts.accepted++;
		break;
	case ORACLE_REFUSES_TOKEN:
		compare_refusal(sql, lexer, oracle);
		break;
	case ORACLE_REFUSES_VALUE:
		counts.refused_value++;
		break;
	}
}

/* ---- the corpus ---- */

static char *read_file(const char *name, const char *ending)
{
	char path[1024];
	FILE *file;
	char *text;
	long n;

	snprintf(path, sizeof(path), "%s/%s.%s", corpus_path, name, ending);
	file = fopen(path, "rb");
	if (!file)
		return NULL;
	fseek(file, 0, SEEK_END);
	n = ftell(file);
	rewind(file);
	text = calloc(1, (size_t)n + 1);
	if (!text || fread(text, 1, (size_t)n, file) != (size_t)n)
		fail_msg("cannot read %s", path);
	fclose(file);
	return text;
}

static void compare_file(struct oracle *oracle, const char *name)
{
	char *sql = read_file(name, "sql");
	char *seen = read_file(name, "pg15");
	unsigned long accepted = counts.accepted;

	assert_non_null(sql);
	if (seen)
		assert_int_equal(strlen(seen), strlen(sql));
	compare(oracle, sql, seen ? seen : sql);
	if (counts.accepted == accepted)
		fail_msg("%s.sql: the scanner refuses it", name);
	free(sql);
	free(seen);
}

static void the_corpus_agrees(void **state)
{
	struct oracle oracle = { 0 };
	DIR *dir = opendir(corpus_path);
	struct dirent *entry;
	unsigned n_files = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		char *ending = strrchr(entry->d_name, '.');

		if (!ending || strcmp(ending, ".sql") != 0)
			continue;
		*ending = '\0';
		compare_file(&oracle, entry->d_name);
		n_files++;
	}
	closedir(dir);
	assert_true(n_files >= 10);
	oracle_release(&oracle);
}

static void refusals_agree(void **state)
{
	static const char *const refused[] = {"'", "'a", "'a''", "'a'\n'b", "E'a", "E'a\\", "E'\\'",
		"N'a", "U&'a", "U&\"a", "B'0", "x'0", "\"a", "\"\"", "U&\"\"", "a \"\" b", "$$",
		"$$a$", "$a$ $b$", "$a$a$a", "$\xc3\xa9$ $e$", "/*", "/* /* */", "/*/",
		"select /* x", "1a", "1.5a", "1.a", ".5a", "1e", "1e+", "1e-x", "1e5a", "1_",
		"1__0", "0x", "0xg", "0b2", "$1a", "$12$3 $1_", "\xc3\xa9 1\xc3\xa9",
		"<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<"};
	struct oracle oracle = { 0 };

	for (size_t i = 0; i < COUNT(refused); i++) {
		unsigned long before = counts.refused_token;

		compare(&oracle, refused[i], refused[i]);
		if (counts.refused_token != before + 1)
			fail_msg("<<%s>> is accepted", refused[i]);
	}
	oracle_release(&oracle);
}

/* ---- texts being made ---- */

struct text {
	size_t n;
	bool behind_literal;	/* nothing but white space and blanked comments since one closed */
	char sql[TEXT_MAX + 1];
	char seen[TEXT_MAX + 1];
};

static bool add_pair(struct text *text, const char *sql, const char *seen, size_t n)
{
	if (n > TEXT_MAX - text->n)
		return false;
	memcpy(text->sql + text->n, sql, n);
	memcpy(text->seen + text->n, seen, n);
	text->n += n;
	text->sql[text->n] = text->seen[text->n] = '\0';
	return true;
}

static void add(struct text *text, const char *sql)
{
	add_pair(text, sql, sql, strlen(sql));
}

static const char *pick(const char *const *from, size_t n)
{
	return from[seed_below(n)];
}

#define PICK(array) pick(array, COUNT(array))

/*
 * A quote close behind another, or any quote behind a word, would begin something else than is
 * meant, and a comment inside it could come to stand behind a literal unnoticed. The wild texts
 * have these.
 */
static bool would_fuse(const struct text *text, char open)
{
	char before = text->n ? text->sql[text->n - 1] : ' ';

	return before == open || before == '&' || before == '_' || before == '$' || before < 0 ||
	       (before >= '0' && before <= '9') ||
	       ((before | 0x20) >= 'a' && (before | 0x20) <= 'z');
}

/*
 * n_max pieces at most, from `from`, between two quotes. All or nothing, so that it is not cut
 * open.
 */
static void add_quoted(struct text *text, const char *open, const char *close,
	const char *const *from, size_t n_from, size_t n_max)
{
	char made[128];
	size_t n_pieces = seed_below(n_max + 1);
	size_t n = (size_t)snprintf(made, sizeof(made), "%s", open);

	while (n_pieces-- > 0)
		n += (size_t)snprintf(made + n, sizeof(made) - n, "%s", pick(from, n_from));
	n += (size_t)snprintf(made + n, sizeof(made) - n, "%s", close);
	assert_true(n < sizeof(made));
	if (would_fuse(text, *made))
		add(text, " ");
	add_pair(text, made, made, n);
}

/* ---- tidy texts: whole tokens, any glue ---- */

static void add_word(struct text *text)
{
	static const char *const words[] = {"select", "FROM", "a", "b", "e", "n", "u", "x", "B",
		"E", "N", "U", "X", "t1", "_x", "foo$bar", "a$", "\xc3\xa9t\xc3\xa9",
		"\xe2\x82\xac", "nchar", "not", "NULLS", "between", "with", "uescape", "u$",
		"operator"};

	add(text, PICK(words));
}

static void add_identifier(struct text *text)
{
	static const char *const inside[] = {
		"a", "B", " ", "\"\"", "'", "--", "/*", "$$", "\\", "\n", "\xc3\xa9", ";"};

	add_quoted(text, seed_below(5) ? "\"x" : "U&\"x", "\"", inside, COUNT(inside), 5);
}

static void add_plain_string(struct text *text)
{
	static const char *const open[] = { "'", "'", "'", "N'", "n'", "U&'", "u&'" };
	static const char *const inside[] = {"a", "B", " ", "\"", "$$", "\n", "\xc3\xa9", ";", "$1",
		"--", "/*", "*/", "''", "\\"};
	/*
	 * It may turn out to continue an E'…' or B'…', where the last ones would not stay inside.
	 */
	size_t n_inside = text->behind_literal ? COUNT(inside) - 5 : COUNT(inside);

	add_quoted(text, PICK(open), "'", inside, n_inside, 6);
}

static void add_escape_string(struct text *text)
{
	static const char *const inside[] = {"a", " ", "''", "\\'", "\\\\", "\\n", "\\x41", "\\101",
		"\\u0041", "\\U00000041", "\"", "--", "/*", "$$", "\n", "\\\n", "\xc3\xa9"};

	add_quoted(text, seed_below(2) ? "E'" : "e'", "'", inside, COUNT(inside), 6);
}

static void add_bits(struct text *text)
{
	static const char *const open[] = { "B'", "b'", "X'", "x'" };
	static const char *const inside[] = { "0", "1", "f", " ", "\"", "--", "\\" };

	add_quoted(text, PICK(open), "'", inside, COUNT(inside), 4);
}

static void add_dollar_quote(struct text *text)
{
	static const char *const tags[] = { "$$", "$a$", "$a1$", "$_$", "$\xc3\xa9$", "$tag$" };
	static const char *const inside[] = {"a", " ", "'", "\"", "--", "/*", "\\", "\n", "1", "$ ",
		"$b ", "$B$ ", " $$ "}; /* none can be part of the tag; the last is one */
	const char *tag = PICK(tags);

	add_quoted(text, tag, tag, inside, COUNT(inside) - (tag[1] == '$'), 6);
}

static void add_number(struct text *text)
{
	static const char *const numbers[] = {"0", "1", "42", "1.5", ".5", "1.", "1e5", "1E-5",
		"1.e+5", ".5e5", "007", "$1", "$22", "1..2", "1...5"};

	add(text, PICK(numbers));
}

/* Spaces around: what stands close to it would make something else of it in each spelling. */
static void add_newer_number(struct text *text)
{
	static const char *const pairs[][2] = { { " 0x1F ", " 0011 " }, { " 0o17 ", " 0017 " },
		{ " 0B_1 ", " 0001 " }, { " 1_000 ", " 10000 " }, { " 1_0.0_1 ", " 100.001 " },
		{ " 1_0e1_0 ", " 100e100 " }, { " .1_0\v", " .100 " } };
	size_t i = seed_below(COUNT(pairs));

	add_pair(text, pairs[i][0], pairs[i][1], strlen(pairs[i][0]));
}

static void add_operator(struct text *text)
{
	static const char *const named[] = {"<->", "<=>", "<#>", "->>", "@>", "||",
		"::", ":=", "=>", "<=", ">=", "<>", "!=", "..", ".", ",", "(", ")", "[", "]", ";",
		":", "\\", "{", "}"};
	static const char chars[] = "~!@#^&|`?+-*/%<>=";
	char made[6] = "";

	if (seed_below(2)) {
		if (text->n && text->sql[text->n - 1] == '-')
			add(text, " ");
		add(text, PICK(named));
		return;
	}
	for (size_t n = 1 + seed_below(5), i = 0; i < n; i++) {
		char c = chars[seed_below(sizeof(chars) - 1)];
		char before = i ? made[i - 1] : text->n ? text->sql[text->n - 1] : ' ';

		if ((c == '-' && before == '-') || (c == '*' && before == '/'))
			c = '='; /* comments come from the glue */
		made[i] = c;
	}
	add(text, made);
}

static void add_token(struct text *text)
{
	static void (*const makers[])(struct text *) = {add_word, add_word, add_word,
		add_identifier, add_plain_string, add_escape_string, add_bits, add_dollar_quote,
		add_number, add_number, add_newer_number, add_operator, add_operator, add_operator};
	size_t n = text->n;
	void (*make)(struct text *) = makers[seed_below(COUNT(makers))];

	make(text);
	if (text->n > n)
		text->behind_literal = text->sql[text->n - 1] == '\'';
}

static void add_line_comment(struct text *text)
{
	static const char comment[] = "-- it is";

	if (text->n && text->sql[text->n - 1] == '-')
		add(text, " "); /* or the comment begins before us */
	if (text->behind_literal)
		add_pair(text, comment, "        ", sizeof(comment) - 1);
	else
		add(text, "-- it's $$ /* \"x");
	add(text, seed_below(4) ? "\n" : "\r");
}

static void add_glue(struct text *text)
{
	static const char *const blanks[] = { " ", " ", "\n", "\t", "\r\n", "\f ", "  \n  " };
	static const char *const comments[] = {
		"/**/", "/* x */", "/***/", "/* /* ' */ */", "/*\n*/", "/*/**/*/", "/*+ -- */"};

	switch (seed_below(8)) {
	case 0:
	case 1:
	case 2:
		break;
	case 3:
		add(text, PICK(comments));
		text->behind_literal = false;
		break;
	case 4:
		add_line_comment(text);
		break;
	case 5:
		add_pair(text, "\v", " ", 1);
		break;
	default:
		add(text, PICK(blanks));
		break;
	}
}

static void tidy_texts_agree(void **state)
{
	struct oracle oracle = { 0 };
	unsigned long accepted = counts.accepted;

	for (unsigned i = 0; i < N_TIDY; i++) {
		struct text text;

		text.n = 0;
		text.behind_literal = false;
		text.sql[0] = text.seen[0] = '\0';
		for (size_t n = 1 + seed_below(12); n > 0; n--) {
			add_token(&text);
			add_glue(&text);
		}
		compare(&oracle, text.sql, text.seen);
	}
	oracle_release(&oracle);
	assert_true(counts.accepted - accepted > N_TIDY / 2);
}

/* ---- wild texts: the bytes that the rules are about, in any order ---- */

/*
 * Either without newlines or without -, because a comment between the parts of a literal is the
 * one thing that the scanner asked here reads unlike the server.
 */
static void wild_texts_agree(void **state)
{
	static const char *const pieces[] = {"'", "'", "\"", "$", "$$", "$a$", "a", "b'", "E'", "e",
		"U&'", "U&\"", "x'", "N'", "\\", "\\'", "0", "1", "9", ".", "..", "_", "0x", "1e",
		"+", "*", "/", "<", ">", "=", "@", "!", "%", ":", ";", "(", "]", ",", " ", " ",
		"\t", "/*", "*/", "\xc3\xa9", "\x7f", "{"};
	static const char *const with_newlines[] = { "\n", "\r", " \n ", "'\n'" };
	static const char *const with_dashes[] = { "-", "--", "+-", "-*" };
	struct oracle oracle = { 0 };
	unsigned long accepted = counts.accepted;

	for (unsigned i = 0; i < N_WILD; i++) {
		bool newlines = seed_below(2);
		struct text text = { 0 };

		for (size_t n = 1 + seed_below(24); n > 0; n--) {
			if (seed_below(10))
				add(&text, PICK(pieces));
			else
				add(&text, newlines ? PICK(with_newlines) : PICK(with_dashes));
		}
		compare(&oracle, text.sql, text.sql);
	}
	oracle_release(&oracle);
	assert_true(counts.accepted - accepted > N_WILD / 20);
}

static int report(void **state)
{
	printf("%lu texts accepted (%lu tokens), %lu refused by both at the same place, %lu with a "
	       "bad "
	       "value, %lu with a number of later releases\n",
		counts.accepted, counts.tokens, counts.refused_token, counts.refused_value,
		counts.newer_number);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_corpus_agrees),
		cmocka_unit_test(refusals_agree),
		cmocka_unit_test(tidy_texts_agree),
		cmocka_unit_test(wild_texts_agree),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
		return 2;
	}
	corpus_path = argv[1];
	seed_init();
	return cmocka_run_group_tests(tests, NULL, report);
}
