/* SPDX-License-Identifier: ISC */
/*
 * The built-in table, in order of decision, and the small language of [rules]. Each row of the
 * table is explained in README.md; tests/classify holds it against a corpus.
 */
#include "classify/rules.h"

#include "base/mem.h"

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
	  .any = F(FEATURE_SET) | F(LABELS) | F(TRAINING_SET) | F(LABEL_TIME),
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
	  .all = F(FEATURE_ROW) | F(ENTITY_KEY), .none = F(AGGREGATE) | F(WRITE) | F(JOIN) },
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

	{ .name = "default", .class = QUERY_DEFAULT },
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

/* ---- the operator's lines ---- */

struct line {
	const char *text;
	const char *at;
	char *error; /* 256 bytes */
};

static unsigned column_of(const struct line *line)
{
	return (unsigned)(line->at - line->text) + 1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static void skip_space(struct line *line)
{
	while (is_space(*line->at))
		line->at++;
}

/* The word at line->at, up to white space. */
static size_t word_length(const struct line *line)
{
	return strcspn(line->at, " \t");
}

static bool accept_word(struct line *line, const char *word)
{
	size_t n = word_length(line);
	if (n != strlen(word) || memcmp(line->at, word, n) != 0)
		return false;
	line->at += n;
	skip_space(line);
	return true;
}

static bool fail(struct line *line, const char *what)
{
	size_t n = word_length(line);
	if (n == 0)
		snprintf(line->error, 256, "column %u: %s, but the line ends", column_of(line),
			what);
	else
		snprintf(line->error, 256, "column %u: %s, not \"%.*s\"", column_of(line), what,
			(int)MIN_OF(n, 64), line->at);
	return false;
}

static bool read_class(struct line *line, struct rule *rule)
{
	size_t n = word_length(line);
	if (!query_class_parse(line->at, n, &rule->class))
		return fail(line, "a class is wanted (default, serving, vector, hybrid, training)");
	line->at += n;
	skip_space(line);
	return true;
}

static bool read_priority(struct line *line, struct rule *rule)
{
	if (!accept_word(line, "priority"))
		return true;
	size_t n = word_length(line);
	unsigned value = 0;
	for (size_t i = 0; i < n && value <= 10; i++)
		value = line->at[i] >= '0' && line->at[i] <= '9'
				? value * 10 + (unsigned)(line->at[i] - '0')
				: 11;
	if (n == 0 || value < 1 || value > 10)
		return fail(line, "a priority from 1 to 10 is wanted");
	rule->priority = (uint8_t)value;
	line->at += n;
	skip_space(line);
	return true;
}

static bool read_value(struct line *line, char **value_r)
{
	const char *from = line->at;
	size_t n = word_length(line);
	if (*from == '\'') {
		from++;
		const char *quote = strchr(from, '\'');
		if (quote == NULL)
			return fail(line, "a closing quote is wanted");
		n = (size_t)(quote - from);
		line->at = quote + 1;
		if (*line->at != '\0' && !is_space(*line->at))
			return fail(line, "white space is wanted behind a quoted value");
	} else {
		line->at += n;
	}
	if (n == 0)
		return fail(line, "a value is wanted");
	*value_r = mem_strndup(from, n);
	return true;
}

static bool read_fact(struct line *line, const char *key, size_t n_key, char **value_r)
{
	if (*value_r != NULL) {
		snprintf(line->error, 256, "column %u: %.*s is given twice", column_of(line),
			(int)n_key, key);
		return false;
	}
	line->at += n_key + 1;
	return read_value(line, value_r);
}

static bool read_feature(struct line *line, struct rule *rule)
{
	bool negated = *line->at == '!';
	uint64_t bit;
	line->at += negated;
	if (!feature_parse(line->at, word_length(line), &bit))
		return fail(line, "a feature, user=, database= or application_name= is wanted");
	if ((negated ? rule->all : rule->none) & bit)
		return fail(line, "the rule can never match: it wants the feature set and not set");
	line->at += word_length(line);
	*(negated ? &rule->none : &rule->all) |= bit;
	return true;
}

static bool read_condition(struct line *line, struct rule *rule)
{
	struct {
		const char *key;
		char **value;
	} facts[] = {{"user", &rule->user}, {"database", &rule->database},
		{"application_name", &rule->application_name}};
	const char *key = line->at;
	size_t n_key = strcspn(key, " \t=");
	bool ok;
	if (key[n_key] != '=') {
		ok = read_feature(line, rule);
	} else {
		unsigned i = 0;
		while (i < N_ELEMENTS(facts) &&
			(strlen(facts[i].key) != n_key || memcmp(facts[i].key, key, n_key) != 0))
			i++;
		ok = i < N_ELEMENTS(facts) ? read_fact(line, key, n_key, facts[i].value)
					   : fail(line, "a feature, user=, database= or "
							"application_name= is wanted");
	}
	skip_space(line);
	return ok;
}

static bool read_rule(struct line *line, struct rule *rule)
{
	skip_space(line);
	if (!read_class(line, rule) || !read_priority(line, rule))
		return false;
	if (!accept_word(line, "if"))
		return fail(line, rule->priority != 0 ? "\"if\" is wanted"
						      : "\"if\" or \"priority\" is wanted");
	if (*line->at == '\0')
		return fail(line, "a condition is wanted");
	while (*line->at != '\0')
		if (!read_condition(line, rule))
			return false;
	return true;
}

bool rule_parse(const char *text, unsigned number, struct rule *rule_r, char error[static 256])
{
	struct line line = {.text = text, .at = text, .error = error};
	*rule_r = (struct rule){0};
	snprintf(rule_r->name, sizeof(rule_r->name), "rules:%u", number);
	if (read_rule(&line, rule_r))
		return true;
	rule_release(rule_r);
	return false;
}

void rule_release(struct rule *rule)
{
	mem_free(rule->user);
	mem_free(rule->database);
	mem_free(rule->application_name);
	*rule = (struct rule){0};
}

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

static bool fact_matches(const char *pattern, const char *value)
{
	return pattern == NULL || pattern_matches(pattern, value);
}

bool rule_matches(
	const struct rule *rule, uint64_t features, const struct classify_session *session)
{
	return rule_features_match(rule, features) && fact_matches(rule->user, session->user) &&
	       fact_matches(rule->database, session->database) &&
	       fact_matches(rule->application_name, session->application_name);
}
