/* SPDX-License-Identifier: ISC */
/*
 * The classifier is fast by what it leaves out: memory that is not cleared, bytes that are read by
 * the word, tokens that are read in batches, filters before patterns. None of that may change an
 * answer. Over the labelled statements and mutations of them:
 *
 *  - the decision is that of the same text wherever it lies, whatever surrounds it and whatever the
 *    memory held before;
 *  - letter case of words, white space and comments between tokens change nothing; nor do empty
 *    statements before it, which shift the batches;
 *  - each name is folded, looked up, and judged as by the plain comparisons of naive.h;
 *  - a catalog that knows names, and says nothing of the tables at hand, changes nothing; and the
 *    first two hold with one that does;
 *  - with the fingerprint beside it the decision is the same, and the fingerprint is that of a pass
 *    of its own.
 */
#include "classify/classify.h"

#include <cjson/cJSON.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"
#include "property/classify/naive.h"
#include "unit/random.h"

#define N_MUTATIONS 30000
#define TEXT_MAX 4000
#define STACK_BYTES 24000 /* more than classify() uses */

static struct classifier *classifier; /* judge() asks it */
static struct classifier *plain, *ruled;
static const struct catalog *catalog; /* judge() tells of it */
static struct catalog *silent, *telling;
static struct words words;
static char **statements;
static unsigned n_statements;
static struct random random_state;

/* ---- texts ---- */

static void load(const char *file)
{
	FILE *f = fopen(file, "r");
	char *line = NULL;
	size_t cap = 0;
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		cJSON *row = cJSON_Parse(line);
		const cJSON *sql = cJSON_GetObjectItemCaseSensitive(row, "sql");
		assert_true(cJSON_IsString(sql));
		statements = mem_realloc(statements, (n_statements + 1) * sizeof(*statements));
		statements[n_statements++] = mem_strdup(sql->valuestring);
		cJSON_Delete(row);
	}
	free(line);
	fclose(f);
}

static size_t below(size_t n)
{
	return (size_t)random_below(&random_state, n);
}

static size_t insert(char *text, size_t n, const char *piece, size_t n_piece)
{
	size_t at = below(n + 1);
	if (n + n_piece > TEXT_MAX)
		return n;
	memmove(text + at + n_piece, text + at, n - at);
	memcpy(text + at, piece, n_piece);
	return n + n_piece;
}

static size_t mutate_once(char *text, size_t n)
{
	static const char *const pieces[] = {" ", "'", "\"", "/*", "*/", "--", "\n", "$1", "$$",
		"(", ")", ",", ";", "::vector", " <=> ", "_id", "Id", "\"", "uuid", "email",
		"_label", "_target", "customer", "features", "user_", "events", " AS ", " AND ",
		" WHERE ", " FROM ", "SELECT ", " IN (", "E'\\'", "_key", "_no", "_hash", "sku",
		"pk", "st_", "_fg", "train", "pred", "score", "\xc3\xa9", "0", "1.5e", "=?", "<",
		"'[1,2]'", "*", "-", "$", "predict", "geom", "COPY ", "BEGIN;", "U&\"", "B'",
		"/*ml_class='training'*/", ".", "@>", "_", "a", "abcdefghijklmnop"};
	const char *piece = pieces[below(N_ELEMENTS(pieces))];
	const char *other = statements[below(n_statements)];
	size_t at = below(n + 1), n_other = strlen(other), n_cut, from;
	switch (below(6)) {
	case 0:
		n_cut = below(8);
		n_cut = MIN_OF(n_cut, n - at);
		memmove(text + at, text + at + n_cut, n - at - n_cut);
		return n - n_cut;
	case 1:
		if (at < n)
			text[at] = (char)(below(255) + 1);
		return n;
	case 2:
		from = below(n_other + 1);
		return insert(text, n, other + from, below(n_other - from + 1));
	case 3:
		return at;
	default:
		return insert(text, n, piece, strlen(piece));
	}
}

