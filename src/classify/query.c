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
	if (w->reader->now[1].token.kind != PGW_TOK_NUMBER && !implied_one) {
		w->pages = item_key(w->reader->now + 1) != KEY_ALL;
		return;
	}
	uint64_t limit = implied_one ? 1 : number_value(w->reader->now + 1);
	if (limit == 1)
		walk_add_feature(w, FEATURE(MODEL_KEY));
	scope->few = limit <= (scope->where ? FEW_ROWS_FILTERED : FEW_ROWS_UNFILTERED);
}

static void step_fetch(struct walk *w)
{
	struct reader *reader = w->reader;
	enum key next = item_key(reader->now + 1);
	if (!is_own_level(w) || (next != KEY_FIRST && next != KEY_NEXT))
		return;
	reader_next(reader);
	next = item_key(reader->now + 1);
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
		enum key next = item_key(reader->now + 1);
		bool is_schema = pgw_word_is(&(reader->now + 1)->token, "pg_temp");
		if (next == KEY_TEMP || is_schema)
			w->statement->effects |= EFFECT_TEMP_TABLE;
		if (is_schema)
			return;
		if (next != KEY_TEMP && next != KEY_LOCAL && next != KEY_GLOBAL &&
			next != KEY_UNLOGGED && next != KEY_TABLE)
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
	w->statement->effects |= verb == KEY_INSERT || verb == KEY_MERGE ? EFFECT_WRITE | EFFECT_SEQUENCE_MOVE : EFFECT_WRITE;
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
	w->star = true;
	return true;
}

static void step_using(struct walk *w)
{
	if (is_own_level(w) && !item_is_punct(w->reader->now + 1, '(') &&
		w->statement->features & FEATURE(WRITE))
		expect_tables(w, EXPECT_READ);
}

/* OPERATOR(schema.<=>) */
static void step_operator_call(struct walk *w)
{
	struct reader *reader = w->reader;
	reader_next(reader);
	while (item_is_punct(reader->now + 1, '.') || item_is_name(reader->now + 1))
		reader_next(reader);
	if (reader->now[1].token.kind == PGW_TOK_OPERATOR) {
		reader_next(reader);
		walk_operator(w);
	}
	if (item_is_punct(reader->now + 1, ')'))
		reader_next(reader);
}

/* Key words that open a clause or say what tables follow. */
static void step_clause(struct walk *w, enum key key)
{
	struct scope *scope = walk_scope(w);
	switch ((unsigned)key) {
	case KEY_SELECT:
		step_select(w);
		break;
	case KEY_DISTINCT:
		scope->distinct |=
			w->previous == KEY_SELECT && item_key(w->reader->now + 1) != KEY_ON;
		break;
	case KEY_FROM:
		step_from(w);
		break;
	case KEY_JOIN:
		walk_add_feature(w, FEATURE(JOIN));
		expect_tables(w, EXPECT_READ);
		break;
	case KEY_ON:
		if (scope->clause == CLAUSE_FROM)
			enter(w, CLAUSE_ON);
		break;
	case KEY_USING:
		step_using(w);
		break;
	case KEY_WHERE:
		if (is_own_level(w)) {
			walk_add_feature(w, FEATURE(WHERE));
			scope->where = true;
			scope->clause = CLAUSE_WHERE;
		}
		break;
	case KEY_GROUP:
		if (is_own_level(w) && item_key(w->reader->now + 1) == KEY_BY) {
			scope->groups = true;
			scope->clause = CLAUSE_GROUP;
		}
		break;
	case KEY_LIMIT:
		step_limit(w, false);
		break;
	case KEY_FETCH:
		step_fetch(w);
		break;
	case KEY_WITH:
		step_with(w);
		break;
	case KEY_INTO:
		step_into(w);
		break;
	case KEY_UNION:
	case KEY_EXCEPT:
	case KEY_INTERSECT:
		enter(w, CLAUSE_START);
		break;
	case KEY_HAVING:
	case KEY_ORDER:
	case KEY_OFFSET:
	case KEY_WINDOW:
	case KEY_RETURNING:
	case KEY_FOR:
	case KEY_SET:
	case KEY_VALUES:
		enter(w, CLAUSE_OTHER);
		break;
	default:
		break;
	}
}

/* Key words inside an operand: it goes on. False: it is a name here. */
static bool step_inner(struct walk *w, enum key key)
{
	switch ((unsigned)key) {
	case KEY_LATERAL:
		walk_add_feature(w, FEATURE(LATERAL));
		w->expect_lateral = true;
		break;
	case KEY_TABLESAMPLE:
		walk_add_feature(w, FEATURE(SAMPLE));
		break;
	case KEY_OPERATOR:
		if (!item_is_punct(w->reader->now + 1, '('))
			return false;
		step_operator_call(w);
		break;
	case KEY_ONLY:
		return w->expect != EXPECT_NOTHING;
	case KEY_RECURSIVE:
		return w->awaits_cte;
	case KEY_ARRAY:
		walk_add_evidence(w, EVIDENCE_ARRAY);
		break;
	case KEY_TRUE:
		fixes_end(w);
		break;
	case KEY_FALSE:
	case KEY_NULL:
		w->fixes = FIXES_NOTHING;
		break;
	default:
		break;
	}
	return true;
}

