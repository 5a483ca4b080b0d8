/* SPDX-License-Identifier: ISC */
/*
 * What classification costs: nanoseconds per statement over the labelled corpora of tests/classify,
 * for some single statements, and the slowest of the corpus. `bench_classify FILE.jsonl …`; each
 * figure is the best of several rounds, because noise only adds.
 */
#include "classify/classify.h"

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/mem.h"

#define N_ROUNDS 40
#define ROUND_STATEMENTS 10000

struct text {
	char *sql;
	size_t n;
	double ns;
};

static const struct classify_session session = {
	.user = "app",
	.database = "app",
	.application_name = "bench",
	.may_annotate = true,
	.max_priority = 10,
};

static double ns_each(const struct classifier *classifier, const struct text *texts,
	unsigned n_texts, unsigned n_runs)
{
	struct classify_result result;
	unsigned sum = 0;
	double best = 1e18;
	for (unsigned round = 0; round < N_ROUNDS; round++) {
		uint64_t from_us = clock_mono_us();
		for (unsigned i = 0, j = 0; i < n_runs; i++, j = j + 1 == n_texts ? 0 : j + 1) {
			classify(classifier, &session, texts[j].sql, texts[j].n, &result);
			sum += (unsigned)result.class;
		}
		double ns = (double)(clock_mono_us() - from_us) * 1000.0 / n_runs;
		best = ns < best ? ns : best;
	}
	return sum == UINT32_MAX ? 0 : best;
}

static unsigned load(const char *file, struct text **texts, unsigned n)
{
	FILE *f = fopen(file, "r");
	char *line = NULL;
	size_t cap = 0;
	if (f == NULL) {
		fprintf(stderr, "bench_classify: cannot read %s\n", file);
		exit(1);
	}
	while (getline(&line, &cap, f) > 0) {
		cJSON *row = cJSON_Parse(line);
		const cJSON *sql = cJSON_GetObjectItemCaseSensitive(row, "sql");
		if (cJSON_IsString(sql)) {
			*texts = mem_realloc(*texts, (n + 1) * sizeof(**texts));
			(*texts)[n++] = (struct text){
				.sql = mem_strdup(sql->valuestring), .n = strlen(sql->valuestring)};
		}
		cJSON_Delete(row);
	}
	free(line);
	fclose(f);
	return n;
}

static void report_one(const struct classifier *classifier, const char *what, const char *sql)
{
	const struct text text = {.sql = (char *)(uintptr_t)sql, .n = strlen(sql)};
	printf("%-28s %5zu bytes %8.0f ns\n", what, text.n,
		ns_each(classifier, &text, 1, ROUND_STATEMENTS));
}

static int slowest_first(const void *a, const void *b)
{
	double x = ((const struct text *)a)->ns, y = ((const struct text *)b)->ns;
	return (x < y) - (x > y);
}

static void report_corpus(const struct classifier *classifier, struct text *texts, unsigned n)
{
	size_t n_bytes = 0;
	double worst = 0; /* scaled to 200 bytes, among those at least that long */
	for (unsigned i = 0; i < n; i++)
		n_bytes += texts[i].n;
	double ns = ns_each(classifier, texts, n, ROUND_STATEMENTS);
	for (unsigned i = 0; i < n; i++) {
		texts[i].ns = ns_each(classifier, &texts[i], 1, ROUND_STATEMENTS / 20);
		if (texts[i].n >= 200)
			worst = MAX_OF(worst, texts[i].ns * 200 / (double)texts[i].n);
	}
	printf("corpus: %u statements, %.0f bytes and %.0f ns each on average: %.0f ns for 200 "
	       "bytes; worst of the long ones %.0f ns\n",
		n, (double)n_bytes / n, ns, ns * 200 * n / (double)n_bytes, worst);
	qsort(texts, n, sizeof(*texts), slowest_first);
	for (unsigned i = 0; i < 3 && i < n; i++)
		printf("slowest: %.0f ns, %zu bytes: %.60s\n", texts[i].ns, texts[i].n,
			texts[i].sql);
}

int main(int argc, char **argv)
{
	unsigned bad_line, n = 0;
	char error[256];
	struct text *texts = NULL;
	struct classifier *classifier = classifier_new(NULL, 0, &bad_line, error);
	report_one(classifier, "pgbench select",
		"SELECT abalance FROM pgbench_accounts WHERE aid = 1;");
	report_one(classifier, "begin", "BEGIN");
	report_one(classifier, "update",
		"UPDATE accounts SET balance = balance - $1, updated_at = now() WHERE id = $2 "
		"RETURNING balance");
	report_one(classifier, "ORM select",
		"SELECT \"users\".\"id\", \"users\".\"email\", \"users\".\"name\" FROM \"users\" "
		"WHERE \"users\".\"id\" = $1 LIMIT $2");
	report_one(classifier, "vector search",
		"SELECT id, content, metadata, 1 - (embedding <=> $1) AS similarity FROM documents "
		"WHERE metadata @> $2 ORDER BY embedding <=> $1 LIMIT 10");
	report_one(classifier, "200 bytes of joins",
		"SELECT o.id, o.total, c.name, c.email, p.title FROM orders o JOIN customers c ON "
		"c.id = o.customer_id JOIN products p ON p.id = o.product_id "
		"WHERE o.status = 'open' AND c.region = $1 ORDER BY o.id");
	for (int i = 1; i < argc; i++)
		n = load(argv[i], &texts, n);
	if (n > 0)
		report_corpus(classifier, texts, n);
	for (unsigned i = 0; i < n; i++)
		mem_free(texts[i].sql);
	mem_free(texts);
	classifier_free(&classifier);
	return 0;
}
