/* SPDX-License-Identifier: ISC */
/*
 * The small language of [rules], read from left to right without a way back: what is at a column
 * decides what it is, so that a mistake can say where it is and what would be right there.
 */
#include "base/mem.h"
#include "base/strbuf.h"
#include "classify/rules.h"
#include "config/values.h"

#define ERROR_BYTES 256
#define UUID_CHARACTERS 36
#define ALL_HOURS 0xffffffu
#define ALL_DAYS 0x7fu

static const char condition_wanted[] =
	"a feature, user=, database=, application_name=, organization=, hour=, weekday= or zone= "
	"is wanted";

struct line {
	const char *text;
	const char *at;
	struct classifier_lanes lanes;
	bool has_class, has_hours, has_days; /* what may be given once */
	char *error;			     /* ERROR_BYTES */
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

static bool word_is(const struct line *line, const char *word)
{
	size_t n = word_length(line);
	return n == strlen(word) && memcmp(line->at, word, n) == 0;
}

static void skip_word(struct line *line)
{
	line->at += word_length(line);
	skip_space(line);
}

static bool fail(struct line *line, const char *what)
{
	size_t n = word_length(line);
	if (n == 0)
		snprintf(line->error, ERROR_BYTES, "column %u: %s, but the line ends",
			column_of(line), what);
	else
		snprintf(line->error, ERROR_BYTES, "column %u: %s, not \"%.*s\"", column_of(line),
			what, (int)MIN_OF(n, 64), line->at);
	return false;
}

static bool fail_twice(struct line *line, const char *what)
{
	snprintf(line->error, ERROR_BYTES, "column %u: %s is given twice", column_of(line), what);
	return false;
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
	skip_space(line);
	return true;
}

/* ---- actions ---- */

static bool read_class(struct line *line)
{
	if (line->has_class)
		return fail_twice(line, "a class");
	line->has_class = true;
	skip_word(line);
	return true;
}

static bool read_priority(struct line *line, struct rule *rule)
{
	size_t n = word_length(line);
	unsigned value = 0;
	for (size_t i = 0; i < n && value <= 10; i++)
		value = line->at[i] >= '0' && line->at[i] <= '9'
				? value * 10 + (unsigned)(line->at[i] - '0')
				: 11;
	if (n == 0 || value < 1 || value > 10)
		return fail(line, "a priority from 1 to 10 is wanted");
	rule->priority = (uint8_t)value;
	skip_word(line);
	return true;
}

static bool read_lane(struct line *line, struct rule *rule)
{
	struct strbuf what = STRBUF_INIT;
	const char *separator = "";
	strbuf_adds(&what, "a lane is wanted (");
	for (unsigned i = 0; i < line->lanes.n; i++) {
		const char *name = line->lanes.names[i];
		if (name == NULL)
			continue;
		if (word_is(line, name)) {
			rule->has_lane = true;
			rule->lane = (uint8_t)i;
			skip_word(line);
			strbuf_release(&what);
			return true;
		}
		strbuf_addf(&what, "%s%s", separator, name);
		separator = ", ";
	}
	strbuf_adds(&what, ")");
	fail(line, what.data);
	strbuf_release(&what);
	return false;
}

static bool read_timeout(struct line *line, struct rule *rule)
{
	static const struct value_type type = {
		.kind = VALUE_TIME, .min = 1000, .max = UINT64_C(1000) * UINT32_MAX};
	struct strbuf why = STRBUF_INIT;
	uint64_t timeout_us = 0;
	char *text = mem_strndup(line->at, word_length(line));
	bool ok = *text != '\0' && value_set(&type, &timeout_us, text, &why);
	mem_free(text);
	strbuf_release(&why);
	if (!ok)
		return fail(line, "a time is wanted, like 500ms, 10s or 5min");
	rule->timeout_ms = (uint32_t)(timeout_us / 1000);
	skip_word(line);
	return true;
}

static bool read_deny(struct line *line, struct rule *rule)
{
	if (*line->at != '\'')
		return fail(line, "a message in single quotes is wanted");
	return read_value(line, &rule->deny);
}

/* One action at line->at. False: a mistake; *is_action_r false: it is none. */
static bool read_action(struct line *line, struct rule *rule, bool *is_action_r)
{
	*is_action_r = true;
	if (query_class_parse(line->at, word_length(line), &rule->class))
		return read_class(line);
	if (word_is(line, "priority")) {
		if (rule->priority != 0)
			return fail_twice(line, "priority");
		skip_word(line);
		return read_priority(line, rule);
	}
	if (word_is(line, "lane")) {
		if (rule->has_lane)
			return fail_twice(line, "lane");
		skip_word(line);
		return read_lane(line, rule);
	}
	if (word_is(line, "timeout")) {
		if (rule->timeout_ms != 0)
			return fail_twice(line, "timeout");
		skip_word(line);
		return read_timeout(line, rule);
	}
	if (word_is(line, "deny")) {
		if (rule->deny != NULL)
			return fail_twice(line, "deny");
		skip_word(line);
		return read_deny(line, rule);
	}
	if (word_is(line, "log")) {
		if (rule->logs)
			return fail_twice(line, "log");
		rule->logs = true;
		skip_word(line);
		return true;
	}
	*is_action_r = false;
	return true;
}

static bool read_actions(struct line *line, struct rule *rule)
{
	unsigned n = 0;
	while (!word_is(line, "if")) {
		bool is_action;
		if (!read_action(line, rule, &is_action))
			return false;
		if (!is_action)
			return fail(line,
				n == 0 ? "an action is wanted: a class (default, serving, vector, "
					 "hybrid, training), priority, lane, timeout, deny or log"
				       : "\"if\" or another action is wanted");
		n++;
	}
	if (n == 0)
		return fail(line, "an action is wanted before \"if\"");
	rule->keeps_class = !line->has_class;
	rule->only_logs = rule->logs && n == 1;
	skip_word(line);
	return true;
}

/* ---- conditions ---- */

static bool read_feature(struct line *line, struct rule *rule, bool negated)
{
	uint64_t bit;
	if (!feature_parse(line->at, word_length(line), &bit))
		return fail(line, condition_wanted);
	if ((negated ? rule->all : rule->none) & bit)
		return fail(line, "the rule can never match: it wants the feature set and not set");
	skip_word(line);
	*(negated ? &rule->none : &rule->all) |= bit;
	return true;
}

bool rule_is_uuid(const char *text, size_t n)
{
	if (n != UUID_CHARACTERS)
		return false;
	for (unsigned i = 0; i < UUID_CHARACTERS; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? text[i] != '-' : strchr("0123456789abcdefABCDEF", text[i]) == NULL)
			return false;
	}
	return true;
}

