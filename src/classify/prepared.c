/* SPDX-License-Identifier: ISC */
#include "classify/prepared.h"

#include "classify/features.h"

static bool is_verb(const struct statement *statement, uint8_t *verb_r)
{
	if (statement->name[0] == '\0')
		return false;
	if (statement->kind == STATEMENT_PREPARE)
		*verb_r = VERB_PREPARE;
	else if (statement->kind == STATEMENT_NEUTRAL)
		*verb_r = VERB_DEALLOCATE;
	else if (statement->effects & EFFECT_NAMES) /* EXECUTE, CREATE TABLE … AS EXECUTE; a PREPARE without AS fails */
		*verb_r = VERB_EXECUTE;
	else
		return false;
	return true;
}

/* U&"…" anywhere: what the name is hangs on its escapes. */
static bool has_escapes(const char *sql, size_t n)
{
	size_t i;

	for (i = 0; i + 2 < n; i++)
		if (sql[i + 1] == '&' && (sql[i] | 0x20) == 'u' && sql[i + 2] == '"')
			return true;
	return false;
}

static bool is_ascii(const char *name)
{
	for (; *name; name++)
		if ((unsigned char)*name >= 0x80)
			return false;
	return true;
}

static bool is_known(const struct prepared_use *uses, unsigned n, const char *name)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (strcmp(uses[i].name, name) == 0)
			return true;
	return false;
}

static bool may_set(const struct statement *statement)
{
	return (statement->effects & EFFECT_SET) || statement->kind == STATEMENT_NEUTRAL ||
	       (statement->is_transaction && statement->kind != STATEMENT_BEGIN && statement->kind != STATEMENT_BEGIN_CHECKED);
}

struct prepared_uses prepared_uses(const struct classifier *classifier, bool backslash_escapes, const char *sql, size_t n,
	struct prepared_use *uses, unsigned max)
{
	struct prepared_uses found = {0};
	struct statement statement;
	struct reader reader;
	const char *begin, *next;
	uint8_t verb;

	reader_init(&reader, classifier_words(classifier), sql, n, backslash_escapes, NULL);
	for (begin = sql; features_next(&reader, &statement); begin = next) {
		next = reader.now->token.kind == PGW_TOK_END ? sql + n : reader.now->token.at;
		if (statement.kind == STATEMENT_EMPTY)
			continue;
		if (found.n > 0 && found.n <= max)
			uses[found.n - 1].is_last = false;
		if (!is_verb(&statement, &verb)) {
			found.may_set |= may_set(&statement);
			continue;
		}
		if (verb == VERB_EXECUTE && is_known(uses, MIN_OF(found.n, max), statement.name))
			continue;
		if (found.n++ >= max)
			continue;
		uses[found.n - 1] = (struct prepared_use){.verb = verb, .is_last = true, .at = (size_t)(begin - sql), .n = (size_t)(next - begin)};
		memcpy(uses[found.n - 1].name, statement.name, sizeof(statement.name));
		uses[found.n - 1].is_plain = is_ascii(statement.name) && !has_escapes(begin, (size_t)(next - begin));
	}
	return found;
}