/* A name with a DEL in it may be taken for one with an underscore; nobody has such names. */
static size_t random_text(char *text)
{
	const char *from = statements[below(n_statements)];
	size_t n = strlen(from);
	memcpy(text, from, n);
	for (size_t n_steps = 1 + below(4); n_steps > 0; n_steps--)
		n = mutate_once(text, n);
	for (size_t i = 0; i < n; i++)
		if (text[i] == 0x7f)
			text[i] = '_';
	return n;
}

/* ---- the decision does not depend on where and when ---- */

static void __attribute__((noinline)) dirty_stack(int byte)
{
	volatile char junk[STACK_BYTES];
	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = (char)byte;
}

static struct classify_result judge(const char *sql, size_t n, bool backslash_escapes, int dirt)
{
	const struct classify_session session = {
		.user = "app",
		.database = "app",
		.application_name = "",
		.may_annotate = true,
		.max_priority = 10,
		.catalog = catalog,
		.backslash_escapes = backslash_escapes,
	};
	struct classify_result result;
	memset(&result, dirt, sizeof(result));
	dirty_stack(dirt);
	classify(classifier, &session, sql, n, &result);
	return result;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* What rules and SET pglane.class do. */
static bool same_actions(const struct classify_result *a, const struct classify_result *b)
{
	return same_text(a->deny, b->deny) && same_text(a->log_rule, b->log_rule) &&
	       a->timeout_ms == b->timeout_ms && a->has_lane == b->has_lane &&
	       (!a->has_lane || a->lane == b->lane) && a->change == b->change &&
	       (a->change == CLASS_KEPT || a->changed_class == b->changed_class);
}

static void assert_same(const struct classify_result *a, const struct classify_result *b,
	const char *what, const char *sql, size_t n)
{
	bool same = a->class == b->class && a->priority == b->priority && a->kind == b->kind &&
		    a->source == b->source && a->effects == b->effects && a->features == b->features &&
		    strcmp(a->rule, b->rule) == 0 && a->bad_annotation == b->bad_annotation &&
		    a->has_organization == b->has_organization &&
		    strcmp(a->prepared_name, b->prepared_name) == 0 &&
		    (!a->has_organization || strcmp(a->organization, b->organization) == 0) &&
		    same_actions(a, b);
	if (!same)
		fail_msg("%s: %s and %s, features %llx and %llx: %.*s", what, a->rule, b->rule,
			(unsigned long long)a->features, (unsigned long long)b->features, (int)n,
			sql);
}

/* Alone in its memory, amid letters, amid quotes. */
static void check_place(const char *sql, size_t n)
{
	for (int escapes = 0; escapes < 2; escapes++) {
		char *alone = mem_dup(sql, n);
		char *amid = mem_alloc(n + 64);
		struct classify_result first = judge(alone, n, escapes, 0x00);
		for (int i = 0; i < 3; i++) {
			size_t shift = below(32);
			memset(amid, "a'*"[i], n + 64);
			memcpy(amid + shift, sql, n);
			struct classify_result again = judge(amid + shift, n, escapes, 0xa5 + i);
			assert_same(&first, &again, "another place", sql, n);
		}
		mem_free(alone);
		mem_free(amid);
	}
}

/* Empty statements before it: every token may be the first or the last of a batch. */
static void check_batches(const char *sql, size_t n)
{
	size_t n_empty = below(2 * READER_ITEMS);
	char *text = mem_alloc(n_empty + n);
	memset(text, ';', n_empty);
	memcpy(text + n_empty, sql, n);
	struct classify_result first = judge(sql, n, false, 0x11),
			       again = judge(text, n_empty + n, false, 0xee);
	/* before a leading comment they would make it one amid the text */
	if (strstr(first.rule, "annotation") == NULL && !first.bad_annotation &&
		!first.has_organization && first.priority == again.priority)
		assert_same(&first, &again, "other batches", sql, n);
	mem_free(text);
}

static void check_printed(const char *sql, size_t n)
{
	const struct classify_session session = {
		.user = "app", .database = "app", .application_name = "",
		.may_annotate = true, .max_priority = 10,
	};
	struct classify_result first = judge(sql, n, false, 0x77), printed;
	struct pgw_hash128 print, own = pgw_fingerprint(sql, n);
	dirty_stack(0x88);
	classify_printed(classifier, &session, sql, n, &printed, &print);
	assert_same(&first, &printed, "with its fingerprint", sql, n);
	if (print.lo != own.lo || print.hi != own.hi)
		fail_msg("another fingerprint: %.*s", (int)n, sql);
}

/* Words in capitals or not, wider gaps; every token stays what it is. */
static void check_spelling(const char *sql, size_t n)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	struct pgw_token token;
	char *text = mem_alloc(8 * n + 64);
	const char *behind = sql;
	size_t n_text = 0;
	lexer.want_comments = true;
	while ((token = pgw_lex(&lexer)).kind != PGW_TOK_END) {
		size_t n_gap = (size_t)(token.at - behind);
		const char *gap = n_gap == 0 ? "" : below(2) ? " \t" : " /**/ ";
		if (token.kind == PGW_TOK_COMMENT || token.kind == PGW_TOK_ERROR ||
			memchr(behind, '\n', n_gap) != NULL || memchr(behind, '\r', n_gap) != NULL)
			goto out;
		memcpy(text + n_text, gap, strlen(gap));
		n_text += strlen(gap);
		memcpy(text + n_text, token.at, token.len);
		for (uint32_t i = 0; token.kind == PGW_TOK_WORD && i < token.len; i++) {
			char *c = text + n_text + i;
			if (((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') && below(2))
				*c ^= 0x20;
		}
		n_text += token.len;
		behind = token.at + token.len;
	}
	struct classify_result first = judge(sql, n, false, 0x33),
			       again = judge(text, n_text, false, 0xcc);
	/* names that are kept keep their case only if quoted, and were folded before */
	assert_same(&first, &again, "another spelling", sql, n);
out:
	mem_free(text);
}

/* ---- names ---- */

static void check_name(const struct pgw_lexer *lexer, const struct pgw_token *token)
{
	char folded[16], text[600];
	bool is_folded = naive_folded(token, folded);
	if ((lexer->folded[0] != 0) != is_folded ||
		(is_folded && memcmp(lexer->folded, folded, sizeof(folded)) != 0))
		fail_msg("%.*s is not folded as it should be", (int)token->len, token->at);
	size_t n = naive_text(token, text, sizeof(text));
	const struct word *word = words_find(&words, text, n);
	if (is_folded)
		assert_ptr_equal(
			words_find_folded(&words, lexer->folded[0], lexer->folded[1]), word);

	struct operand_name name = {.word = word, .token = *token};
	if (fixes_of_name(&name, name_tail(token)) != naive_fixes(token, word))
		fail_msg("%.*s fixes another key", (int)token->len, token->at);
	struct name whole;
	name_of_token(token, &whole);
	if (whole.len != n)
		return; /* the filter looks at what is written, not at the humps of "driverFg" */
	unsigned roots = name_roots(token);
	if (name_table_kind(&words, &whole, roots & NAME_ROOTS_OF_TABLES) !=
		naive_table_kind(&words, token))
		fail_msg("%.*s: its roots do not lead to its table", (int)token->len, token->at);
	if (name_function_kind(&whole, SCHEMA_NONE) != FUNCTION_NONE &&
		!(roots & NAME_ROOT_FUNCTION))
		fail_msg("%.*s: its roots do not lead to its function", (int)token->len,
			token->at);
}

static void check_names(const char *sql, size_t n)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	struct pgw_token token;
	while ((token = pgw_lex(&lexer)).kind != PGW_TOK_END)
		if ((token.kind == PGW_TOK_WORD || token.kind == PGW_TOK_QUOTED_IDENT) &&
			token.len < 600)
			check_name(&lexer, &token);
}

/* ---- catalogs ---- */

static bool is_among(char names[][NAME_BYTES], unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* The names of the statements, up to the bound: a vector in one table, and not in another. The
 * tables are those of the statements, or others. */
static struct catalog *catalog_of_statements(bool tells)
{
	static const char *const tables[] = {"documents", "items", "users", "events"};
	static char names[CATALOG_COLUMNS_MAX / 2][NAME_BYTES];
	struct catalog_column *columns = mem_zalloc(CATALOG_COLUMNS_MAX * sizeof(*columns));
	unsigned n = 0;
	for (unsigned i = 0; i < n_statements; i++) {
		struct pgw_lexer lexer = pgw_lexer_on(statements[i], strlen(statements[i]));
		struct pgw_token token;
		while (n < N_ELEMENTS(names) && (token = pgw_lex(&lexer)).kind != PGW_TOK_END) {
			if (token.kind != PGW_TOK_WORD)
				continue;
			(void)pgw_token_ident(&token, names[n], NAME_BYTES);
			if (is_among(names, n, names[n]))
				continue;
			for (unsigned side = 0; side < 2; side++)
				columns[2 * n + side] = (struct catalog_column){"s",
					tells ? tables[(n + side) % N_ELEMENTS(tables)] : "zz",
					names[n], "t", side};
			n++;
		}
	}
	struct catalog *made = catalog_new(columns, 2 * n);
	mem_free(columns);
	return made;
}

static void check_catalogs(const char *sql, size_t n)
{
	struct classify_result without = judge(sql, n, false, 0x44);
	catalog = silent;
	struct classify_result with = judge(sql, n, false, 0xbb);
	assert_same(&without, &with, "a silent catalog", sql, n);
	catalog = telling;
	check_place(sql, n);
	check_batches(sql, n);
	check_spelling(sql, n);
	catalog = NULL;
}

/* ---- the tests ---- */

static void check(const char *sql, size_t n)
{
	check_catalogs(sql, n);
	check_place(sql, n);
	classifier = ruled;
	check_place(sql, n);
	classifier = plain;
	check_printed(sql, n);
	check_batches(sql, n);
	check_spelling(sql, n);
	check_names(sql, n);
}

static void test_labelled(void **state)
{
	for (unsigned i = 0; i < n_statements; i++)
		check(statements[i], strlen(statements[i]));
}

static void test_mutations(void **state)
{
	static char text[2 * TEXT_MAX];
	for (unsigned i = 0; i < N_MUTATIONS; i++) {
		size_t n = random_text(text);
		char *exact = mem_dup(text, n);
		check(exact, n);
		mem_free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labelled),
		cmocka_unit_test(test_mutations),
	};
	static const char *const rules[] = {"log if join", "deny 'no' if copy-to where",
		"lane ml timeout 1s if where !organization=1b4e28ba-2fa1-11d2-883f-0016d3cca427",
		"training log if write"};
	static const char *const lanes[] = {"default", "ml"};
	static const char *const settings[] = {"SET LOCAL pglane.class = 'training'; SELECT 1",
		"/*ml_organization='1b4e28ba-2fa1-11d2-883f-0016d3cca427'*/ SELECT 1 WHERE a",
		"BEGIN; SET SESSION \"pglane\".class TO vector; RESET pglane.class; COMMIT"};
	unsigned bad_line;
	char error[256];
	random_state = random_open();
	load(CORPUS_DIR "/corpus.jsonl");
	load(CORPUS_DIR "/second.jsonl");
	load(CORPUS_DIR "/third.jsonl");
	load(CORPUS_DIR "/fourth.jsonl");
	for (unsigned i = 0; i < N_ELEMENTS(settings); i++) {
		statements = mem_realloc(statements, (n_statements + 1) * sizeof(*statements));
		statements[n_statements++] = mem_strdup(settings[i]);
	}
	plain = classifier_new(NULL, 0, (struct classifier_lanes){0}, &bad_line, error);
	ruled = classifier_new(rules, N_ELEMENTS(rules),
		(struct classifier_lanes){lanes, N_ELEMENTS(lanes)}, &bad_line, error);
	classifier = plain;
	silent = catalog_of_statements(false);
	telling = catalog_of_statements(true);
	words_init(&words);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	classifier_free(&plain);
	classifier_free(&ruled);
	catalog_unref(&silent);
	catalog_unref(&telling);
	for (unsigned i = 0; i < n_statements; i++)
		mem_free(statements[i]);
	mem_free(statements);
	return failed;
}
