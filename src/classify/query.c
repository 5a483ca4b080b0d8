/* SPDX-License-Identifier: ISC */
/*
 * Key words, constants and the end of the walk; see walk.h.
 */
#include "classify/query.h"

#include "classify/walk.h"

#define FEW_ROWS_FILTERED 100	 /* a LIMIT up to this takes a page, not a set … */
#define FEW_ROWS_UNFILTERED 2000 /* … and without a WHERE it is the preview of a BI tool */

/* ---- key words ---- */

/* Does the level hold clauses of its scope, or is it a call's or an expression's parenthesis? */
static bool is_own_level(struct walk *w)
{
	const struct level *level = walk_top(w);
	return level->is_query || w->depth == 0 || level->is_from_group;
}

static void enter(struct walk *w, enum clause clause)
{
	if (is_own_level(w))
		walk_scope(w)->clause = clause;
}

static void expect_tables(struct walk *w, enum expect expect)
{
	walk_scope(w)->clause = CLAUSE_FROM;
	w->expect = expect;
}

static void step_from(struct walk *w)
{
	if (w->previous == KEY_DISTINCT || !is_own_level(w))
		return; /* IS DISTINCT FROM, EXTRACT(… FROM …) */
	struct scope *scope = walk_scope(w);
	expect_tables(w, scope->deletes ? EXPECT_WRITE : EXPECT_READ);
	scope->deletes = false;
}

static uint64_t number_value(const struct item *item)
{
	uint64_t value = 0;
	for (uint32_t i = 0; i < item->token.len && value < UINT32_MAX; i++) {
		if (item->token.at[i] < '0' || item->token.at[i] > '9')
			return UINT64_MAX;
		value = value * 10 + (uint64_t)(item->token.at[i] - '0');
	}
	return value;
}

/* LIMIT n, FETCH FIRST [n] ROWS: the number is ahead. */
static void step_limit(struct walk *w, bool implied_one)
{
	if (!is_own_level(w))
		return;
	struct scope *scope = walk_scope(w);
	scope->clause = CLAUSE_OTHER;
	if (w->reader->ahead->token.kind != PGW_TOK_NUMBER && !implied_one)
		return;
	uint64_t limit = implied_one ? 1 : number_value(w->reader->ahead);
	if (limit == 1)
		walk_add_feature(w, FEATURE(MODEL_KEY));
	scope->few = limit <= (scope->where ? FEW_ROWS_FILTERED : FEW_ROWS_UNFILTERED);
}

static void step_fetch(struct walk *w)
{
	struct reader *reader = w->reader;
	enum key next = item_key(reader->ahead);
	if (!is_own_level(w) || (next != KEY_FIRST && next != KEY_NEXT))
		return;
	reader_next(reader);
	next = item_key(reader->ahead);
	step_limit(w, next == KEY_ROW || next == KEY_ROWS);
}

static void step_with(struct walk *w)
{
	struct scope *scope = walk_scope(w);
	if (!is_own_level(w) || !(scope->clause == CLAUSE_START || scope->inserts))
		return; /* WITH ORDINALITY, WITH TIES, timestamp with time zone */
	scope->clause = CLAUSE_WITH;
	w->awaits_cte = true;
}

static void step_into(struct walk *w)
{
	struct scope *scope = walk_scope(w);
	if (w->previous == KEY_INSERT || w->previous == KEY_MERGE) {
		w->expect = w->previous == KEY_INSERT ? EXPECT_INSERT : EXPECT_WRITE;
		return;
	}
	if (!is_own_level(w) || scope->clause != CLAUSE_SELECT)
		return;
	struct reader *reader = w->reader;
	walk_add_feature(w, FEATURE(CREATE_AS));
	w->expect = EXPECT_WRITE;
	for (;;) {
		enum key next = item_key(reader->ahead);
		if (next == KEY_TEMP)
			w->statement->effects |= EFFECT_TEMP_TABLE;
		else if (next != KEY_LOCAL && next != KEY_GLOBAL && next != KEY_UNLOGGED &&
			 next != KEY_TABLE)
			return;
		reader_next(reader);
	}
}

