/* SPDX-License-Identifier: ISC */
/* What makes a statement learned and forgotten, and that all threads hear of it. */
#include "classify/learned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/mem.h"
#include "base/strbuf.h"

#define SECOND UINT64_C(1000000)

static const struct run_limits limits = {.long_us = 10 * SECOND, .bulk_rows = 1000};

static enum run_weight weigh(uint64_t took_us, uint64_t n_returned)
{
	struct fingerprint_run run = {.took_us = took_us, .n_returned = n_returned, .n_rows = 1u << 30};

	return run_weigh(&run, limits);
}

static void weights(void **state)
{
	struct fingerprint_run run = {.took_us = UINT64_MAX, .n_returned = UINT64_MAX};

	assert_int_equal(weigh(0, 0), RUN_LIGHT);
	assert_int_equal(weigh(10 * SECOND, 0), RUN_HEAVY);
	assert_int_equal(weigh(10 * SECOND - 1, 0), RUN_BETWEEN);
	assert_int_equal(weigh(5 * SECOND - 1, 500), RUN_LIGHT);
	assert_int_equal(weigh(0, 501), RUN_BETWEEN);
	assert_int_equal(weigh(0, 1000), RUN_BETWEEN);
	assert_int_equal(weigh(0, 1001), RUN_HEAVY);
	assert_int_equal(run_weigh(&run, (struct run_limits){0, 0}), RUN_LIGHT);
}

/* Runs that end one behind the other: H heavy, h heavy and begun with the last H, m between, l light. */
static enum lesson after(struct evidence *evidence, const char *runs)
{
	static uint64_t now_us, heavy_us;
	enum lesson lesson = LESSON_NONE;

	for (; *runs; runs++) {
		uint64_t began_us = *runs == 'h' ? heavy_us : now_us;

		if (*runs == 'H')
			heavy_us = now_us;
		now_us += SECOND;
		lesson = evidence_add(evidence, began_us, now_us,
			*runs == 'l'   ? RUN_LIGHT
			: *runs == 'm' ? RUN_BETWEEN
				       : RUN_HEAVY);
	}
	return lesson;
}

static void leads_to(const char *runs, enum lesson expected)
{
	struct evidence evidence = {0};

	if (after(&evidence, runs) != expected)
		fail_msg("%s: not %d", runs, (int)expected);
}

static void learned(void **state)
{
	leads_to("l", LESSON_NONE);
	leads_to("m", LESSON_NONE);
	leads_to("H", LESSON_WATCHED);
	leads_to("HHH", LESSON_WATCHED);
	leads_to("HHHH", LESSON_TRAINING);
	leads_to("HHlHH", LESSON_TRAINING);
	leads_to("HmHmmHmH", LESSON_TRAINING);
	leads_to("HHllHH", LESSON_WATCHED);
	leads_to("HlHlHlHlHlHlHlHl", LESSON_WATCHED);
	leads_to("HHlHlHHlHlHHlHl", LESSON_WATCHED);
	leads_to("Hlllll", LESSON_NONE);
	leads_to("HHHlllll", LESSON_NONE);
}

/* What happens at one time is one event. */
static void one_event(void **state)
{
	leads_to("Hhhhhhhhhhhhh", LESSON_WATCHED);
	leads_to("Hhhhhlllll", LESSON_NONE);
	leads_to("HhHhHhhHh", LESSON_TRAINING);
}

static void forgotten(void **state)
{
	leads_to("HHHHlllllll", LESSON_TRAINING);
	leads_to("HHHHllllllll", LESSON_NONE);
	leads_to("HHHHlllllllHlllllll", LESSON_TRAINING);
	leads_to("HHHHlllllllHhlllllll", LESSON_TRAINING);
	leads_to("HHHHllllmmmmlllm", LESSON_TRAINING);
	leads_to("HHHHllllmmmmllll", LESSON_NONE);
	leads_to("HHHHllllllllHHH", LESSON_WATCHED);
	leads_to("HHHHllllllllHHHH", LESSON_TRAINING);
}

/* ---- the lessons of all ---- */

static struct fingerprint statement_of(uint64_t key, uint64_t print)
{
	return (struct fingerprint){.key = {key, key}, .print = {print, print}, .database = "d", .user = "u", .text = ""};
}

static enum lesson runs(struct lessons *lessons, const struct fingerprint *statement, unsigned n, enum run_weight weight)
{
	static uint64_t now_us;
	enum lesson lesson = LESSON_NONE;
	bool turned;

	for (; n > 0; n--) {
		struct fingerprint_run run = {.began_us = now_us += 2, .took_us = 1};
		enum lesson before = lessons_of(lessons, statement->key);

		lesson = lessons_run(lessons, statement, &run, weight, &turned);
		assert_int_equal(lesson, lessons_of(lessons, statement->key));
		assert_int_equal(turned, (before == LESSON_TRAINING) != (lesson == LESSON_TRAINING));
	}
	return lesson;
}

