/* SPDX-License-Identifier: ISC */
/*
 * Names by their parts. A pattern is a list of words with a place: at the front, at the back,
 * anywhere, always between underscores or the name's ends, so that `trainers` is no `train`. Lists
 * that deny come first: subscription_features is a price list.
 */
#include "classify/names.h"

/* PostgreSQL has folded unquoted names already, quoted ones keep the case an ORM gave them: their
 * humps are divided. */
static void divide_humps(const char *raw, size_t n, struct name *name_r)
{
	unsigned len = 0;
	for (size_t i = 0; i < n && len + 2 < NAME_BYTES; i++) {
		bool upper = raw[i] >= 'A' && raw[i] <= 'Z';
		bool hump = upper && i > 0 &&
			    ((raw[i - 1] >= 'a' && raw[i - 1] <= 'z') ||
				    (raw[i - 1] >= '0' && raw[i - 1] <= '9'));
		if (hump)
			name_r->text[len++] = '_';
		name_r->text[len++] = upper ? (char)(raw[i] + ('a' - 'A')) : raw[i];
	}
	name_r->text[len] = '\0';
	name_r->len = len;
}

void name_of_token(const struct pgw_token *token, struct name *name_r)
{
	char raw[NAME_BYTES];
	size_t n = pgw_token_ident(token, raw, sizeof(raw));
	divide_humps(raw, n, name_r);
}

uint64_t name_tail(const struct pgw_token *token)
{
	size_t quoted = token->kind == PGW_TOK_QUOTED_IDENT, n = token->len - 2 * quoted;
	const char *at = token->at + quoted;
	uint64_t tail = 0;
	if (n >= sizeof(tail)) {
		memcpy(&tail, at + n - sizeof(tail), sizeof(tail));
		if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
			tail = __builtin_bswap64(tail);
		return tail | WORD_FOLD;
	}
	for (size_t i = 0; i < n; i++)
		tail = tail >> 8 | (uint64_t)((unsigned char)at[i] | 0x20) << 56;
	return tail;
}

static bool starts(const struct name *name, const char *part)
{
	size_t n = strlen(part);
	return name->len >= n && memcmp(name->text, part, n) == 0;
}

static bool ends(const struct name *name, const char *part)
{
	size_t n = strlen(part);
	return name->len >= n && memcmp(name->text + name->len - n, part, n) == 0;
}

/* Does `part` stand at `at`, up to an underscore, a digit or the name's end? */
static bool is_part(const char *at, const char *part)
{
	if (*at != *part)
		return false; /* as nearly always */
	size_t n = strlen(part);
	return strncmp(at, part, n) == 0 &&
	       (at[n] == '\0' || at[n] == '_' || (at[n] >= '0' && at[n] <= '9'));
}

/* Does one of the NULL-ended parts stand in the name, behind an underscore or at its beginning? */
static bool has_part(const struct name *name, const char *const *parts)
{
	for (const char *at = name->text;; at++) {
		for (const char *const *part = parts; *part != NULL; part++)
			if (is_part(at, *part))
				return true;
		at = strchr(at, '_');
		if (at == NULL)
			return false;
	}
}

static bool starts_any(const struct name *name, const char *const *parts)
{
	for (; *parts != NULL; parts++)
		if (starts(name, *parts))
			return true;
	return false;
}

static bool ends_any(const struct name *name, const char *const *parts)
{
	for (; *parts != NULL; parts++)
		if (ends(name, *parts))
			return true;
	return false;
}

static bool contains_any(const struct name *name, const char *const *parts)
{
	for (; *parts != NULL; parts++)
		if (strstr(name->text, *parts) != NULL)
			return true;
	return false;
}