/* INSERT, UPDATE, DELETE, MERGE where a statement or a WITH query begins; not FOR UPDATE, DO
 * UPDATE, THEN DELETE. False: it is none, and may be a name. */
static bool step_verb(struct walk *w, enum key verb)
{
	struct scope *scope = walk_scope(w);
	if (!is_own_level(w) || (scope->clause != CLAUSE_START && scope->clause != CLAUSE_WITH))
		return w->previous == KEY_FOR || w->previous == KEY_DO || w->previous == KEY_THEN ||
		       w->previous == KEY_KEY;
	walk_add_feature(w, FEATURE(WRITE));
	scope->clause = CLAUSE_OTHER;
	scope->deletes = verb == KEY_DELETE;
	scope->inserts = verb == KEY_INSERT;
	if (verb == KEY_UPDATE)
		w->expect = EXPECT_WRITE;
	return true;
}

static void step_select(struct walk *w)
{
	enter(w, CLAUSE_SELECT);
	walk_scope(w)->inserts = false;
	if (!w->fixes_list)
		fixes_end(w); /* entity_id = (SELECT …) */
	w->fixes = FIXES_NOTHING;
}

static bool step_table_key(struct walk *w)
{
	struct scope *scope = walk_scope(w);
	if (!is_own_level(w) || (scope->clause != CLAUSE_START && scope->clause != CLAUSE_WITH))
		return false;
	expect_tables(w, EXPECT_READ);
	return true;
}

static void step_using(struct walk *w)
{
	if (is_own_level(w) && !item_is_punct(w->reader->ahead, '(') &&
		w->statement->features & FEATURE(WRITE))
		expect_tables(w, EXPECT_READ);
}

/* OPERATOR(schema.<=>) */
static void step_operator_call(struct walk *w)
{
	struct reader *reader = w->reader;
	reader_next(reader);
	while (item_is_punct(reader->ahead, '.') || item_is_name(reader->ahead))
		reader_next(reader);
	if (reader->ahead->token.kind == PGW_TOK_OPERATOR) {
		reader_next(reader);
		walk_operator(w);
	}
	if (item_is_punct(reader->ahead, ')'))
		reader_next(reader);
}

/* Key words that open a clause or say what tables follow. False: another one. */
static bool step_clause(struct walk *w, enum key key)
{
	struct scope *scope = walk_scope(w);
	switch ((unsigned)key) {
	case KEY_SELECT:
		step_select(w);
		return true;
	case KEY_DISTINCT:
		scope->distinct |=
			w->previous == KEY_SELECT && item_key(w->reader->ahead) != KEY_ON;
		return true;
	case KEY_FROM:
		step_from(w);
		return true;
	case KEY_JOIN:
		walk_add_feature(w, FEATURE(JOIN));
		expect_tables(w, EXPECT_READ);
		return true;
	case KEY_ON:
		if (scope->clause == CLAUSE_FROM)
			enter(w, CLAUSE_ON);
		return true;
	case KEY_USING:
		step_using(w);
		return true;
	case KEY_WHERE:
		if (is_own_level(w)) {
			walk_add_feature(w, FEATURE(WHERE));
			scope->where = true;
			scope->clause = CLAUSE_WHERE;
		}
		return true;
	case KEY_GROUP:
		if (is_own_level(w) && item_key(w->reader->ahead) == KEY_BY) {
			scope->groups = true;
			scope->clause = CLAUSE_GROUP;
		}
		return true;
	case KEY_LIMIT:
		step_limit(w, false);
		return true;
	case KEY_FETCH:
		step_fetch(w);
		return true;
	case KEY_WITH:
		step_with(w);
		return true;
	case KEY_INTO:
		step_into(w);
		return true;
	case KEY_UNION:
	case KEY_EXCEPT:
	case KEY_INTERSECT:
		enter(w, CLAUSE_START);
		return true;
	case KEY_HAVING:
	case KEY_ORDER:
	case KEY_OFFSET:
	case KEY_WINDOW:
	case KEY_RETURNING:
	case KEY_FOR:
	case KEY_SET:
	case KEY_VALUES:
		enter(w, CLAUSE_OTHER);
		return true;
	default:
		return false;
	}
}

