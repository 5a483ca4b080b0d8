/* SPDX-License-Identifier: ISC */
/*
 * Does a statement read a feature set? user_features is a model's inputs, or what each user has
 * paid for: the name alone leaves doubt, and what stands beside it decides. Where nothing does, it
 * is no feature set: an entitlement's read that waits behind exports is worse than an export among
 * entitlements' reads.
 */
#include "classify/walk.h"

#define SEEN(kind) (1U << COLUMN_##kind)
/* what only feature sets have */
#define OF_A_SET                                                                                   \
	(SEEN(FEATURE) | SEEN(FEATURE_ROW) | SEEN(EXAMPLE) | SEEN(LABEL_TIME) | SEEN(VECTOR))
/* what they have, and other tables too */
#define OF_A_SET_MAYBE (SEEN(ENTITY) | SEEN(MOMENT) | SEEN(FOLD) | SEEN(INPUT))

/* SELECT * FROM customer_features, and nothing more: a notebook's, where the table is no ORM's */
static bool takes_all(const struct walk *w)
{
	uint64_t narrows = FEATURE(WHERE) | FEATURE(JOIN);
	return w->star && !w->quotes_features && !w->pages && !(w->columns & SEEN(UPKEEP)) &&
	       !(w->statement->features & narrows);
}

/* … or what is of a month */
static bool takes_window(const struct walk *w)
{
	return w->takes_window && !w->quotes_features;
}

/* avg_spend, spend_30d: what is computed of each entity. The text is read once more, so that the
 * statements that read no such table need not ask for each of their names. */
static bool names_computed(const struct walk *w)
{
	const struct reader *reader = w->reader;
	struct pgw_lexer lexer =
		pgw_lexer_on(w->begin, (size_t)(reader->now->token.at - w->begin));
	lexer.standard_conforming_strings = reader->lexer.standard_conforming_strings;
	struct pgw_token first = {.len = 0};
	unsigned weight = 0;
	for (struct pgw_token token = pgw_lex(&lexer);
		token.kind != PGW_TOK_END && weight < NAME_COMPUTED; token = pgw_lex(&lexer)) {
		if (token.kind != PGW_TOK_WORD && token.kind != PGW_TOK_QUOTED_IDENT)
			continue;
		unsigned more = name_computed_weight(&token);
		if (more == 0)
			continue;
		if (token.len == first.len && strncasecmp(token.at, first.at, first.len) == 0)
			continue; /* avg_rating again: one name */
		weight += more;
		first = token;
	}
	return weight >= NAME_COMPUTED;
}

/* Does anything say that the table is what somebody has, may use or offers? */
static bool is_catalogue(const struct walk *w, uint16_t tables)
{
	return w->columns & CATALOGUE_COLUMNS || w->statement->features & FEATURE(SCOPE_KEY) ||
	       tables & 1U << TABLE_FEATURES_MAYBE; /* user_features JOIN features */
}

/* is_fraud; x AS label only beside more than one table's rows, or all: else it is a list to choose
 * from. */
static bool has_label(const struct walk *w)
{
	if (!(w->columns & SEEN(LABEL)))
		return false;
	return !(w->columns & SEEN(LABEL_WEAK)) || w->star ||
	       w->statement->features & FEATURE(JOIN);
}

/* Of customer_features, read without a key. */
static bool is_extraction(const struct walk *w, uint16_t tables)
{
	uint64_t bulk = FEATURE(COPY_TO) | FEATURE(CURSOR) | FEATURE(CREATE_AS) |
			FEATURE(TRAINING_TARGET) | FEATURE(TIME_JOIN) | FEATURE(SAMPLE);
	if (w->columns & OF_A_SET)
		return true;
	if (is_catalogue(w, tables))
		return false;
	return w->columns & OF_A_SET_MAYBE || w->statement->features & bulk ||
	       tables & (1U << TABLE_LABELS | 1U << TABLE_TRAINING_SET) || has_label(w) ||
	       takes_all(w) || takes_window(w) || names_computed(w);
}

static bool is_likely_set(const struct walk *w, uint16_t tables)
{
	uint64_t features = w->statement->features;
	if (!(features & (FEATURE(ENTITY_KEY) | FEATURE(ROW_KEY))))
		return is_extraction(w, tables);
	bool names_only = w->columns & SEEN(FEATURE_PAIR) && features & FEATURE(KEYS_ONLY);
	return w->columns & (OF_A_SET | SEEN(ENTITY)) ||
	       !(w->columns & SEEN(CATALOGUE) || features & FEATURE(SCOPE_KEY) || names_only);
}

/* `features` is a feature store's, a map's or a price list's. */
static bool is_maybe_set(const struct walk *w)
{
	if (w->statement->features & FEATURE(SPATIAL))
		return false;
	return w->columns & (SEEN(FEATURE) | SEEN(EXAMPLE) | SEEN(FOLD)) ||
	       (w->columns & (SEEN(ENTITY) | SEEN(LABEL)) && !(w->columns & CATALOGUE_COLUMNS));
}

bool walk_reads_features(const struct walk *w, uint16_t tables)
{
	if (tables & 1U << TABLE_FEATURES)
		return true;
	if (tables & 1U << TABLE_FEATURES_LIKELY && is_likely_set(w, tables))
		return true;
	return tables & 1U << TABLE_FEATURES_MAYBE && is_maybe_set(w);
}
