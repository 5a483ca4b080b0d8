/* SPDX-License-Identifier: ISC */
/*
 * The built-in table, in order of decision, and what it takes for a rule to match. Each row of the
 * table is explained in README.md; tests/classify holds it against a corpus.
 */
#include "classify/rules.h"

#define F(bit) FEATURE(bit)
#define ML_ROWS                                                                                    \
	(F(FEATURE_SET) | F(PREDICTIONS) | F(EVENTS) | F(LABELS) | F(TRAINING_SET) | F(EMBEDDINGS))
#define NO_EXTRACTION (F(AGGREGATE) | F(FEW_ROWS) | F(ENTITY_KEY) | F(ROW_KEY))
#define ML_COLUMNS (F(LABEL_COLUMN) | F(VECTOR_COLUMN) | F(FEATURE_ROW))
/* What decides nothing alone: no rule matches a statement that shows only these. */
#define CONTEXT                                                                                    \
	(F(WHERE) | F(JOIN) | F(LATERAL) | F(WRITE) | F(ENTITY_KEY) | F(ROW_KEY) | F(SCOPE_KEY) |  \
		F(MODEL_KEY) | F(CREATE_AS) | F(GROUPED))

/* clang-format off */
static const struct rule built_in[] = {
	/* what does not run a query */
	{ .name = "explain", .class = QUERY_DEFAULT, .all = F(EXPLAIN) },
	{ .name = "schema", .class = QUERY_DEFAULT, .all = F(SCHEMA) },
	{ .name = "copy-from", .class = QUERY_DEFAULT, .all = F(COPY_FROM) },

	{ .name = "train-call", .class = QUERY_TRAINING, .all = F(TRAIN_CALL) },

	/* searches: also under COPY, in a cursor, or inside DML */
	{ .name = "spatial-vector", .class = QUERY_HYBRID,
	  .all = F(SPATIAL), .any = F(VECTOR_DISTANCE) | F(VECTOR_MATCH) | F(HYBRID_MATCH) },
	{ .name = "text-vector", .class = QUERY_HYBRID,
	  .all = F(FULL_TEXT), .any = F(VECTOR_DISTANCE) | F(VECTOR_MATCH) },
	{ .name = "hybrid-match", .class = QUERY_HYBRID, .all = F(HYBRID_MATCH) },
	{ .name = "vector-distance", .class = QUERY_VECTOR, .all = F(VECTOR_DISTANCE) },
	{ .name = "vector-match", .class = QUERY_VECTOR, .all = F(VECTOR_MATCH) },

	/* bulk extraction */
	{ .name = "feast", .class = QUERY_TRAINING,
	  .all = F(FEAST), .none = F(ENTITY_KEY) | F(WRITE) },
	{ .name = "point-in-time", .class = QUERY_TRAINING,
	  .all = F(TIME_JOIN),
	  .any = F(FEATURE_SET) | F(TRAINING_SET) | F(LABEL_TIME),
	  .none = F(ENTITY_KEY) | F(ROW_KEY) | F(WRITE) | F(FEW_ROWS) },
	{ .name = "point-in-time-outcome", .class = QUERY_TRAINING,
	  .all = F(TIME_JOIN) | F(LABELS),
	  .any = F(EVENTS) | F(FEATURE_COLUMN) | F(PREDICTIONS) | F(EMBEDDINGS),
	  .none = F(ENTITY_KEY) | F(ROW_KEY) | F(WRITE) | F(FEW_ROWS) },
	{ .name = "point-in-time-label", .class = QUERY_TRAINING,
	  .all = F(TIME_JOIN) | F(LABEL_COLUMN),
	  .none = F(ENTITY_KEY) | F(ROW_KEY) | F(WRITE) | F(FEW_ROWS) | F(GROUPED) },
	{ .name = "copy-metadata", .class = QUERY_VECTOR,
	  .all = F(COPY_TO) | F(COPY_TABLE) | F(VECTOR_METADATA) },
	{ .name = "copy-table", .class = QUERY_TRAINING,
	  .all = F(COPY_TO) | F(COPY_TABLE), .any = ML_ROWS },
	{ .name = "copy-query", .class = QUERY_TRAINING,
	  .all = F(COPY_TO), .any = ML_ROWS | ML_COLUMNS, .none = NO_EXTRACTION | F(COPY_TABLE) },
	{ .name = "cursor-export", .class = QUERY_TRAINING,
	  .all = F(CURSOR), .any = ML_ROWS, .none = NO_EXTRACTION },
	{ .name = "spatial-ml", .class = QUERY_HYBRID,
	  .all = F(SPATIAL),
	  .any = F(VECTOR_METADATA) | F(EMBEDDINGS) | F(PREDICTIONS) | F(FEATURE_SET) |
		F(PREDICT_CALL) | F(VECTOR_COLUMN),
	  .none = F(WRITE) },

	/* online prediction */
	{ .name = "prediction-insert", .class = QUERY_SERVING, .all = F(PREDICTION_INSERT) },
	{ .name = "predict-call", .class = QUERY_SERVING, .all = F(PREDICT_CALL) },

	{ .name = "training-target", .class = QUERY_TRAINING,
	  .all = F(TRAINING_TARGET),
	  .any = F(FEATURE_SET) | F(EVENTS) | F(LABELS) | F(TRAINING_SET) | F(PREDICTIONS),
	  .none = F(AGGREGATE) },
	{ .name = "feature-scan", .class = QUERY_TRAINING,
	  .all = F(FEATURE_SET), .none = NO_EXTRACTION | F(KEYS_ONLY) | F(WRITE) },
	{ .name = "training-set-scan", .class = QUERY_TRAINING,
	  .all = F(TRAINING_SET), .none = NO_EXTRACTION | F(WRITE) },
	{ .name = "vector-metadata", .class = QUERY_VECTOR,
	  .all = F(VECTOR_METADATA), .none = F(AGGREGATE) },
	{ .name = "feature-lookup", .class = QUERY_SERVING,
	  .all = F(FEATURE_SET), .any = F(ENTITY_KEY) | F(ROW_KEY),
	  .none = F(AGGREGATE) | F(WRITE) },
	{ .name = "feature-row-lookup", .class = QUERY_SERVING,
	  .all = F(FEATURE_ROW) | F(ENTITY_KEY),
	  .none = F(AGGREGATE) | F(WRITE) | F(JOIN) | F(KEYS_ONLY) },
	{ .name = "prediction-lookup", .class = QUERY_SERVING,
	  .all = F(PREDICTIONS) | F(ENTITY_KEY), .none = F(AGGREGATE) | F(WRITE) },
	{ .name = "production-model", .class = QUERY_SERVING,
	  .all = F(MODELS) | F(PRODUCTION), .any = F(MODEL_KEY) | F(ROW_KEY),
	  .none = F(AGGREGATE) | F(WRITE) },

	/* events and outcomes, where the statement says that they are for fitting */
	{ .name = "labelled-outcomes", .class = QUERY_TRAINING,
	  .all = F(PREDICTIONS) | F(OUTCOME_COLUMN), .none = NO_EXTRACTION | F(WRITE) },
	{ .name = "joined-labels", .class = QUERY_TRAINING,
	  .all = F(EVENTS) | F(JOIN) | F(LABELS) | F(LABEL_COLUMN), .none = NO_EXTRACTION | F(WRITE) },
	{ .name = "sampled-events", .class = QUERY_TRAINING,
	  .all = F(EVENTS) | F(SAMPLE), .none = NO_EXTRACTION | F(WRITE) },
	{ .name = "labelled-events", .class = QUERY_TRAINING,
	  .all = F(EVENTS) | F(LABEL_COLUMN) | F(WHERE), .none = NO_EXTRACTION | F(WRITE) },

	{ .name = "default", .class = QUERY_DEFAULT, .is_last = true },
};
/* clang-format on */

