/* SPDX-License-Identifier: ISC */
/* Names by their parts, and the dictionary under any letter case and length of text. */
#include "classify/names.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

static struct words dictionary;

static struct pgw_token token_of(const char *text)
{
	struct pgw_lexer lexer = pgw_lexer_on(text, strlen(text));
	return pgw_lex(&lexer);
}

static enum table_kind table_kind(const char *text)
{
	struct pgw_token token = token_of(text);
	struct name name;
	unsigned roots = name_roots(&token) & NAME_ROOTS_OF_TABLES;
	name_of_token(&token, &name);
	enum table_kind all = name_table_kind(&dictionary, &name, NAME_ROOTS_OF_TABLES),
			kind = name_table_kind(&dictionary, &name, roots);
	if (all != kind)
		fail_msg("%s: its roots (0x%x) do not lead to the pattern that matches it", text,
			roots);
	return kind;
}

static void test_tables(void **state)
{
	static const struct {
		const char *name;
		enum table_kind kind;
	} rows[] = {
		{"user_features", TABLE_FEATURES_LIKELY},
		{"\"UserFeatures\"", TABLE_FEATURES_LIKELY},
		{"ml_feature_store_history", TABLE_FEATURES},
		{"recommender_userfeatures", TABLE_FEATURES_LIKELY},
		{"churn_predictions_log", TABLE_PREDICTIONS},
		{"driver_fg", TABLE_FEATURES},
		{"\"driver_fg\"", TABLE_FEATURES},
		{"driver_fg_2", TABLE_FEATURES},
		{"driver_fg_old", TABLE_NONE},
		{"txn_feats", TABLE_FEATURES_LIKELY},
		{"features_v3", TABLE_FEATURES_LIKELY},
		{"plan_features", TABLE_NONE},
		{"feature_flags", TABLE_NONE},
		{"camera_features", TABLE_FEATURES_MAYBE},
		{"ml_training_runs", TABLE_NONE},
		{"training_datasets", TABLE_NONE},
		{"feature_readings", TABLE_FEATURES_MAYBE},
		{"map_features", TABLE_FEATURES_MAYBE},
		{"feature_views", TABLE_NONE},
		{"churn_predictions", TABLE_PREDICTIONS},
		{"\"ModelPredictionLog\"", TABLE_PREDICTIONS},
		{"ml_predictions_2025_08", TABLE_PREDICTIONS},
		{"predictions_archive", TABLE_NONE},
		{"churn_training_data", TABLE_TRAINING_SET},
		{"training_sessions", TABLE_NONE},
		{"train_schedules", TABLE_NONE},
		{"document_embeddings", TABLE_EMBEDDINGS},
		{"langchain_pg_embedding", TABLE_EMBEDDINGS},
		{"churn_labels", TABLE_LABELS},
		{"issue_labels", TABLE_NONE},
		{"click_events", TABLE_EVENTS},
		{"calendar_events", TABLE_NONE},
		{"ad_impressions", TABLE_EVENTS},
		{"mlflow_model_versions", TABLE_MODELS},
		{"car_models", TABLE_NONE},
		{"orders", TABLE_NONE},
		{"pgbench_accounts", TABLE_NONE},
		{"prevention", TABLE_NONE},
		{"a", TABLE_NONE},
	};
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++)
		if (table_kind(rows[i].name) != rows[i].kind)
			fail_msg("%s: %d, wanted %d", rows[i].name, (int)table_kind(rows[i].name),
				(int)rows[i].kind);
}

static enum function_kind function_kind(const char *text)
{
	struct pgw_token token = token_of(text);
	struct name name;
	name_of_token(&token, &name);
	enum function_kind kind = name_function_kind(&name, SCHEMA_NONE);
	if (kind != FUNCTION_NONE && !(name_roots(&token) & NAME_ROOT_FUNCTION))
		fail_msg("%s: no root leads to the pattern that matches it", text);
	return kind;
}