static bool read_fact(struct line *line, struct rule *rule, enum rule_fact fact, bool negated)
{
	char *pattern;
	if (fact == RULE_ORGANIZATION && !rule_is_uuid(line->at, word_length(line)))
		return fail(line, "a uuid is wanted");
	if (!read_value(line, &pattern))
		return false;
	rule->conditions = mem_realloc(
		rule->conditions, (rule->n_conditions + 1) * sizeof(*rule->conditions));
	rule->conditions[rule->n_conditions++] =
		(struct rule_condition){.fact = fact, .negated = negated, .pattern = pattern};
	return true;
}

/* The number at *at, of up to two digits, or the word of three letters; -1: none is there. */
static int read_point(const char **at, const char *const *words, unsigned n_words)
{
	if (words == NULL) {
		int value = -1;
		for (unsigned i = 0; i < 2 && **at >= '0' && **at <= '9'; i++)
			value = (value < 0 ? 0 : value * 10) + (*(*at)++ - '0');
		return value;
	}
	for (unsigned i = 0; i < n_words; i++)
		if (strncmp(*at, words[i], 3) == 0) {
			*at += 3;
			return (int)i;
		}
	return -1;
}

/* Hours end before their last one (9-17: up to 17:00), days with it; both go round (22-6, fri-mon). */
static bool read_range(
	const char **at, const char *const *words, unsigned size, uint32_t *mask)
{
	int from = read_point(at, words, size), to = from;
	if (from < 0 || from >= (int)size)
		return false;
	if (**at == '-') {
		(*at)++;
		to = read_point(at, words, size);
		if (to < 0 || to > (int)size || (words == NULL && to == from))
			return false;
		to = words == NULL ? (to + (int)size - 1) % (int)size : to;
	}
	for (int i = from;; i = (i + 1) % (int)size) {
		*mask |= 1u << i;
		if (i == to)
			return true;
	}
}

static bool read_ranges(struct line *line, const char *const *words, unsigned size, uint32_t *mask_r)
{
	const char *at = line->at, *end = line->at + word_length(line);
	*mask_r = 0;
	while (read_range(&at, words, size, mask_r)) {
		if (at == end) {
			skip_word(line);
			return true;
		}
		if (*at++ != ',')
			break;
	}
	return fail(line, words == NULL
				  ? "hours are wanted, like 9-17 or 22-6 or 0-4,12"
				  : "days are wanted, like mon-fri or sat,sun");
}

static bool narrow_time(struct line *line, struct rule *rule, uint32_t hours, uint32_t days)
{
	if (!rule->asks_time) {
		rule->hours = ALL_HOURS;
		rule->weekdays = ALL_DAYS;
	}
	rule->asks_time = true;
	rule->hours &= hours;
	rule->weekdays &= (uint8_t)days;
	if (rule->hours != 0 && rule->weekdays != 0)
		return true;
	snprintf(line->error, ERROR_BYTES,
		"column %u: the rule can never match: no time is left", column_of(line));
	return false;
}

