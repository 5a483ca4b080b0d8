/* SPDX-License-Identifier: ISC */
/*
 * Clauses, tables and levels of the walk; see walk.h.
 */
#include "classify/query.h"

#include "classify/walk.h"

#define FEW_ROWS_FILTERED 100 /* a LIMIT up to this takes a page, not a set … */
#define FEW_ROWS_UNFILTERED 2000 /* … and without a WHERE it is the preview of a BI tool */

/* ---- scopes and levels ---- */

static void open_scope(struct walk *w, struct level *level, bool tests)
{
	level->owner = (uint8_t)w->depth;
	level->scope = (struct scope){ .lateral = w->expect_lateral, .tests = tests };
}

static bool begins_query(enum key key)
{
	return key == KEY_SELECT || key == KEY_WITH || key == KEY_VALUES || key == KEY_TABLE || key == KEY_INSERT || key == KEY_UPDATE ||
		key == KEY_DELETE || key == KEY_MERGE;
}

static void open_level(struct walk *w)
{
	if (w->depth + 1 == DEPTH_MAX) {
		w->too_deep++;
		return;
	}
	enum key first = item_key(w->reader->ahead);
	bool called = w->call != FUNCTION_NONE;
	bool is_query = begins_query(first) && item_is_punct(w->reader->now, '(');
	bool in_from = walk_scope(w)->clause == CLAUSE_FROM;
	const struct level *outer = walk_top(w);
	struct level *level = &w->levels[++w->depth];

	*level = (struct level){ .owner = outer->owner, .function = w->call, .is_query = is_query, .is_cast = w->previous == KEY_CAST };
	level->is_from_group = !is_query && !called && w->expect == EXPECT_READ;
	if (is_query) {
		open_scope(w, level, w->previous == KEY_EXISTS || w->previous == KEY_IN);
		w->expect = EXPECT_NOTHING;
		if (first == KEY_VALUES && in_from)
			w->fixes = FIXES_ENTITY; /* JOIN (VALUES ($1), ($2)) AS k(id): a list of keys */
	} else if (!level->is_from_group) {
		w->expect = EXPECT_NOTHING;
	}
	w->expect_lateral = false;
	w->call = FUNCTION_NONE;
}

/* The rows that a scope takes go out, or are folded here. */
static void close_scope(struct walk *w, const struct scope *scope, struct scope *outer)
{
	bool bulk = w->statement->features & (FEATURE(COPY_TO) | FEATURE(CURSOR) | FEATURE(CREATE_AS));
	bool folds = scope->folds || scope->groups || scope->distinct;
	if (scope->collects || (bulk && scope->groups_by_key))
		folds = false; /* one row for each entity is what a training set looks like */
	uint16_t tables = scope->tables;
	if (scope->lists_values || !scope->lists_keys)
		w->valued_tables |= tables;
	if (scope->tests) {
		/* what only filters lets nothing out; but reading the vectors' metadata is work for their lane even so */
		w->folded_tables |= tables & (uint16_t)~(1U << TABLE_VECTOR_METADATA);
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
		break;
	}
	return 0;
}

/* What a closed parenthesis gives to the operand it is part of. */
static unsigned evidence_of_level(const struct level *level)
{
	unsigned inner = level->all_evidence;
	unsigned result = evidence_of_call(level->function);
	if (result != 0)
		return result;
	if (level->is_query) {
		unsigned vector = inner & EVIDENCE_VECTOR;
		return EVIDENCE_VALUE | (vector != 0 ? vector : inner & (EVIDENCE_SPATIAL | EVIDENCE_SPATIAL_NAME));
	}
	return inner;
}

/* count(…) folds, count(…) OVER (…) does not; FILTER (…) may stand between. */
static void close_aggregate(struct walk *w, enum function_kind function)
{
	enum key next = item_key(w->reader->ahead);
	if (function == FUNCTION_AGGREGATE && next == KEY_FILTER)
		w->filter_open = true;
	else if ((function == FUNCTION_AGGREGATE || w->filter_open) && next != KEY_OVER)
		walk_scope(w)->folds |= walk_scope(w)->clause == CLAUSE_SELECT;
	if (function != FUNCTION_AGGREGATE)
		w->filter_open = false;
}