/* What a key word is to the walk. */
enum role {
	ROLE_NAME, /* the walk does not know it: a name like others */
	ROLE_INNER,
	ROLE_SEPARATOR, /* stands between operands */
	ROLE_IN,
	ROLE_BETWEEN,
	ROLE_VERB,
	ROLE_TABLE,
	ROLE_CLAUSE,
};

static const uint8_t role_of[N_KEYS] = {
	[KEY_ALL] = ROLE_INNER,
	[KEY_ANY] = ROLE_INNER,
	[KEY_ARRAY] = ROLE_INNER,
	[KEY_CAST] = ROLE_INNER,
	[KEY_COLLATE] = ROLE_INNER,
	[KEY_EXISTS] = ROLE_INNER,
	[KEY_FALSE] = ROLE_INNER,
	[KEY_FILTER] = ROLE_INNER,
	[KEY_LATERAL] = ROLE_INNER,
	[KEY_MATERIALIZED] = ROLE_INNER,
	[KEY_NULL] = ROLE_INNER,
	[KEY_ONLY] = ROLE_INNER,
	[KEY_OPERATOR] = ROLE_INNER,
	[KEY_OVER] = ROLE_INNER,
	[KEY_RECURSIVE] = ROLE_INNER,
	[KEY_ROW] = ROLE_INNER,
	[KEY_SOME] = ROLE_INNER,
	[KEY_TABLESAMPLE] = ROLE_INNER,
	[KEY_TRUE] = ROLE_INNER,

	[KEY_AND] = ROLE_SEPARATOR,
	[KEY_AS] = ROLE_SEPARATOR,
	[KEY_ASC] = ROLE_SEPARATOR,
	[KEY_BETWEEN] = ROLE_BETWEEN,
	[KEY_BY] = ROLE_SEPARATOR,
	[KEY_CASE] = ROLE_SEPARATOR,
	[KEY_CONFLICT] = ROLE_SEPARATOR,
	[KEY_DESC] = ROLE_SEPARATOR,
	[KEY_DO] = ROLE_SEPARATOR,
	[KEY_ELSE] = ROLE_SEPARATOR,
	[KEY_END] = ROLE_SEPARATOR,
	[KEY_IN] = ROLE_IN,
	[KEY_IS] = ROLE_SEPARATOR,
	[KEY_LIKE] = ROLE_SEPARATOR,
	[KEY_NOT] = ROLE_SEPARATOR,
	[KEY_OR] = ROLE_SEPARATOR,
	[KEY_THEN] = ROLE_SEPARATOR,
	[KEY_WHEN] = ROLE_SEPARATOR,

	[KEY_DELETE] = ROLE_VERB,
	[KEY_INSERT] = ROLE_VERB,
	[KEY_MERGE] = ROLE_VERB,
	[KEY_UPDATE] = ROLE_VERB,
	[KEY_TABLE] = ROLE_TABLE,

	[KEY_DISTINCT] = ROLE_CLAUSE,
	[KEY_EXCEPT] = ROLE_CLAUSE,
	[KEY_FETCH] = ROLE_CLAUSE,
	[KEY_FOR] = ROLE_CLAUSE,
	[KEY_FROM] = ROLE_CLAUSE,
	[KEY_GROUP] = ROLE_CLAUSE,
	[KEY_HAVING] = ROLE_CLAUSE,
	[KEY_INTERSECT] = ROLE_CLAUSE,
	[KEY_INTO] = ROLE_CLAUSE,
	[KEY_JOIN] = ROLE_CLAUSE,
	[KEY_LIMIT] = ROLE_CLAUSE,
	[KEY_OFFSET] = ROLE_CLAUSE,
	[KEY_ON] = ROLE_CLAUSE,
	[KEY_ORDER] = ROLE_CLAUSE,
	[KEY_RETURNING] = ROLE_CLAUSE,
	[KEY_SELECT] = ROLE_CLAUSE,
	[KEY_SET] = ROLE_CLAUSE,
	[KEY_UNION] = ROLE_CLAUSE,
	[KEY_USING] = ROLE_CLAUSE,
	[KEY_VALUES] = ROLE_CLAUSE,
	[KEY_WHERE] = ROLE_CLAUSE,
	[KEY_WINDOW] = ROLE_CLAUSE,
	[KEY_WITH] = ROLE_CLAUSE,
};

