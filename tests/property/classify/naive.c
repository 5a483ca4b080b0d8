/* SPDX-License-Identifier: ISC */
/* See naive.h. */
#include "property/classify/naive.h"

size_t naive_text(const struct pgw_token *token, char *text, size_t cap)
{
	size_t quoted = token->kind == PGW_TOK_QUOTED_IDENT;
	size_t n = MIN_OF(token->len - 2 * quoted, cap - 1);
	memcpy(text, token->at + quoted, n);
	text[n] = '\0';
	return n;
}

static bool is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
	       c >= 0x80;
}

bool naive_folded(const struct pgw_token *token, char folded[static 16])
{
	char text[32];
	size_t n = naive_text(token, text, sizeof(text));
	bool quoted = token->kind == PGW_TOK_QUOTED_IDENT;
	if (n > 16 || (quoted && token->at[0] != '"'))
		return false;
	memset(folded, 0, 16);
	for (size_t i = 0; i < n; i++) {
		if (quoted && !is_plain((unsigned char)text[i]))
			return false;
		folded[i] = text[i] | 0x20;
	}
	return true;
}

static bool ends(const char *text, const char *end)
{
	size_t n = strlen(text), n_end = strlen(end);
	return n >= n_end && strcasecmp(text + n - n_end, end) == 0;
}

static bool is_one(const char *text, const char *const *names)
{
	for (; *names != NULL; names++)
		if (strcasecmp(text, *names) == 0)
			return true;
	return false;
}

static bool ends_in_one(const char *text, const char *const *endings)
{
	for (; *endings != NULL; endings++)
		if (ends(text, *endings))
			return true;
	return false;
}

enum fixes naive_fixes(const struct pgw_token *token, const struct word *word)
{
	static const char *const rows[] = {"id", "uuid", "pk", NULL};
	static const char *const entities[] = {"userid", "aid", "customer", "driver", "user",
		"entity", "email", "username", NULL};
	static const char *const endings[] = {
		"_id", "_uuid", "_hash", "_no", "_number", "_key", "sku", NULL};
	char text[600];
	size_t n = naive_text(token, text, sizeof(text));
	if (word->column == COLUMN_SCOPE_ID)
		return FIXES_SCOPE;
	if (is_one(text, rows))
		return FIXES_ROW;
	if (word->column == COLUMN_CATALOGUE)
		return FIXES_NOTHING;
	bool hump = token->kind == PGW_TOK_QUOTED_IDENT && n >= 2 && strcmp(text + n - 2, "Id") == 0;
	return hump || is_one(text, entities) || ends_in_one(text, endings) ? FIXES_ENTITY
									    : FIXES_NOTHING;
}

enum table_kind naive_table_kind(const struct words *words, const struct pgw_token *token)
{
	struct name name;
	name_of_token(token, &name);
	return name_table_kind(words, &name, NAME_ROOTS_OF_TABLES);
}
