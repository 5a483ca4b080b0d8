/* SPDX-License-Identifier: ISC */
/*
 * A name has been met: is it a table, a function that is called, a type or a column, and what does
 * it say?
 */
#include "classify/query.h"

#include "classify/walk.h"

uint64_t query_table_feature(enum table_kind kind)
{
	static const uint64_t bits[N_TABLE_KINDS] = {
		[TABLE_VECTOR_METADATA] = FEATURE(VECTOR_METADATA),
		[TABLE_EMBEDDINGS] = FEATURE(EMBEDDINGS),
		[TABLE_FEATURES] = FEATURE(FEATURE_SET),
		[TABLE_FEATURES_LIKELY] = FEATURE(FEATURE_SET),
		[TABLE_PREDICTIONS] = FEATURE(PREDICTIONS),
		[TABLE_MODELS] = FEATURE(MODELS),
		[TABLE_EVENTS] = FEATURE(EVENTS),
		[TABLE_LABELS] = FEATURE(LABELS),
		[TABLE_TRAINING_SET] = FEATURE(TRAINING_SET),
	};
	return bits[kind];
}

enum table_kind query_table_kind(
	const struct words *words, const struct word *word, const struct pgw_token *token)
{
	if (word->table != TABLE_NONE)
		return (enum table_kind)word->table;
	unsigned roots = name_roots(token) & NAME_ROOTS_OF_TABLES;
	if (roots == 0)
		return TABLE_NONE;
	struct name name;
	name_of_token(token, &name);
	return name_table_kind(words, &name, roots);
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
static enum table_kind kind_of_schema(const struct words *words, const struct item *schema)
{
	enum table_kind kind = query_table_kind(words, schema->word, &schema->token);
	if (kind == TABLE_FEATURES_MAYBE)
		return TABLE_FEATURES;
	return kind == TABLE_FEATURES || kind == TABLE_FEATURES_LIKELY ||
			       kind == TABLE_PREDICTIONS || kind == TABLE_TRAINING_SET
		       ? kind
		       : TABLE_NONE;
}

/* A table's name has been read, or a CTE's. */
NOINLINE static void step_table(struct walk *w, const struct operand_name *name)
{
	const struct words *words = w->reader->words;
	enum expect expect = w->expect;
	enum table_kind kind = query_table_kind(words, name->word, &name->token);
	w->expect = EXPECT_NOTHING;
	w->n_tables++;
	if (UNLIKELY(w->catalog != NULL) &&
		(name->qualifier.word != NULL || !is_cte(w, &name->token)))
		walk_note_table(w, name);
	if (kind == TABLE_NONE && name->qualifier.word != NULL)
		kind = kind_of_schema(words, &name->qualifier);
	if (kind == TABLE_NONE)
		return;
	w->quotes_features |= kind == TABLE_FEATURES_LIKELY &&
			      name->token.kind == PGW_TOK_QUOTED_IDENT;
	if (expect != EXPECT_READ)
		write_table(w, expect, kind);
	else if (name->qualifier.word != NULL || !is_cte(w, &name->token))
		walk_scope(w)->tables |= (uint16_t)(1U << kind);
}

/* ---- names ---- */

static enum function_kind function_of(const struct operand_name *called)
{
	enum schema_kind schema = called->qualifier.word != NULL
					  ? (enum schema_kind)called->qualifier.word->schema
					  : SCHEMA_NONE;
	if (schema != SCHEMA_MADLIB && called->word->function != FUNCTION_NONE)
		return (enum function_kind)called->word->function;
	if (schema == SCHEMA_NONE && !(name_roots(&called->token) & NAME_ROOT_FUNCTION))
		return FUNCTION_NONE;
	struct name name;
	name_of_token(&called->token, &name);
	return name_function_kind(&name, schema);
}

/* Is it a function of whose inside nothing is known? A key word is none, nor is what AS names: AS t (a, b). */
static bool is_somebodys(const struct walk *w, const struct operand_name *called, enum function_kind function)
{
	switch (function) {
	case FUNCTION_MATCH:
	case FUNCTION_MATCH_MAYBE:
	case FUNCTION_MATCH_HYBRID:
	case FUNCTION_TRAIN:
	case FUNCTION_PREDICT:
	case FUNCTION_EMBED:
		return true;
	case FUNCTION_NONE:
		return called->word->key == KEY_NONE && called->word->type == TYPE_NONE && w->previous != KEY_AS &&
		       !(called->token.len > 3 && strncasecmp(called->token.at, "pg_", 3) == 0);
	case FUNCTION_VECTOR_DISTANCE:
	case FUNCTION_VECTOR_VALUE:
	case FUNCTION_SPATIAL_TEST:
	case FUNCTION_SPATIAL_VALUE:
	case FUNCTION_TEXT_SEARCH:
	case FUNCTION_OTHER_METRIC:
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
	default:
		/* of this name in another schema: its own */
		return called->qualifier.word != NULL && !pgw_word_is(&called->qualifier.token, "pg_catalog");
	}
}

NOINLINE static void step_call(struct walk *w, const struct operand_name *called)
{
	static const struct {
		uint64_t feature;
		uint32_t effect;
	} means[] = {
		[FUNCTION_VECTOR_DISTANCE] = {FEATURE(VECTOR_DISTANCE), 0},
		[FUNCTION_MATCH] = {FEATURE(VECTOR_MATCH), 0},
		[FUNCTION_MATCH_HYBRID] = {FEATURE(HYBRID_MATCH), 0},
		[FUNCTION_SPATIAL_TEST] = {FEATURE(SPATIAL), 0},
		[FUNCTION_TEXT_SEARCH] = {FEATURE(FULL_TEXT), 0},
		[FUNCTION_TRAIN] = {FEATURE(TRAIN_CALL), 0},
		[FUNCTION_PREDICT] = {FEATURE(PREDICT_CALL), 0},
		[FUNCTION_EMBED] = {FEATURE(PREDICT_CALL), 0},
		[FUNCTION_RANDOM] = {FEATURE(SAMPLE), 0},
		[FUNCTION_ADVISORY_LOCK] = {0, EFFECT_ADVISORY_LOCK},
		[FUNCTION_ADVISORY_UNLOCK] = {0, EFFECT_RELEASE},
		[FUNCTION_SEQUENCE_MOVE] = {0, EFFECT_SEQUENCE_MOVE},
		[FUNCTION_SEQUENCE_READ] = {0, EFFECT_SEQUENCE_READ},
	};
	enum function_kind function = function_of(called);
	if (is_somebodys(w, called, function))
		w->statement->effects |= EFFECT_CALL;
	w->call = function == FUNCTION_BUILT_IN ? FUNCTION_NONE : function;
	if (function < N_ELEMENTS(means)) {
		walk_add_feature(w, means[function].feature);
		w->statement->effects |= means[function].effect;
	}
	if (function == FUNCTION_COLLECT)
		walk_scope(w)->collects |= walk_scope(w)->clause == CLAUSE_SELECT;
	if (function == FUNCTION_UNNEST)
		w->fixes = FIXES_ENTITY; /* unnest($1): a list of keys came as an array */
}

NOINLINE static void step_type(struct walk *w, const struct word *word)
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

/* churn_label, ltv_target */
static bool is_label_name(const struct pgw_token *token, uint64_t tail)
{
	size_t n = token->len - (token->kind == PGW_TOK_QUOTED_IDENT);
	if (n < sizeof("_target"))
		return false;
	return NAME_ENDS(tail, "_label") || NAME_ENDS(tail, "_target");
}

/*
 * What a column's name adds. A label counts where it goes out, not where it filters; AS label makes
 * a weak one strong; a value counts as an alias (AS value beside AS label is a list to choose
 * from).
 */
static unsigned columns_seen(
	const struct walk *w, const struct scope *scope, const struct word *word)
{
	bool alias = w->previous == KEY_AS;
	switch (word->column) {
	case COLUMN_LABEL:
	case COLUMN_LABEL_WEAK:
		if (scope->clause != CLAUSE_SELECT)
			return 0;
		return 1U << word->column | (unsigned)alias << COLUMN_LABEL;
	case COLUMN_FEATURE: /* … AS features: of whatever the statement reads */
		return 1U << (alias ? COLUMN_INPUT : COLUMN_FEATURE);
	case COLUMN_FOLD:
		return 1U << COLUMN_FOLD | (unsigned)alias << COLUMN_FOLD_MADE;
	case COLUMN_CHOICE:
		return alias ? 1U << COLUMN_CHOICE : 0;
	default:
		return 1U << word->column;
	}
}

static bool is_key(enum fixes fixes)
{
	return fixes == FIXES_ENTITY || fixes == FIXES_ROW;
}

#define KEY_COLUMNS                                                                                \
	(1U << COLUMN_ENTITY | 1U << COLUMN_EXAMPLE | 1U << COLUMN_FOLD |                          \
		1U << COLUMN_FEATURE_ROW | 1U << COLUMN_UPKEEP | 1U << COLUMN_SCOPE_ID)

static void list_column(struct walk *w, const struct operand_name *name, uint64_t tail)
{
	enum column_kind column = (enum column_kind)name->word->column;
	if (1U << column & KEY_COLUMNS || is_key(fixes_of_name(name, tail)) ||
		(column == COLUMN_FEATURE_PAIR && !NAME_ENDS(tail, "_value"))) {
		walk_scope(w)->lists_keys = true;
		return;
	}
	walk_scope(w)->lists_values = true;
}

/* The name is that of the level. known: walk_known_column() of it; inlined twice, so that most
 * statements do not ask for it again and again. */
static inline __attribute__((always_inline)) void mention_column(struct walk *w, unsigned known)
{
	struct level *level = walk_top(w);
	struct scope *scope = walk_scope(w);
	const struct operand_name *name = &level->name;
	bool in_group = !level->is_query && w->depth > 0;
	uint64_t tail = in_group || scope->clause == CLAUSE_SELECT || scope->clause == CLAUSE_GROUP
				? name_tail(&name->token)
				: 0;
	if (name->word->column != COLUMN_NONE)
		w->columns |= columns_seen(w, scope, name->word) &
			      ~(known != 0 ? 1U << COLUMN_VECTOR : 0);
	w->fixes = FIXES_NOTHING;
	if (in_group)
		level->has_key |= fixes_of_name(name, tail) == FIXES_ENTITY;
	switch (scope->clause) {
	case CLAUSE_SELECT:
		if (is_label_name(&name->token, tail))
			w->columns |= 1U << COLUMN_LABEL;
		if (w->previous != KEY_AS)
			list_column(w, name, tail);
		break;
	case CLAUSE_GROUP:
		scope->groups_by_key |= is_key(fixes_of_name(name, tail));
		break;
	case CLAUSE_WHERE:
		if (name->word->column == COLUMN_STAGE_FLAG && w->previous != KEY_NOT)
			walk_add_feature(w, FEATURE(PRODUCTION));
		break;
	case CLAUSE_START:
	case CLAUSE_WITH:
	case CLAUSE_FROM:
	case CLAUSE_ON:
	case CLAUSE_OTHER:
		break;
	}
	if (known != 0)
		walk_column_known(w, known);
	else
		walk_column(w);
}

NOINLINE static void step_column_known(struct walk *w)
{
	unsigned known = walk_known_column(w, &walk_top(w)->name);
	mention_column(w, known);
}

/* Field by field: the whole was written in parts a moment ago, and reading it at once would stall.
 */
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
	while (item_is_punct(reader->now + 1, '.')) {
		name_r->qualifier.word = reader->now->word;
		copy_token(&name_r->qualifier.token, &reader->now->token);
		reader_next(reader);
		if (!item_is_name(reader->now + 1)) {
			walk_scope(w)->lists_values = w->star = true; /* t.* */
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

NOINLINE static void step_cte(struct walk *w, const struct operand_name *name)
{
	w->awaits_cte = false;
	if (w->n_ctes < CTE_MAX)
		w->ctes[w->n_ctes++] = name->token;
	if (name->word->column == COLUMN_FEAST)
		w->columns |= 1U << COLUMN_FEAST;
}

/* A type's name may have dots too: pg_catalog.text. */
NOINLINE static void step_type_name(struct walk *w)
{
	struct operand_name type;
	read_name(w, &type);
	step_type(w, type.word);
}

void walk_name(struct walk *w)
{
	struct operand_name *name = &walk_top(w)->name;
	const struct item *now = w->reader->now;
	if (is_type_position(w)) {
		step_type_name(w);
		return;
	}
	if (now->word->type != TYPE_NONE && w->reader->now[1].token.kind == PGW_TOK_STRING) {
		step_type(w, now->word); /* point '(1,2)' */
		return;
	}
	read_name(w, name);
	bool called = item_is_punct(w->reader->now + 1, '(');
	if (w->awaits_cte) {
		step_cte(w, name);
	} else if (w->expect != EXPECT_NOTHING && !(called && w->expect == EXPECT_READ)) {
		step_table(w, name);
	} else if (called) {
		w->expect = EXPECT_NOTHING;
		step_call(w, name);
	} else if (UNLIKELY(w->catalog != NULL) &&
		   (w->awaits_alias || catalog_may_have(w->catalog, &name->token))) {
		step_column_known(w);
		return;
	} else {
		mention_column(w, 0);
		return;
	}
	name->word = NULL; /* it was no operand */
}
