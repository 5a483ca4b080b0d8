/* SPDX-License-Identifier: ISC */
/* The operator's lines: what they mean, and that a wrong one says where and what would be right. */
#include "classify/rules.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define UUID "1b4e28ba-2fa1-11d2-883f-0016d3cca427"

static const struct classify_session session = {
	.user = "etl_7", .database = "shop", .application_name = "model server"};

static const char *const lane_names[] = {"default", "ml", NULL, "training"};
static const struct classifier_lanes lanes = {lane_names, N_ELEMENTS(lane_names)};

static void parse(const char *line, struct rule *rule_r)
{
	char error[256] = "";
	if (!rule_parse(line, 1, lanes, rule_r, error))
		fail_msg("%s: %s", line, error);
}

static bool matches_in(const char *line, uint64_t features,
	const struct classify_session *asked, const char *organization)
{
	struct rule rule;
	parse(line, &rule);
	bool result = rule_matches(&rule, features, asked, organization);
	rule_release(&rule);
	return result;
}

static bool matches(const char *line, uint64_t features)
{
	return matches_in(line, features, &session, "");
}

/* At that time UTC, where local time is so many hours ahead. */
static bool matches_at(const char *line, int64_t now_s, int local_hours)
{
	struct classify_session asked = session;
	asked.now_s = now_s;
	asked.utc_offset_s = local_hours * 3600;
	return matches_in(line, 0, &asked, "");
}

static void test_parse(void **state)
{
	struct rule rule;
	char error[256];
	assert_true(rule_parse("  training\tpriority 10 if copy-to !aggregate user='a b' "
			       "!database=d* application_name=x ",
		12, lanes, &rule, error));
	assert_int_equal(rule.class, QUERY_TRAINING);
	assert_int_equal(rule.priority, 10);
	assert_true(rule.all == FEATURE(COPY_TO));
	assert_true(rule.none == FEATURE(AGGREGATE));
	assert_int_equal(rule.n_conditions, 3);
	assert_string_equal(rule.conditions[0].pattern, "a b");
	assert_false(rule.conditions[0].negated);
	assert_int_equal(rule.conditions[1].fact, RULE_DATABASE);
	assert_string_equal(rule.conditions[1].pattern, "d*");
	assert_true(rule.conditions[1].negated);
	assert_string_equal(rule.name, "rules:12");
	assert_false(rule.keeps_class || rule.only_logs || rule.asks_time || rule.has_lane);
	rule_release(&rule);
	parse("default if where", &rule);
	assert_int_equal(rule.priority, 0);
	rule_release(&rule);
}

static void test_actions(void **state)
{
	struct rule rule;
	parse("timeout 1500ms lane training log training if where", &rule);
	assert_int_equal(rule.timeout_ms, 1500);
	assert_true(rule.has_lane);
	assert_int_equal(rule.lane, 3);
	assert_true(rule.logs);
	assert_false(rule.only_logs || rule.keeps_class);
	rule_release(&rule);
	parse("deny 'not; now' if where", &rule);
	assert_string_equal(rule.deny, "not; now");
	assert_true(rule.keeps_class);
	rule_release(&rule);
	parse("log if where", &rule);
	assert_true(rule.only_logs);
	rule_release(&rule);
	parse("timeout 10 if where", &rule); /* seconds, as everywhere */
	assert_int_equal(rule.timeout_ms, 10000);
	rule_release(&rule);
}

static void test_match(void **state)
{
	assert_true(matches("training if user=etl_7", 0));
	assert_true(matches("training if user=etl*", 0));
	assert_true(matches("training if user=*_7 database=shop", 0));
	assert_true(matches("training if user=*", 0));
	assert_true(matches("training if user=*t*_*7*", 0));
	assert_true(matches("training if application_name='model server'", 0));
	assert_false(matches("training if user=etl", 0));
	assert_false(matches("training if user=ETL_7", 0));
	assert_false(matches("training if user=*_8", 0));
	assert_false(matches("training if user=etl* database=other", 0));
	assert_true(matches("training if !user=etl !user=bob user=etl*", 0));
	assert_false(matches("training if user=etl* !user=*_7", 0));
	assert_true(matches("training if spatial", FEATURE(SPATIAL) | FEATURE(WHERE)));
	assert_false(matches("training if spatial where", FEATURE(SPATIAL)));
	assert_true(matches("training if !spatial where", FEATURE(WHERE)));
	assert_false(matches("training if !spatial where", FEATURE(WHERE) | FEATURE(SPATIAL)));
	assert_true(matches_in("training if organization=" UUID, 0, &session, UUID));
	assert_false(matches_in("training if organization=" UUID, 0, &session, ""));
	assert_true(matches_in("training if !organization=" UUID, 0, &session, ""));
}

