/* SPDX-License-Identifier: ISC */
/*
 * Operators and the evidence beside them. The names <-> <#> <=> belong to many types: pgvector's,
 * PostGIS's, trigrams, cubes, ranges, RUM's text search. They mean a vector distance only if
 * something beside them says so; a cast or a bracketed literal says more than a column's name.
 */
#include "classify/walk.h"

static void decide_distance(struct walk *w, enum pending pending, unsigned sides)
{
	bool sure = sides & EVIDENCE_VECTOR_SURE;
	if (!sure && sides & EVIDENCE_SPATIAL)
		walk_add_feature(w, FEATURE(SPATIAL));
	else if (sure && !(sides & EVIDENCE_SPATIAL))
		walk_add_feature(w, FEATURE(VECTOR_DISTANCE));
	else if (sides & (EVIDENCE_SPATIAL | EVIDENCE_TEXT_SEARCH | EVIDENCE_OTHER))
		return;
	else if (pending == PENDING_VECTOR_DISTANCE ||
		 (sides & EVIDENCE_VECTOR_NAME && !(sides & EVIDENCE_NOT_VECTOR)))
		walk_add_feature(w, FEATURE(VECTOR_DISTANCE));
	else if (sides & EVIDENCE_SPATIAL_NAME)
		walk_add_feature(w, FEATURE(SPATIAL));
	else if (sides & EVIDENCE_NOT_VECTOR)
		return;
	else if (sides & EVIDENCE_VECTOR_WEAK && sides & EVIDENCE_VALUE)
		walk_add_feature(w, FEATURE(VECTOR_DISTANCE));
	else
		w->undecided = true;
}

void walk_decide(struct walk *w, enum pending pending, unsigned sides)
{
	if (UNLIKELY(sides & EVIDENCE_KNOWN)) {
		if (walk_defer(w, pending, sides))
			return;
		sides = walk_known_evidence(w, sides);
	}
	switch (pending) {
	case PENDING_NONE:
		break;
	case PENDING_DISTANCE:
	case PENDING_VECTOR_DISTANCE:
		decide_distance(w, pending, sides);
		break;
	case PENDING_OVERLAP:
		if (sides & EVIDENCE_SPATIAL ||
			(sides & EVIDENCE_SPATIAL_NAME && !(sides & EVIDENCE_ARRAY)))
			walk_add_feature(w, FEATURE(SPATIAL));
		break;
	case PENDING_CONTAINS:
		if (sides & EVIDENCE_SPATIAL)
			walk_add_feature(w, FEATURE(SPATIAL));
		break;
	case PENDING_TEXT:
		if (!(sides & (EVIDENCE_JSON | EVIDENCE_SPATIAL)))
			walk_add_feature(w, FEATURE(FULL_TEXT));
		break;
	case PENDING_MATCH:
		if (sides & EVIDENCE_VECTOR)
			walk_add_feature(w, FEATURE(VECTOR_MATCH));
		break;
	}
}

void walk_decide_pending(struct walk *w)
{
	struct level *level = walk_top(w);
	walk_decide(w, level->pending, level->pending_left | level->evidence);
	level->pending = PENDING_NONE;
	w->n_pending--;
}

