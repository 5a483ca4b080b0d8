/* SPDX-License-Identifier: ISC */
/*
 * Rules: features and facts of the session to a class and what else is done. The built-in table is
 * ordered, the first match wins; so are the operator's lines:
 *
 *	ACTION … if CONDITION …
 *
 * ACTION: CLASS, priority N, lane NAME, timeout TIME, deny 'message', log. CONDITION: a feature
 * (features.h), or user=, database=, application_name= (with * for any characters and '…' around a
 * value that has white space), organization=UUID, hour=22-6, weekday=mon-fri; ! before one negates
 * it. All conditions must hold. zone=… says whose hours and days are meant. README.md has the
 * meaning of each.
 */
#ifndef CLASSIFY_RULES_H
#define CLASSIFY_RULES_H

#include "classify/features.h"

#define RULE_NAME_BYTES 48

enum rule_fact {
	RULE_USER,
	RULE_DATABASE,
	RULE_APPLICATION_NAME,
	RULE_ORGANIZATION,
	N_RULE_FACTS
};

struct rule_condition {
	enum rule_fact fact;
	bool negated;
	char *pattern;
};

struct rule {
	enum query_class class;
	uint8_t priority; /* 0: none given */
	uint64_t all;	  /* features that must be set */
	uint64_t any;	  /* one of which must be; 0: no such condition */
	uint64_t none;	  /* that must not be */
	char name[RULE_NAME_BYTES];
	bool is_last; /* the built-in one that always matches */
	/* from here only in operators' rules */
	bool is_operators;
	bool keeps_class; /* no CLASS: that of the built-in table */
	bool only_logs;	  /* goes on to the next rule */
	bool logs;
	bool has_lane;
	bool asks_time;
	bool has_zone; /* else the session's */
	uint8_t lane;  /* if has_lane */
	uint32_t timeout_ms;
	char *deny; /* message; NULL: none */
	struct rule_condition *conditions;
	unsigned n_conditions;
	uint32_t hours;	  /* if asks_time: 1 << hour */
	uint8_t weekdays; /* if asks_time: 1 << day, from Monday on */
	int32_t utc_offset_s; /* if has_zone */
};

bool rule_features_match(const struct rule *rule, uint64_t features);

/* The first built-in rule that matches: the last one always does. */
const struct rule *rules_built_in(uint64_t features);
/* The i-th built-in rule, in order; NULL behind the last. For documentation and tests. */
const struct rule *rules_built_in_at(unsigned i);

/* Compiles one line into *rule_r, named rules:NUMBER. False: error says what is wrong and in which
 * column. */
bool rule_parse(const char *line, unsigned number, struct classifier_lanes lanes,
	struct rule *rule_r, char error[static 256]);
void rule_release(struct rule *rule);
/* organization: of the statement's annotation, "" without one. */
bool rule_matches(const struct rule *rule, uint64_t features,
	const struct classify_session *session, const char *organization);
bool rule_is_uuid(const char *text, size_t n);

#endif
