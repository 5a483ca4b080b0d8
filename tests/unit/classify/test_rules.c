/* SPDX-License-Identifier: ISC */
/* The operator's lines: what they mean, and that a wrong one says where and what would be right. */
#include "classify/rules.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct classify_session session = {
	.user = "etl_7", .database = "shop", .application_name = "model server"};

static bool matches(const char *line, uint64_t features)
{
	struct rule rule;
	char error[256] = "";
	if (!rule_parse(line, 1, &rule, error))
		fail_msg("%s: %s", line, error);
	bool result = rule_matches(&rule, features, &session);
	rule_release(&rule);
	return result;
}

static void test_parse(void **state)
{
	struct rule rule;
	char error[256];
	assert_true(rule_parse("  training\tpriority 10 if copy-to !aggregate user='a b' "
			       "database=d* application_name=x ",
		12, &rule, error));
	assert_int_equal(rule.class, QUERY_TRAINING);
	assert_int_equal(rule.priority, 10);
	assert_true(rule.all == FEATURE(COPY_TO));
	assert_true(rule.none == FEATURE(AGGREGATE));
	assert_string_equal(rule.user, "a b");
	assert_string_equal(rule.database, "d*");
	assert_string_equal(rule.application_name, "x");
	assert_string_equal(rule.name, "rules:12");
	rule_release(&rule);
	assert_true(rule_parse("default if where", 1, &rule, error));
	assert_int_equal(rule.priority, 0);
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
	assert_true(matches("training if spatial", FEATURE(SPATIAL) | FEATURE(WHERE)));
	assert_false(matches("training if spatial where", FEATURE(SPATIAL)));
	assert_true(matches("training if !spatial where", FEATURE(WHERE)));
	assert_false(matches("training if !spatial where", FEATURE(WHERE) | FEATURE(SPATIAL)));
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *line, *error;
	} rows[] = {
		{"", "column 1: a class is wanted (default, serving, vector, hybrid, training), "
		     "but the line ends"},
		{"fast if spatial", "column 1: a class is wanted (default, serving, vector, "
				    "hybrid, training), not \"fast\""},
		{"Training if spatial", "column 1: a class is wanted (default, serving, vector, "
					"hybrid, training), not \"Training\""},
		{"training", "column 9: \"if\" or \"priority\" is wanted, but the line ends"},
		{"training when spatial",
			"column 10: \"if\" or \"priority\" is wanted, not \"when\""},
		{"training priority 0 if spatial",
			"column 19: a priority from 1 to 10 is wanted, not \"0\""},
		{"training priority 11 if spatial",
			"column 19: a priority from 1 to 10 is wanted, not \"11\""},
		{"training priority if spatial",
			"column 19: a priority from 1 to 10 is wanted, not \"if\""},
		{"training priority 3 spatial", "column 21: \"if\" is wanted, not \"spatial\""},
		{"training if ", "column 13: a condition is wanted, but the line ends"},
		{"training if spacial", "column 13: a feature, user=, database= or "
					"application_name= is wanted, not \"spacial\""},
		{"training if spatial host=x", "column 21: a feature, user=, database= or "
					       "application_name= is wanted, not \"host=x\""},
		{"training if user=", "column 18: a value is wanted, but the line ends"},
		{"training if user= x", "column 18: a value is wanted, but the line ends"},
		{"training if user='x", "column 18: a closing quote is wanted, not \"'x\""},
		{"training if user='x'y",
			"column 21: white space is wanted behind a quoted value, not \"y\""},
		{"training if user=a user=b", "column 20: user is given twice"},
		{"training if spatial !spatial", "column 22: the rule can never match: it wants "
						 "the feature set and not set, not \"spatial\""},
	};
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++) {
		struct rule rule;
		char error[256] = "";
		assert_false(rule_parse(rows[i].line, 1, &rule, error));
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
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_built_in_reachable),
		cmocka_unit_test(test_context_decides_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
