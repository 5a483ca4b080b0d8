/* SPDX-License-Identifier: ISC */
/*
 * The dictionary: what a word means in each position it may stand in. A word is looked up once per
 * token, by a hash of its folded bytes; the index is built once per classifier and never changes,
 * so that workers share it. What is not in the dictionary but has a telling shape
 * (customer_embedding, churn_predictions) is judged by names.h, only where a statement makes it
 * matter.
 */
#ifndef CLASSIFY_WORDS_H
#define CLASSIFY_WORDS_H

#include "base/base.h"

/* clang-format off */
/* SQL key words, as far as features or effects depend on them. */
enum key {
	KEY_NONE,
	KEY_ABORT, KEY_ALL, KEY_ANALYZE, KEY_AND, KEY_ANY, KEY_ARRAY, KEY_AS, KEY_ASC, KEY_ATOMIC, KEY_AUTHORIZATION,
	KEY_BEGIN, KEY_BETWEEN, KEY_BY, KEY_CALL, KEY_CASE, KEY_CAST, KEY_CHAIN, KEY_CHARACTERISTICS, KEY_CLOSE, KEY_COLLATE,
	KEY_COMMIT, KEY_COMMITTED, KEY_CONFLICT, KEY_CONSTRAINTS, KEY_COPY, KEY_CREATE, KEY_CURSOR, KEY_DEALLOCATE, KEY_DECLARE,
	KEY_DELETE, KEY_DESC, KEY_DISCARD, KEY_DISTINCT, KEY_DO, KEY_DROP, KEY_ELSE, KEY_END, KEY_EXCEPT, KEY_EXECUTE, KEY_EXISTS,
	KEY_EXPLAIN, KEY_FALSE, KEY_FETCH, KEY_FILTER, KEY_FIRST, KEY_FOR, KEY_FROM, KEY_FUNCTION, KEY_GLOBAL, KEY_GROUP, KEY_HAVING,
	KEY_HOLD, KEY_IN, KEY_INSERT, KEY_INTERSECT, KEY_INTO, KEY_IS, KEY_ISOLATION, KEY_JOIN, KEY_KEY, KEY_LATERAL, KEY_LEVEL,
	KEY_LIKE, KEY_LIMIT, KEY_LISTEN, KEY_LOAD, KEY_LOCAL, KEY_MATERIALIZED, KEY_MERGE, KEY_NAMES, KEY_NEXT, KEY_NO, KEY_NOT, KEY_NULL,
	KEY_OF, KEY_OFF, KEY_OFFSET, KEY_ON, KEY_ONLY, KEY_OPERATOR, KEY_OR, KEY_ORDER, KEY_OVER, KEY_PLANS, KEY_PREPARE, KEY_PREPARED,
	KEY_PROCEDURE, KEY_READ, KEY_RECURSIVE, KEY_RELEASE, KEY_REPEATABLE, KEY_REPLACE, KEY_RESET, KEY_RETURNING, KEY_ROLE,
	KEY_ROLLBACK, KEY_ROW, KEY_ROWS, KEY_SAVEPOINT, KEY_SELECT, KEY_SEQUENCE, KEY_SESSION, KEY_SET, KEY_SHOW, KEY_SOME, KEY_START,
	KEY_TABLE, KEY_TABLESAMPLE, KEY_TEMP, KEY_THEN, KEY_TO, KEY_TRANSACTION, KEY_TRUE, KEY_UNION, KEY_UNLISTEN, KEY_UNLOGGED,
	KEY_UPDATE, KEY_USING, KEY_VALUES, KEY_VERBOSE, KEY_VIEW, KEY_WHEN, KEY_WHERE, KEY_WINDOW, KEY_WITH, KEY_WORK, N_KEYS
};

/* clang-format on */