static void test_functions(void **state)
{
	static const struct {
		const char *name;
		enum function_kind kind;
	} rows[] = {
		{"match_document_chunks", FUNCTION_MATCH},
		{"match_players", FUNCTION_MATCH_MAYBE},
		{"kb_match_sections", FUNCTION_MATCH_MAYBE},
		{"vector_search", FUNCTION_MATCH},
		{"find_similar_products", FUNCTION_MATCH},
		{"documents_hybrid_search", FUNCTION_MATCH_HYBRID},
		{"ST_Buffer", FUNCTION_SPATIAL_VALUE},
		{"_ST_DWithinUncached", FUNCTION_SPATIAL_VALUE},
		{"build_training_set", FUNCTION_TRAIN},
		{"train_model", FUNCTION_TRAIN},
		{"retrain_churn", FUNCTION_TRAIN},
		{"predict_churn", FUNCTION_PREDICT},
		{"churn_predict", FUNCTION_PREDICT},
		{"run_inference", FUNCTION_PREDICT},
		{"create_embedding", FUNCTION_EMBED},
		{"train_schedule", FUNCTION_NONE},
		{"predicate", FUNCTION_NONE},
		{"coalesce", FUNCTION_NONE},
		{"start_date", FUNCTION_NONE},
		{"get_historical_features", FUNCTION_TRAIN},
		{"ann_search", FUNCTION_MATCH},
		{"get_nearest_neighbors", FUNCTION_MATCH},
		{"score_model", FUNCTION_PREDICT},
	};
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++)
		if (function_kind(rows[i].name) != rows[i].kind)
			fail_msg("%s: %d, wanted %d", rows[i].name,
				(int)function_kind(rows[i].name), (int)rows[i].kind);
}

static bool is_vector(const char *text)
{
	struct pgw_token token = token_of(text);
	struct name name;
	name_of_token(&token, &name);
	return name_is_vector_column(&name);
}

static void test_vector_columns(void **state)
{
	static const char *const vectors[] = {"content_embedding", "embedding_v2",
		"\"contentEmbedding\"", "title_vec", "vec_256", "image_vector", "\"textVector\"",
		"item_emb", "doc_embs"};
	static const char *const others[] = {"search_vector", "tsv", "body_tsvector",
		"vectorized_at_flag", "member", "location", "remember", "convection"};
	for (unsigned i = 0; i < N_ELEMENTS(vectors); i++)
		if (!is_vector(vectors[i]))
			fail_msg("%s", vectors[i]);
	for (unsigned i = 0; i < N_ELEMENTS(others); i++)
		if (is_vector(others[i]))
			fail_msg("%s", others[i]);
}

static void test_computed_columns(void **state)
{
	static const struct {
		const char *name;
		unsigned weight;
	} rows[] = {
		{"spend_30d", NAME_COMPUTED},
		{"\"spend_30D\"", NAME_COMPUTED},
		{"f_7d", NAME_COMPUTED},
		{"days_since_login", NAME_COMPUTED},
		{"amount_zscore", NAME_COMPUTED},
		{"CTR_week", NAME_COMPUTED},
		{"txn_24h", 1},
		{"avg_spend", 1},
		{"open_ratio", 1},
		{"supports_3d", 0},
		{"spend_13d", NAME_COMPUTED},
		{"md5d", 0},
		{"_7d", 0},
		{"x7d", 0},
		{"30d", 0},
		{"power_10w", 0},
		{"avg_", 0},
		{"average", 0},
		{"std", 0},
		{"days", 0},
		{"\"\"", 0},
	};
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++) {
		const char *text = rows[i].name;
		struct pgw_token token = {.at = text,
			.len = (uint32_t)strlen(text),
			.kind = *text == '"' ? PGW_TOK_QUOTED_IDENT : PGW_TOK_WORD};
		if (name_computed_weight(&token) != rows[i].weight)
			fail_msg("%s: %u, wanted %u", text, name_computed_weight(&token),
				rows[i].weight);
	}
}