static void close_level(struct walk *w)
{
	if (w->too_deep > 0) {
		w->too_deep--;
		return;
	}
	struct operand_name last = walk_top(w)->name;
	walk_end_operand(w);
	if (w->depth == 0)
		return; /* one too many: the server will say so */
	const struct level *closed = walk_top(w);
	w->depth--;
	struct level *level = walk_top(w);
	if (closed->is_query)
		close_scope(w, &closed->scope, walk_scope(w));
	walk_add_evidence(w, evidence_of_level(closed));
	if (closed->function == FUNCTION_MATCH_MAYBE && closed->all_evidence & EVIDENCE_VECTOR)
		walk_add_feature(w, FEATURE(VECTOR_MATCH));
	if (closed->function == FUNCTION_AGGREGATE || w->filter_open)
		close_aggregate(w, closed->function);
	if (closed->function == FUNCTION_SET_CONFIG && w->previous != KEY_TRUE)
		w->statement->effects |= EFFECT_SET; /* not known to be local */
	if (!closed->is_query && level->name.word == NULL)
		level->name = last; /* (embedding)::vector */
	level->group_had_key = closed->has_key && closed->function == FUNCTION_NONE && !closed->is_query;
	w->expect = EXPECT_NOTHING;
}

/* ---- tables ---- */

uint64_t query_table_feature(enum table_kind kind)
{
	static const uint64_t bits[N_TABLE_KINDS] = {
		[TABLE_VECTOR_METADATA] = FEATURE(VECTOR_METADATA),
		[TABLE_EMBEDDINGS] = FEATURE(EMBEDDINGS),
		[TABLE_FEATURES] = FEATURE(FEATURE_SET),
		[TABLE_PREDICTIONS] = FEATURE(PREDICTIONS),
		[TABLE_MODELS] = FEATURE(MODELS),
		[TABLE_EVENTS] = FEATURE(EVENTS),
		[TABLE_LABELS] = FEATURE(LABELS),
		[TABLE_TRAINING_SET] = FEATURE(TRAINING_SET),
	};
	return bits[kind];
}

enum table_kind query_table_kind(const struct word *word, const struct pgw_token *token)
{
	if (word->table != TABLE_NONE)
		return (enum table_kind)word->table;
	unsigned roots = name_roots(token) & NAME_ROOTS_OF_TABLES;
	if (roots == 0)
		return TABLE_NONE;
	struct name name;
	name_of_token(token, &name);
	return name_table_kind(&name, roots);
}

static bool same_name(const struct pgw_token *a, const struct pgw_token *b)
{
	struct name x, y;
	name_of_token(a, &x);
	name_of_token(b, &y);
	return x.len == y.len && memcmp(x.text, y.text, x.len) == 0;
}

static bool is_cte(const struct walk *w, const struct pgw_token *token)
{
	for (unsigned i = 0; i < w->n_ctes; i++)
		if (same_name(&w->ctes[i], token))
			return true;
	return false;
}

static void write_table(struct walk *w, enum expect expect, enum table_kind kind)
{
	if (kind == TABLE_PREDICTIONS && expect == EXPECT_INSERT)
		walk_add_feature(w, FEATURE(PREDICTION_INSERT));
	if (kind == TABLE_TRAINING_SET)
		walk_add_feature(w, FEATURE(TRAINING_TARGET));
}

/* feature_store.customer_daily: the schema says what its tables are. */
static enum table_kind kind_of_schema(const struct item *schema)
{
	enum table_kind kind = query_table_kind(schema->word, &schema->token);
	if (kind == TABLE_FEATURES_MAYBE)
		return TABLE_FEATURES;
	return kind == TABLE_FEATURES || kind == TABLE_PREDICTIONS || kind == TABLE_TRAINING_SET ? kind : TABLE_NONE;
}

/* A table's name has been read, or a CTE's. */
static void step_table(struct walk *w, const struct operand_name *name)
{
	enum expect expect = w->expect;
	enum table_kind kind = query_table_kind(name->word, &name->token);
	w->expect = EXPECT_NOTHING;
	w->n_tables++;
	if (kind == TABLE_NONE && name->qualifier.word != NULL)
		kind = kind_of_schema(&name->qualifier);
	if (kind == TABLE_NONE)
		return;
	if (expect != EXPECT_READ)
		write_table(w, expect, kind);
	else if (name->qualifier.word != NULL || !is_cte(w, &name->token))
		walk_scope(w)->tables |= (uint16_t)(1U << kind);
}

/* ---- names ---- */

static enum function_kind function_of(const struct operand_name *called)
{
	enum schema_kind schema = called->qualifier.word != NULL ? (enum schema_kind)called->qualifier.word->schema : SCHEMA_NONE;
	if (schema != SCHEMA_MADLIB && called->word->function != FUNCTION_NONE)
		return (enum function_kind)called->word->function;
	if (schema == SCHEMA_NONE && !(name_roots(&called->token) & NAME_ROOT_FUNCTION))
		return FUNCTION_NONE;
	struct name name;
	name_of_token(&called->token, &name);
	return name_function_kind(&name, schema);
}

