/* SPDX-License-Identifier: ISC */
/*
 * The decision. Each statement of the text is read and judged by the rules; the heaviest class
 * wins. Above the rules stand the session's own setting and, above that, an annotation, if the user
 * may annotate.
 */
#include "classify/classify.h"

#include "base/mem.h"
#include "base/strbuf.h"
#include "classify/entity.h"
#include "classify/features.h"
#include "classify/rules.h"
#include "pgw/annotation.h"
#include "pgw/printer.h"

#define PRIORITY_DEFAULT 5
#define PRIORITY_MAX 10
#define UUID_CHARACTERS 36

struct classifier {
	struct words words; /* first, so that its entries lie in cache lines as they are meant to */
	struct rule *rules;
	unsigned n_rules;
	bool asks_time, asks_organization; /* a rule does */
};

static const char *const class_names[N_QUERY_CLASSES] = {
	[QUERY_DEFAULT] = "default",
	[QUERY_SERVING] = "serving",
	[QUERY_VECTOR] = "vector",
	[QUERY_HYBRID] = "hybrid",
	[QUERY_TRAINING] = "training",
};

const struct words *classifier_words(const struct classifier *classifier)
{
	return &classifier->words;
}

const char *query_class_name(enum query_class class)
{
	MUST(class < N_QUERY_CLASSES);
	return class_names[class];
}

bool query_class_parse(const char *text, size_t n, enum query_class *class_r)
{
	for (unsigned i = 0; i < N_QUERY_CLASSES; i++)
		if (strlen(class_names[i]) == n && memcmp(class_names[i], text, n) == 0) {
			*class_r = (enum query_class)i;
			return true;
		}
	return false;
}

static const char *const source_names[N_CLASS_SOURCES] = {
	[SOURCE_DEFAULT] = "default",
	[SOURCE_LEARNED] = "learned",
	[SOURCE_BUILT_IN] = "built-in",
	[SOURCE_RULE] = "rule",
	[SOURCE_SETTING] = "setting",
	[SOURCE_ANNOTATION] = "annotation",
};

const char *class_source_name(enum class_source source)
{
	MUST(source < N_CLASS_SOURCES);
	return source_names[source];
}

bool class_source_parse(const char *text, enum class_source *source_r)
{
	for (unsigned i = 0; i < N_CLASS_SOURCES; i++)
		if (strcmp(source_names[i], text) == 0) {
			*source_r = (enum class_source)i;
			return true;
		}
	return false;
}

static void note_what_is_asked(struct classifier *classifier, const struct rule *rule)
{
	classifier->asks_time |= rule->asks_time;
	for (unsigned i = 0; i < rule->n_conditions; i++)
		classifier->asks_organization |= rule->conditions[i].fact == RULE_ORGANIZATION;
}

struct classifier *classifier_new(const char *const *rules, unsigned n_rules,
	struct classifier_lanes lanes, unsigned *bad_line_r, char error[static 256])
{
	struct classifier *classifier = mem_zalloc_lines(sizeof(*classifier));
	words_init(&classifier->words);
	classifier->rules = n_rules > 0 ? mem_zalloc(n_rules * sizeof(*classifier->rules)) : NULL;
	for (unsigned i = 0; i < n_rules; i++) {
		if (!rule_parse(rules[i], i + 1, lanes, &classifier->rules[i], error)) {
			*bad_line_r = i;
			classifier_free(&classifier);
			return NULL;
		}
		note_what_is_asked(classifier, &classifier->rules[i]);
		classifier->n_rules++;
	}
	return classifier;
}

bool classify_rule_check(
	const char *line, const char *const *lanes, unsigned n_lanes, char error[static 256])
{
	struct rule rule;
	bool ok = rule_parse(line, 0, (struct classifier_lanes){lanes, n_lanes}, &rule, error);
	if (ok)
		rule_release(&rule);
	return ok;
}

