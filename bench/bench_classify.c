/* SPDX-License-Identifier: ISC */
/*
 * What classification costs: nanoseconds per statement for some single statements, again and again
 * (warm) and each time behind a message that crossed a loopback TCP connection and back (as in the
 * data path, where the kernel has used the caches in between); and over the labelled corpora of
 * tests/classify, with the worst of them. `bench_classify FILE.jsonl …`; each figure is the best of
 * several rounds or the median, because noise only adds.
 *
 * Instructions are steadier than time: valgrind --tool=callgrind --toggle-collect=classify.
 */
#include "classify/classify.h"

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/mem.h"
#include "classify/catalog.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define N_ROUNDS 40
#define ROUND_STATEMENTS 10000
#define N_EXCHANGES 20000
#define BAR_BYTES 200 /* what the bar is for; shorter statements may cost as much */

struct text {
	char *sql;
	size_t n;
	double ns;
	double bar_ns; /* for BAR_BYTES, if it is longer */
};

/* What a database with pgvector may know. */
static const struct catalog_column columns[] = {
	{"public", "documents", "embedding", "vector(384)", true},
	{"public", "notes", "embedding", "text", false},
	{"public", "documents", "title_vec", "vector(384)", true},
	{"public", "items", "emb", "halfvec(768)", true},
	{"public", "items", "v", "vector(3)", true},
};

static struct classify_session session = {
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

/* ---- behind an exchange ---- */

static int sockets[2];

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void open_sockets(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(address);
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	must(bind(listener, (struct sockaddr *)&address, n) == 0 && listen(listener, 1) == 0 &&
			getsockname(listener, (struct sockaddr *)&address, &n) == 0,
		"listen");
	sockets[0] = socket(AF_INET, SOCK_STREAM, 0);
	must(connect(sockets[0], (struct sockaddr *)&address, n) == 0, "connect");
	sockets[1] = accept(listener, NULL, NULL);
	for (int i = 0; i < 2; i++)
		must(setsockopt(sockets[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0,
			"TCP_NODELAY");
	close(listener);
}

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* The median, less what the clock takes. */
static double ns_behind_exchange(const struct classifier *classifier, const struct text *text)
{
	static double ns[N_EXCHANGES], clock_ns[N_EXCHANGES];
	static char sql[4096];
	struct classify_result result;
	for (unsigned i = 0; i < N_EXCHANGES; i++) {
		for (int j = 0; j < 2; j++) {
			must(write(sockets[j], text->sql, text->n) == (ssize_t)text->n, "write");
			must(read(sockets[1 - j], sql, sizeof(sql)) == (ssize_t)text->n, "read");
		}
		double from = now_ns();
		classify(classifier, &session, sql, text->n, &result);
		double to = now_ns();
		ns[i] = to - from;
		clock_ns[i] = now_ns() - to;
	}
	qsort(ns, N_EXCHANGES, sizeof(*ns), by_value);
	qsort(clock_ns, N_EXCHANGES, sizeof(*clock_ns), by_value);
	return ns[N_EXCHANGES / 2] - clock_ns[N_EXCHANGES / 2];
}

static void report_one(const struct classifier *classifier, const char *what, const char *sql)
{
	const struct text text = {.sql = (char *)(uintptr_t)sql, .n = strlen(sql)};
	double warm = ns_each(classifier, &text, 1, ROUND_STATEMENTS);
	printf("%-22s %4zu bytes %6.0f ns warm %6.0f ns behind an exchange\n", what, text.n, warm,
		ns_behind_exchange(classifier, &text));
}

static void report_single(const struct classifier *classifier)
{
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
}

/* ---- the corpora ---- */

static int worst_first(const void *a, const void *b)
{
	return by_value(&((const struct text *)b)->bar_ns, &((const struct text *)a)->bar_ns);
}

static void report_corpus(const struct classifier *classifier, struct text *texts, unsigned n)
{
	size_t n_bytes = 0;
	for (unsigned i = 0; i < n; i++)
		n_bytes += texts[i].n;
	double ns = ns_each(classifier, texts, n, ROUND_STATEMENTS);
	for (unsigned i = 0; i < n; i++) {
		double bars = MAX_OF((double)texts[i].n / BAR_BYTES, 1);
		texts[i].ns = ns_each(classifier, &texts[i], 1, ROUND_STATEMENTS / 20);
		texts[i].bar_ns = texts[i].ns / bars;
	}
	printf("corpus: %u statements, %.0f bytes and %.0f ns each on average, in turns: %.0f ns for "
	       "%d bytes\n",
		n, (double)n_bytes / n, ns, ns * BAR_BYTES * n / (double)n_bytes, BAR_BYTES);
	qsort(texts, n, sizeof(*texts), worst_first);
	for (unsigned i = 0; i < 3 && i < n; i++)
		printf("worst: %.0f ns for %d bytes, %.0f ns for its %zu: %.60s\n", texts[i].bar_ns,
			BAR_BYTES, texts[i].ns, texts[i].n, texts[i].sql);
}

int main(int argc, char **argv)
{
	unsigned bad_line, n = 0;
	char error[256];
	struct text *texts = NULL;
	struct classifier *classifier = classifier_new(NULL, 0, (struct classifier_lanes){0}, &bad_line, error);
	struct catalog *catalog = catalog_new(columns, N_ELEMENTS(columns));
	open_sockets();
	report_single(classifier);
	puts("with a catalog:");
	session.catalog = catalog;
	report_single(classifier);
	session.catalog = NULL;
	for (int i = 1; i < argc; i++)
		n = load(argv[i], &texts, n);
	if (n > 0)
		report_corpus(classifier, texts, n);
	for (unsigned i = 0; i < n; i++)
		mem_free(texts[i].sql);
	mem_free(texts);
	catalog_unref(&catalog);
	classifier_free(&classifier);
	return 0;
}
