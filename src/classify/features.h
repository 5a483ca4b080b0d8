/* SPDX-License-Identifier: ISC */
/*
 * What one statement shows to one pass of the lexer: feature bits, what it is to the session, its
 * effects. No parse tree and no allocation; what is kept is a stack of open parentheses with the
 * clause and the tables of each query in them. The bits are the vocabulary of rules.h, of the
 * operator's [rules] and of EXPLAIN ROUTE; FEATURE_TABLE names each with what it means.
 */
#ifndef CLASSIFY_FEATURES_H
#define CLASSIFY_FEATURES_H

#include "classify/classify.h"
#include "classify/reader.h"

/* clang-format off */
/* bit, name: true when the statement … */
#define FEATURE_TABLE(X) \
	X(VECTOR_DISTANCE, "vector-distance") /* evaluates a distance operator or function on vectors */ \
	X(VECTOR_MATCH, "vector-match") /* calls a stored similarity search */ \
	X(HYBRID_MATCH, "hybrid-match") /* calls a stored search that fuses text and vectors */ \
	X(VECTOR_COLUMN, "vector-column") /* names a column that looks like a vector */ \
	X(SPATIAL, "spatial") /* filters or ranks by place */ \
	X(FULL_TEXT, "full-text") /* searches text: tsquery, @@, bm25 */ \
	X(TRAIN_CALL, "train-call") /* calls a training function, or a function that gives a training set */ \
	X(PREDICT_CALL, "predict-call") /* calls a model */ \
	X(VECTOR_METADATA, "vector-metadata") /* reads ml_vector_metadata */ \
	X(EMBEDDINGS, "embeddings") /* reads a table of embeddings */ \
	X(FEATURE_SET, "feature-set") /* reads a feature set */ \
	X(PREDICTIONS, "predictions") /* reads the prediction log */ \
	X(MODELS, "models") /* reads the model registry */ \
	X(EVENTS, "events") /* reads a stream of events or measurements */ \
	X(LABELS, "labels") /* reads a table of labels */ \
	X(TRAINING_SET, "training-set") /* reads a table of training examples */ \
	X(PREDICTION_INSERT, "prediction-insert") /* inserts into the prediction log */ \
	X(ENTITY_KEY, "entity-key") /* fixes the key of an entity, or a list of keys */ \
	X(SCOPE_KEY, "scope-key") /* fixes an organization, a model, a run: no entity */ \
	X(ROW_KEY, "row-key") /* fixes a primary key */ \
	X(MODEL_KEY, "model-key") /* fixes a model's name, or takes one row */ \
	X(PRODUCTION, "production") /* asks for what is in production */ \
	X(AGGREGATE, "aggregate") /* lets no row of such a table out: only aggregates, or distinct values */ \
	X(GROUPED, "grouped") /* folds what it takes, whatever the tables */ \
	X(FEW_ROWS, "few-rows") /* takes only a page of them: a small LIMIT */ \
	X(KEYS_ONLY, "keys-only") /* takes keys and times of a feature set, no features */ \
	X(TIME_JOIN, "time-join") /* joins on one row's time being before another's */ \
	X(LABEL_TIME, "label-time") /* … where one is the moment of a training example: label_ts, cutoff_time */ \
	X(LATERAL, "lateral") /* has a lateral join */ \
	X(SAMPLE, "sample") /* samples: TABLESAMPLE, random() */ \
	X(LABEL_COLUMN, "label-column") /* names a label or target */ \
	X(FEATURE_COLUMN, "feature-column") /* names a column of features */ \
	X(FEATURE_ROW, "feature-row") /* names a column that only feature stores have */ \
	X(OUTCOME_COLUMN, "outcome-column") /* names inputs of predictions beside their outcomes */ \
	X(FEAST, "feast") /* is one of Feast's point-in-time joins */ \
	X(JOIN, "join") /* joins */ \
	X(WHERE, "where") /* has a WHERE */ \
	X(COPY_TO, "copy-to") /* is COPY … TO */ \
	X(COPY_FROM, "copy-from") /* is COPY … FROM */ \
	X(COPY_TABLE, "copy-table") /* copies a table, not a query */ \
	X(CURSOR, "cursor") /* declares a cursor */ \
	X(CREATE_AS, "create-as") /* makes a table of a query */ \
	X(TRAINING_TARGET, "training-target") /* writes a table of training examples */ \
	X(WRITE, "write") /* is INSERT, UPDATE, DELETE or MERGE */ \
	X(EXPLAIN, "explain") /* is EXPLAIN without ANALYZE: nothing runs */ \
	X(SCHEMA, "schema") /* defines, grants or maintains: CREATE, ALTER, GRANT, VACUUM … */
/* clang-format on */

enum feature_index {
#define X(bit, name) FEATURE_INDEX_##bit,
	FEATURE_TABLE(X)
#undef X
		N_FEATURES
};

#define FEATURE(bit) (UINT64_C(1) << FEATURE_INDEX_##bit)

const char *feature_name(unsigned index);
bool feature_parse(const char *text, size_t n, uint64_t *bit_r);

struct statement {
	enum statement_kind kind; /* as if it stood alone */
	uint32_t effects;
	uint64_t features;
	bool is_transaction;		/* BEGIN, COMMIT, ROLLBACK …, in any form */
	uint8_t change;			/* enum class_change, as of the text */
	uint8_t changed_class;
	bool bad_class; /* if change: it was to be a word that is no class */
	char name[CLASSIFY_NAME_BYTES]; /* PREPARE, EXECUTE, DEALLOCATE */
};

/* Reads the next statement and its semicolon. False: nothing is left but the end. Nothing before a
 * semicolon is STATEMENT_EMPTY. */
bool features_next(struct reader *reader, struct statement *statement_r);

#endif