static void test_time(void **state)
{
	/* 2026-07-31 was a Friday */
	const int64_t midnight = 1785456000, hour = 3600, day = 24 * hour;
	assert_true(matches_at("training if hour=22-6", midnight, 0));
	assert_true(matches_at("training if hour=22-6", midnight + 6 * hour - 1, 0));
	assert_false(matches_at("training if hour=22-6", midnight + 6 * hour, 0));
	assert_false(matches_at("training if hour=22-6", midnight + 22 * hour - 1, 0));
	assert_true(matches_at("training if hour=22-6", midnight + 22 * hour, 0));
	assert_false(matches_at("training if !hour=22-6", midnight, 0));
	assert_true(matches_at("training if hour=9,13-17,0", midnight, 0));
	assert_true(matches_at("training if hour=9", midnight + 10 * hour - 1, 0));
	assert_false(matches_at("training if hour=9", midnight + 10 * hour, 0));
	assert_true(matches_at("training if hour=0-24", midnight + 13 * hour, 0));
	assert_true(matches_at("training if weekday=fri", midnight, 0));
	assert_true(matches_at("training if weekday=mon-fri", midnight + day - 1, 0));
	assert_false(matches_at("training if weekday=mon-fri", midnight + day, 0));
	assert_true(matches_at("training if weekday=sat-mon,wed", midnight + day, 0));
	assert_true(matches_at("training if !weekday=sat,sun hour=0", midnight, 0));
	assert_true(matches_at("training if weekday=thu hour=23", midnight - 1, 0));
	/* whose time */
	assert_true(matches_at("training if weekday=thu hour=22", midnight, -2));
	assert_true(matches_at("training if hour=2 zone=local", midnight, 2));
	assert_true(matches_at("training if hour=0 zone=UTC", midnight, 2));
	assert_true(matches_at("training if hour=5 zone=+05:30", midnight, 2));
	assert_true(matches_at("training if hour=18 weekday=thu zone=-05:30", midnight, 2));
	assert_true(matches_at("training if weekday=wed hour=23", -1, 0)); /* before 1970 */
}

#define NO_CONDITION                                                                               \
	"a feature, user=, database=, application_name=, organization=, hour=, weekday= or "       \
	"zone= is wanted"
#define NO_ACTION                                                                                  \
	"an action is wanted: a class (default, serving, vector, hybrid, training), priority, "    \
	"lane, timeout, deny or log"