static void epochs(void **state)
{
	struct lessons *lessons = lessons_new();
	struct fingerprint a = statement_of(1, 7), b = statement_of(2, 7);
	uint64_t epoch = lessons_epoch(lessons);

	assert_int_equal(runs(lessons, &a, 5, RUN_LIGHT), LESSON_NONE);
	assert_int_equal(lessons_epoch(lessons), epoch);
	assert_int_equal(runs(lessons, &a, 1, RUN_HEAVY), LESSON_WATCHED);
	assert_true(lessons_epoch(lessons) > epoch);
	epoch = lessons_epoch(lessons);
	assert_int_equal(runs(lessons, &a, 1, RUN_HEAVY), LESSON_WATCHED);
	assert_int_equal(lessons_epoch(lessons), epoch);
	assert_int_equal(runs(lessons, &a, 2, RUN_HEAVY), LESSON_TRAINING);
	assert_true(lessons_epoch(lessons) > epoch);
	assert_int_equal(lessons_of(lessons, b.key), LESSON_NONE);
	epoch = lessons_epoch(lessons);
	assert_true(lessons_forget(lessons, fingerprint_id(a.print)));
	assert_false(lessons_forget(lessons, fingerprint_id(a.print)));
	assert_int_equal(lessons_of(lessons, a.key), LESSON_NONE);
	assert_true(lessons_epoch(lessons) > epoch);
	runs(lessons, &a, 4, RUN_HEAVY);
	lessons_forget_all(lessons);
	assert_int_equal(lessons_of(lessons, a.key), LESSON_NONE);
	lessons_free(&lessons);
	assert_null(lessons);
}

static void for_whom(void **state)
{
	struct lessons *lessons = lessons_new();
	struct fingerprint a = statement_of(1, 7), b = statement_of(2, 7);
	struct strbuf out = STRBUF_INIT;

	b.user = "v";
	runs(lessons, &a, 4, RUN_HEAVY);
	runs(lessons, &b, 3, RUN_HEAVY);
	assert_true(lessons_learned_for(lessons, a.print, &out));
	assert_string_equal(out.data, "d/u");
	strbuf_reset(&out);
	runs(lessons, &b, 1, RUN_HEAVY);
	assert_true(lessons_learned_for(lessons, a.print, &out));
	assert_string_equal(out.data, "d/v, d/u");
	strbuf_reset(&out);
	assert_false(lessons_learned_for(lessons, (struct pgw_hash128){7, 8}, &out));
	assert_string_equal(out.data, "");
	strbuf_release(&out);
	lessons_free(&lessons);
}

/* A flood of what is only watched pushes nothing out that was learned; a flood of learned ones, the oldest. */
static void bounded(void **state)
{
	struct lessons *lessons = lessons_new();
	struct fingerprint learned_one = statement_of(1, 1);

	runs(lessons, &learned_one, 4, RUN_HEAVY);
	for (uint64_t i = 2; i < 3 * LESSONS_MAX; i++) {
		struct fingerprint other = statement_of(i * 0x9e3779b97f4a7c15, i);

		assert_int_equal(runs(lessons, &other, 1, RUN_HEAVY), LESSON_WATCHED);
	}
	assert_int_equal(lessons_of(lessons, learned_one.key), LESSON_TRAINING);
	for (uint64_t i = 2; i < LESSONS_MAX + 2; i++) {
		struct fingerprint other = statement_of(i << 20, i); /* all in one bucket */

		assert_int_equal(runs(lessons, &other, 4, RUN_HEAVY), LESSON_TRAINING);
	}
	assert_int_equal(lessons_of(lessons, learned_one.key), LESSON_NONE);
	lessons_free(&lessons);
}

static void decides_only_where_nothing_did(void **state)
{
	for (unsigned i = 0; i < N_CLASS_SOURCES; i++) {
		struct classify_result result = {.class = QUERY_SERVING, .rule = "x", .source = (uint8_t)i};

		classify_learned(&result);
		assert_int_equal(result.class, i == SOURCE_DEFAULT ? QUERY_TRAINING : QUERY_SERVING);
		assert_string_equal(result.rule, i == SOURCE_DEFAULT ? "learned" : "x");
	}
}

/* ---- threads: what one learns, another reads ---- */

#define N_TURNS 2000u

static void *teach(void *arg)
{
	struct lessons *lessons = arg;
	struct fingerprint statement = statement_of(5, 5);
	bool turned;

	for (unsigned i = 0; i < N_TURNS; i++) {
		struct fingerprint_run run = {.began_us = 3 * i, .took_us = 1};

		(void)lessons_run(lessons, &statement, &run, i / 16 % 2 ? RUN_LIGHT : RUN_HEAVY, &turned);
	}
	return NULL;
}

static void shared_by_threads(void **state)
{
	struct lessons *lessons = lessons_new();
	struct fingerprint statement = statement_of(5, 5);
	struct strbuf out = STRBUF_INIT;
	pthread_t threads[2];

	for (unsigned i = 0; i < N_ELEMENTS(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, teach, lessons), 0);
	for (unsigned i = 0; i < N_TURNS; i++) {
		(void)lessons_epoch(lessons);
		(void)lessons_of(lessons, statement.key);
		strbuf_reset(&out);
		(void)lessons_learned_for(lessons, statement.print, &out);
		if (i % 100 == 0)
			(void)lessons_forget(lessons, fingerprint_id(statement.print));
	}
	for (unsigned i = 0; i < N_ELEMENTS(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	strbuf_release(&out);
	lessons_free(&lessons);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weights),
		cmocka_unit_test(learned),
		cmocka_unit_test(one_event),
		cmocka_unit_test(forgotten),
		cmocka_unit_test(epochs),
		cmocka_unit_test(for_whom),
		cmocka_unit_test(bounded),
		cmocka_unit_test(decides_only_where_nothing_did),
		cmocka_unit_test(shared_by_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
