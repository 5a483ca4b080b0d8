/* SPDX-License-Identifier: ISC */
/*
 * Rules: features (and session facts) to a class. The built-in table is ordered, the first match
 *wins; so are the operator's lines:
 *
 *	CLASS [priority N] if CONDITION …
 *
 * where a CONDITION is a feature (features.h), !feature, or user=…, database=…, application_name=…
 *with * for any characters and '…' around a value that has white space. All conditions must hold.
 */
#ifndef CLASSIFY_RULES_H
#define CLASSIFY_RULES_H

#include "classify/features.h"

#define RULE_NAME_BYTES 48

struct rule {
	enum query_class class;
	uint8_t priority;			  /* 0: none given */
	uint64_t all;				  /* features that must be set */
	uint64_t any;				  /* one of which must be; 0: no such condition */
	uint64_t none;				  /* that must not be */
	char *user, *database, *application_name; /* patterns; NULL: any */
	char name[RULE_NAME_BYTES];
};

bool rule_features_match(const struct rule *rule, uint64_t features);

/* The first built-in rule that matches: the last one always does. */
const struct rule *rules_built_in(uint64_t features);
/* The i-th built-in rule, in order; NULL behind the last. For documentation and tests. */
const struct rule *rules_built_in_at(unsigned i);

/* Compiles one line into *rule_r, named rules:NUMBER. False: error says what is wrong and in which
 * column. */
bool rule_parse(const char *line, unsigned number, struct rule *rule_r, char error[static 256]);
void rule_release(struct rule *rule);
bool rule_matches(
	const struct rule *rule, uint64_t features, const struct classify_session *session);

#endif