static void step_call(struct walk *w, enum function_kind function)
{
	static const struct {
		uint64_t feature;
		uint32_t effect;
	} means[] = {
		[FUNCTION_VECTOR_DISTANCE] = { FEATURE(VECTOR_DISTANCE), 0 },
		[FUNCTION_MATCH] = { FEATURE(VECTOR_MATCH), 0 },
		[FUNCTION_MATCH_HYBRID] = { FEATURE(HYBRID_MATCH), 0 },
		[FUNCTION_SPATIAL_TEST] = { FEATURE(SPATIAL), 0 },
		[FUNCTION_TEXT_SEARCH] = { FEATURE(FULL_TEXT), 0 },
		[FUNCTION_TRAIN] = { FEATURE(TRAIN_CALL), 0 },
		[FUNCTION_PREDICT] = { FEATURE(PREDICT_CALL), 0 },
		[FUNCTION_EMBED] = { FEATURE(PREDICT_CALL), 0 },
		[FUNCTION_RANDOM] = { FEATURE(SAMPLE), 0 },
		[FUNCTION_ADVISORY_LOCK] = { 0, EFFECT_ADVISORY_LOCK },
	};
	w->call = function;
	if (function < N_ELEMENTS(means)) {
		walk_add_feature(w, means[function].feature);
		w->statement->effects |= means[function].effect;
	}
	if (function == FUNCTION_COLLECT)
		walk_scope(w)->collects |= walk_scope(w)->clause == CLAUSE_SELECT;
	if (function == FUNCTION_UNNEST)
		w->fixes = FIXES_ENTITY; /* unnest($1): a list of keys came as an array */
}

static void step_type(struct walk *w, const struct word *word)
{
	static const unsigned evidence[] = {
		[TYPE_NONE] = 0,
		[TYPE_VECTOR] = EVIDENCE_VECTOR_TYPE,
		[TYPE_SPATIAL] = EVIDENCE_SPATIAL,
		[TYPE_TEXT_SEARCH] = EVIDENCE_TEXT_SEARCH,
		[TYPE_OTHER_METRIC] = EVIDENCE_OTHER,
		[TYPE_JSONPATH] = EVIDENCE_JSON,
	};
	w->vector_type_seen |= word->type == TYPE_VECTOR;
	walk_add_evidence(w, evidence[word->type]);
}

/* A label counts where it goes out, not where it filters; a value where it is an alias (AS value beside AS label is a list to choose from). */
static unsigned columns_seen(const struct walk *w, const struct scope *scope, const struct word *word)
{
	bool counts = (word->column != COLUMN_LABEL || scope->clause == CLAUSE_SELECT) && (word->column != COLUMN_CHOICE || w->previous == KEY_AS);
	return counts ? 1U << word->column : 0;
}

static void list_column(struct scope *scope, const struct operand_name *name)
{
	enum column_kind column = (enum column_kind)name->word->column;
	if (column == COLUMN_ENTITY || column == COLUMN_FEATURE_ROW || column == COLUMN_UPKEEP || column == COLUMN_SCOPE_ID ||
		fixes_of_name(name) != FIXES_NOTHING)
		scope->lists_keys = true;
	else
		scope->lists_values = true;
}

/* The name is that of the level. */
static void step_column(struct walk *w)
{
	struct level *level = walk_top(w);
	struct scope *scope = walk_scope(w);
	const struct operand_name *name = &level->name;
	w->columns |= columns_seen(w, scope, name->word);
	w->fixes = FIXES_NOTHING;
	if (!level->is_query && w->depth > 0)
		level->has_key |= fixes_of_name(name) == FIXES_ENTITY;
	if (scope->clause == CLAUSE_GROUP)
		scope->groups_by_key |= fixes_of_name(name) != FIXES_NOTHING;
	if (name->word->column == COLUMN_STAGE_FLAG && scope->clause == CLAUSE_WHERE && w->previous != KEY_NOT)
		walk_add_feature(w, FEATURE(PRODUCTION));
	if (scope->clause == CLAUSE_SELECT && w->previous != KEY_AS)
		list_column(scope, name);
	walk_column(w);
}

/* Field by field: the whole was written in parts a moment ago, and reading it at once would stall. */
static void copy_token(struct pgw_token *to, const struct pgw_token *from)
{
	to->kind = from->kind;
	to->at = from->at;
	to->len = from->len;
}

/* A dotted name: leaves its last part current. */
static void read_name(struct walk *w, struct operand_name *name_r)
{
	struct reader *reader = w->reader;
	name_r->qualifier.word = NULL;
	while (item_is_punct(reader->ahead, '.')) {
		name_r->qualifier.word = reader->now->word;
		copy_token(&name_r->qualifier.token, &reader->now->token);
		reader_next(reader);
		if (!item_is_name(reader->ahead)) {
			walk_scope(w)->lists_values = true; /* t.* */
			break;
		}
		reader_next(reader);
	}
	name_r->word = reader->now->word;
	copy_token(&name_r->token, &reader->now->token);
}