bool classifier_asks_time(const struct classifier *classifier)
{
	return classifier->asks_time;
}

void classifier_free(struct classifier **classifier)
{
	struct classifier *c = *classifier;
	*classifier = NULL;
	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->n_rules; i++)
		rule_release(&c->rules[i]);
	mem_free(c->rules);
	mem_free(c);
}

void classify_feature_names(uint64_t features, struct strbuf *out)
{
	const char *separator = "";
	for (unsigned i = 0; i < N_FEATURES; i++)
		if (features >> i & 1) {
			strbuf_adds(out, separator);
			strbuf_adds(out, feature_name(i));
			separator = ",";
		}
}

bool classify_declares_cursor(uint64_t features)
{
	return (features & FEATURE(CURSOR)) != 0;
}

/* ---- statements ---- */

/* The operator's rule that decides; NULL: none does. */
NOINLINE static const struct rule *operators_rule(const struct classifier *classifier,
	const struct classify_session *session, uint64_t features, struct classify_result *result)
{
	const char *organization = result->has_organization ? result->organization : "";
	for (unsigned i = 0; i < classifier->n_rules; i++) {
		const struct rule *rule = &classifier->rules[i];
		if (!rule_matches(rule, features, session, organization))
			continue;
		if (rule->logs && result->log_rule == NULL)
			result->log_rule = rule->name;
		if (!rule->only_logs)
			return rule;
	}
	return NULL;
}

struct decision {
	const struct rule *rule;
	const struct rule *giver; /* of the class: the rule, or a built-in one in its place */
};

static struct decision decide(const struct classifier *classifier,
	const struct classify_session *session, uint64_t features, struct classify_result *result)
{
	const struct rule *rule =
		classifier->n_rules > 0
			? operators_rule(classifier, session, features, result)
			: NULL;
	if (rule != NULL && !rule->keeps_class)
		return (struct decision){rule, rule};
	const struct rule *built_in = rules_built_in(features);
	return (struct decision){rule != NULL ? rule : built_in, built_in};
}

/* A rule that only ranks or limits leaves the class to others; one that names the lane does not. */
static inline uint8_t source_of(struct decision decision)
{
	if (decision.giver->is_operators || decision.rule->has_lane)
		return SOURCE_RULE;
	return decision.giver->is_last ? SOURCE_DEFAULT : SOURCE_BUILT_IN;
}

static void deny_by(const struct rule *rule, struct classify_result *result)
{
	if (rule->deny == NULL || result->deny != NULL)
		return;
	result->deny = rule->deny;
	result->deny_rule = rule->name;
}

/* pglane.class, after this statement of the text. */
static void note_change(const struct statement *statement, struct classify_result *result)
{
	if (statement->change != CLASS_KEPT) {
		result->change = statement->change;
		result->changed_class = statement->changed_class;
		result->bad_class = statement->bad_class;
	} else if (statement->kind == STATEMENT_ROLLBACK ||
		   (statement->kind == STATEMENT_COMMIT && result->change == CLASS_SET_LOCAL)) {
		result->change = CLASS_KEPT;
	}
}

static bool is_work(enum statement_kind kind)
{
	return kind == STATEMENT_WORK || kind == STATEMENT_PREPARE || kind == STATEMENT_EXECUTE;
}

/* A text of several statements: work if one of them is; what ends or begins a transaction among
 * others is an effect. */
static void merge_kind(
	struct classify_result *result, const struct statement *statement, unsigned n_before)
{
	if (n_before == 0) {
		result->kind = statement->kind;
		if (statement->name[0] != '\0')
			memcpy(result->prepared_name, statement->name,
				sizeof(result->prepared_name));
		return;
	}
	result->kind = is_work(result->kind) || is_work(statement->kind) ? STATEMENT_WORK
									 : STATEMENT_NEUTRAL;
	result->prepared_name[0] = '\0';
}

/* Returns whether a comment was passed that may be an annotation. *asked_r: the class that the text
 * itself asks for by SET pglane.class, if it does. */
