/* SPDX-License-Identifier: ISC */
/*
 * Columns that the database's catalog knows, and what they are. A name may be a vector's in one
 * table and something else's in another, and the tables of a query come behind its list; so a
 * column whose name is in the catalog is only noted where it is met, as a bit of evidence of its
 * own, and what depends on that bit is decided when the statement has ended:
 *
 *  - a name that only vectors have is a vector, whatever the table, unless the statement itself
 *    gives it to something (AS);
 *  - otherwise the table decides that its qualifier names, or else those of its own query, or else
 *    those of the statement;
 *  - where these say nothing, or differ, the name is judged as if there were no catalog.
 */
#include "classify/walk.h"

static void token_text(const struct pgw_token *token, char text[static CATALOG_NAME_BYTES])
{
	(void)pgw_token_ident(token, text, CATALOG_NAME_BYTES);
}

/* ---- while the statement is read ---- */

NOINLINE void walk_note_table(struct walk *w, const struct operand_name *name)
{
	const struct item *next = w->reader->now + 1;
	if (w->n_named == NAMED_MAX)
		return;
	struct named_table *table = &w->named[w->n_named++];
	table->name = name->token;
	table->schema.kind = PGW_TOK_END;
	if (name->qualifier.word != NULL)
		table->schema = name->qualifier.token;
	table->alias = (struct pgw_token){.kind = PGW_TOK_END};
	if (item_is_name(next) && item_key(next) == KEY_NONE)
		table->alias = next->token;
	table->scope = walk_scope(w)->serial;
	w->awaits_alias = item_key(next) == KEY_AS;
}

/* By the name alone. */
static enum catalog_verdict verdict_of_all(const struct catalog_name *name)
{
	if (name->n_vectors == name->n)
		return CATALOG_VECTOR;
	return name->n_vectors == 0 ? CATALOG_OTHER : CATALOG_UNKNOWN;
}

static unsigned evidence_of_verdict(enum catalog_verdict verdict)
{
	return verdict == CATALOG_VECTOR  ? EVIDENCE_VECTOR_TYPE
	       : verdict == CATALOG_OTHER ? EVIDENCE_NOT_VECTOR
					  : 0;
}

NOINLINE unsigned walk_known_column(struct walk *w, const struct operand_name *name)
{
	if (w->previous == KEY_AS && w->awaits_alias)
		w->named[w->n_named - 1].alias = name->token;
	w->awaits_alias = false;
	if (w->n_named > 0 && w->named[w->n_named - 1].alias.at == name->token.at)
		return 0;
	const struct catalog_name *found = catalog_name(w->catalog, &name->token);
	if (found == NULL)
		return 0;
	if (w->previous == KEY_AS) {
		if (w->n_aliased < ALIASED_MAX)
			w->aliased[w->n_aliased++] = found;
		return 0;
	}
	if (w->n_known == KNOWN_MAX)
		return evidence_of_verdict(verdict_of_all(found));
	struct known_column *known = &w->known[w->n_known];
	known->name = found;
	known->word = name->word;
	known->token = name->token;
	known->qualifier.kind = PGW_TOK_END;
	if (name->qualifier.word != NULL)
		known->qualifier = name->qualifier.token;
	known->scope = walk_scope(w)->serial;
	known->beside = false;
	return 1U << (KNOWN_SHIFT + w->n_known++);
}

bool walk_known_beside(struct walk *w, const struct pgw_token *token)
{
	const struct catalog_name *found = catalog_name(w->catalog, token);
	if (found == NULL)
		return false;
	for (unsigned i = w->n_known; i-- > 0;)
		if (w->known[i].token.at == token->at) {
			w->known[i].beside = true;
			return true;
		}
	return verdict_of_all(found) != CATALOG_UNKNOWN; /* there was no room */
}

unsigned walk_known_query(struct walk *w, unsigned inner)
{
	if (w->n_known == KNOWN_MAX)
		return walk_query_evidence(walk_known_evidence(w, inner));
	struct known_column *known = &w->known[w->n_known];
	known->name = NULL;
	known->token.at = NULL;
	known->inner = inner;
	return 1U << (KNOWN_SHIFT + w->n_known++);
}

bool walk_defer(struct walk *w, enum pending pending, unsigned sides)
{
	if (w->n_deferred == DEFERRED_MAX)
		return false;
	w->deferred[w->n_deferred++] = (struct deferred){pending, sides};
	return true;
}

/* ---- when its tables are known ---- */