/* Key words between operands. */
static bool step_separator(struct walk *w, enum key key)
{
	switch ((unsigned)key) {
	case KEY_IN:
		fixes_begin(w, true);
		return true;
	case KEY_BETWEEN:
		walk_begin_comparison(w);
		return true;
	case KEY_AND:
	case KEY_AS:
	case KEY_ASC:
	case KEY_BY:
	case KEY_CASE:
	case KEY_CONFLICT:
	case KEY_DESC:
	case KEY_DO:
	case KEY_ELSE:
	case KEY_END:
	case KEY_IS:
	case KEY_LIKE:
	case KEY_NOT:
	case KEY_OR:
	case KEY_THEN:
	case KEY_WHEN:
		return true;
	default:
		return false;
	}
}

/* Key words inside an operand: it goes on. */
static bool step_inner(struct walk *w, enum key key)
{
	switch ((unsigned)key) {
	case KEY_LATERAL:
		walk_add_feature(w, FEATURE(LATERAL));
		w->expect_lateral = true;
		return true;
	case KEY_TABLESAMPLE:
		walk_add_feature(w, FEATURE(SAMPLE));
		return true;
	case KEY_OPERATOR:
		if (!item_is_punct(w->reader->ahead, '('))
			return false;
		step_operator_call(w);
		return true;
	case KEY_ONLY:
		return w->expect != EXPECT_NOTHING;
	case KEY_RECURSIVE:
		return w->awaits_cte;
	case KEY_ARRAY:
		walk_add_evidence(w, EVIDENCE_ARRAY);
		return true;
	case KEY_TRUE:
		fixes_end(w);
		return true;
	case KEY_FALSE:
	case KEY_NULL:
		w->fixes = FIXES_NOTHING;
		return true;
	case KEY_ALL:
	case KEY_ANY:
	case KEY_CAST:
	case KEY_COLLATE:
	case KEY_EXISTS:
	case KEY_FILTER:
	case KEY_MATERIALIZED:
	case KEY_OVER:
	case KEY_ROW:
	case KEY_SOME:
		return true;
	default:
		return false;
	}
}

/* False: the word is a name here. */
static bool step_key(struct walk *w, enum key key)
{
	if (key == KEY_NONE || w->after_cast || item_is_punct(w->reader->ahead, '.'))
		return false;
	if (step_inner(w, key))
		return true;
	bool handled = step_separator(w, key);
	if (!handled &&
		(key == KEY_INSERT || key == KEY_UPDATE || key == KEY_DELETE || key == KEY_MERGE))
		handled = step_verb(w, key);
	if (!handled && key == KEY_TABLE)
		handled = step_table_key(w);
	if (key != KEY_BETWEEN && (handled || step_clause(w, key))) {
		walk_end_operand(w);
		handled = true;
	}
	return handled;
}

/* ---- other tokens ---- */

/* What a literal's first and last characters say of its type. */
static unsigned evidence_of_string(const struct pgw_token *token)
{
	const char *first = token->at;
	const char *last = token->at + token->len - 2; /* before the closing quote */
	while (first < last && *first != '\'')
		first++; /* E'…' */
	first++;
	if (last < first + 1 || token->at[0] == '$')
		return 0;
	if (*first == '[' && *last == ']')
		return strchr("({\"", first[1]) == NULL ? EVIDENCE_VECTOR_LITERAL : 0;
	if (*first == '{' && *last >= '0' && *last <= '9')
		return EVIDENCE_VECTOR_LITERAL; /* sparsevec: {1:0.5}/3 */
	return *first == '$' ? EVIDENCE_JSON : 0;
}