static bool read_statements(const struct classifier *classifier,
	const struct classify_session *session, const char *sql, size_t n,
	struct classify_result *result, uint8_t *asked_r, struct pgw_printer *printer)
{
	struct reader reader;
	reader_init(&reader, &classifier->words, sql, n, session->backslash_escapes, printer);
	reader.catalog = session->catalog;

	struct decision heaviest = {0};
	unsigned n_statements = 0;
	bool has_transaction = false;
	struct statement statement;
	while (features_next(&reader, &statement)) {
		if (statement.kind == STATEMENT_EMPTY)
			continue;
		merge_kind(result, &statement, n_statements++);
		has_transaction |= statement.is_transaction;
		result->effects |= statement.effects;
		if (UNLIKELY(statement.is_transaction || statement.change != CLASS_KEPT)) {
			note_change(&statement, result);
			if (statement.change != CLASS_KEPT)
				*asked_r = statement.changed_class;
		}
		struct decision decision =
			decide(classifier, session, statement.features, result);
		if (!statement.is_transaction)
			deny_by(decision.rule, result);
		if (heaviest.rule == NULL || decision.giver->class > heaviest.giver->class) {
			heaviest = decision;
			result->features = statement.features;
		}
	}
	if (has_transaction && (n_statements > 1 || result->kind == STATEMENT_WORK))
		result->effects |= EFFECT_TRANSACTION;
	if (heaviest.rule == NULL) {
		heaviest = decide(classifier, session, 0, result);
		if (session->only_session)
			deny_by(heaviest.rule, result);
	}
	result->class = heaviest.giver->class;
	result->source = source_of(heaviest);
	result->priority = heaviest.rule->priority != 0 ? heaviest.rule->priority : PRIORITY_DEFAULT;
	result->rule = heaviest.rule->name;
	result->has_lane = heaviest.rule->has_lane;
	result->lane = heaviest.rule->lane;
	result->timeout_ms = heaviest.rule->timeout_ms;
	return reader.lexer.passed_comment;
}

/* ---- annotations ---- */

/* 1..10, no signs, no leading zeros; 0 when it is none. */
static unsigned parse_priority(const char *text)
{
	if (text[0] >= '1' && text[0] <= '9' && text[1] == '\0')
		return (unsigned)(text[0] - '0');
	return text[0] == '1' && text[1] == '0' && text[2] == '\0' ? PRIORITY_MAX : 0;
}

static void apply_class(const char *value, struct classify_result *result)
{
	enum query_class class;
	if (query_class_parse(value, strlen(value), &class)) {
		result->class = class;
		result->rule = "annotation";
		result->source = SOURCE_ANNOTATION;
		result->annotated = true;
		result->has_lane = false;
	} else {
		result->bad_annotation = true;
	}
}

/* More than the user may ask for is given as far as it is allowed, and counted. */
static void apply_priority(
	const char *value, const struct classify_session *session, struct classify_result *result)
{
	unsigned priority = parse_priority(value);
	if (priority == 0 || priority > session->max_priority)
		result->bad_annotation = true;
	if (priority != 0 && session->max_priority != 0)
		result->priority = (uint8_t)MIN_OF(priority, session->max_priority);
}

static void apply_organization(const char *value, struct classify_result *result)
{
	result->has_organization = rule_is_uuid(value, strlen(value));
	if (result->has_organization)
		memcpy(result->organization, value, UUID_CHARACTERS + 1);
	else
		result->bad_annotation = true;
}

static bool names_search(const struct pgw_annotation *annotation)
{
	static const char *const keys[] = {"ml_near_text", "ml_near_vector", "ml_hybrid",
		"ml_collection", "ml_limit", "ml_max_distance"};

	for (unsigned i = 0; annotation->n > 0 && i < N_ELEMENTS(keys); i++)
		if (pgw_annotation_get(annotation, keys[i]) != NULL)
			return true;
	return annotation->malformed_search;
}