static inline bool matches(const struct rule *rule, uint64_t features)
{
	return (features & rule->all) == rule->all && (rule->any == 0 || features & rule->any) &&
	       (features & rule->none) == 0;
}

bool rule_features_match(const struct rule *rule, uint64_t features)
{
	return matches(rule, features);
}

const struct rule *rules_built_in_at(unsigned i)
{
	return i < N_ELEMENTS(built_in) ? &built_in[i] : NULL;
}

const struct rule *rules_built_in(uint64_t features)
{
	const struct rule *rule = built_in;
	const struct rule *last = &built_in[N_ELEMENTS(built_in) - 1];
	if ((features & ~CONTEXT) == 0)
		return last;
	while (rule != last && !matches(rule, features))
		rule++;
	return rule;
}

#undef F

/* ---- the operator's rules ---- */

/* * is any characters, everything else itself. Linear in practice, quadratic at worst: names are
 * short and the operator wrote the pattern. */
static bool pattern_matches(const char *pattern, const char *text)
{
	const char *star = NULL, *resume = NULL;
	while (*text != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			resume = text;
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star + 1;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static bool condition_holds(const struct rule_condition *condition,
	const struct classify_session *session, const char *organization)
{
	const char *const facts[N_RULE_FACTS] = {
		[RULE_USER] = session->user,
		[RULE_DATABASE] = session->database,
		[RULE_APPLICATION_NAME] = session->application_name,
		[RULE_ORGANIZATION] = organization,
	};
	bool same = condition->fact == RULE_ORGANIZATION
			    ? strcasecmp(condition->pattern, organization) == 0
			    : pattern_matches(condition->pattern, facts[condition->fact]);
	return same != condition->negated;
}

/* Of the rule's zone. 1970 began on a Thursday. */
static bool time_matches(const struct rule *rule, const struct classify_session *session)
{
	enum { HOUR_S = 3600, DAY_S = 24 * HOUR_S, MONDAY = 3, WEEK = 7 };
	int64_t local_s = session->now_s +
			  (rule->has_zone ? rule->utc_offset_s : session->utc_offset_s);
	int64_t second = local_s % DAY_S, day = local_s / DAY_S;
	if (second < 0) {
		second += DAY_S;
		day--;
	}
	unsigned weekday = (unsigned)(((day + MONDAY) % WEEK + WEEK) % WEEK);
	return (rule->hours >> (second / HOUR_S) & 1) != 0 && (rule->weekdays >> weekday & 1) != 0;
}

bool rule_matches(const struct rule *rule, uint64_t features,
	const struct classify_session *session, const char *organization)
{
	if (!rule_features_match(rule, features) ||
		(session->only_session && (rule->all | rule->none) != 0))
		return false;
	for (unsigned i = 0; i < rule->n_conditions; i++)
		if (!condition_holds(&rule->conditions[i], session, organization))
			return false;
	return !rule->asks_time || time_matches(rule, session);
}