/* Four letters as a number, as a memcpy of them would give it. */
#define FOUR(a, b, c, d)                                                                           \
	(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__                                                 \
			? (uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 |               \
				  (uint32_t)(d) << 24                                              \
			: (uint32_t)(d) | (uint32_t)(c) << 8 | (uint32_t)(b) << 16 |               \
				  (uint32_t)(a) << 24)

/* A multiplier with which no two roots share a slot: the compiler warns of an entry that is given
 * twice. */
#define ROOT_SLOT(four) ((uint32_t)((four) * UINT32_C(0x59a78b13)) >> 26)
#define ROOT(a, b, c, d, opens)                                                                    \
	[ROOT_SLOT(FOUR(a, b, c, d))] = {FOUR(a, b, c, d), opens}

/* Every name that a pattern below accepts contains one of these, each of which opens some of the
 * patterns; test_names holds them together. */
static const struct {
	uint32_t four;
	uint32_t opens; /* enum name_root */
} roots_of_four[64] = {
	ROOT('f', 'e', 'a', 't', NAME_ROOT_FEATURE | NAME_ROOT_FUNCTION),
	ROOT('p', 'r', 'e', 'd', NAME_ROOT_PREDICTION | NAME_ROOT_FUNCTION),
	ROOT('i', 'n', 'f', 'e', NAME_ROOT_PREDICTION | NAME_ROOT_FUNCTION),
	ROOT('s', 'c', 'o', 'r', NAME_ROOT_PREDICTION | NAME_ROOT_FUNCTION),
	ROOT('t', 'r', 'a', 'i', NAME_ROOT_TRAINING | NAME_ROOT_FUNCTION),
	ROOT('m', 'o', 'd', 'e', NAME_ROOT_MODEL | NAME_ROOT_PREDICTION | NAME_ROOT_FUNCTION),
	ROOT('e', 'm', 'b', 'e', NAME_ROOT_EMBEDDING | NAME_ROOT_FUNCTION),
	ROOT('v', 'e', 'c', 't', NAME_ROOT_EMBEDDING | NAME_ROOT_FUNCTION),
	ROOT('l', 'a', 'b', 'e', NAME_ROOT_LABEL),
	ROOT('o', 'u', 't', 'c', NAME_ROOT_LABEL),
	ROOT('t', 'r', 'u', 't', NAME_ROOT_LABEL),
	ROOT('a', 'n', 'n', 'o', NAME_ROOT_LABEL),
	ROOT('e', 'v', 'e', 'n', NAME_ROOT_EVENT),
	ROOT('c', 'l', 'i', 'c', NAME_ROOT_EVENT),
	ROOT('i', 'm', 'p', 'r', NAME_ROOT_EVENT),
	ROOT('i', 'n', 't', 'e', NAME_ROOT_EVENT),
	ROOT('t', 'e', 'l', 'e', NAME_ROOT_EVENT),
	ROOT('r', 'e', 'a', 'd', NAME_ROOT_EVENT),
	ROOT('m', 'e', 'a', 's', NAME_ROOT_EVENT),
	ROOT('o', 'b', 's', 'e', NAME_ROOT_EVENT),
	ROOT('r', 'a', 't', 'i', NAME_ROOT_EVENT),
	ROOT('m', 'a', 't', 'c', NAME_ROOT_FUNCTION),
	ROOT('s', 'e', 'a', 'r', NAME_ROOT_FUNCTION),
	ROOT('s', 'i', 'm', 'i', NAME_ROOT_FUNCTION),
	ROOT('n', 'e', 'a', 'r', NAME_ROOT_FUNCTION),
	ROOT('f', 'i', 'n', 'e', NAME_ROOT_FUNCTION),
	ROOT('_' | 0x20, 'f', 'g', '_' | 0x20, NAME_ROOT_FEATURE),
};

unsigned name_roots(const struct pgw_token *token)
{
	bool quoted = token->kind == PGW_TOK_QUOTED_IDENT;
	const char *at = token->at + quoted;
	size_t n = token->len - 2 * quoted;
	unsigned roots = 0;
	size_t st = n > 3 && at[0] == '_'; /* PostGIS: st_distance, _st_dwithin */
	if (n >= 3 && (at[st] | 0x20) == 's' && (at[st + 1] | 0x20) == 't' && at[st + 2] == '_')
		roots = NAME_ROOT_FUNCTION;
	for (size_t i = 0; i + 4 <= n; i++) {
		uint32_t four;
		memcpy(&four, at + i, 4);
		four |= UINT32_C(0x20202020);
		if (UNLIKELY(roots_of_four[ROOT_SLOT(four)].four == four))
			roots |= roots_of_four[ROOT_SLOT(four)].opens;
	}
	if (n >= 3 && (at[n - 1] | 0x20) == 'g' && (at[n - 2] | 0x20) == 'f' && at[n - 3] == '_')
		roots |= NAME_ROOT_FEATURE; /* driver_fg */
	return roots;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- tables ---- */

/* What the parts of the name say, between underscores, without digits at their ends. */
static unsigned parts_of(const struct words *words, const struct name *name)
{
	unsigned parts = 0;
	for (const char *at = name->text; *at != '\0';) {
		size_t n = strcspn(at, "_"), letters = n;
		while (letters > 0 && at[letters - 1] >= '0' && at[letters - 1] <= '9')
			letters--;
		parts |= word_index_find(&words->parts, at, letters)->parts;
		at += n + (at[n] == '_');
	}
	return parts;
}

/* Hopsworks: driver_fg, and driver_fg_1 with its version. */
static bool is_feature_group(const struct name *name)
{
	const char *version = strstr(name->text, "_fg_");
	return ends(name, "_fg") ||
	       (version != NULL && version[4] != '\0' &&
		       version[4 + strspn(version + 4, "0123456789")] == '\0');
}

static enum table_kind feature_set_kind(const struct name *name, unsigned parts)
{
	if (parts & PART_BOOKKEEPING && !contains_any(name, LIST("session_feat", "log_feat")))
		return TABLE_NONE;
	if (contains_any(name, LIST("feature_store", "featurestore")) ||
		has_part(name, LIST("feature_values", "feature_vectors", "feature_snapshots",
				       "feature_snapshot", "feature_history", "online_features",
				       "offline_features", "feature_table")) ||
		is_feature_group(name))
		return TABLE_FEATURES;
	if (starts(name, "feature_") && !(parts & PART_FLAG))
		return TABLE_FEATURES_MAYBE;
	if (!ends_any(name, LIST("_features", "_feats", "userfeatures", "customerfeatures",
				    "itemfeatures", "mlfeatures")) &&
		!has_part(name, LIST("features", "features_v")))
		return TABLE_NONE;
	if (starts(name, "features_"))
		return TABLE_FEATURES_LIKELY;
	bool modelled = parts & PART_MODELLED ||
			contains_any(name, LIST("userfeat", "customerfeat", "itemfeat", "mlfeat"));
	return modelled && !(parts & PART_CATALOGUE) ? TABLE_FEATURES_LIKELY : TABLE_FEATURES_MAYBE;
}

/* predictions_2025_08, ml_predictions_p202508, predictions_default */
static bool is_partition(const struct name *name, const char *const *tables)
{
	for (; *tables != NULL; tables++) {
		const char *at = strstr(name->text, *tables);
		if (at == NULL || (at != name->text && at[-1] != '_'))
			continue;
		at += strlen(*tables);
		if (at[0] == '_' &&
			(strcspn(at + 1, "0123456789") <= 1 || strcmp(at, "_default") == 0) &&
			at[1] != '\0')
			return true;
	}
	return false;
}

static bool is_prediction_log(const struct name *name, unsigned parts)
{
	if (parts & PART_COPY)
		return false;
	return ends_any(name,
		       LIST("_predictions", "_prediction", "_prediction_log", "_prediction_logs",
			       "_predictions_log", "_inferences_log", "predictionlog", "predictionlogs", "_inference_log",
			       "_inference_logs", "_inferences", "inferencelog",
			       "_prediction_results", "prediction_results", "prediction_events",
			       "prediction_history", "inference_results", "inference_requests",
			       "model_outputs", "model_scores", "scoring_results")) ||
	       is_partition(name, LIST("predictions", "prediction_log", "inference_log"));
}

static bool is_training_set(const struct name *name, unsigned parts)
{
	return !(parts & PART_BOOKKEEPING) &&
	       has_part(name,
		       LIST("training_data", "training_set", "training_dataset",
			       "training_examples", "training_samples", "training_rows",
			       "training_labels", "training_features", "train_set", "train_data",
			       "train_dataset", "train_features", "trainset", "trainingdata",
			       "trainingexample", "trainingsample", "ml_training"));
}

static bool is_label_set(const struct name *name, unsigned parts)
{
	return ends_any(name, LIST("_labels", "_label_events", "_ground_truth", "_outcomes",
				      "_annotations")) &&
	       !(parts & PART_OTHER_LABEL);
}

static bool is_event_stream(const struct name *name, unsigned parts)
{
	return ends_any(name, LIST("_events", "_clicks", "_impressions", "_interactions",
				      "_telemetry", "_readings", "_measurements", "_observations",
				      "_ratings", "_event_log", "_clickstream")) &&
	       !(parts & PART_OTHER_EVENT);
}

static bool is_embedding_table(const struct name *name)
{
	return has_part(name, LIST("embedding", "embeddings", "vectors", "vector_store",
				      "vectorstore", "vector_documents"));
}

static bool is_model_registry(const struct name *name, unsigned parts)
{
	return has_part(name,
		       LIST("model_registry", "modelregistry", "model_versions", "model_version",
			       "modelversion", "registered_models", "registered_model", "ml_models",
			       "ml_model", "mlmodel", "mlmodels", "model_deployments",
			       "deployed_models", "model_aliases")) &&
	       !(parts & PART_OTHER_MODEL);
}

enum table_kind name_table_kind(const struct words *words, const struct name *name, unsigned roots)
{
	unsigned parts = parts_of(words, name);
	enum table_kind feature_set = TABLE_NONE;
	if (roots & NAME_ROOT_TRAINING && is_training_set(name, parts))
		return TABLE_TRAINING_SET;
	if (roots & NAME_ROOT_FEATURE)
		feature_set = feature_set_kind(name, parts);
	if (feature_set != TABLE_NONE)
		return feature_set;
	if (roots & NAME_ROOT_PREDICTION && is_prediction_log(name, parts))
		return TABLE_PREDICTIONS;
	if (roots & NAME_ROOT_MODEL && is_model_registry(name, parts))
		return TABLE_MODELS;
	if (roots & NAME_ROOT_EMBEDDING && is_embedding_table(name))
		return TABLE_EMBEDDINGS;
	if (roots & NAME_ROOT_LABEL && is_label_set(name, parts))
		return TABLE_LABELS;
	if (roots & NAME_ROOT_EVENT && is_event_stream(name, parts))
		return TABLE_EVENTS;
	return TABLE_NONE;
}

/* ---- functions ---- */

static enum function_kind pgml_function(const struct name *name)
{
	if (starts_any(name, LIST("train", "tune", "finetune")))
		return FUNCTION_TRAIN;
	if (starts(name, "embed"))
		return FUNCTION_EMBED;
	if (starts_any(name, LIST("predict", "transform", "generate", "rank", "decompose")))
		return FUNCTION_PREDICT;
	return FUNCTION_NONE;
}

static enum function_kind madlib_function(const struct name *name)
{
	if (contains_any(name, LIST("predict", "forecast", "closest_column", "knn")))
		return FUNCTION_PREDICT;
	if (contains_any(
		    name, LIST("train", "kmeans", "svm_", "mlp_", "regr", "elastic_net", "arima",
				  "lda", "glm", "multinom", "ordinal", "pca_", "svd", "assoc_rules",
				  "cross_validation", "dbscan", "xgboost", "madlib_keras_fit",
				  "_fit", "preprocessor", "ordinary", "crf", "bayes")))
		return FUNCTION_TRAIN;
	return FUNCTION_NONE;
}

static enum function_kind inference_function(const struct name *name)
{
	if (contains_any(name, LIST("embed")))
		return FUNCTION_EMBED;
	return contains_any(name, LIST("predict", "invoke", "inference", "generate", "complet",
					  "classify", "detect", "summar", "rerank", "moderate",
					  "translate", "extract", "rank"))
		       ? FUNCTION_PREDICT
		       : FUNCTION_NONE;
}

static enum function_kind match_function(const struct name *name)
{
	if (contains_any(name, LIST("hybrid_search", "hybrid_match", "search_hybrid",
				       "match_hybrid", "_hybrid")) &&
		contains_any(name, LIST("search", "match")))
		return FUNCTION_MATCH_HYBRID;
	if (contains_any(
		    name, LIST("similarity_search", "vector_search", "semantic_search",
				  "nearest_neighbor", "nearest_neighbour", "search_embeddings",
				  "search_by_embedding", "search_by_vector", "search_similar",
				  "find_similar", "get_similar", "vector_hits", "knn_search",
				  "ann_search", "_by_embedding", "_by_vector", "by_similarity")))
		return FUNCTION_MATCH;
	if (!starts(name, "match_")) /* kb_match_sections, if it is given a vector */
		return contains_any(name, LIST("_match_")) ? FUNCTION_MATCH_MAYBE : FUNCTION_NONE;
	if (contains_any(name,
		    LIST("doc", "chunk", "section", "page", "embed", "vector", "image", "passage",
			    "article", "content", "knowledge", "memor", "node", "item", "post",
			    "product", "message", "note", "movie", "song", "face", "question",
			    "answer", "review", "comment", "recipe", "book", "quote", "ticket",
			    "code", "tool", "media", "video", "tweet", "profile", "job", "entit",
			    "paragraph", "snippet", "faq", "sentence", "text", "file")))
		return FUNCTION_MATCH;
	return FUNCTION_MATCH_MAYBE;
}

enum function_kind name_function_kind(const struct name *name, enum schema_kind schema)
{
	switch (schema) {
	case SCHEMA_PGML:
		return pgml_function(name);
	case SCHEMA_MADLIB:
		return madlib_function(name);
	case SCHEMA_INFERENCE:
		return inference_function(name);
	case SCHEMA_VECTORIZE:
		if (contains_any(name, LIST("hybrid")))
			return FUNCTION_MATCH_HYBRID;
		if (contains_any(name, LIST("search")))
			return FUNCTION_MATCH;
		return contains_any(name, LIST("rag", "generate", "encode", "transform"))
			       ? FUNCTION_PREDICT
			       : FUNCTION_NONE;
	case SCHEMA_TEXT_SEARCH:
		return FUNCTION_TEXT_SEARCH;
	case SCHEMA_NONE:
		break;
	}
	if (starts_any(name, LIST("st_", "_st_")))
		return FUNCTION_SPATIAL_VALUE;
	if (contains_any(name,
		    LIST("training_data", "training_set", "training_examples", "training_samples",
			    "historical_features", "train_model", "retrain_", "fit_model")) ||
		(ends_any(name, LIST("_train", "_finetune")) &&
			contains_any(name,
				LIST("regr", "forest", "tree", "svm", "kmeans", "mlp", "lda",
					"arima", "net", "model", "glm", "bayes", "xgb", "boost"))))
		return FUNCTION_TRAIN;
	if (starts(name, "train") && contains_any(name, LIST("model", "classifier", "regress",
								"forecaster", "recommender")))
		return FUNCTION_TRAIN;
	if (contains_any(name, LIST("online_features", "get_features", "get_feature_vector",
				       "lookup_features", "fetch_features")))
		return FUNCTION_PREDICT; /* by entity key: what it is asked for */
	if (starts(name, "predict") ||
		has_part(name, LIST("predict", "inference", "infer", "predict_proba", "score_model",
				       "run_model")))
		return FUNCTION_PREDICT;
	if (contains_any(name,
		    LIST("create_embedding", "generate_embedding", "get_embedding", "openai_embed",
			    "ollama_embed", "to_embedding", "text_embedding", "embed_text")))
		return FUNCTION_EMBED;
	return match_function(name);
}

/* ---- columns ---- */

bool name_is_vector_column(const struct name *name)
{
	if (!contains_any(name, LIST("vec", "emb")))
		return false; /* as most: each pattern has one of them */
	if (contains_any(name, LIST("tsv", "ts_vec", "search_vec", "textsearch", "fts")))
		return false; /* full-text search has vectors too */
	if (contains_any(name, LIST("embedding")))
		return true;
	return has_part(name, LIST("emb", "embs", "embed", "vec", "vector", "halfvec", "sparsevec",
				      "vecs", "vectors", "centroid_vec")) ||
	       ends_any(name, LIST("vec", "vector", "emb"));
}

bool name_is_spatial_column(const struct name *name)
{
	return has_part(
		name, LIST("geom", "geometry", "geog", "geography", "location", "point", "coords",
			      "position", "latlng", "lonlat", "latlon", "polygon", "gps"));
}

bool name_is_time_column(const struct name *name)
{
	return ends_any(name, LIST("_at", "_ts", "_time", "timestamp", "_date", "_from", "_to",
				      "_on", "_until")) ||
	       has_part(name, LIST("ts", "time", "date", "day", "month", "datetime", "asof",
				      "as_of", "cutoff", "dt", "timestamp"));
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* spend_30d, txn_count_24h: a window. supports_3d is none, open_24h may be one; metres and watts
 * are not asked for. */
static unsigned window_weight(const char *at, const char *unit)
{
	const char *digits = unit;
	while (digits > at && is_digit(digits[-1]))
		digits--;
	if (digits == unit || digits == at || digits[-1] != '_')
		return 0;
	if ((*unit | 0x20) == 'h')
		return 1;
	bool dimensions = unit - digits == 1 && (*digits == '2' || *digits == '3');
	return dimensions ? 0 : NAME_COMPUTED;
}

/* By its last letters, which are compared in one go. */
static unsigned ending_weight(const char *at, size_t n, uint64_t tail)
{
	switch (tail >> 56) {
	case 'd':
		return NAME_ENDS(tail, "_std") ? 1 : window_weight(at, at + n - 1);
	case 'h':
		return window_weight(at, at + n - 1);
	case 'g':
		return NAME_ENDS(tail, "_avg");
	case 'n':
		return NAME_ENDS(tail, "_mean");
	case 'v':
		return NAME_ENDS(tail, "_stddev");
	case 'o':
		return NAME_ENDS(tail, "_ratio");
	case 'e':
		return NAME_ENDS(tail, "_zscore") ? NAME_COMPUTED : 0;
	default:
		return 0;
	}
}

static unsigned beginning_weight(const char *at, size_t n)
{
	static const struct {
		const char *lower;
		unsigned weight;
	} beginnings[] = {{"avg_", 1}, {"std_", 1}, {"lag_", 1}, {"mean_", 1}, {"stddev_", 1},
		{"clv_", NAME_COMPUTED}, {"ctr_", NAME_COMPUTED}, {"ltv_", NAME_COMPUTED},
		{"rfm_", NAME_COMPUTED}, {"rolling_", NAME_COMPUTED},
		{"days_since_", NAME_COMPUTED}};
	for (unsigned i = 0; i < N_ELEMENTS(beginnings); i++) {
		const char *lower = beginnings[i].lower;
		if ((at[0] | 0x20) == lower[0] && (at[1] | 0x20) == lower[1] &&
			n > strlen(lower) && strncasecmp(at, lower, strlen(lower)) == 0)
			return beginnings[i].weight;
	}
	return 0;
}

unsigned name_computed_weight(const struct pgw_token *token)
{
	bool quoted = token->kind == PGW_TOK_QUOTED_IDENT;
	size_t n = token->len - 2 * quoted;
	if (n < 4)
		return 0;
	const char *at = token->at + quoted;
	unsigned weight = ending_weight(at, n, name_tail(token));
	return weight != 0 ? weight : beginning_weight(at, n);
}