/* False: the word is a name here. */
static bool step_key(struct walk *w, enum key key)
{
	enum role role = (enum role)role_of[key];
	if (role == ROLE_NAME || w->after_cast || item_is_punct(w->reader->now + 1, '.'))
		return false;
	switch (role) {
	case ROLE_NAME:
		return false;
	case ROLE_INNER:
		return step_inner(w, key);
	case ROLE_BETWEEN:
		walk_begin_between(w);
		return true;
	case ROLE_SEPARATOR:
		break;
	case ROLE_IN:
		fixes_begin(w, true);
		break;
	case ROLE_VERB:
		if (!step_verb(w, key))
			return false;
		break;
	case ROLE_TABLE:
		if (!step_table_key(w))
			return false;
		break;
	case ROLE_CLAUSE:
		step_clause(w, key);
		break;
	}
	walk_end_operand(w);
	return true;
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
		if (w->reader->now[1].token.kind == PGW_TOK_WORD) {
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
			walk_scope(w)->lists_values = w->star = true; /* SELECT * */
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
	bool row = w->columns & 1U << COLUMN_FEATURE_ROW ||
		   (w->columns & 1U << COLUMN_FEATURE_PAIR && !(w->columns & 1U << COLUMN_CATALOGUE));
	bool beside_inputs = row || w->columns & (1U << COLUMN_FEATURE | 1U << COLUMN_INPUT |
							 1U << COLUMN_VECTOR);
	if ((w->columns & 1U << COLUMN_LABEL ||
		    (w->columns & 1U << COLUMN_LABEL_WEAK && beside_inputs)) &&
		!(w->columns & 1U << COLUMN_CHOICE))
		walk_add_feature(w, FEATURE(LABEL_COLUMN));
	if (row || w->columns & 1U << COLUMN_FEATURE)
		walk_add_feature(w, FEATURE(FEATURE_COLUMN));
	if (w->columns & 1U << COLUMN_FOLD_MADE)
		walk_add_feature(w, FEATURE(SAMPLE));
	if (row)
		walk_add_feature(w, FEATURE(FEATURE_ROW));
	if (w->columns & 1U << COLUMN_FEAST)
		walk_add_feature(w, FEATURE(FEAST));
	if (w->columns & 1U << COLUMN_VECTOR)
		walk_add_feature(w, FEATURE(VECTOR_COLUMN));
	if (w->columns & 1U << COLUMN_INPUT && w->columns & 1U << COLUMN_OUTCOME)
		walk_add_feature(w, FEATURE(OUTCOME_COLUMN));
}

static void finish(struct walk *w)
{
	while (w->depth > 0)
		walk_close_level(w);
	walk_end_operand(w);
	if (UNLIKELY(w->n_known > 0))
		walk_settle(w);
	struct scope all = {0};
	const struct scope *scope = &w->levels[0].scope;
	walk_close_scope(w, scope, &all);
	if ((scope->folds || scope->groups || scope->distinct) && !scope->collects)
		walk_add_feature(w, FEATURE(GROUPED));
	uint16_t rows = all.tables;
	uint16_t any = rows | w->few_tables | w->folded_tables;
	if ((w->columns | any) == 0 && !w->undecided)
		return; /* as of most statements */
	if (w->columns != 0)
		add_columns(w);
	if (any == 0 && scope->few && w->statement->features & FEATURE(LABEL_COLUMN))
		walk_add_feature(w, FEATURE(FEW_ROWS));
	add_tables(w, any & (uint16_t) ~(1U << TABLE_FEATURES_LIKELY));
	if (any & WALK_FEATURE_TABLES && !(w->valued_tables & WALK_FEATURE_TABLES))
		walk_add_feature(w, FEATURE(KEYS_ONLY));
	if (walk_reads_features(w, any))
		walk_add_feature(w, FEATURE(FEATURE_SET));
	if (w->columns & 1U << COLUMN_GAME)
		w->statement->features &= ~(FEATURE(PREDICTIONS) | FEATURE(PREDICTION_INSERT));
	if (w->columns & 1U << COLUMN_CALENDAR)
		w->statement->features &= ~FEATURE(EVENTS);
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
	memset(&w, 0, offsetof(struct walk, levels));
	w.reader = reader;
	w.catalog = reader->catalog;
	w.begin = reader->now->token.at;
	w.statement = statement;
	walk_begin_level(&w, 0)->is_query = true;
	for (; reader->now->token.kind != PGW_TOK_END; reader_next(reader)) {
		bool ends = item_is_punct(reader->now, ';') ||
			    (stop_at_to && item_key(reader->now) == KEY_TO);
		if (UNLIKELY(ends) && w.depth == 0)
			break;
		step(&w);
	}
	finish(&w);
}
