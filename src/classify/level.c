/* SPDX-License-Identifier: ISC */
/*
 * Levels and scopes: what happens at a parenthesis. When a query's closes, it is decided whether
 * the rows of its tables go out of it.
 */
#include "classify/walk.h"

struct level *walk_begin_level(struct walk *w, uint8_t owner)
{
	struct level *level = &w->levels[w->depth];
	memset(level, 0, offsetof(struct level, name));
	level->name.word = NULL;
	level->before.word = NULL;
	level->owner = owner;
	w->top = level;
	w->scope = &w->levels[owner].scope;
	return level;
}

static bool begins_query(enum key key)
{
	return key == KEY_SELECT || key == KEY_WITH || key == KEY_VALUES || key == KEY_TABLE ||
	       key == KEY_INSERT || key == KEY_UPDATE || key == KEY_DELETE || key == KEY_MERGE;
}

void walk_open_level(struct walk *w)
{
	if (w->depth + 1 == DEPTH_MAX) {
		w->too_deep++;
		return;
	}
	enum key first = item_key(w->reader->now + 1);
	bool called = w->call != FUNCTION_NONE;
	bool is_query = begins_query(first) && item_is_punct(w->reader->now, '(');
	bool in_from = walk_scope(w)->clause == CLAUSE_FROM;
	uint8_t outer_owner = walk_top(w)->owner;

	w->depth++;
	struct level *level = walk_begin_level(w, is_query ? (uint8_t)w->depth : outer_owner);
	level->function = w->call;
	level->is_query = is_query;
	level->is_cast = w->previous == KEY_CAST;
	level->is_from_group = !is_query && !called && w->expect == EXPECT_READ;
	if (is_query) {
		level->scope.serial = ++w->n_scopes;
		level->scope.lateral = w->expect_lateral;
		level->scope.tests = w->previous == KEY_EXISTS || w->previous == KEY_IN;
		w->expect = EXPECT_NOTHING;
		if (first == KEY_VALUES && in_from)
			w->fixes = FIXES_ENTITY; /* JOIN (VALUES ($1), ($2)) AS k(id): a list of
						    keys */
	} else if (!level->is_from_group) {
		w->expect = EXPECT_NOTHING;
	}
	w->expect_lateral = false;
	w->call = FUNCTION_NONE;
}

/* The rows that a scope takes go out, or are folded here. */
void walk_close_scope(struct walk *w, const struct scope *scope, struct scope *outer)
{
	bool bulk =
		w->statement->features & (FEATURE(COPY_TO) | FEATURE(CURSOR) | FEATURE(CREATE_AS));
	bool folds = scope->folds || scope->groups || scope->distinct;
	if (scope->collects || (bulk && scope->groups_by_key))
		folds = false; /* one row for each entity is what a training set looks like */
	uint16_t tables = scope->tables;
	if (scope->lists_values || !scope->lists_keys)
		w->valued_tables |= tables;
	if (scope->tests) {
		/* what only filters lets nothing out; but reading the vectors' metadata is work for
		 * their lane even so */
		w->folded_tables |= tables & (uint16_t) ~(1U << TABLE_VECTOR_METADATA);
		tables &= 1U << TABLE_VECTOR_METADATA;
	} else if (folds) {
		w->folded_tables |= tables;
		tables = 0;
	} else if (scope->few && !scope->lateral) {
		w->few_tables |= tables;
		tables = 0;
	}
	outer->tables |= tables;
}

static unsigned evidence_of_call(enum function_kind function)
{
	switch (function) {
	case FUNCTION_VECTOR_VALUE:
	case FUNCTION_EMBED:
		return EVIDENCE_VECTOR_TYPE;
	case FUNCTION_SPATIAL_VALUE:
	case FUNCTION_SPATIAL_TEST:
		return EVIDENCE_SPATIAL;
	case FUNCTION_TEXT_SEARCH:
		return EVIDENCE_TEXT_SEARCH;
	case FUNCTION_OTHER_METRIC:
		return EVIDENCE_OTHER;
	case FUNCTION_NONE:
	case FUNCTION_VECTOR_DISTANCE:
	case FUNCTION_MATCH:
	case FUNCTION_MATCH_MAYBE:
	case FUNCTION_MATCH_HYBRID:
	case FUNCTION_TRAIN:
	case FUNCTION_PREDICT:
	case FUNCTION_AGGREGATE:
	case FUNCTION_COLLECT:
	case FUNCTION_RANDOM:
	case FUNCTION_UNNEST:
	case FUNCTION_SET_CONFIG:
	case FUNCTION_ADVISORY_LOCK:
	case FUNCTION_ADVISORY_UNLOCK:
	case FUNCTION_SEQUENCE_MOVE:
	case FUNCTION_SEQUENCE_READ:
	case FUNCTION_BUILT_IN:
		break;
	}
	return 0;
}

unsigned walk_query_evidence(unsigned inner)
{
	unsigned vector = inner & EVIDENCE_VECTOR;
	return vector != 0 ? vector : inner & (EVIDENCE_SPATIAL | EVIDENCE_SPATIAL_NAME);
}

/* What a closed parenthesis gives to the operand it is part of. */
static unsigned evidence_of_level(struct walk *w, const struct level *level)
{
	unsigned inner = level->all_evidence;
	unsigned result = evidence_of_call(level->function);
	if (result != 0)
		return result;
	if (!level->is_query)
		return inner;
	return EVIDENCE_VALUE | (UNLIKELY(inner & EVIDENCE_KNOWN) ? walk_known_query(w, inner)
								   : walk_query_evidence(inner));
}

/* count(…) folds, count(…) OVER (…) does not; FILTER (…) may stand between. */
static void close_aggregate(struct walk *w, enum function_kind function)
{
	enum key next = item_key(w->reader->now + 1);
	if (function == FUNCTION_AGGREGATE && next == KEY_FILTER)
		w->filter_open = true;
	else if ((function == FUNCTION_AGGREGATE || w->filter_open) && next != KEY_OVER)
		walk_scope(w)->folds |= walk_scope(w)->clause == CLAUSE_SELECT;
	if (function != FUNCTION_AGGREGATE)
		w->filter_open = false;
}

void walk_close_level(struct walk *w)
{
	if (w->too_deep > 0) {
		w->too_deep--;
		return;
	}
	const struct level *closed = walk_top(w);
	const struct word *last = closed->name.word;
	walk_end_operand(w);
	if (w->depth == 0)
		return; /* one too many: the server will say so */
	struct level *level = w->top = &w->levels[--w->depth];
	w->scope = &w->levels[level->owner].scope;
	if (closed->is_query)
		walk_close_scope(w, &closed->scope, walk_scope(w));
	walk_add_evidence(w, evidence_of_level(w, closed));
	if (closed->function == FUNCTION_MATCH_MAYBE)
		walk_decide(w, PENDING_MATCH, closed->all_evidence);
	if (closed->function == FUNCTION_AGGREGATE || w->filter_open)
		close_aggregate(w, closed->function);
	if (closed->function == FUNCTION_SET_CONFIG)
		w->statement->effects |= w->previous == KEY_TRUE ? EFFECT_SET_LOCAL : EFFECT_SET; /* SET: not known to be local */
	if (last != NULL && !closed->is_query && level->name.word == NULL) {
		level->name = closed->name; /* (embedding)::vector */
		level->name.word = last;
	}
	level->group_had_key =
		closed->has_key && closed->function == FUNCTION_NONE && !closed->is_query;
	w->expect = EXPECT_NOTHING;
}