static bool read_hours(struct line *line, struct rule *rule, bool negated)
{
	uint32_t hours;
	return read_ranges(line, NULL, 24, &hours) &&
	       narrow_time(line, rule, negated ? ~hours : hours, ALL_DAYS);
}

static bool read_days(struct line *line, struct rule *rule, bool negated)
{
	static const char *const names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
	uint32_t days;
	return read_ranges(line, names, N_ELEMENTS(names), &days) &&
	       narrow_time(line, rule, ALL_HOURS, (negated ? ~days : days) & ALL_DAYS);
}

/* local, UTC, +HH:MM, -HH:MM */
static bool read_zone(struct line *line, struct rule *rule)
{
	const char *at = line->at;
	int hours = 0, minutes = 0, sign = *at == '-' ? -1 : 1;
	if (word_is(line, "local")) {
		skip_word(line);
		return true;
	}
	if (!word_is(line, "UTC")) {
		bool ok = (*at == '+' || *at == '-');
		at += ok;
		ok = ok && (hours = read_point(&at, NULL, 0)) >= 0 && hours <= 15 && *at == ':';
		at += ok;
		ok = ok && (minutes = read_point(&at, NULL, 0)) >= 0 && minutes < 60;
		if (!ok || at != line->at + word_length(line))
			return fail(line,
				"a zone is wanted: local, UTC, or what it is ahead of UTC, like "
				"+02:00");
	}
	rule->has_zone = true;
	rule->utc_offset_s = sign * (hours * 60 + minutes) * 60;
	skip_word(line);
	return true;
}

static bool was_given(const struct rule *rule, enum rule_fact fact)
{
	for (unsigned i = 0; i < rule->n_conditions; i++)
		if (rule->conditions[i].fact == fact && !rule->conditions[i].negated)
			return true;
	return false;
}

static bool key_is(const char *key, size_t n, const char *name)
{
	return strlen(name) == n && memcmp(key, name, n) == 0;
}

static bool read_time(struct line *line, struct rule *rule, size_t n_key, bool negated)
{
	const char *key = line->at;
	bool *given = key_is(key, n_key, "hour") ? &line->has_hours : &line->has_days;
	if (*given && !negated)
		return fail_twice(line, given == &line->has_hours ? "hour" : "weekday");
	*given |= !negated;
	line->at += n_key + 1;
	return given == &line->has_hours ? read_hours(line, rule, negated)
					 : read_days(line, rule, negated);
}

static bool read_condition(struct line *line, struct rule *rule)
{
	static const char *const facts[N_RULE_FACTS] = {
		[RULE_USER] = "user",
		[RULE_DATABASE] = "database",
		[RULE_APPLICATION_NAME] = "application_name",
		[RULE_ORGANIZATION] = "organization",
	};
	bool negated = *line->at == '!';
	line->at += negated;
	const char *key = line->at;
	size_t n_key = strcspn(key, " \t=");
	if (key[n_key] != '=')
		return read_feature(line, rule, negated);
	if (key_is(key, n_key, "hour") || key_is(key, n_key, "weekday"))
		return read_time(line, rule, n_key, negated);
	if (key_is(key, n_key, "zone")) {
		if (negated)
			return fail(line, "a zone cannot be negated");
		if (rule->has_zone)
			return fail_twice(line, "zone");
		line->at += n_key + 1;
		return read_zone(line, rule);
	}
	for (unsigned i = 0; i < N_RULE_FACTS; i++)
		if (key_is(key, n_key, facts[i])) {
			if (!negated && was_given(rule, (enum rule_fact)i))
				return fail_twice(line, facts[i]);
			line->at += n_key + 1;
			return read_fact(line, rule, (enum rule_fact)i, negated);
		}
	return fail(line, condition_wanted);
}

static bool read_rule(struct line *line, struct rule *rule)
{
	skip_space(line);
	if (!read_actions(line, rule))
		return false;
	if (*line->at == '\0')
		return fail(line, "a condition is wanted");
	while (*line->at != '\0')
		if (!read_condition(line, rule))
			return false;
	return true;
}

bool rule_parse(const char *text, unsigned number, struct classifier_lanes lanes,
	struct rule *rule_r, char error[static 256])
{
	struct line line = {.text = text, .at = text, .lanes = lanes, .error = error};
	*rule_r = (struct rule){.is_operators = true};
	snprintf(rule_r->name, sizeof(rule_r->name), "rules:%u", number);
	if (read_rule(&line, rule_r))
		return true;
	rule_release(rule_r);
	return false;
}

void rule_release(struct rule *rule)
{
	for (unsigned i = 0; i < rule->n_conditions; i++)
		mem_free(rule->conditions[i].pattern);
	mem_free(rule->conditions);
	mem_free(rule->deny);
	*rule = (struct rule){0};
}
