/* SPDX-License-Identifier: ISC */
/*
 * Any line of [rules] compiles, or is a mistake with a column inside it; what compiles is asked
 * about any time without trouble, and its negated twin says the opposite.
 */
#include "classify/rules.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"
#include "unit/random.h"

#define N_LINES 200000
#define LINE_MAX_BYTES 256

static struct random random_state;

static const char *const lane_names[] = {"default", "ml", NULL};
static const struct classifier_lanes lanes = {lane_names, N_ELEMENTS(lane_names)};

static const char *const pieces[] = {"training", "default", "priority", "lane", "timeout", "deny",
	"log", "if", "!", "=", "'", " ", "  ", "\t", ",", "-", "+", ":", "hour=", "weekday=", "zone=",
	"user=", "database=", "application_name=", "organization=", "ml", "7", "22", "6", "0", "24",
	"25", "99999999999999999999", "mon", "fri", "su", "UTC", "+02:00", "-15:59", "+16:00", "local",
	"10s", "5min", "where", "copy-to", "'a b'", "*", "a*b", "\x7f", "\xff", "%n",
	"1b4e28ba-2fa1-11d2-883f-0016d3cca427", "hour=22-6", "weekday=sat,sun", "lane ml",
	"timeout 5s", "deny 'no'", "training if ", "log if ", "\xc3\xa9"};

static size_t random_line(char line[static LINE_MAX_BYTES])
{
	size_t n = 0;
	if (random_below(&random_state, 2) == 0)
		n = (size_t)snprintf(line, LINE_MAX_BYTES, "training if ");
	for (uint64_t left = 1 + random_below(&random_state, 8); left > 0; left--) {
		const char *piece = pieces[random_below(&random_state, N_ELEMENTS(pieces))];
		if (n + strlen(piece) + 2 > LINE_MAX_BYTES)
			break;
		memcpy(line + n, piece, strlen(piece));
		n += strlen(piece);
		if (random_below(&random_state, 3) != 0)
			line[n++] = ' ';
	}
	line[n] = '\0';
	return n;
}

static void ask(const struct rule *rule)
{
	struct classify_session session = {.user = "etl",
		.database = "shop",
		.application_name = "",
		.now_s = (int64_t)random_u64(&random_state) / 4,
		.utc_offset_s = (int32_t)random_below(&random_state, 86400) - 43200};
	assert_false(rule->has_lane && lane_names[rule->lane] == NULL);
	assert_true(rule->keeps_class || rule->class < N_QUERY_CLASSES);
	assert_false(rule->asks_time && (rule->hours == 0 || rule->weekdays == 0));
	(void)rule_matches(rule, random_u64(&random_state), &session, "");
}

static void test_any_line(void **state)
{
	unsigned n_good = 0;
	for (unsigned i = 0; i < N_LINES; i++) {
		char line[LINE_MAX_BYTES], error[256] = "";
		struct rule rule;
		unsigned column = 0;
		size_t n = random_line(line);
		char *exact = mem_strdup(line);
		if (rule_parse(exact, 1, lanes, &rule, error)) {
			n_good++;
			ask(&rule);
			rule_release(&rule);
		} else if (sscanf(error, "column %u: ", &column) != 1 || column < 1 ||
			   column > n + 1) {
			fail_msg("\"%s\": %s", line, error);
		}
		mem_free(exact);
	}
	assert_true(n_good > 100); /* else the pieces make nothing */
}

/* At any moment, of any zone, one of hour= and !hour= holds; so of days. */
static void test_negated_twins(void **state)
{
	static const char *const conditions[] = {
		"hour=22-6", "hour=0", "hour=3,9-17", "weekday=mon-fri", "weekday=sat-mon"};
	for (unsigned i = 0; i < 20000; i++) {
		const char *condition =
			conditions[random_below(&random_state, N_ELEMENTS(conditions))];
		char line[LINE_MAX_BYTES], error[256];
		struct rule rule, twin;
		struct classify_session session = {.user = "",
			.database = "",
			.application_name = "",
			.now_s = (int64_t)random_below(&random_state, UINT64_C(1) << 40) -
				 (INT64_C(1) << 39),
			.utc_offset_s = (int32_t)random_below(&random_state, 86400) - 43200};
		snprintf(line, sizeof(line), "log if %s", condition);
		assert_true(rule_parse(line, 1, lanes, &rule, error));
		snprintf(line, sizeof(line), "log if !%s", condition);
		assert_true(rule_parse(line, 1, lanes, &twin, error));
		assert_true(rule_matches(&rule, 0, &session, "") !=
			    rule_matches(&twin, 0, &session, ""));
		rule_release(&rule);
		rule_release(&twin);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_line),
		cmocka_unit_test(test_negated_twins),
	};
	random_state = random_open();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