static void test_mistakes(void **state)
{
	static const struct {
		const char *line, *error;
	} rows[] = {
		{"", "column 1: " NO_ACTION ", but the line ends"},
		{"fast if spatial", "column 1: " NO_ACTION ", not \"fast\""},
		{"Training if spatial", "column 1: " NO_ACTION ", not \"Training\""},
		{"if spatial", "column 1: an action is wanted before \"if\", not \"if\""},
		{"training", "column 9: \"if\" or another action is wanted, but the line ends"},
		{"training when spatial",
			"column 10: \"if\" or another action is wanted, not \"when\""},
		{"training serving if spatial", "column 10: a class is given twice"},
		{"training priority 0 if spatial",
			"column 19: a priority from 1 to 10 is wanted, not \"0\""},
		{"training priority 11 if spatial",
			"column 19: a priority from 1 to 10 is wanted, not \"11\""},
		{"training priority if spatial",
			"column 19: a priority from 1 to 10 is wanted, not \"if\""},
		{"priority 3 priority 4 if spatial", "column 12: priority is given twice"},
		{"lane fast if spatial",
			"column 6: a lane is wanted (default, ml, training), not \"fast\""},
		{"lane priority if spatial",
			"column 6: a lane is wanted (default, ml, training), not \"priority\""},
		{"lane ml lane ml if spatial", "column 9: lane is given twice"},
		{"timeout soon if spatial",
			"column 9: a time is wanted, like 500ms, 10s or 5min, not \"soon\""},
		{"timeout 0 if spatial",
			"column 9: a time is wanted, like 500ms, 10s or 5min, not \"0\""},
		{"timeout 100d if spatial",
			"column 9: a time is wanted, like 500ms, 10s or 5min, not \"100d\""},
		{"deny no if spatial",
			"column 6: a message in single quotes is wanted, not \"no\""},
		{"deny 'no if spatial", "column 6: a closing quote is wanted, not \"'no\""},
		{"log log if spatial", "column 5: log is given twice"},
		{"training if ", "column 13: a condition is wanted, but the line ends"},
		{"training if spacial", "column 13: " NO_CONDITION ", not \"spacial\""},
		{"training if !spacial", "column 14: " NO_CONDITION ", not \"spacial\""},
		{"training if spatial host=x", "column 21: " NO_CONDITION ", not \"host=x\""},
		{"training if user=", "column 18: a value is wanted, but the line ends"},
		{"training if user= x", "column 18: a value is wanted, but the line ends"},
		{"training if user='x", "column 18: a closing quote is wanted, not \"'x\""},
		{"training if user='x'y",
			"column 21: white space is wanted behind a quoted value, not \"y\""},
		{"training if user=a user=b", "column 20: user is given twice"},
		{"training if spatial !spatial", "column 22: the rule can never match: it wants "
						 "the feature set and not set, not \"spatial\""},
		{"training if organization=acme", "column 26: a uuid is wanted, not \"acme\""},
		{"training if hour=25",
			"column 18: hours are wanted, like 9-17 or 22-6 or 0-4,12, not \"25\""},
		{"training if hour=9-9",
			"column 18: hours are wanted, like 9-17 or 22-6 or 0-4,12, not \"9-9\""},
		{"training if hour=9,",
			"column 18: hours are wanted, like 9-17 or 22-6 or 0-4,12, not \"9,\""},
		{"training if hour=", "column 18: hours are wanted, like 9-17 or 22-6 or 0-4,12, "
				      "but the line ends"},
		{"training if hour=1 hour=2", "column 20: hour is given twice"},
		{"training if weekday=monday",
			"column 21: days are wanted, like mon-fri or sat,sun, not \"monday\""},
		{"training if weekday=mon !weekday=mon",
			"column 37: the rule can never match: no time is left"},
		{"training if zone=CET", "column 18: a zone is wanted: local, UTC, or what it is "
					 "ahead of UTC, like +02:00, not \"CET\""},
		{"training if !zone=UTC",
			"column 14: a zone cannot be negated, not \"zone=UTC\""},
	};
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++) {
		struct rule rule;
		char error[256] = "";
		assert_false(rule_parse(rows[i].line, 1, lanes, &rule, error));
		assert_string_equal(error, rows[i].error);
	}
}

/* Every built-in rule can be reached: some features lead to it, and not to one before it. The last
 * takes all. */
static void test_built_in_reachable(void **state)
{
	for (unsigned i = 0; rules_built_in_at(i) != NULL; i++) {
		const struct rule *rule = rules_built_in_at(i);
		bool reached = rules_built_in_at(i + 1) == NULL && rules_built_in(0) == rule;
		for (unsigned bit = 0; bit < N_FEATURES && !reached; bit++)
			if (rule->any == 0 || rule->any >> bit & 1)
				reached = rules_built_in(rule->all |
							 (rule->any & UINT64_C(1) << bit)) == rule;
		if (!reached)
			fail_msg("%s is never reached", rule->name);
	}
}

/* The short cut for what decides nothing must not hide a rule. */
static void test_context_decides_nothing(void **state)
{
	static const uint64_t bits[] = {FEATURE(WHERE), FEATURE(JOIN), FEATURE(LATERAL),
		FEATURE(WRITE), FEATURE(ENTITY_KEY), FEATURE(ROW_KEY), FEATURE(SCOPE_KEY),
		FEATURE(MODEL_KEY), FEATURE(CREATE_AS)};
	for (unsigned set = 0; set < 1U << N_ELEMENTS(bits); set++) {
		uint64_t features = 0;
		for (unsigned i = 0; i < N_ELEMENTS(bits); i++)
			features |= set >> i & 1 ? bits[i] : 0;
		const struct rule *first = NULL;
		for (unsigned i = 0; first == NULL; i++)
			if (rule_features_match(rules_built_in_at(i), features))
				first = rules_built_in_at(i);
		assert_ptr_equal(first, rules_built_in(features));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_built_in_reachable),
		cmocka_unit_test(test_context_decides_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