/* Apart: few statements have one, and its room on the stack is as large as a page. */
NOINLINE static void apply_annotations(const struct classify_session *session, const char *sql,
	size_t n, struct classify_result *result)
{
	struct pgw_annotation annotation;
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	lexer.standard_conforming_strings = !session->backslash_escapes;
	pgw_annotation_read(lexer, &annotation);
	const char *class = pgw_annotation_get(&annotation, "ml_class");
	const char *priority = pgw_annotation_get(&annotation, "ml_priority");
	const char *organization = pgw_annotation_get(&annotation, "ml_organization");
	result->bad_annotation = annotation.n_malformed > 0;
	if (entity_is_asked_for(sql, n) || pgw_annotation_get(&annotation, "ml_entity"))
		result->actions |= ACTION_NOTE;
	if (names_search(&annotation))
		result->actions |= ACTION_SEARCH;
	if (!session->may_annotate) {
		result->bad_annotation |= class != NULL || priority != NULL || organization != NULL;
		return;
	}
	if (class != NULL)
		apply_class(class, result);
	if (priority != NULL)
		apply_priority(priority, session, result);
	if (organization != NULL)
		apply_organization(organization, result);
}

/* Ahead of the rules, when one of them asks for it. */
NOINLINE static void read_organization(const struct classify_session *session, const char *sql,
	size_t n, struct classify_result *result)
{
	struct classify_result annotated = {0};
	if (!session->may_annotate || memmem(sql, n, "/*", 2) == NULL)
		return;
	apply_annotations(session, sql, n, &annotated);
	result->has_organization = annotated.has_organization;
	if (annotated.has_organization)
		memcpy(result->organization, annotated.organization,
			sizeof(result->organization));
}

/* The class that the text, or else the session, asks for takes the place of the rules': with the
 * lane that they may have named. */
static void apply_setting(const struct classify_session *session, uint8_t asked,
	struct classify_result *result)
{
	if (asked == N_QUERY_CLASSES || (asked > N_QUERY_CLASSES && !session->has_class))
		return;
	result->class = asked < N_QUERY_CLASSES ? (enum query_class)asked : session->class;
	result->rule = "setting";
	result->source = SOURCE_SETTING;
	result->has_lane = false;
}

static inline void classify_text(const struct classifier *classifier,
	const struct classify_session *session, const char *sql, size_t n,
	struct classify_result *result_r, struct pgw_printer *printer)
{
	uint8_t asked = UINT8_MAX;
	/* field by field: clearing the names would cost more than some statements do */
	result_r->kind = STATEMENT_EMPTY;
	result_r->effects = 0;
	result_r->features = 0;
	result_r->deny = NULL;
	result_r->log_rule = NULL;
	result_r->change = CLASS_KEPT;
	result_r->annotated = false;
	result_r->actions = 0;
	result_r->bad_annotation = false;
	result_r->has_organization = false;
	result_r->prepared_name[0] = '\0';
	if (UNLIKELY(classifier->asks_organization))
		read_organization(session, sql, n, result_r);
	bool has_comment =
		read_statements(classifier, session, sql, n, result_r, &asked, printer);
	apply_setting(session, asked, result_r);
	if (has_comment)
		apply_annotations(session, sql, n, result_r);
}

void classify(const struct classifier *classifier, const struct classify_session *session,
	const char *sql, size_t n, struct classify_result *result_r)
{
	classify_text(classifier, session, sql, n, result_r, NULL);
}

void classify_printed(const struct classifier *classifier, const struct classify_session *session,
	const char *sql, size_t n, struct classify_result *result_r, struct pgw_hash128 *print_r)
{
	struct pgw_printer printer;
	pgw_printer_begin(&printer);
	classify_text(classifier, session, sql, n, result_r, &printer);
	*print_r = pgw_printer_end(&printer);
}