static unsigned evidence_of_column(const struct word *word)
{
	switch ((enum column_kind)word->column) {
	case COLUMN_VECTOR:
		return EVIDENCE_VECTOR_NAME;
	case COLUMN_VECTOR_WEAK:
		return EVIDENCE_VECTOR_WEAK;
	case COLUMN_SPATIAL:
		return EVIDENCE_SPATIAL_NAME;
	case COLUMN_TEXT_SEARCH:
		return EVIDENCE_TEXT_SEARCH;
	case COLUMN_JSON:
		return EVIDENCE_JSON;
	case COLUMN_NONE:
	case COLUMN_LABEL:
	case COLUMN_LABEL_WEAK:
	case COLUMN_LABEL_TIME:
	case COLUMN_FEATURE:
	case COLUMN_FEATURE_ROW:
	case COLUMN_FEATURE_PAIR:
	case COLUMN_ENTITY:
	case COLUMN_EXAMPLE:
	case COLUMN_MOMENT:
	case COLUMN_FOLD:
	case COLUMN_CATALOGUE:
	case COLUMN_GAME:
	case COLUMN_CALENDAR:
	case COLUMN_RANK_FUSION:
	case COLUMN_CHOICE:
	case COLUMN_STAGE:
	case COLUMN_STAGE_FLAG:
	case COLUMN_MODEL_NAME:
	case COLUMN_NAME:
	case COLUMN_OUTCOME:
	case COLUMN_INPUT:
	case COLUMN_FEAST:
	case COLUMN_UPKEEP:
	case COLUMN_SCOPE_ID:
	case COLUMN_FOLD_MADE:
	case N_COLUMN_KINDS:
		break;
	}
	return 0;
}

static unsigned evidence_of_pattern(const struct pgw_token *token)
{
	struct name name;
	name_of_token(token, &name);
	if (name_is_vector_column(&name))
		return EVIDENCE_VECTOR_NAME;
	return name_is_spatial_column(&name) ? EVIDENCE_SPATIAL_NAME : 0;
}

unsigned walk_guess(const struct word *word, const struct pgw_token *token, bool beside)
{
	if (word->column != COLUMN_NONE)
		return evidence_of_column(word);
	return beside ? evidence_of_pattern(token) : 0;
}

/* Of a name that neither the dictionary nor the catalog has: only asked beside a distance operator.
 */
static unsigned evidence_of_name(struct walk *w, const struct operand_name *operand)
{
	if (operand->word == NULL || operand->word->column != COLUMN_NONE)
		return 0;
	if (UNLIKELY(w->catalog != NULL) && walk_known_beside(w, &operand->token))
		return 0;
	return evidence_of_pattern(&operand->token);
}

static void begin_pending(struct walk *w, enum pending pending)
{
	struct level *level = walk_top(w);
	unsigned left = level->evidence | evidence_of_name(w, &level->name);
	walk_end_operand(w);
	level->pending = pending;
	level->pending_left = left;
	w->n_pending++;
}

static bool is_op(const struct pgw_token *token, const char *op)
{
	return token->len == strlen(op) && memcmp(token->at, op, token->len) == 0;
}

static enum pending pending_of(const struct pgw_token *op)
{
	switch (op->len) {
	case 2:
		if (is_op(op, "@@"))
			return PENDING_TEXT;
		if (is_op(op, "&&"))
			return PENDING_OVERLAP;
		return is_op(op, "@>") || is_op(op, "<@") ? PENDING_CONTAINS : PENDING_NONE;
	case 3:
		if (is_op(op, "<->") || is_op(op, "<#>") || is_op(op, "<=>"))
			return PENDING_DISTANCE;
		if (is_op(op, "<+>") || is_op(op, "<~>") || is_op(op, "<%>"))
			return PENDING_VECTOR_DISTANCE;
		if (is_op(op, "&&&"))
			return PENDING_OVERLAP;
		return is_op(op, "@@@") || is_op(op, "&@~") ? PENDING_TEXT : PENDING_NONE;
	case 5: /* VectorChord's spheres around a vector */
		return is_op(op, "<<->>") || is_op(op, "<<#>>") || is_op(op, "<<=>>")
			       ? PENDING_DISTANCE
			       : PENDING_NONE;
	default:
		return PENDING_NONE;
	}
}

/* ---- comparisons of times: the mark of a point-in-time join, or of an extraction ---- */

static bool same_token(const struct pgw_token *a, const struct pgw_token *b)
{
	return a->len == b->len && strncasecmp(a->at, b->at, a->len) == 0;
}