/* What a called function does. */
enum function_kind {
	FUNCTION_NONE,
	FUNCTION_VECTOR_DISTANCE, /* cosine_distance(…): a distance operator in its function form */
	FUNCTION_VECTOR_VALUE,	  /* gives a vector: binary_quantize(…) */
	FUNCTION_MATCH,		  /* a stored similarity search: match_documents(…) */
	FUNCTION_MATCH_MAYBE,	  /* match_…(…): a search if it is given a vector */
	FUNCTION_MATCH_HYBRID,	  /* a stored search that fuses text and vectors */
	FUNCTION_SPATIAL_TEST,	  /* ST_DWithin(…): filters or ranks by place */
	FUNCTION_SPATIAL_VALUE, /* ST_MakePoint(…), ST_AsGeoJSON(…): makes or prints a place */
	FUNCTION_TEXT_SEARCH,	/* to_tsquery(…), ts_rank(…) */
	FUNCTION_OTHER_METRIC,	/* cube(…), int4range(…): gives a value whose <-> is no vector
				   distance */
	FUNCTION_TRAIN,
	FUNCTION_PREDICT,
	FUNCTION_EMBED, /* a model run that gives a vector */
	FUNCTION_AGGREGATE,
	FUNCTION_COLLECT, /* json_agg(…): an aggregate, but the rows leave in it */
	FUNCTION_RANDOM,
	FUNCTION_UNNEST,
	FUNCTION_SET_CONFIG,
	FUNCTION_ADVISORY_LOCK,
	FUNCTION_ADVISORY_UNLOCK,
	FUNCTION_SEQUENCE_MOVE, /* nextval(…), setval(…) */
	FUNCTION_SEQUENCE_READ, /* currval(…), lastval() */
	FUNCTION_BUILT_IN, /* leaves nothing in its session, and says nothing of its statement */
};

/* What a table holds. */
enum table_kind {
	TABLE_NONE,
	TABLE_VECTOR_METADATA,
	TABLE_EMBEDDINGS,
	TABLE_FEATURES,
	TABLE_FEATURES_LIKELY, /* of something that models predict for: customer_features */
	TABLE_FEATURES_MAYBE,  /* `features`: a feature store's, a map's or a price list's */
	TABLE_PREDICTIONS,
	TABLE_MODELS,
	TABLE_EVENTS,
	TABLE_LABELS,
	TABLE_TRAINING_SET,
	N_TABLE_KINDS
};

/* What a column tells about the statement that names it. */
enum column_kind {
	COLUMN_NONE,
	COLUMN_VECTOR,	    /* embedding */
	COLUMN_VECTOR_WEAK, /* a vector if something else says so: encoding */
	COLUMN_SPATIAL,	    /* geom, location */
	COLUMN_TEXT_SEARCH, /* tsv */
	COLUMN_JSON,	    /* metadata: its @@ is a jsonpath test */
	COLUMN_LABEL,	    /* is_fraud, churned: what a model learns to say */
	COLUMN_LABEL_WEAK,  /* label, target: that, or a text on a button */
	COLUMN_LABEL_TIME,  /* label_ts, cutoff_time: the moment a training example is about */
	COLUMN_FEATURE,	    /* features */
	COLUMN_FEATURE_ROW, /* names that only feature stores use: feature_version */
	COLUMN_FEATURE_PAIR, /* feature_name: a feature store's with a row for each feature, or what
				somebody may use */
	COLUMN_ENTITY,	     /* entity_id: feature stores have it, and others */
	COLUMN_EXAMPLE,	     /* snapshot_date, event_timestamp: the moment a set's rows are of */
	COLUMN_MOMENT,	     /* computed_at: that, or an event's time */
	COLUMN_FOLD,	     /* split, is_train: the part of a set */
	COLUMN_CATALOGUE,    /* feature_id, icon, granted: a list of things that somebody offers */
	COLUMN_GAME,	    /* home_score, wager: predictions that people make */
	COLUMN_CALENDAR,    /* starts_at, venue_id: events that people go to */
	COLUMN_RANK_FUSION, /* bm25, rrf_score: keyword ranks that a search fuses */
	COLUMN_CHOICE,	    /* value: beside a label, it is a list to choose from */
	COLUMN_STAGE,	    /* deployment_status, stage */
	COLUMN_STAGE_FLAG,  /* is_production */
	COLUMN_MODEL_NAME,
	COLUMN_NAME,	 /* a model's name, or that of anything */
	COLUMN_OUTCOME,	 /* actual_outcome: what a prediction is judged by */
	COLUMN_INPUT,	 /* input_features */
	COLUMN_FEAST,	 /* only Feast's generated statements name it */
	COLUMN_UPKEEP,	 /* created_at, usage_count: says when and how often, not what */
	COLUMN_SCOPE_ID, /* organization_id, model_id: an id, but of no entity */
	COLUMN_FOLD_MADE, /* of no word: … AS fold, the statement divides what it takes */
	N_COLUMN_KINDS
};

