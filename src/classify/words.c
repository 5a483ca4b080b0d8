/* SPDX-License-Identifier: ISC */
/*
 * The dictionary and its index. One row may say several things about a word: `vector` is a type and
 * a column, `features` a table and a column.
 */
#include "classify/words.h"

const struct word word_unknown;

struct row {
	const char *text;
	struct word word;
};

#define W(text_, ...)                                                                              \
	{                                                                                          \
		.text = text_, .word = { __VA_ARGS__ }                                             \
	}
#define K(text_, key_)                                                                             \
	{                                                                                          \
		.text = text_, .word = {.key = KEY_##key_ }                                        \
	}
#define F(text_, function_)                                                                        \
	{                                                                                          \
		.text = text_, .word = {.function = FUNCTION_##function_ }                         \
	}
#define T(text_, table_)                                                                           \
	{                                                                                          \
		.text = text_, .word = {.table = TABLE_##table_ }                                  \
	}
#define C(text_, column_)                                                                          \
	{                                                                                          \
		.text = text_, .word = {.column = COLUMN_##column_ }                               \
	}

/* A dictionary reads by meaning, not by column. */
/* clang-format off */
static const struct row rows[] = {
	/* key words */
	K("abort", ABORT), K("all", ALL), K("analyse", ANALYZE), K("analyze", ANALYZE), K("and", AND), K("any", ANY),
	K("array", ARRAY), K("as", AS), K("asc", ASC), K("atomic", ATOMIC), K("authorization", AUTHORIZATION), K("begin", BEGIN),
	K("between", BETWEEN), K("by", BY), K("call", CALL), K("case", CASE), K("cast", CAST), K("chain", CHAIN),
	K("characteristics", CHARACTERISTICS), K("close", CLOSE), K("collate", COLLATE), K("commit", COMMIT),
	K("committed", COMMITTED), K("conflict", CONFLICT), K("constraints", CONSTRAINTS), K("copy", COPY), K("create", CREATE),
	K("cursor", CURSOR), K("deallocate", DEALLOCATE), K("declare", DECLARE), K("delete", DELETE), K("desc", DESC),
	K("discard", DISCARD), K("distinct", DISTINCT), K("do", DO), K("drop", DROP), K("else", ELSE), K("end", END),
	K("except", EXCEPT), K("execute", EXECUTE), K("exists", EXISTS), K("explain", EXPLAIN), K("false", FALSE),
	K("fetch", FETCH), K("filter", FILTER), K("first", FIRST), K("for", FOR), K("from", FROM), K("function", FUNCTION),
	K("global", GLOBAL), K("group", GROUP), K("having", HAVING), K("hold", HOLD), K("ilike", LIKE), K("in", IN),
	K("insert", INSERT), K("intersect", INTERSECT), K("into", INTO), K("is", IS), K("isolation", ISOLATION), K("join", JOIN),
	K("key", KEY), K("lateral", LATERAL), K("level", LEVEL), K("like", LIKE), K("limit", LIMIT), K("listen", LISTEN),
	K("load", LOAD), K("local", LOCAL), K("materialized", MATERIALIZED), K("merge", MERGE), K("names", NAMES), K("next", NEXT),
	K("no", NO), K("not", NOT), K("null", NULL), K("of", OF), K("off", OFF), K("offset", OFFSET), K("on", ON), K("only", ONLY),
	K("operator", OPERATOR), K("or", OR), K("order", ORDER), K("over", OVER), K("plans", PLANS), K("prepare", PREPARE),
	K("prepared", PREPARED), K("procedure", PROCEDURE), K("read", READ), K("recursive", RECURSIVE), K("release", RELEASE),
	K("repeatable", REPEATABLE), K("replace", REPLACE), K("reset", RESET), K("returning", RETURNING), K("role", ROLE),
	K("rollback", ROLLBACK), K("row", ROW), K("rows", ROWS), K("savepoint", SAVEPOINT), K("select", SELECT),
	K("sequence", SEQUENCE), K("session", SESSION), K("set", SET), K("show", SHOW), K("some", SOME), K("start", START),
	K("table", TABLE), K("tablesample", TABLESAMPLE), K("temp", TEMP), K("temporary", TEMP), K("then", THEN), K("to", TO),
	K("transaction", TRANSACTION), K("true", TRUE), K("union", UNION), K("unlisten", UNLISTEN), K("unlogged", UNLOGGED),
	K("update", UPDATE), K("using", USING), K("values", VALUES), K("verbose", VERBOSE), K("view", VIEW), K("when", WHEN),
	K("where", WHERE), K("window", WINDOW), K("with", WITH), K("work", WORK),

	/* pgvector: types, functions */
	W("vector", .type = TYPE_VECTOR, .column = COLUMN_VECTOR), W("halfvec", .type = TYPE_VECTOR),
	W("sparsevec", .type = TYPE_VECTOR),
	F("cosine_distance", VECTOR_DISTANCE), F("cosine_similarity", VECTOR_DISTANCE), F("l2_distance", VECTOR_DISTANCE),
	F("l1_distance", VECTOR_DISTANCE), F("inner_product", VECTOR_DISTANCE), F("negative_inner_product", VECTOR_DISTANCE),
	F("hamming_distance", VECTOR_DISTANCE), F("jaccard_distance", VECTOR_DISTANCE),
	F("vector_l2_squared_distance", VECTOR_DISTANCE), F("vector_negative_inner_product", VECTOR_DISTANCE),
	F("vector_spherical_distance", VECTOR_DISTANCE), F("vector_cosine_distance", VECTOR_DISTANCE),
	F("halfvec_l2_squared_distance", VECTOR_DISTANCE), F("halfvec_negative_inner_product", VECTOR_DISTANCE),
	F("halfvec_spherical_distance", VECTOR_DISTANCE), F("sparsevec_l2_squared_distance", VECTOR_DISTANCE),
	F("sparsevec_negative_inner_product", VECTOR_DISTANCE), F("distance_l1", VECTOR_DISTANCE),
	F("distance_l2", VECTOR_DISTANCE), F("dot_product", VECTOR_DISTANCE),
	F("binary_quantize", VECTOR_VALUE), F("l2_normalize", VECTOR_VALUE), F("subvector", VECTOR_VALUE),
	F("to_vector", VECTOR_VALUE), F("array_to_vector", VECTOR_VALUE), F("to_halfvec", VECTOR_VALUE),
	F("match_documents", MATCH), F("ml_vector_hits", MATCH), F("match_documents_hybrid", MATCH_HYBRID),
	F("hybrid_search", MATCH_HYBRID),

	/* PostGIS, earthdistance, h3: what filters or ranks by place */
	F("st_dwithin", SPATIAL_TEST), F("st_intersects", SPATIAL_TEST), F("st_contains", SPATIAL_TEST),
	F("st_containsproperly", SPATIAL_TEST), F("st_within", SPATIAL_TEST), F("st_covers", SPATIAL_TEST),
	F("st_coveredby", SPATIAL_TEST), F("st_overlaps", SPATIAL_TEST), F("st_touches", SPATIAL_TEST),
	F("st_crosses", SPATIAL_TEST), F("st_equals", SPATIAL_TEST), F("st_disjoint", SPATIAL_TEST),
	F("st_dfullywithin", SPATIAL_TEST), F("st_3ddwithin", SPATIAL_TEST), F("st_3dintersects", SPATIAL_TEST),
	F("st_distance", SPATIAL_TEST), F("st_distancesphere", SPATIAL_TEST), F("st_distance_sphere", SPATIAL_TEST),
	F("st_distancespheroid", SPATIAL_TEST), F("st_3ddistance", SPATIAL_TEST), F("st_relate", SPATIAL_TEST),
	F("st_pointinsidecircle", SPATIAL_TEST), F("st_hausdorffdistance", SPATIAL_TEST),
	F("st_frechetdistance", SPATIAL_TEST), F("earth_distance", SPATIAL_TEST), F("earth_box", SPATIAL_TEST), F("st_maxdistance", SPATIAL_TEST), F("st_3ddfullywithin", SPATIAL_TEST), F("radians", SPATIAL_TEST),
	F("haversine", SPATIAL_TEST), F("haversine_distance", SPATIAL_TEST), F("ml_spatial_candidates", SPATIAL_TEST),
	F("h3_grid_disk", SPATIAL_TEST), F("h3_grid_distance", SPATIAL_TEST), F("h3_grid_ring", SPATIAL_TEST),
	F("h3_polygon_to_cells", SPATIAL_TEST),
	F("ll_to_earth", SPATIAL_VALUE), W("geometry", .type = TYPE_SPATIAL, .column = COLUMN_SPATIAL),
	W("geography", .type = TYPE_SPATIAL, .column = COLUMN_SPATIAL),
	W("point", .type = TYPE_SPATIAL, .column = COLUMN_SPATIAL, .function = FUNCTION_SPATIAL_VALUE),
	W("box", .type = TYPE_SPATIAL, .function = FUNCTION_SPATIAL_VALUE),
	W("polygon", .type = TYPE_SPATIAL, .column = COLUMN_SPATIAL, .function = FUNCTION_SPATIAL_VALUE),
	W("circle", .type = TYPE_SPATIAL, .function = FUNCTION_SPATIAL_VALUE), W("lseg", .type = TYPE_SPATIAL),
	W("box2d", .type = TYPE_SPATIAL), W("box3d", .type = TYPE_SPATIAL), W("earth", .type = TYPE_SPATIAL),
	C("geom", SPATIAL), C("the_geom", SPATIAL), C("wkb_geometry", SPATIAL), C("geog", SPATIAL), C("location", SPATIAL),
	C("coords", SPATIAL), C("coordinates", SPATIAL), C("centroid", SPATIAL), C("lonlat", SPATIAL), C("latlng", SPATIAL),
	C("lnglat", SPATIAL), C("way", SPATIAL), C("footprint", SPATIAL), C("boundary", SPATIAL),

	/* full-text search, in core and in extensions */
	F("to_tsquery", TEXT_SEARCH), F("plainto_tsquery", TEXT_SEARCH), F("phraseto_tsquery", TEXT_SEARCH),
	F("websearch_to_tsquery", TEXT_SEARCH), F("to_tsvector", TEXT_SEARCH), F("ts_rank", TEXT_SEARCH),
	F("ts_rank_cd", TEXT_SEARCH), F("tsquery_phrase", TEXT_SEARCH), F("ts_headline", TEXT_SEARCH),
	F("setweight", TEXT_SEARCH), F("to_bm25query", TEXT_SEARCH), F("bm25query", TEXT_SEARCH),
	F("pgroonga_score", TEXT_SEARCH), F("rum_ts_score", TEXT_SEARCH), F("rum_ts_distance", TEXT_SEARCH),
	W("tsquery", .type = TYPE_TEXT_SEARCH), W("tsvector", .type = TYPE_TEXT_SEARCH, .column = COLUMN_TEXT_SEARCH),
	W("paradedb", .schema = SCHEMA_TEXT_SEARCH), W("pdb", .schema = SCHEMA_TEXT_SEARCH),
	W("bm25_catalog", .schema = SCHEMA_TEXT_SEARCH),
	C("tsv", TEXT_SEARCH), C("fts", TEXT_SEARCH), C("search_vector", TEXT_SEARCH), C("ts_vector", TEXT_SEARCH),
	C("text_search", TEXT_SEARCH), C("textsearch", TEXT_SEARCH), C("textsearchable_index_col", TEXT_SEARCH),
	C("document_tsv", TEXT_SEARCH), C("content_tsv", TEXT_SEARCH), C("tsvector_content", TEXT_SEARCH),
	C("search_tsv", TEXT_SEARCH), C("search_document", TEXT_SEARCH), C("searchable", TEXT_SEARCH),

	C("bm25", RANK_FUSION), C("bm25_score", RANK_FUSION), C("bm25_rank", RANK_FUSION), C("keyword_rank", RANK_FUSION),
	C("keyword_score", RANK_FUSION), C("rrf_score", RANK_FUSION), C("rrf", RANK_FUSION), C("fts_rank", RANK_FUSION),
	C("text_rank", RANK_FUSION), C("lexical_score", RANK_FUSION), C("lexical_rank", RANK_FUSION),

	/* other types with <-> or <=> of their own */
	W("cube", .type = TYPE_OTHER_METRIC, .function = FUNCTION_OTHER_METRIC), W("text", .type = TYPE_OTHER_METRIC, .column = COLUMN_CHOICE),
	W("varchar", .type = TYPE_OTHER_METRIC), W("date", .type = TYPE_OTHER_METRIC), W("timestamp", .type = TYPE_OTHER_METRIC),
	W("timestamptz", .type = TYPE_OTHER_METRIC), W("time", .type = TYPE_OTHER_METRIC),
	W("interval", .type = TYPE_OTHER_METRIC), W("int4range", .type = TYPE_OTHER_METRIC, .function = FUNCTION_OTHER_METRIC),
	W("int8range", .type = TYPE_OTHER_METRIC, .function = FUNCTION_OTHER_METRIC),
	W("numrange", .type = TYPE_OTHER_METRIC, .function = FUNCTION_OTHER_METRIC),
	W("tsrange", .type = TYPE_OTHER_METRIC, .function = FUNCTION_OTHER_METRIC),
	W("tstzrange", .type = TYPE_OTHER_METRIC, .function = FUNCTION_OTHER_METRIC),
	W("daterange", .type = TYPE_OTHER_METRIC, .function = FUNCTION_OTHER_METRIC), W("ltree", .type = TYPE_OTHER_METRIC),
	W("jsonpath", .type = TYPE_JSONPATH), F("now", OTHER_METRIC), F("lower", OTHER_METRIC), F("unaccent", OTHER_METRIC),

	/* vector columns */
	W("embedding", .column = COLUMN_VECTOR, .function = FUNCTION_EMBED), C("emb", VECTOR), C("vec", VECTOR), C("query_embedding", VECTOR), C("query_vec", VECTOR),
	C("query_vector", VECTOR), C("encoding", VECTOR_WEAK), C("encodings", VECTOR_WEAK), C("face_encoding", VECTOR_WEAK),
	C("descriptor", VECTOR_WEAK), C("representation", VECTOR_WEAK), C("latent", VECTOR_WEAK), C("factors", VECTOR_WEAK),
	C("signature", VECTOR_WEAK), C("dense", VECTOR_WEAK),
	C("sparse", VECTOR_WEAK), C("phash", VECTOR_WEAK),
	W("embeddings", .column = COLUMN_VECTOR, .table = TABLE_EMBEDDINGS),
	W("vectors", .column = COLUMN_VECTOR, .table = TABLE_EMBEDDINGS), T("ml_vector_metadata", VECTOR_METADATA),

	C("metadata", JSON), C("meta", JSON), C("cmetadata", JSON), C("attributes", JSON), C("attrs", JSON), C("payload", JSON),
	C("data", JSON), C("properties", JSON), C("props", JSON), C("metadata_", JSON), C("doc", JSON), C("tags", JSON),
	C("settings", JSON), C("config", JSON), C("extra", JSON),

	/* feature stores */
	T("ml_feature_store", FEATURES), T("feature_store", FEATURES), T("ml_features", FEATURES),
	W("features", .table = TABLE_FEATURES_MAYBE, .column = COLUMN_FEATURE),
	C("feature_set", FEATURE_ROW), C("feature_set_name", FEATURE_ROW), C("feature_version", FEATURE_ROW), C("feature_name", FEATURE_PAIR),
	C("feature_value", FEATURE_PAIR), C("feature_vector", FEATURE), C("feature_group", FEATURE_ROW), C("feature_view", FEATURE_ROW),
	C("feature_schema", FEATURE_ROW), C("feature_timestamp", EXAMPLE), C("feature_ts", EXAMPLE), C("feature_values", FEATURE),
	C("entity_key", ENTITY), C("entity_id", ENTITY), C("entity_type", ENTITY), C("event_timestamp", EXAMPLE),
	C("extraction_timestamp", EXAMPLE), C("snapshot_date", EXAMPLE), C("as_of_date", EXAMPLE), C("as_of", EXAMPLE),
	C("as_of_ts", EXAMPLE), C("snapshot_ts", EXAMPLE), C("snapshot_at", EXAMPLE), C("observation_date", EXAMPLE),
	C("reference_date", EXAMPLE), C("cutoff_date", EXAMPLE),
	C("split", FOLD), C("fold", FOLD), C("is_train", FOLD), C("cv_fold", FOLD), C("data_split", FOLD), C("dataset_split", FOLD),
	C("is_test", FOLD), C("is_holdout", FOLD),
	C("computed_at", MOMENT), C("calculated_at", MOMENT), C("observed_at", MOMENT), C("event_ts", MOMENT), C("event_time", MOMENT),
	C("event_date", MOMENT), C("feature_date", MOMENT), C("feature_time", MOMENT), C("window_start", MOMENT), C("window_end", MOMENT),
	C("ds", MOMENT), C("partition_date", MOMENT),
	C("label_ts", LABEL_TIME), C("label_time", LABEL_TIME), C("label_timestamp", LABEL_TIME), C("label_date", LABEL_TIME),
	C("prediction_ts", LABEL_TIME), C("prediction_time", LABEL_TIME), C("prediction_date", LABEL_TIME), C("asof_ts", LABEL_TIME), C("asof_date", LABEL_TIME),
	C("feature", CATALOGUE), C("icon", CATALOGUE), C("sort_order", CATALOGUE), W("position", .column = COLUMN_CATALOGUE, .function = FUNCTION_BUILT_IN), C("enabled", CATALOGUE),
	C("display_name", CATALOGUE), C("is_enabled", CATALOGUE), C("disabled", CATALOGUE), C("granted", CATALOGUE),
	C("allowed", CATALOGUE), C("supported", CATALOGUE), C("available", CATALOGUE), C("entitled", CATALOGUE), C("flag", CATALOGUE),
	C("granted_at", CATALOGUE), C("granted_by", CATALOGUE), C("revoked_at", CATALOGUE), C("enabled_at", CATALOGUE),
	C("disabled_at", CATALOGUE), C("activated_at", CATALOGUE), C("purchased_at", CATALOGUE), C("valid_until", CATALOGUE),
	C("quota", CATALOGUE), C("limit_value", CATALOGUE), C("rollout", CATALOGUE), C("description", CATALOGUE), C("locale", CATALOGUE),
	C("feature_id", CATALOGUE), C("feature_code", CATALOGUE), C("feature_key", CATALOGUE), C("feature_slug", CATALOGUE),
	C("feature_text", CATALOGUE), C("feature_flag", CATALOGUE), C("feature_description", CATALOGUE), C("feature_title", CATALOGUE),
	C("entity_df", FEAST), C("entity_dataframe", FEAST), C("_feast_row", FEAST), C("entity_row_unique_id", FEAST),
	C("entity_timestamp", FEAST),
	C("label", LABEL_WEAK), C("target", LABEL_WEAK), C("y_true", LABEL),
	C("is_fraud", LABEL), C("churned", LABEL), C("has_churned", LABEL), C("will_churn", LABEL), C("did_churn", LABEL),
	C("did_default", LABEL), C("defaulted", LABEL), C("is_churned", LABEL), C("y", LABEL_WEAK), C("value", CHOICE),

	/* predictions, models */
	T("ml_predictions", PREDICTIONS), T("predictions", PREDICTIONS), T("prediction", PREDICTIONS),
	T("prediction_log", PREDICTIONS), T("prediction_logs", PREDICTIONS), T("predictions_log", PREDICTIONS), T("inferences_log", PREDICTIONS), T("inference_log", PREDICTIONS),
	T("inference_logs", PREDICTIONS), T("inferences", PREDICTIONS), T("scoring_log", PREDICTIONS),
	C("actual_outcome", OUTCOME), C("actual_value", OUTCOME), C("actual_label", OUTCOME), C("actual", OUTCOME),
	C("outcome", OUTCOME), C("true_label", OUTCOME), C("input_features", INPUT), C("feature_snapshot", INPUT),
	C("model_input", INPUT), C("inputs", INPUT),
	T("ml_models", MODELS), T("models", MODELS), T("model_registry", MODELS), T("registered_models", MODELS),
	T("model_versions", MODELS), T("model_version", MODELS), T("ml_model", MODELS), T("ml_model_registry", MODELS),
	T("model_deployments", MODELS), T("deployed_models", MODELS), T("registered_model_aliases", MODELS),
	T("model_aliases", MODELS), T("ml_model_versions", MODELS),
	C("deployment_status", STAGE), C("status", STAGE), C("stage", STAGE), C("current_stage", STAGE), C("alias", STAGE),
	C("state", STAGE), C("environment", STAGE), C("deployment_stage", STAGE), C("is_production", STAGE_FLAG),
	C("is_active", STAGE_FLAG), C("is_champion", STAGE_FLAG), C("is_live", STAGE_FLAG), C("is_deployed", STAGE_FLAG),
	C("is_current", STAGE_FLAG), C("active", STAGE_FLAG), C("deployed", STAGE_FLAG), C("in_production", STAGE_FLAG),
	C("is_default", STAGE_FLAG), C("model_name", MODEL_NAME), C("name", NAME), C("model_key", MODEL_NAME),
	C("model_type", MODEL_NAME), C("slug", NAME), C("registered_model_name", MODEL_NAME), C("task", MODEL_NAME),

	/* events and labels: what training sets are made of */
	T("events", EVENTS), T("service_events", EVENTS), T("event_log", EVENTS), T("clickstream", EVENTS), T("clicks", EVENTS),
	T("impressions", EVENTS), T("interactions", EVENTS), T("telemetry", EVENTS), T("sensor_readings", EVENTS),
	T("readings", EVENTS), T("measurements", EVENTS), T("observations", EVENTS), T("page_views", EVENTS), T("ratings", EVENTS),
	W("labels", .table = TABLE_LABELS, .column = COLUMN_LABEL_WEAK), T("annotations", LABELS), W("ground_truth", .table = TABLE_LABELS, .column = COLUMN_LABEL), T("training_data", TRAINING_SET),
	T("training_set", TRAINING_SET), T("training_dataset", TRAINING_SET), T("training_examples", TRAINING_SET),
	T("training_samples", TRAINING_SET), T("train_set", TRAINING_SET), T("train_data", TRAINING_SET),

	C("starts_at", CALENDAR), C("ends_at", CALENDAR), C("starts_on", CALENDAR), C("ends_on", CALENDAR), C("start_at", CALENDAR),
	C("end_at", CALENDAR), C("venue_id", CALENDAR), C("calendar_id", CALENDAR), C("all_day", CALENDAR), C("is_all_day", CALENDAR),
	C("organizer_id", CALENDAR), C("attendee_id", CALENDAR),

	C("match_id", GAME), C("game_id", GAME), C("fixture_id", GAME), C("contest_id", GAME), C("home_score", GAME), C("away_score", GAME),
	C("home_goals", GAME), C("away_goals", GAME), C("home_prediction", GAME), C("away_prediction", GAME), C("wager", GAME),
	C("wager_amount", GAME), C("points", GAME), C("points_awarded", GAME), C("round_id", GAME), C("gameweek", GAME),

	/* in-database machine learning */
	W("pgml", .schema = SCHEMA_PGML), W("madlib", .schema = SCHEMA_MADLIB), W("google_ml", .schema = SCHEMA_INFERENCE),
	W("aws_sagemaker", .schema = SCHEMA_INFERENCE), W("azure_ml", .schema = SCHEMA_INFERENCE),
	W("azure_openai", .schema = SCHEMA_INFERENCE), W("aws_bedrock", .schema = SCHEMA_INFERENCE),
	W("aws_comprehend", .schema = SCHEMA_INFERENCE), W("azure_ai", .schema = SCHEMA_INFERENCE),
	W("azure_cognitive", .schema = SCHEMA_INFERENCE), W("ai", .schema = SCHEMA_INFERENCE),
	W("vectorize", .schema = SCHEMA_VECTORIZE),
	F("get_ml_training_dataset", TRAIN),

	/* aggregates: a query whose rows they fold takes no rows out */
	F("count", AGGREGATE), F("sum", AGGREGATE), F("avg", AGGREGATE), F("min", AGGREGATE), F("max", AGGREGATE),
	F("stddev", AGGREGATE), F("stddev_pop", AGGREGATE), F("stddev_samp", AGGREGATE), F("variance", AGGREGATE),
	F("var_pop", AGGREGATE), F("var_samp", AGGREGATE), F("percentile_cont", AGGREGATE), F("percentile_disc", AGGREGATE),
	F("mode", AGGREGATE), F("bool_and", AGGREGATE), F("bool_or", AGGREGATE), F("every", AGGREGATE), F("corr", AGGREGATE),
	F("covar_pop", AGGREGATE), F("covar_samp", AGGREGATE), F("regr_slope", AGGREGATE), F("regr_intercept", AGGREGATE),
	F("regr_r2", AGGREGATE), F("approx_count_distinct", AGGREGATE), F("approx_percentile", AGGREGATE),

	F("json_agg", COLLECT), F("jsonb_agg", COLLECT), F("array_agg", COLLECT), F("json_object_agg", COLLECT),
	F("jsonb_object_agg", COLLECT), F("xmlagg", COLLECT),
	F("random", RANDOM), F("unnest", UNNEST), F("set_config", SET_CONFIG), F("pg_advisory_lock", ADVISORY_LOCK),
	F("pg_advisory_lock_shared", ADVISORY_LOCK), F("pg_try_advisory_lock", ADVISORY_LOCK),
	F("pg_try_advisory_lock_shared", ADVISORY_LOCK), F("pg_advisory_unlock", ADVISORY_UNLOCK),
	F("pg_advisory_unlock_shared", ADVISORY_UNLOCK), F("pg_advisory_unlock_all", ADVISORY_UNLOCK),
	F("nextval", SEQUENCE_MOVE), F("setval", SEQUENCE_MOVE), F("currval", SEQUENCE_READ), F("lastval", SEQUENCE_READ),

	/* PostgreSQL's own, those that applications call most: nothing hides in them. What is not here may be anybody's. */
	F("array_cat", BUILT_IN), F("array_remove", BUILT_IN), F("cardinality", BUILT_IN), F("cume_dist", BUILT_IN),
	F("grouping", BUILT_IN), F("inet_client_addr", BUILT_IN), F("inet_client_port", BUILT_IN), F("inet_server_addr", BUILT_IN),
	F("inet_server_port", BUILT_IN), F("initcap", BUILT_IN), F("isfinite", BUILT_IN), F("justify_interval", BUILT_IN),
	F("lead", BUILT_IN), F("make_interval", BUILT_IN), F("make_timestamp", BUILT_IN), F("ntile", BUILT_IN),
	F("overlay", BUILT_IN), F("percent_rank", BUILT_IN), F("nth_value", BUILT_IN), F("repeat", BUILT_IN), F("sha256", BUILT_IN),
	F("sign", BUILT_IN), F("sin", BUILT_IN), F("cos", BUILT_IN), F("tan", BUILT_IN), F("version", BUILT_IN),
	F("txid_current", BUILT_IN), F("uuid_generate_v4", BUILT_IN), F("width_bucket", BUILT_IN), F("jsonb_each", BUILT_IN),
	F("jsonb_each_text", BUILT_IN), F("jsonb_object_keys", BUILT_IN), F("jsonb_path_query", BUILT_IN),
	F("jsonb_path_exists", BUILT_IN), F("jsonb_pretty", BUILT_IN), F("jsonb_populate_record", BUILT_IN), F("json_each", BUILT_IN),
	F("json_array_elements", BUILT_IN), F("json_typeof", BUILT_IN), F("regexp_split_to_table", BUILT_IN),
	F("regexp_split_to_array", BUILT_IN), F("string_to_table", BUILT_IN), F("starts_with", BUILT_IN), F("translate", BUILT_IN),
	F("to_hex", BUILT_IN), F("trim_array", BUILT_IN), F("quote_literal", BUILT_IN), F("quote_ident", BUILT_IN),
	F("quote_nullable", BUILT_IN), F("decode", BUILT_IN), F("bit_length", BUILT_IN), F("ascii", BUILT_IN), F("chr", BUILT_IN),
	F("div", BUILT_IN), F("exp", BUILT_IN), F("ln", BUILT_IN), F("log", BUILT_IN), F("cbrt", BUILT_IN), F("degrees", BUILT_IN),
	F("timeofday", BUILT_IN), F("transaction_timestamp", BUILT_IN), F("current_schema", BUILT_IN), F("current_schemas", BUILT_IN),
	F("to_regclass", BUILT_IN), F("to_regtype", BUILT_IN), F("obj_description", BUILT_IN), F("format_type", BUILT_IN),
	F("has_table_privilege", BUILT_IN), F("has_schema_privilege", BUILT_IN), F("lower_inc", BUILT_IN), F("upper_inc", BUILT_IN),
	F("isempty", BUILT_IN), F("range_merge", BUILT_IN), F("array_ndims", BUILT_IN), F("array_dims", BUILT_IN),
	F("array_upper", BUILT_IN), F("array_lower", BUILT_IN), F("array_replace", BUILT_IN), F("array_fill", BUILT_IN),
	F("generate_subscripts", BUILT_IN), F("hashtextextended", BUILT_IN), F("set_bit", BUILT_IN), F("get_byte", BUILT_IN),
	F("convert_from", BUILT_IN), F("convert_to", BUILT_IN),
	F("abs", BUILT_IN), F("age", BUILT_IN), F("array_append", BUILT_IN), F("array_length", BUILT_IN),
	F("array_position", BUILT_IN), F("array_to_string", BUILT_IN), F("btrim", BUILT_IN),
	F("ceil", BUILT_IN), F("ceiling", BUILT_IN), F("char", BUILT_IN), F("char_length", BUILT_IN),
	F("clock_timestamp", BUILT_IN), F("coalesce", BUILT_IN), F("concat", BUILT_IN), F("concat_ws", BUILT_IN),
	F("current_database", BUILT_IN), F("current_setting", BUILT_IN), F("date_part", BUILT_IN), F("date_trunc", BUILT_IN),
	F("decimal", BUILT_IN), F("dense_rank", BUILT_IN), F("encode", BUILT_IN), F("extract", BUILT_IN), F("first_value", BUILT_IN),
	F("floor", BUILT_IN), F("format", BUILT_IN), F("gen_random_uuid", BUILT_IN), F("generate_series", BUILT_IN),
	F("greatest", BUILT_IN), F("hashtext", BUILT_IN), 
	F("json_build_array", BUILT_IN), F("json_build_object", BUILT_IN), F("jsonb_array_elements", BUILT_IN),
	F("jsonb_array_elements_text", BUILT_IN), F("jsonb_array_length", BUILT_IN), F("jsonb_build_array", BUILT_IN),
	F("jsonb_build_object", BUILT_IN), F("jsonb_extract_path_text", BUILT_IN), F("jsonb_set", BUILT_IN),
	F("jsonb_typeof", BUILT_IN), F("lag", BUILT_IN), F("last_value", BUILT_IN),
	F("least", BUILT_IN), F("left", BUILT_IN), F("length", BUILT_IN), F("lpad", BUILT_IN),
	F("ltrim", BUILT_IN), F("md5", BUILT_IN), F("mod", BUILT_IN), F("nullif", BUILT_IN),
	F("numeric", BUILT_IN), F("octet_length", BUILT_IN), 
	F("pg_advisory_xact_lock", BUILT_IN), F("pg_backend_pid", BUILT_IN), F("pg_sleep", BUILT_IN),
	F("pg_try_advisory_xact_lock", BUILT_IN), F("pg_typeof", BUILT_IN), F("power", BUILT_IN), F("rank", BUILT_IN),
	F("regexp_match", BUILT_IN), F("regexp_matches", BUILT_IN), F("regexp_replace", BUILT_IN), 
	F("reverse", BUILT_IN), F("right", BUILT_IN), F("round", BUILT_IN), F("row_number", BUILT_IN), F("row_to_json", BUILT_IN),
	F("rpad", BUILT_IN), F("rtrim", BUILT_IN), F("split_part", BUILT_IN), F("sqrt", BUILT_IN),
	F("statement_timestamp", BUILT_IN), F("string_agg", BUILT_IN), F("string_to_array", BUILT_IN), F("strpos", BUILT_IN),
	F("substr", BUILT_IN), F("substring", BUILT_IN), F("to_char", BUILT_IN), F("to_date", BUILT_IN), F("to_json", BUILT_IN),
	F("to_jsonb", BUILT_IN), F("to_number", BUILT_IN), F("to_timestamp", BUILT_IN),
	F("trim", BUILT_IN), F("trunc", BUILT_IN), F("upper", BUILT_IN), 

	/* a feature set's rows have these too; a list of nothing else takes no features out */
	C("id", UPKEEP), C("created_at", UPKEEP), C("updated_at", UPKEEP), C("deleted_at", UPKEEP), C("expires_at", UPKEEP),
	C("last_used", UPKEEP), C("usage_count", UPKEEP), C("data_quality_score", UPKEEP), C("feature_freshness_hours", UPKEEP),
	C("feature_size_bytes", UPKEEP), C("feature_generation_time_ms", UPKEEP), C("source_tables", UPKEEP),

	/* ids that name a tenant, a model or a run, not the entity that is predicted for */
	C("organization_id", SCOPE_ID), C("organisation_id", SCOPE_ID), C("org_id", SCOPE_ID), C("tenant_id", SCOPE_ID),
	C("workspace_id", SCOPE_ID), C("project_id", SCOPE_ID), C("model_id", MODEL_NAME), C("model", MODEL_NAME), C("endpoint_name", MODEL_NAME), C("model_version_id", SCOPE_ID),
	C("run_id", SCOPE_ID), C("training_run_id", SCOPE_ID), C("experiment_id", SCOPE_ID), C("dataset_id", SCOPE_ID),
	C("feature_set_id", SCOPE_ID), C("feature_view_id", SCOPE_ID), C("feature_group_id", SCOPE_ID),
	C("version_id", SCOPE_ID), C("batch_id", SCOPE_ID), C("job_id", SCOPE_ID),
	C("pipeline_id", SCOPE_ID), C("snapshot_id", SCOPE_ID), C("collection_id", SCOPE_ID), C("cohort_id", SCOPE_ID),
	C("team_id", SCOPE_ID), C("namespace_id", SCOPE_ID), C("region_id", SCOPE_ID), C("partition_id", SCOPE_ID),
	C("created_by_id", SCOPE_ID), C("feature_set_key", SCOPE_ID), C("segment_id", SCOPE_ID),
};

#define P(text_, part_) { .text = text_, .word = { .parts = PART_##part_ } }

/* Parts of names, for names.c. They are no words of their own: an index apart keeps the other sparse. */
static const struct row part_rows[] = {
	P("run", BOOKKEEPING), P("runs", BOOKKEEPING), P("jobs", BOOKKEEPING),
	P("logs", BOOKKEEPING), P("status", BOOKKEEPING), P("config", BOOKKEEPING),
	P("configs", BOOKKEEPING), P("metadata", BOOKKEEPING), P("registry", BOOKKEEPING),
	P("version", BOOKKEEPING), P("versions", BOOKKEEPING), P("catalog", BOOKKEEPING),
	P("source", BOOKKEEPING), P("sources", BOOKKEEPING), P("sessions", BOOKKEEPING),
	P("usage", BOOKKEEPING), P("definition", BOOKKEEPING), P("definitions", BOOKKEEPING),
	P("requests", BOOKKEEPING), P("service", BOOKKEEPING), P("services", BOOKKEEPING),
	P("groups", BOOKKEEPING), P("view", BOOKKEEPING), P("views", BOOKKEEPING),
	P("schema", BOOKKEEPING), P("schemas", BOOKKEEPING), P("permissions", BOOKKEEPING),

	P("about", CATALOGUE), P("organization", CATALOGUE), P("workspace", CATALOGUE),
	P("concern", CATALOGUE), P("company", CATALOGUE), P("products", CATALOGUE),
	P("subscriptions", CATALOGUE), P("pricing", CATALOGUE), P("price", CATALOGUE),
	P("tier", CATALOGUE), P("tiers", CATALOGUE), P("package", CATALOGUE),
	P("packages", CATALOGUE), P("role", CATALOGUE), P("roles", CATALOGUE),
	P("tenant", CATALOGUE), P("app", CATALOGUE), P("application", CATALOGUE),
	P("license", CATALOGUE), P("licence", CATALOGUE), P("feature", CATALOGUE),
	P("property", CATALOGUE), P("hotel", CATALOGUE), P("room", CATALOGUE),
	P("listing", CATALOGUE), P("amenity", CATALOGUE), P("geo", CATALOGUE),
	P("osm", CATALOGUE), P("land", CATALOGUE), P("site", CATALOGUE), P("road", CATALOGUE),
	P("gis", CATALOGUE), P("planet", CATALOGUE), P("boundary", CATALOGUE),
	P("terrain", CATALOGUE), P("layer", CATALOGUE), P("water", CATALOGUE),
	P("natural", CATALOGUE), P("city", CATALOGUE), P("poi", CATALOGUE), P("beta", CATALOGUE),
	P("enabled", CATALOGUE), P("requested", CATALOGUE), P("roadmap", CATALOGUE),
	P("release", CATALOGUE), P("module", CATALOGUE), P("page", CATALOGUE),
	P("website", CATALOGUE), P("home", CATALOGUE), P("membership", CATALOGUE),
	P("addon", CATALOGUE), P("edition", CATALOGUE), P("offer", CATALOGUE),
	P("laptop", CATALOGUE), P("apartment", CATALOGUE), P("house", CATALOGUE),
	P("building", CATALOGUE), P("geographic", CATALOGUE), P("topo", CATALOGUE),
	P("point", CATALOGUE), P("line", CATALOGUE), P("polygon", CATALOGUE),
	P("settings", CATALOGUE),

	P("archive", COPY), P("archived", COPY), P("backup", COPY), P("bak", COPY),
	P("old", COPY), P("staging", COPY), P("stage", COPY), P("tmp", COPY), P("temp", COPY),
	P("import", COPY), P("monthly", COPY), P("summary", COPY), P("stats", COPY),
	P("rollup", COPY),

	P("gate", FLAG), P("gates", FLAG), P("idea", FLAG), P("ideas", FLAG), P("vote", FLAG),
	P("votes", FLAG), P("announcement", FLAG), P("announcements", FLAG),

	P("user", MODELLED), P("users", MODELLED), P("customer", MODELLED),
	P("customers", MODELLED), P("client", MODELLED), P("driver", MODELLED),
	P("drivers", MODELLED), P("merchant", MODELLED), P("transaction", MODELLED),
	P("transactions", MODELLED), P("txn", MODELLED), P("sensor", MODELLED),
	P("machine", MODELLED), P("asset", MODELLED), P("item", MODELLED), P("items", MODELLED),
	P("click", MODELLED), P("churn", MODELLED), P("fraud", MODELLED), P("credit", MODELLED),
	P("loan", MODELLED), P("applicant", MODELLED), P("claim", MODELLED),
	P("policy", MODELLED), P("patient", MODELLED), P("rider", MODELLED), P("trip", MODELLED),
	P("ride", MODELLED), P("bin", MODELLED), P("bins", MODELLED), P("vehicles", MODELLED),
	P("route", MODELLED), P("routes", MODELLED), P("store", MODELLED), P("stores", MODELLED),
	P("ad", MODELLED), P("ads", MODELLED), P("search", MODELLED), P("query", MODELLED),
	P("ml", MODELLED), P("model", MODELLED), P("train", MODELLED), P("training", MODELLED),
	P("text", MODELLED), P("image", MODELLED), P("audio", MODELLED), P("derived", MODELLED),
	P("engineered", MODELLED), P("realtime", MODELLED), P("rt", MODELLED),
	P("batch", MODELLED), P("weekly", MODELLED), P("stock", MODELLED), P("market", MODELLED),
	P("time", MODELLED), P("aggregated", MODELLED), P("window", MODELLED),
	P("lag", MODELLED), P("rolling", MODELLED), P("raw", MODELLED), P("risk", MODELLED),
	P("demand", MODELLED), P("entity", MODELLED), P("lead", MODELLED), P("member", MODELLED),
	P("player", MODELLED), P("subscriber", MODELLED), P("visitor", MODELLED),
	P("buyer", MODELLED), P("seller", MODELLED), P("host", MODELLED), P("guest", MODELLED),
	P("passenger", MODELLED), P("courier", MODELLED), P("delivery", MODELLED),
	P("zone", MODELLED), P("candidate", MODELLED), P("interaction", MODELLED),
	P("behavior", MODELLED), P("behaviour", MODELLED), P("event", MODELLED),
	P("fs", MODELLED), P("scoring", MODELLED), P("ctr", MODELLED), P("ltv", MODELLED),
	P("clv", MODELLED), P("rfm", MODELLED), P("recsys", MODELLED), P("document", MODELLED),
	P("employee", MODELLED), P("student", MODELLED), P("household", MODELLED),
	P("campaign", MODELLED),

	P("calendar", OTHER_EVENT), P("webhook", OTHER_EVENT), P("outbox", OTHER_EVENT),
	P("domain", OTHER_EVENT), P("stripe", OTHER_EVENT), P("billing", OTHER_EVENT),
	P("auth", OTHER_EVENT), P("security", OTHER_EVENT), P("login", OTHER_EVENT),
	P("django", OTHER_EVENT), P("queue", OTHER_EVENT), P("cron", OTHER_EVENT),
	P("system", OTHER_EVENT), P("invoice", OTHER_EVENT), P("meeting", OTHER_EVENT),
	P("scheduled", OTHER_EVENT), P("es", OTHER_EVENT), P("eventstore", OTHER_EVENT),
	P("public", OTHER_EVENT), P("booking", OTHER_EVENT), P("history", OTHER_EVENT),

	P("issue", OTHER_LABEL), P("issues", OTHER_LABEL), P("mail", OTHER_LABEL),
	P("email", OTHER_LABEL), P("gmail", OTHER_LABEL), P("task", OTHER_LABEL),
	P("tasks", OTHER_LABEL), P("pod", OTHER_LABEL), P("node", OTHER_LABEL),
	P("board", OTHER_LABEL), P("card", OTHER_LABEL), P("shipping", OTHER_LABEL),
	P("print", OTHER_LABEL), P("address", OTHER_LABEL), P("merge", OTHER_LABEL),
	P("pr", OTHER_LABEL), P("repo", OTHER_LABEL), P("i18n", OTHER_LABEL),
	P("ui", OTHER_LABEL), P("form", OTHER_LABEL), P("record", OTHER_LABEL),
	P("chart", OTHER_LABEL), P("tag", OTHER_LABEL), P("menu", OTHER_LABEL),
	P("nutrition", OTHER_LABEL), P("k8s", OTHER_LABEL), P("metric", OTHER_LABEL),
	P("alert", OTHER_LABEL),

	{ "metrics", { .parts = PART_BOOKKEEPING | PART_COPY } },

	{ "session", { .parts = PART_BOOKKEEPING | PART_MODELLED } },

	{ "job", { .parts = PART_BOOKKEEPING | PART_OTHER_EVENT } },
	{ "log", { .parts = PART_BOOKKEEPING | PART_OTHER_EVENT } },

	{ "request", { .parts = PART_BOOKKEEPING | PART_OTHER_LABEL } },

	{ "plan", { .parts = PART_CATALOGUE | PART_BOOKKEEPING } },
	{ "plans", { .parts = PART_CATALOGUE | PART_BOOKKEEPING } },

	{ "flag", { .parts = PART_CATALOGUE | PART_FLAG } },
	{ "flags", { .parts = PART_CATALOGUE | PART_FLAG } },
	{ "toggle", { .parts = PART_CATALOGUE | PART_FLAG } },
	{ "toggles", { .parts = PART_CATALOGUE | PART_FLAG } },

	{ "subscription", { .parts = PART_CATALOGUE | PART_OTHER_EVENT } },
	{ "admin", { .parts = PART_CATALOGUE | PART_OTHER_EVENT } },

	{ "project", { .parts = PART_CATALOGUE | PART_OTHER_LABEL } },
	{ "team", { .parts = PART_CATALOGUE | PART_OTHER_LABEL } },
	{ "map", { .parts = PART_CATALOGUE | PART_OTHER_LABEL } },

	{ "car", { .parts = PART_CATALOGUE | PART_OTHER_MODEL } },
	{ "phone", { .parts = PART_CATALOGUE | PART_OTHER_MODEL } },

	{ "daily", { .parts = PART_MODELLED | PART_COPY } },
	{ "hourly", { .parts = PART_MODELLED | PART_COPY } },
	{ "agg", { .parts = PART_MODELLED | PART_COPY } },

	{ "account", { .parts = PART_MODELLED | PART_OTHER_EVENT } },
	{ "payment", { .parts = PART_MODELLED | PART_OTHER_EVENT } },
	{ "order", { .parts = PART_MODELLED | PART_OTHER_EVENT } },
	{ "shipment", { .parts = PART_MODELLED | PART_OTHER_EVENT } },

	{ "ticket", { .parts = PART_MODELLED | PART_OTHER_LABEL } },

	{ "device", { .parts = PART_MODELLED | PART_OTHER_MODEL } },
	{ "vehicle", { .parts = PART_MODELLED | PART_OTHER_MODEL } },

	{ "audit", { .parts = PART_BOOKKEEPING | PART_COPY | PART_OTHER_EVENT } },

	{ "product", { .parts = PART_CATALOGUE | PART_OTHER_LABEL | PART_OTHER_MODEL } },
};
/* clang-format on */

/* The first 16 bytes of a word, folded as the lexer folds them. */
static void load(const char *at, size_t n, uint64_t *first_r, uint64_t *second_r)
{
	char bytes[16] = {0};
	for (size_t i = 0; i < MIN_OF(n, sizeof(bytes)); i++)
		bytes[i] = at[i] | 0x20;
	memcpy(first_r, bytes, 8);
	memcpy(second_r, bytes + 8, 8);
}

static bool is_entry(const struct word_entry *entry, const char *at, size_t n)
{
	if (n <= 16)
		return entry->longer == NULL;
	return entry->longer != NULL && strlen(entry->longer) == n &&
	       strncasecmp(entry->longer, at, n) == 0;
}

/* The word's entry, or the empty one where it would stand. */
static const struct word_entry *find_entry(
	const struct word_index *index, const char *at, size_t n)
{
	uint64_t first, second;
	load(at, n, &first, &second);
	for (unsigned slot = words_slot(first, second);; slot = (slot + 1) & (WORD_SLOTS - 1)) {
		const struct word_entry *entry = &index->entries[slot];
		if (entry->first == 0 || (entry->first == first && entry->second == second &&
						 is_entry(entry, at, n)))
			return entry;
	}
}

static void build_index(struct word_index *index, const struct row *from, unsigned n_rows)
{
	MUST(n_rows * 3 < WORD_SLOTS); /* sparse, or looking up what is not there gets slow */
	memset(index, 0, sizeof(*index));
	for (unsigned i = 0; i < n_rows; i++) {
		size_t n = strlen(from[i].text);
		struct word_entry *entry = (struct word_entry *)(uintptr_t)find_entry(
			index, from[i].text, n);
		MUST(entry->first == 0); /* a word has one row */
		load(from[i].text, n, &entry->first, &entry->second);
		entry->longer = n > 16 ? from[i].text : NULL;
		entry->word = from[i].word;
	}
}

void words_init(struct words *words)
{
	build_index(&words->all, rows, N_ELEMENTS(rows));
	build_index(&words->parts, part_rows, N_ELEMENTS(part_rows));
}

const struct word *word_index_find(const struct word_index *index, const char *at, size_t n)
{
	const struct word_entry *entry = find_entry(index, at, n);
	return entry->first != 0 ? &entry->word : &word_unknown;
}
