/* SPDX-License-Identifier: ISC */
/*
 * Which keys a statement fixes: `user_id = $1`, `entity_id IN (…)`, `= ANY ($1)`, `(entity_type,
 * entity_id) IN ((…))`, a list of VALUES. A comparison with another column is a join and fixes
 * nothing.
 */
#include "classify/walk.h"

/* user_id, "userId", email; not organization_id. By the last letters: it is asked at every
 * comparison of every statement. */
enum fixes fixes_of_name(const struct operand_name *name, uint64_t tail)
{
	const struct pgw_token *token = &name->token;
	if (name->word->column == COLUMN_SCOPE_ID)
		return FIXES_SCOPE;
	if (token->len < 2)
		return FIXES_NOTHING;
	size_t n = token->len - 2 * (token->kind == PGW_TOK_QUOTED_IDENT);
	bool entity;
	switch (tail >> 56) {
	case 'd':
		if (NAME_IS(tail, "id") || NAME_IS(tail, "uuid"))
			return FIXES_ROW;
		entity = NAME_ENDS(tail, "_id") || NAME_ENDS(tail, "_uuid") ||
			 NAME_IS(tail, "userid") || NAME_IS(tail, "aid") ||
			 (token->kind == PGW_TOK_QUOTED_IDENT &&
				 memcmp(token->at + token->len - 3, "Id", 2) == 0);
		break;
	case 'k':
		return NAME_IS(tail, "pk") ? FIXES_ROW : FIXES_NOTHING;
	case 'h':
		entity = NAME_ENDS(tail, "_hash");
		break;
	case 'o':
		entity = NAME_ENDS(tail, "_no");
		break;
	case 'r':
		entity = NAME_ENDS(tail, "_number") || (n == 8 && NAME_ENDS(tail, "customer")) ||
			 NAME_IS(tail, "driver") || NAME_IS(tail, "user");
		break;
	case 'y':
		entity = NAME_ENDS(tail, "_key") || NAME_IS(tail, "entity");
		break;
	case 'u':
		entity = NAME_ENDS(tail, "sku");
		break;
	case 'l':
		entity = NAME_IS(tail, "email");
		break;
	case 'e':
		entity = n == 8 && NAME_ENDS(tail, "username");
		break;
	default:
		entity = false;
		break;
	}
	/* feature_id is no entity's */
	return entity && name->word->column != COLUMN_CATALOGUE ? FIXES_ENTITY : FIXES_NOTHING;
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
	else if (name->word->column == COLUMN_MODEL_NAME || name->word->column == COLUMN_NAME)
		w->fixes = FIXES_MODEL;
	else if (name->word->column == COLUMN_STAGE)
		w->fixes = FIXES_STAGE;
	else
		w->fixes = fixes_of_name(name, name_tail(&name->token));
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