static void step_punct(struct walk *w)
{
	struct scope *scope;
	switch (w->reader->now->token.at[0]) {
	case '(':
	case '[':
		walk_open_level(w);
		break;
	case ')':
	case ']':
		walk_close_level(w);
		break;
	case ',':
		walk_end_operand(w);
		scope = walk_scope(w);
		if (!is_own_level(w))
			break;
		if (scope->clause == CLAUSE_FROM || scope->clause == CLAUSE_ON)
			expect_tables(w, EXPECT_READ);
		w->awaits_cte = scope->clause == CLAUSE_WITH;
		break;
	case ':': /* :name, as clients write parameters before they bind them */
		if (w->reader->ahead->token.kind == PGW_TOK_WORD) {
			reader_next(w->reader);
			walk_add_evidence(w, EVIDENCE_VALUE);
			fixes_end(w);
		}
		break;
	default:
		break;
	}
}

static void step_constant(struct walk *w)
{
	const struct pgw_token *token = &w->reader->now->token;
	if (token->kind == PGW_TOK_STRING)
		walk_add_evidence(w, evidence_of_string(token));
	else if (token->kind != PGW_TOK_NUMBER)
		walk_add_evidence(w, EVIDENCE_VALUE);
	fixes_end(w);
}

static void step(struct walk *w)
{
	const struct pgw_token *token = &w->reader->now->token;
	enum key key = KEY_NONE;
	bool is_cast = false;
	switch (token->kind) {
	case PGW_TOK_WORD:
		key = item_key(w->reader->now);
		if (step_key(w, key))
			break;
		key = KEY_NONE;
		walk_name(w);
		break;
	case PGW_TOK_QUOTED_IDENT:
		walk_name(w);
		break;
	case PGW_TOK_STRING:
	case PGW_TOK_BITS:
	case PGW_TOK_NUMBER:
	case PGW_TOK_PARAM:
		step_constant(w);
		break;
	case PGW_TOK_OPERATOR:
		is_cast = token->len == 2 && token->at[0] == ':' && token->at[1] == ':';
		if (token->len == 1 && token->at[0] == '?')
			step_constant(w); /* a parameter, as JDBC writes it */
		else if (!is_cast)
			walk_operator(w);
		if (w->previous == KEY_SELECT || w->previous == KEY_DISTINCT)
			walk_scope(w)->lists_values = true; /* SELECT * */
		break;
	case PGW_TOK_PUNCT:
		step_punct(w);
		break;
	case PGW_TOK_COMMENT:
	case PGW_TOK_ERROR:
	case PGW_TOK_END:
		break;
	}
	w->previous = key;
	w->after_cast = is_cast;
}

/* ---- the whole ---- */

static void add_tables(struct walk *w, uint16_t tables)
{
	for (unsigned kind = 0; tables != 0; kind++, tables >>= 1)
		if (tables & 1)
			walk_add_feature(w, query_table_feature((enum table_kind)kind));
}

static void add_columns(struct walk *w)
{
	_Static_assert(N_COLUMN_KINDS <= 32, "kinds of columns are bits of an unsigned");
	bool beside_inputs = w->columns & (1U << COLUMN_FEATURE | 1U << COLUMN_FEATURE_ROW |
						  1U << COLUMN_INPUT | 1U << COLUMN_VECTOR);
	if ((w->columns & 1U << COLUMN_LABEL ||
		    (w->columns & 1U << COLUMN_LABEL_WEAK && beside_inputs)) &&
		!(w->columns & 1U << COLUMN_CHOICE))
		walk_add_feature(w, FEATURE(LABEL_COLUMN));
	if (w->columns & (1U << COLUMN_FEATURE | 1U << COLUMN_FEATURE_ROW))
		walk_add_feature(w, FEATURE(FEATURE_COLUMN));
	if (w->columns & 1U << COLUMN_FEATURE_ROW)
		walk_add_feature(w, FEATURE(FEATURE_ROW));
	if (w->columns & 1U << COLUMN_FEAST)
		walk_add_feature(w, FEATURE(FEAST));
	if (w->columns & 1U << COLUMN_VECTOR)
		walk_add_feature(w, FEATURE(VECTOR_COLUMN));
	if (w->columns & 1U << COLUMN_INPUT && w->columns & 1U << COLUMN_OUTCOME)
		walk_add_feature(w, FEATURE(OUTCOME_COLUMN));
}