static enum catalog_verdict ask(
	const struct walk *w, const struct known_column *known, const struct named_table *table)
{
	char name[CATALOG_NAME_BYTES], schema[CATALOG_NAME_BYTES];
	bool has_schema = table->schema.kind != PGW_TOK_END;
	token_text(&table->name, name);
	if (has_schema)
		token_text(&table->schema, schema);
	return catalog_ask(w->catalog, known->name, has_schema ? schema : NULL, name);
}

static bool is_text(const struct pgw_token *token, const char *text)
{
	char other[CATALOG_NAME_BYTES];
	if (token->kind == PGW_TOK_END)
		return false;
	token_text(token, other);
	return strcmp(text, other) == 0;
}

/* The table that the qualifier means: of its own query, else of the others. NULL: none. */
static const struct named_table *qualified_table(
	const struct walk *w, const struct known_column *known)
{
	const struct named_table *found = NULL;
	char qualifier[CATALOG_NAME_BYTES];
	token_text(&known->qualifier, qualifier);
	for (unsigned i = 0; i < w->n_named; i++) {
		const struct named_table *table = &w->named[i];
		if (!is_text(&table->alias, qualifier) && !is_text(&table->name, qualifier))
			continue;
		if (table->scope == known->scope)
			return table;
		if (found == NULL)
			found = table;
	}
	return found;
}

/* What the tables that have such a column agree on. scope_only: those of its own query. */
static enum catalog_verdict verdict_of_tables(
	const struct walk *w, const struct known_column *known, bool scope_only)
{
	enum catalog_verdict verdict = CATALOG_UNKNOWN;
	for (unsigned i = 0; i < w->n_named; i++) {
		if (scope_only && w->named[i].scope != known->scope)
			continue;
		enum catalog_verdict one = ask(w, known, &w->named[i]);
		if (one != CATALOG_UNKNOWN && verdict != CATALOG_UNKNOWN && one != verdict)
			return CATALOG_UNKNOWN;
		if (one != CATALOG_UNKNOWN)
			verdict = one;
	}
	return verdict;
}

static bool is_aliased(const struct walk *w, const struct catalog_name *name)
{
	for (unsigned i = 0; i < w->n_aliased; i++)
		if (w->aliased[i] == name)
			return true;
	return false;
}

static enum catalog_verdict verdict_of(const struct walk *w, const struct known_column *known)
{
	if (known->name->n_vectors == known->name->n && !is_aliased(w, known->name))
		return CATALOG_VECTOR;
	if (known->qualifier.kind != PGW_TOK_END) {
		const struct named_table *table = qualified_table(w, known);
		if (table != NULL)
			return ask(w, known, table);
	}
	enum catalog_verdict verdict = verdict_of_tables(w, known, true);
	return verdict != CATALOG_UNKNOWN ? verdict : verdict_of_tables(w, known, false);
}

static unsigned evidence_of(const struct walk *w, const struct known_column *known)
{
	if (known->name == NULL)
		return walk_query_evidence(walk_known_evidence(w, known->inner));
	enum catalog_verdict verdict = verdict_of(w, known);
	if (verdict == CATALOG_VECTOR)
		return EVIDENCE_VECTOR_TYPE;
	unsigned guess = walk_guess(known->word, &known->token, known->beside);
	return verdict == CATALOG_OTHER ? (guess & ~(unsigned)EVIDENCE_VECTOR) | EVIDENCE_NOT_VECTOR
					: guess;
}

unsigned walk_known_evidence(const struct walk *w, unsigned sides)
{
	unsigned evidence = sides & ~EVIDENCE_KNOWN;
	for (unsigned i = 0; i < w->n_known; i++)
		if (sides >> (KNOWN_SHIFT + i) & 1)
			evidence |= evidence_of(w, &w->known[i]);
	return evidence;
}

NOINLINE void walk_settle(struct walk *w)
{
	for (unsigned i = 0; i < w->n_known; i++) {
		const struct known_column *known = &w->known[i];
		if (known->name == NULL)
			continue;
		enum catalog_verdict verdict = verdict_of(w, known);
		if (verdict == CATALOG_VECTOR ||
			(verdict == CATALOG_UNKNOWN && known->word->column == COLUMN_VECTOR))
			w->columns |= 1U << COLUMN_VECTOR;
	}
	for (unsigned i = 0; i < w->n_deferred; i++)
		walk_decide(w, w->deferred[i].pending,
			walk_known_evidence(w, w->deferred[i].sides));
}