/* created_at >= $1 AND created_at < $2: from one time to another. One end alone is as well what has
 * changed lately, two names are when something is valid, and expires_at is what will end. */
NOINLINE static void take_bound(struct walk *w, const struct operand_name *name, char op)
{
	uint64_t tail = name_tail(&name->token);
	if (!(NAME_ENDS(tail, "eated_at") || NAME_ENDS(tail, "dated_at") ||
		    NAME_ENDS(tail, "_ts")))
		return; /* created_at, updated_at */
	w->takes_window |= op == '<' && w->since.kind != PGW_TOK_END &&
			   same_token(&w->since, &name->token);
	if (op == '>')
		w->since = name->token;
}

/* Asked where a set may have been read, which has been named by then. */
static inline void note_window(struct walk *w, char op)
{
	const struct scope *scope = walk_scope(w);
	const struct operand_name *name = &walk_top(w)->name;
	if (UNLIKELY(scope->tables & 1U << TABLE_FEATURES_LIKELY) && name->word != NULL &&
		scope->clause == CLAUSE_WHERE)
		take_bound(w, name, op);
}

void walk_begin_between(struct walk *w)
{
	note_window(w, '>');
	note_window(w, '<');
	walk_begin_comparison(w);
}

void walk_begin_comparison(struct walk *w)
{
	struct level *level = walk_top(w);
	const struct word *left = level->name.word;
	walk_end_operand(w);
	if (left == NULL)
		return;
	level->before = level->name;
	level->before.word = left;
}


static bool is_time(const struct operand_name *operand)
{
	struct name name;
	name_of_token(&operand->token, &name);
	return name_is_time_column(&name);
}

/* f.valid_from <= l.label_ts: two tables, two times. */
static bool compares_times(const struct level *level)
{
	const struct operand_name *left = &level->before, *right = &level->name;
	if (left->qualifier.word == NULL || right->qualifier.word == NULL)
		return false;
	return !same_token(&left->qualifier.token, &right->qualifier.token) && is_time(left) &&
	       is_time(right);
}

static inline void mention(struct walk *w, struct level *level, unsigned evidence)
{
	walk_add_evidence(w, evidence);
	if (w->n_pending > 0)
		walk_add_evidence(w, evidence_of_name(w, &level->name));
	if (level->before.word == NULL || !compares_times(level))
		return;
	walk_add_feature(w, FEATURE(TIME_JOIN));
	if (level->before.word->column == COLUMN_LABEL_TIME ||
		level->name.word->column == COLUMN_LABEL_TIME)
		walk_add_feature(w, FEATURE(LABEL_TIME));
}

void walk_column(struct walk *w)
{
	mention(w, walk_top(w), evidence_of_column(walk_top(w)->name.word));
}

void walk_column_known(struct walk *w, unsigned known)
{
	mention(w, walk_top(w), known);
}

static bool orders(const struct pgw_token *op)
{
	char c = op->at[0];
	return (c == '<' || c == '>') && (op->len == 1 || (op->len == 2 && op->at[1] == '='));
}

/* =?, <->?: a parameter, as JDBC writes it, behind its operator. jsonb's @? is one operator. */
static bool has_parameter(const struct pgw_token *op)
{
	return op->len > 1 && op->at[op->len - 1] == '?' && !is_op(op, "@?");
}

void walk_operator(struct walk *w)
{
	struct pgw_token op = w->reader->now->token;
	bool glued = has_parameter(&op);
	op.len -= glued;
	enum pending pending = pending_of(&op);
	if (pending != PENDING_NONE) {
		begin_pending(w, pending);
	} else if (orders(&op)) {
		note_window(w, op.at[0]);
		walk_begin_comparison(w);
	} else {
		if (op.at[0] == '=' && op.len == 1)
			fixes_begin(w, false);
		walk_end_operand(w);
	}
	if (glued) {
		walk_add_evidence(w, EVIDENCE_VALUE);
		fixes_end(w);
	}
}