static bool is_type_position(struct walk *w)
{
	return w->after_cast || (w->previous == KEY_AS && walk_top(w)->is_cast);
}

static void step_cte(struct walk *w, const struct operand_name *name)
{
	w->awaits_cte = false;
	if (w->n_ctes < CTE_MAX)
		w->ctes[w->n_ctes++] = name->token;
	if (name->word->column == COLUMN_FEAST)
		w->columns |= 1U << COLUMN_FEAST;
}

static void step_name(struct walk *w)
{
	struct operand_name type;
	struct operand_name *name = &walk_top(w)->name;
	const struct item *now = w->reader->now;
	if (is_type_position(w)) {
		read_name(w, &type);
		step_type(w, type.word);
		return;
	}
	if (now->word->type != TYPE_NONE && w->reader->ahead->token.kind == PGW_TOK_STRING) {
		step_type(w, now->word); /* point '(1,2)' */
		return;
	}
	read_name(w, name);
	bool called = item_is_punct(w->reader->ahead, '(');
	if (w->awaits_cte) {
		step_cte(w, name);
	} else if (w->expect != EXPECT_NOTHING && !(called && w->expect == EXPECT_READ)) {
		step_table(w, name);
	} else if (called) {
		w->expect = EXPECT_NOTHING;
		step_call(w, function_of(name));
	} else {
		step_column(w);
		return;
	}
	name->word = NULL; /* it was no operand */
}

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
		else if (next != KEY_LOCAL && next != KEY_GLOBAL && next != KEY_UNLOGGED && next != KEY_TABLE)
			return;
		reader_next(reader);
	}
}

/* INSERT, UPDATE, DELETE, MERGE where a statement or a WITH query begins; not FOR UPDATE, DO UPDATE, THEN DELETE. False: it is none, and may be a name. */
static bool step_verb(struct walk *w, enum key verb)
{
	struct scope *scope = walk_scope(w);
	if (!is_own_level(w) || (scope->clause != CLAUSE_START && scope->clause != CLAUSE_WITH))
		return w->previous == KEY_FOR || w->previous == KEY_DO || w->previous == KEY_THEN || w->previous == KEY_KEY;
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
	if (is_own_level(w) && !item_is_punct(w->reader->ahead, '(') && w->statement->features & FEATURE(WRITE))
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
		scope->distinct |= w->previous == KEY_SELECT && item_key(w->reader->ahead) != KEY_ON;
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
	if (!handled && (key == KEY_INSERT || key == KEY_UPDATE || key == KEY_DELETE || key == KEY_MERGE))
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
		open_level(w);
		break;
	case ')':
	case ']':
		close_level(w);
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
		step_name(w);
		break;
	case PGW_TOK_QUOTED_IDENT:
		step_name(w);
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
	if (w->columns & 1U << COLUMN_LABEL && !(w->columns & 1U << COLUMN_CHOICE))
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

static void finish(struct walk *w)
{
	while (w->depth > 0)
		close_level(w);
	walk_end_operand(w);
	struct scope all = { 0 };
	close_scope(w, &w->levels[0].scope, &all);
	uint16_t rows = all.tables;
	uint16_t any = rows | w->few_tables | w->folded_tables;
	add_columns(w);
	add_tables(w, any);
	if (any & 1U << TABLE_FEATURES && !(w->valued_tables & 1U << TABLE_FEATURES))
		walk_add_feature(w, FEATURE(KEYS_ONLY));
	/* `features` alone may be anything; beside columns that only feature stores have it is one */
	if (any & 1U << TABLE_FEATURES_MAYBE && w->columns & (1U << COLUMN_FEATURE | 1U << COLUMN_ENTITY | 1U << COLUMN_LABEL) && !(w->statement->features & FEATURE(SPATIAL)))
		walk_add_feature(w, FEATURE(FEATURE_SET));
	if (rows == 0 && any != 0)
		walk_add_feature(w, w->few_tables != 0 ? FEATURE(FEW_ROWS) : FEATURE(AGGREGATE));
	if (w->undecided && (w->vector_type_seen || any & 1U << TABLE_EMBEDDINGS) && !(w->statement->features & FEATURE(SPATIAL)))
		walk_add_feature(w, FEATURE(VECTOR_DISTANCE));
}

void query_walk(struct reader *reader, bool stop_at_to, struct statement *statement)
{
	struct walk w;
	memset(&w, 0, offsetof(struct walk, ctes));
	w.reader = reader;
	w.statement = statement;
	w.levels[0] = (struct level){ .is_query = true };
	for (; reader->now->token.kind != PGW_TOK_END; reader_next(reader)) {
		if (w.depth == 0 && (item_is_punct(reader->now, ';') || (stop_at_to && item_key(reader->now) == KEY_TO)))
			break;
		step(&w);
	}
	finish(&w);
}