#define FEATURE_TABLES (1U << TABLE_FEATURES | 1U << TABLE_FEATURES_LIKELY)

/* A name alone leaves doubt: what stands beside it says whose features they are. */
static bool reads_features(const struct walk *w, uint16_t tables)
{
	unsigned of_store = w->columns & (1U << COLUMN_ENTITY | 1U << COLUMN_FEATURE_ROW);
	if (tables & 1U << TABLE_FEATURES)
		return true;
	if (tables & 1U << TABLE_FEATURES_LIKELY)
		return of_store || !(w->columns & 1U << COLUMN_CATALOGUE ||
					   w->statement->features & FEATURE(SCOPE_KEY));
	/* `features` is a feature store's, a map's or a price list's */
	return tables & 1U << TABLE_FEATURES_MAYBE &&
	       w->columns & (1U << COLUMN_FEATURE | 1U << COLUMN_ENTITY | 1U << COLUMN_LABEL) &&
	       !(w->statement->features & FEATURE(SPATIAL));
}

static void finish(struct walk *w)
{
	while (w->depth > 0)
		walk_close_level(w);
	walk_end_operand(w);
	struct scope all = {0};
	const struct scope *scope = &w->levels[0].scope;
	walk_close_scope(w, scope, &all);
	if ((scope->folds || scope->groups || scope->distinct) && !scope->collects)
		walk_add_feature(w, FEATURE(GROUPED));
	uint16_t rows = all.tables;
	uint16_t any = rows | w->few_tables | w->folded_tables;
	add_columns(w);
	add_tables(w, any & (uint16_t) ~(1U << TABLE_FEATURES_LIKELY));
	if (any & FEATURE_TABLES && !(w->valued_tables & FEATURE_TABLES))
		walk_add_feature(w, FEATURE(KEYS_ONLY));
	if (reads_features(w, any))
		walk_add_feature(w, FEATURE(FEATURE_SET));
	if (w->columns & 1U << COLUMN_GAME)
		w->statement->features &= ~(FEATURE(PREDICTIONS) | FEATURE(PREDICTION_INSERT));
	if (w->columns & 1U << COLUMN_RANK_FUSION)
		walk_add_feature(w, FEATURE(FULL_TEXT));
	if (rows == 0 && any != 0)
		walk_add_feature(w, w->few_tables != 0 ? FEATURE(FEW_ROWS) : FEATURE(AGGREGATE));
	if (w->undecided && (w->vector_type_seen || any & 1U << TABLE_EMBEDDINGS) &&
		!(w->statement->features & FEATURE(SPATIAL)))
		walk_add_feature(w, FEATURE(VECTOR_DISTANCE));
}

void query_walk(struct reader *reader, bool stop_at_to, struct statement *statement)
{
	struct walk w;
	memset(&w, 0, offsetof(struct walk, ctes));
	w.reader = reader;
	w.statement = statement;
	w.levels[0] = (struct level){.is_query = true};
	for (; reader->now->token.kind != PGW_TOK_END; reader_next(reader)) {
		if (w.depth == 0 && (item_is_punct(reader->now, ';') ||
					    (stop_at_to && item_key(reader->now) == KEY_TO)))
			break;
		step(&w);
	}
	finish(&w);
}