/* As the reader looks it up: the lexer has folded it, if it is short. */
static const struct word *word_as_lexed(const struct words *words, const char *text, size_t n)
{
	struct pgw_lexer lexer = pgw_lexer_on(text, n);
	struct pgw_token token = pgw_lex(&lexer);
	assert_int_equal(lexer.folded[0] != 0, token.len <= 16);
	return lexer.folded[0] != 0 ? words_find_folded(words, lexer.folded[0], lexer.folded[1])
				    : words_find(words, token.at, token.len);
}

static size_t text_of(const struct word_entry *entry, char text[64])
{
	if (entry->longer != NULL) {
		memcpy(text, entry->longer, strlen(entry->longer));
		return strlen(entry->longer);
	}
	memcpy(text, &entry->first, 8);
	memcpy(text + 8, &entry->second, 8);
	size_t n = strnlen(text, 16);
	for (size_t i = 0; i < n; i++)
		if (text[i] == 0x7f)
			text[i] = '_'; /* as the folding leaves it */
	return n;
}

static void test_dictionary(void **state)
{
	static struct words words;
	words_init(&words);
	static const struct {
		const char *text;
		enum key key;
		enum function_kind function;
	} rows[] = {
		{"select", KEY_SELECT, FUNCTION_NONE},
		{"SELECT", KEY_SELECT, FUNCTION_NONE},
		{"SeLeCt", KEY_SELECT, FUNCTION_NONE},
		{"to", KEY_TO, FUNCTION_NONE},
		{"transaction", KEY_TRANSACTION, FUNCTION_NONE},
		{"selects", KEY_NONE, FUNCTION_NONE},
		{"selec", KEY_NONE, FUNCTION_NONE},
		{"Websearch_To_Tsquery", KEY_NONE, FUNCTION_TEXT_SEARCH},
		{"sparsevec_negative_inner_product", KEY_NONE, FUNCTION_VECTOR_DISTANCE},
		{"sparsevec_negative_inner_product_", KEY_NONE, FUNCTION_NONE},
		{"to_tsquer", KEY_NONE, FUNCTION_NONE},
		{"characteristics", KEY_CHARACTERISTICS, FUNCTION_NONE},
	};
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++) {
		size_t n = strlen(rows[i].text);
		char *exact = mem_dup(rows[i].text, n); /* nothing behind it */
		char padded[64] = {0};
		memcpy(padded, rows[i].text, n);
		memset(padded + n, ' ', sizeof(padded) - n);
		const struct word *alone = words_find(&words, exact, n);
		assert_ptr_equal(alone, word_as_lexed(&words, exact, n));
		assert_ptr_equal(alone, word_as_lexed(&words, padded, sizeof(padded)));
		assert_int_equal(alone->key, rows[i].key);
		assert_int_equal(alone->function, rows[i].function);
		mem_free(exact);
	}
	assert_ptr_equal(words_find(&words, "", 0), &word_unknown);
}

/* A word that differs in its last letter only is found as itself or not at all, wherever it hashes.
 */
static void test_near_words(void **state)
{
	static struct words words;
	words_init(&words);
	unsigned n_words = 0;
	for (unsigned i = 0; i < WORD_SLOTS; i++) {
		const struct word_entry *entry = &words.all.entries[i];
		char text[64];
		if (entry->first == 0)
			continue;
		n_words++;
		size_t n = text_of(entry, text);
		assert_ptr_equal(words_find(&words, text, n), &entry->word);
		for (char c = '0'; c <= 'z'; c++) {
			char found_text[64];
			text[n - 1] = c;
			if (c > '9' && c < 'a')
				continue;
			const struct word *found = words_find(&words, text, n);
			if (found == &word_unknown)
				continue;
			const struct word_entry *near =
				(const void *)((const char *)found -
					       offsetof(struct word_entry, word));
			assert_int_equal(text_of(near, found_text), n);
			assert_memory_equal(found_text, text, n);
		}
	}
	assert_in_range(n_words, 400, WORD_SLOTS / 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_functions),
		cmocka_unit_test(test_vector_columns),
		cmocka_unit_test(test_computed_columns),
		cmocka_unit_test(test_dictionary),
		cmocka_unit_test(test_near_words),
	};
	words_init(&dictionary);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	return failed;
}
