/* SPDX-License-Identifier: ISC */
/*
 * The classifier against labelled statements (tests/classify): prints the confusion matrix and
 * every mistake; fails below 97 % of all and of the traps, and when one statement labelled default
 * is called training. `test_corpus FILE …` judges other files.
 */
#include "classify/classify.h"

#include <cjson/cJSON.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

#define WANTED_PERCENT 97.0

struct tally {
	unsigned n[N_QUERY_CLASSES][N_QUERY_CLASSES]; /* [labelled][judged] */
	unsigned n_all, n_right, n_traps, n_traps_right;
};

static struct classifier *classifier;
static const char *default_files[] = {
	CORPUS_DIR "/corpus.jsonl", CORPUS_DIR "/second.jsonl", CORPUS_DIR "/third.jsonl",
	CORPUS_DIR "/fourth.jsonl"};
static char **files;
static int n_files;
static bool files_are_given;

static enum query_class class_of(const char *sql, const char **rule_r)
{
	static const struct classify_session session = {
		.user = "app",
		.database = "app",
		.application_name = "",
		.may_annotate = true,
		.max_priority = 10,
	};
	struct classify_result result;
	size_t n = strlen(sql);
	char *exact =
		mem_dup(sql, n); /* no NUL behind it, so that ASan sees a read beyond the end */
	classify(classifier, &session, exact, n, &result);
	mem_free(exact);
	*rule_r = result.rule;
	return result.class;
}

static bool is_trap(const cJSON *row)
{
	const cJSON *tag;
	cJSON_ArrayForEach(
		tag, cJSON_GetObjectItemCaseSensitive(
			     row, "tags")) if (cJSON_IsString(tag) &&
					       strcmp(tag->valuestring, "trap") == 0) return true;
	return false;
}

static void judge(const cJSON *row, const char *place, struct tally *tally)
{
	const cJSON *sql = cJSON_GetObjectItemCaseSensitive(row, "sql");
	const cJSON *label = cJSON_GetObjectItemCaseSensitive(row, "class");
	enum query_class wanted;
	const char *rule;
	assert_true(cJSON_IsString(sql) && cJSON_IsString(label));
	assert_true(query_class_parse(label->valuestring, strlen(label->valuestring), &wanted));
	enum query_class judged = class_of(sql->valuestring, &rule);
	bool right = judged == wanted, trap = is_trap(row);
	if (!right)
		print_message("%s: %s, not %s (%s):%s %s\n", place, label->valuestring,
			query_class_name(judged), rule, trap ? " trap:" : "", sql->valuestring);
	tally->n[wanted][judged]++;
	tally->n_all++;
	tally->n_right += right;
	tally->n_traps += trap;
	tally->n_traps_right += right && trap;
}

static void judge_file(const char *file, struct tally *tally)
{
	FILE *f = fopen(file, "r");
	char *line = NULL;
	size_t cap = 0;
	unsigned number = 0;
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		char place[256];
		const char *slash = strrchr(file, '/');
		snprintf(place, sizeof(place), "%s:%u", slash != NULL ? slash + 1 : file, ++number);
		cJSON *row = cJSON_Parse(line);
		assert_non_null(row);
		judge(row, place, tally);
		cJSON_Delete(row);
	}
	free(line);
	fclose(f);
}

static double percent(unsigned part, unsigned whole)
{
	return whole == 0 ? 100.0 : 100.0 * part / whole;
}

static void print_tally(const struct tally *tally)
{
	print_message("%-10s", "labelled");
	for (unsigned i = 0; i < N_QUERY_CLASSES; i++)
		print_message("%10s", query_class_name((enum query_class)i));
	print_message("\n");
	for (unsigned i = 0; i < N_QUERY_CLASSES; i++) {
		print_message("%-10s", query_class_name((enum query_class)i));
		for (unsigned j = 0; j < N_QUERY_CLASSES; j++)
			print_message("%10u", tally->n[i][j]);
		print_message("\n");
	}
	print_message("right: %u of %u (%.1f %%), of the traps %u of %u (%.1f %%)\n",
		tally->n_right, tally->n_all, percent(tally->n_right, tally->n_all),
		tally->n_traps_right, tally->n_traps,
		percent(tally->n_traps_right, tally->n_traps));
}

/* What the project promises, of any corpus. */
static void assert_good_enough(const struct tally *tally)
{
	assert_int_not_equal(tally->n_all, 0);
	assert_true(percent(tally->n_right, tally->n_all) >= WANTED_PERCENT);
	assert_true(percent(tally->n_traps_right, tally->n_traps) >= WANTED_PERCENT);
	assert_int_equal(tally->n[QUERY_DEFAULT][QUERY_TRAINING], 0);
}

static void test_corpora(void **state)
{
	struct tally tally = {0};
	for (int i = 0; i < n_files; i++)
		judge_file(files[i], &tally);
	print_tally(&tally);
	assert_good_enough(&tally);
	/* our own statements have all been right: one mistake is a step back */
	if (!files_are_given)
		assert_int_equal(tally.n_right, tally.n_all);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_corpora)};
	unsigned bad_line;
	char error[256];
	files_are_given = argc > 1;
	files = argc > 1 ? argv + 1 : (char **)(uintptr_t)default_files;
	n_files = argc > 1 ? argc - 1 : (int)N_ELEMENTS(default_files);
	classifier = classifier_new(NULL, 0, (struct classifier_lanes){0}, &bad_line, error);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	classifier_free(&classifier);
	return failed;
}
