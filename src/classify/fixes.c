/* SPDX-License-Identifier: ISC */
/*
 * Which keys a statement fixes: `user_id = $1`, `entity_id IN (…)`, `= ANY ($1)`, `(entity_type,
 * entity_id) IN ((…))`, a list of VALUES. A comparison with another column is a join and fixes
 * nothing.
 */
#include "classify/walk.h"

static bool ends_with(const struct pgw_token *token, const char *lower)
{
	size_t n = strlen(lower), quote = token->kind == PGW_TOK_QUOTED_IDENT;
	return token->len >= n + 2 * quote &&
	       strncasecmp(token->at + token->len - quote - n, lower, n) == 0;
}

static bool is_whole(const struct pgw_token *token, const char *lower)
{
	return token->len == strlen(lower) + 2 * (token->kind == PGW_TOK_QUOTED_IDENT) &&
	       ends_with(token, lower);
}

/* user_id, "userId", email; not organization_id. By the last letters: it is asked at every
 * comparison of every statement. */
enum fixes fixes_of_name(const struct operand_name *name)
{
	const struct pgw_token *token = &name->token;
	if (name->word->column == COLUMN_SCOPE_ID)
		return FIXES_SCOPE;
	if (token->len < 2)
		return FIXES_NOTHING;
	bool quoted = token->kind == PGW_TOK_QUOTED_IDENT;
	switch (token->at[token->len - 1 - quoted] | 0x20) {
	case 'd':
		if (is_whole(token, "id") || is_whole(token, "uuid"))
			return FIXES_ROW;
		if (ends_with(token, "_id") || ends_with(token, "_uuid") ||
			is_whole(token, "userid") || is_whole(token, "aid"))
			return FIXES_ENTITY;
		return quoted && memcmp(token->at + token->len - 3, "Id", 2) == 0 ? FIXES_ENTITY
										  : FIXES_NOTHING;
	case 'k':
		return is_whole(token, "pk") ? FIXES_ROW : FIXES_NOTHING;
	case 'h':
		return ends_with(token, "_hash") ? FIXES_ENTITY : FIXES_NOTHING;
	case 'o':
		return ends_with(token, "_no") ? FIXES_ENTITY : FIXES_NOTHING;
	case 'r':
		return ends_with(token, "_number") || is_whole(token, "customer") ||
				       is_whole(token, "driver") || is_whole(token, "user")
			       ? FIXES_ENTITY
			       : FIXES_NOTHING;
	case 'y':
		return ends_with(token, "_key") || is_whole(token, "entity") ? FIXES_ENTITY
									     : FIXES_NOTHING;
	case 'u':
		return ends_with(token, "sku") ? FIXES_ENTITY : FIXES_NOTHING;
	case 'l':
		return is_whole(token, "email") ? FIXES_ENTITY : FIXES_NOTHING;
	case 'e':
		return is_whole(token, "username") ? FIXES_ENTITY : FIXES_NOTHING;
	default:
		return FIXES_NOTHING;
	}
}

void fixes_begin(struct walk *w, bool list)
{
	struct level *level = walk_top(w);
	enum clause clause = walk_scope(w)->clause;
	if (clause != CLAUSE_WHERE && clause != CLAUSE_ON)
		return;
	const struct operand_name *name = &level->name;
	w->fixes_list = list;
	w->fixes = FIXES_NOTHING;
	if (level->group_had_key)
		w->fixes = FIXES_ENTITY;
	else if (name->word == NULL)
		return;
	else if (name->word->column == COLUMN_MODEL_NAME)
		w->fixes = FIXES_MODEL;
	else if (name->word->column == COLUMN_STAGE)
		w->fixes = FIXES_STAGE;
	else
		w->fixes = fixes_of_name(name);
	/* u.id = $1 among several tables is the entity's own row, joined to its features */
	if (w->fixes == FIXES_ROW && name->qualifier.word != NULL && w->n_tables > 1)
		w->fixes = FIXES_ENTITY;
}

static bool means_production(const struct pgw_token *token)
{
	char value[16];
	if (token->kind != PGW_TOK_STRING)
		return token->kind != PGW_TOK_NUMBER;
	size_t n = pgw_token_string(token, value, sizeof(value));
	static const char *const names[] = {
		"production", "prod", "live", "champion", "active", "deployed", "serving"};
	for (unsigned i = 0; i < N_ELEMENTS(names); i++)
		if (n == strlen(names[i]) && strncasecmp(value, names[i], n) == 0)
			return true;
	return false;
}

void fixes_end(struct walk *w)
{
	switch (w->fixes) {
	case FIXES_NOTHING:
		break;
	case FIXES_ENTITY:
		walk_add_feature(w, FEATURE(ENTITY_KEY));
		break;
	case FIXES_SCOPE:
		walk_add_feature(w, FEATURE(SCOPE_KEY));
		break;
	case FIXES_ROW:
		walk_add_feature(w, FEATURE(ROW_KEY));
		break;
	case FIXES_MODEL:
		if (!w->fixes_list)
			walk_add_feature(w, FEATURE(MODEL_KEY));
		break;
	case FIXES_STAGE:
		if (!w->fixes_list && means_production(&w->reader->now->token))
			walk_add_feature(w, FEATURE(PRODUCTION));
		break;
	}
	w->fixes = FIXES_NOTHING;
}