/* 1 << enum column_kind: what a table of entitlements or properties has */
#define CATALOGUE_COLUMNS                                                                          \
	(1U << COLUMN_CATALOGUE | 1U << COLUMN_FEATURE_PAIR | 1U << COLUMN_NAME)

enum type_kind {
	TYPE_NONE,
	TYPE_VECTOR,
	TYPE_SPATIAL,
	TYPE_TEXT_SEARCH,
	TYPE_OTHER_METRIC,
	TYPE_JSONPATH
};

enum schema_kind {
	SCHEMA_NONE,
	SCHEMA_PGML,
	SCHEMA_MADLIB,
	SCHEMA_INFERENCE,
	SCHEMA_VECTORIZE,
	SCHEMA_TEXT_SEARCH
};

/* What a part of a name says about a table of that name. */
enum part_kind {
	PART_CATALOGUE = 1 << 0,   /* plan_features: for sale, permitted, or on a map */
	PART_BOOKKEEPING = 1 << 1, /* training_runs: written about data, not the data */
	PART_MODELLED = 1 << 2,	   /* customer_features: what models predict for */
	PART_COPY = 1 << 3,	   /* predictions_archive: kept for the record */
	PART_OTHER_LABEL = 1 << 4, /* issue_labels */
	PART_OTHER_EVENT = 1 << 5, /* calendar_events */
	PART_OTHER_MODEL = 1 << 6, /* car_models */
	PART_FLAG = 1 << 7,	   /* feature_flags */
};

struct word {
	uint8_t key;	  /* enum key */
	uint8_t function; /* enum function_kind */
	uint8_t table;	  /* enum table_kind */
	uint8_t column;	  /* enum column_kind */
	uint8_t type;	  /* enum type_kind */
	uint8_t schema;	  /* enum schema_kind */
	uint8_t parts;	  /* enum part_kind bits */
};

extern const struct word word_unknown; /* all zero */

#define WORD_SLOTS 4096 /* a power of two, at least three times the words of an index */

/* Half a cache line, so that looking a word up, found or not, touches one line nearly always. */
struct word_entry {
	uint64_t first, second; /* 16 bytes folded, zero behind the end; both 0: empty */
	const char *longer;	/* all of it, if it has more than 16 bytes; else NULL */
	struct word word;
};

struct word_index {
	struct word_entry entries[WORD_SLOTS];
};

struct words {
	struct word_index all;	 /* words as they stand in a statement */
	struct word_index parts; /* parts of names */
};

void words_init(struct words *words);

/* Sets bit 5 of each byte: letters become lower case, digits stay; the bytes that it confuses stand
 * in no word. */
#define WORD_FOLD UINT64_C(0x2020202020202020)

/* The row of n bytes, letter case does not matter. Never NULL. */
const struct word *word_index_find(const struct word_index *index, const char *at, size_t n);

/* The meaning of n bytes of an unquoted word. Never NULL. */
static inline const struct word *words_find(const struct words *words, const char *at, size_t n)
{
	return word_index_find(&words->all, at, n);
}

static inline unsigned words_slot(uint64_t first, uint64_t second)
{
	uint64_t hash =
		first * UINT64_C(0x9e3779b97f4a7c15) ^ second * UINT64_C(0xc2b2ae3d27d4eb4f);
	return (unsigned)(hash >> 52) & (WORD_SLOTS - 1);
}

/* As words_find(), of 1 to 16 bytes as the lexer has folded them (pgw/sqllex.h): most words have no
 * more, and are found without a call. */
static inline const struct word *words_find_folded(
	const struct words *words, uint64_t first, uint64_t second)
{
	for (unsigned slot = words_slot(first, second);; slot = (slot + 1) & (WORD_SLOTS - 1)) {
		const struct word_entry *entry = &words->all.entries[slot];
		if (entry->first == first && entry->second == second && entry->longer == NULL)
			return &entry->word;
		if (entry->first == 0)
			return &word_unknown;
	}
}

#endif
