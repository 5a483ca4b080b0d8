/* SPDX-License-Identifier: ISC */
/*
 * The head of a statement: what kind it is, what it does to the session, and whether the rest is a
 * query worth a walk. Each function starts at the word behind the one that names it.
 */
#include "classify/features.h"

#include "classify/query.h"

static const char *const names[N_FEATURES] = {
#define X(bit, name) [FEATURE_INDEX_##bit] = name,
	FEATURE_TABLE(X)
#undef X
};
_Static_assert(N_FEATURES <= 64, "features are bits of one uint64_t");

const char *feature_name(unsigned index)
{
	MUST(index < N_FEATURES);
	return names[index];
}

bool feature_parse(const char *text, size_t n, uint64_t *bit_r)
{
	for (unsigned i = 0; i < N_FEATURES; i++)
		if (strlen(names[i]) == n && memcmp(names[i], text, n) == 0) {
			*bit_r = UINT64_C(1) << i;
			return true;
		}
	return false;
}

/* A name cut to PostgreSQL's length, never amid a character. */
static void take_name(struct reader *reader, struct statement *statement)
{
	if (!item_is_name(reader->now))
		return;
	char raw[CLASSIFY_NAME_BYTES + 4];
	size_t n = pgw_token_ident(&reader->now->token, raw, sizeof(raw));
	if (n >= CLASSIFY_NAME_BYTES) {
		n = CLASSIFY_NAME_BYTES - 1;
		while (n > 0 && ((unsigned char)raw[n] & 0xc0) == 0x80)
			n--;
	}
	memcpy(statement->name, raw, n);
	statement->name[n] = '\0';
	statement->effects |= EFFECT_NAMES;
	reader_next(reader);
}

static void skip_statement(struct reader *reader)
{
	unsigned depth = 0;
	for (; reader->now->token.kind != PGW_TOK_END; reader_next(reader)) {
		if (depth == 0 && item_is_punct(reader->now, ';'))
			return;
		if (item_is_punct(reader->now, '('))
			depth++;
		else if (item_is_punct(reader->now, ')') && depth > 0)
			depth--;
	}
}

/* ---- transactions ---- */

/* One mode of BEGIN. False: it is none, or one that can fail by itself. */
static bool accept_safe_mode(struct reader *reader)
{
	if (reader_accept(reader, KEY_READ))
		return reader_accept(reader, KEY_ONLY);
	if (!reader_accept(reader, KEY_ISOLATION) || !reader_accept(reader, KEY_LEVEL))
		return false;
	if (reader_accept(reader, KEY_REPEATABLE))
		return reader_accept(reader, KEY_READ);
	return reader_accept(reader, KEY_READ) && reader_accept(reader, KEY_COMMITTED);
}

/* BEGIN [WORK | TRANSACTION] [mode [[,] mode …]]. What is not understood here is for the server to
 * judge. */
static enum statement_kind read_begin(struct reader *reader)
{
	while (!item_ends_statement(reader->now)) {
		if (!accept_safe_mode(reader))
			return STATEMENT_BEGIN_CHECKED;
		if (item_is_punct(reader->now, ',')) {
			reader_next(reader);
			if (item_ends_statement(reader->now))
				return STATEMENT_BEGIN_CHECKED;
		}
	}
	return STATEMENT_BEGIN;
}

static void head_begin(struct reader *reader, struct statement *statement, bool start)
{
	statement->is_transaction = true;
	if (start) {
		if (!reader_accept(reader, KEY_TRANSACTION))
			return; /* a mistake: the server will say so */
	} else if (!reader_accept(reader, KEY_WORK)) {
		reader_accept(reader, KEY_TRANSACTION);
	}
	statement->kind = read_begin(reader);
}

/* [WORK | TRANSACTION] [AND NO CHAIN], and nothing else. */
static bool read_plain_end(struct reader *reader)
{
	if (reader_accept(reader, KEY_AND) &&
		!(reader_accept(reader, KEY_NO) && reader_accept(reader, KEY_CHAIN)))
		return false;
	return item_ends_statement(reader->now);
}

static void head_end(struct reader *reader, struct statement *statement, bool commit)
{
	statement->is_transaction = true;
	if (!reader_accept(reader, KEY_WORK))
		reader_accept(reader, KEY_TRANSACTION);
	if (!commit && item_key(reader->now) == KEY_TO) {
		statement->kind = STATEMENT_NEUTRAL; /* TO SAVEPOINT */
		statement->effects |= EFFECT_ROLLBACK_TO;
	} else if (read_plain_end(reader))
		statement->kind = commit ? STATEMENT_COMMIT : STATEMENT_ROLLBACK;
}

/* ---- settings and other neutral statements ---- */

/* Names of settings are compared without case, in quotes too. */
static bool item_names(const struct item *item, const char *name)
{
	char text[16];
	return item_is_name(item) &&
	       pgw_token_ident(&item->token, text, sizeof(text)) == strlen(name) &&
	       strcasecmp(text, name) == 0;
}

/* A literal or a word; DEFAULT, and what is no class, is none. *bad_r: it is a word all the same. */
static uint8_t class_of_value(const struct item *item, bool *bad_r)
{
	char text[16] = "";
	size_t n = 0;
	enum query_class class;
	*bad_r = false;
	if (item->token.kind == PGW_TOK_STRING)
		n = pgw_token_string(&item->token, text, sizeof(text));
	else if (item_is_name(item))
		n = pgw_token_ident(&item->token, text, sizeof(text));
	if (pgw_word_is(&item->token, "default"))
		return N_QUERY_CLASSES;
	if (n < sizeof(text) && query_class_parse(text, n, &class))
		return (uint8_t) class;
	*bad_r = n > 0;
	return N_QUERY_CLASSES;
}

/* pglane.class TO value, at its first word; of RESET, pglane.class. */
static void read_class_setting(
	struct reader *reader, struct statement *statement, enum class_change change, bool reset)
{
	if (!item_names(reader->now, "pglane") || !item_is_punct(reader->now + 1, '.'))
		return;
	reader_next(reader);
	reader_next(reader);
	if (!item_names(reader->now, "class"))
		return;
	reader_next(reader);
	if (!reset) {
		if (item_key(reader->now) != KEY_TO &&
			(reader->now->token.len != 1 || reader->now->token.at[0] != '='))
			return;
		reader_next(reader);
		if (item_ends_statement(reader->now))
			return;
	}
	statement->change = change;
	statement->changed_class = N_QUERY_CLASSES;
	statement->bad_class = false;
	if (!reset)
		statement->changed_class = class_of_value(reader->now, &statement->bad_class);
}

static void head_set(struct reader *reader, struct statement *statement)
{
	enum key key = item_key(reader->now);
	statement->kind = STATEMENT_NEUTRAL;
	if (key == KEY_LOCAL || key == KEY_TRANSACTION || key == KEY_CONSTRAINTS) {
		reader_next(reader);
		/* unless it is a setting of that name */
		if (reader->now->token.kind != PGW_TOK_OPERATOR && item_key(reader->now) != KEY_TO) {
			if (key == KEY_LOCAL) {
				statement->effects |= EFFECT_SET_LOCAL;
				read_class_setting(reader, statement, CLASS_SET_LOCAL, false);
			}
			return;
		}
	}
	statement->effects |= EFFECT_SET;
	if (pgw_word_is(&reader->now->token, "session"))
		reader_next(reader);
	read_class_setting(reader, statement, CLASS_SET, false);
}

static void head_discard(struct reader *reader, struct statement *statement)
{
	statement->kind = STATEMENT_NEUTRAL;
	statement->effects |= EFFECT_RELEASE;
	if (item_key(reader->now) == KEY_ALL)
		statement->effects |= EFFECT_DISCARD_ALL | EFFECT_DEALLOCATE_ALL;
}

static void head_deallocate(struct reader *reader, struct statement *statement)
{
	statement->kind = STATEMENT_NEUTRAL;
	statement->effects |= EFFECT_RELEASE;
	reader_accept(reader, KEY_PREPARE);
	if (item_key(reader->now) == KEY_ALL)
		statement->effects |= EFFECT_DEALLOCATE_ALL;
	else
		take_name(reader, statement);
}

/* ---- schema ---- */

/* CREATE FUNCTION … BEGIN ATOMIC …; …; END: its semicolons do not end the statement. Other bodies
 * are strings. */
static void skip_routine(struct reader *reader)
{
	unsigned nested = 0;
	for (; reader->now->token.kind != PGW_TOK_END; reader_next(reader)) {
		enum key key = item_key(reader->now);
		if (key == KEY_BEGIN && item_key(reader->now + 1) == KEY_ATOMIC)
			nested++;
		else if (key == KEY_CASE && nested > 0)
			nested++;
		else if (key == KEY_END && nested > 0)
			nested--;
		else if (nested == 0 && item_is_punct(reader->now, ';'))
			return;
	}
}

/* Is it the query of CREATE TABLE … AS, at AS? */
static bool is_as_query(const struct reader *reader)
{
	enum key next = item_key(reader->now + 1);
	return item_key(reader->now) == KEY_AS &&
	       (next == KEY_SELECT || next == KEY_WITH || next == KEY_VALUES || next == KEY_TABLE ||
		       next == KEY_EXECUTE || item_is_punct(reader->now + 1, '('));
}

static void head_create_table(struct reader *reader, struct statement *statement, bool temporary)
{
	bool on_commit_drop = false;
	unsigned depth = 0;
	if (query_table_kind(reader->words, reader->now->word, &reader->now->token) ==
		TABLE_TRAINING_SET)
		statement->features |= FEATURE(TRAINING_TARGET);
	for (; reader->now->token.kind != PGW_TOK_END; reader_next(reader)) {
		if (item_is_punct(reader->now, '('))
			depth++;
		else if (item_is_punct(reader->now, ')') && depth > 0)
			depth--;
		if (depth > 0)
			continue;
		if (item_is_punct(reader->now, ';') || is_as_query(reader))
			break;
		on_commit_drop |=
			item_key(reader->now) == KEY_COMMIT && item_key(reader->now + 1) == KEY_DROP;
	}
	if (temporary && !on_commit_drop)
		statement->effects |= EFFECT_TEMP_TABLE;
	if (item_key(reader->now) != KEY_AS)
		return;
	statement->features &= ~FEATURE(SCHEMA);
	statement->features |= FEATURE(CREATE_AS);
	reader_next(reader);
	if (reader_accept(reader, KEY_EXECUTE))
		take_name(reader, statement);
	else
		query_walk(reader, false, statement);
}

static void skip_if_not_exists(struct reader *reader)
{
	if (item_is_name(reader->now) && item_key(reader->now + 1) == KEY_NOT) {
		reader_next(reader);
		reader_next(reader);
		reader_accept(reader, KEY_EXISTS);
	}
}

static bool names_temporary_schema(const struct reader *reader)
{
	return pgw_word_is(&reader->now->token, "pg_temp") && item_is_punct(reader->now + 1, '.');
}

/* CREATE FUNCTION pg_temp.f(…), CREATE TYPE pg_temp.t, …: up to what is made. */
static void head_create_other(struct reader *reader, struct statement *statement)
{
	while (!item_ends_statement(reader->now) && !item_is_punct(reader->now, '(') &&
		!names_temporary_schema(reader) && item_key(reader->now) != KEY_AS)
		reader_next(reader);
	if (names_temporary_schema(reader))
		statement->effects |= EFFECT_TEMP_TABLE;
}

static void head_create(struct reader *reader, struct statement *statement)
{
	bool temporary = false;
	statement->features |= FEATURE(SCHEMA);
	for (;; reader_next(reader)) {
		enum key key = item_key(reader->now);
		temporary |= key == KEY_TEMP;
		if (key != KEY_OR && key != KEY_REPLACE && key != KEY_GLOBAL && key != KEY_LOCAL &&
			key != KEY_TEMP && key != KEY_UNLOGGED && key != KEY_RECURSIVE)
			break;
	}
	if (reader_accept(reader, KEY_TABLE)) {
		skip_if_not_exists(reader);
		temporary |= pgw_word_is(&reader->now->token, "pg_temp");
		while (item_is_punct(reader->now + 1, '.')) {
			reader_next(reader);
			reader_next(reader);
		}
		head_create_table(reader, statement, temporary);
	} else if (item_key(reader->now) == KEY_FUNCTION ||
		   item_key(reader->now) == KEY_PROCEDURE) {
		head_create_other(reader, statement);
		skip_routine(reader);
	} else if (!temporary) {
		head_create_other(reader, statement);
	} else {
		statement->effects |= EFFECT_TEMP_TABLE; /* a view or sequence: it belongs to the
							    session just so */
	}
}

/* ---- statements around a query ---- */

static inline bool begins_query(const struct reader *reader)
{
	enum key key = item_key(reader->now);
	return key == KEY_SELECT || key == KEY_WITH || key == KEY_VALUES || key == KEY_TABLE ||
	       key == KEY_INSERT || key == KEY_UPDATE || key == KEY_DELETE || key == KEY_MERGE ||
	       item_is_punct(reader->now, '(');
}

static void head_execute(struct reader *reader, struct statement *statement)
{
	statement->kind = STATEMENT_EXECUTE;
	take_name(reader, statement);
}

/* Django's iterator() declares a cursor whatever it reads, as other ORMs send a plain SELECT: it is
 * no sign of an export. */
static bool is_iterator(const struct pgw_token *name)
{
	static const char prefix[] = "\"_django_curs_";
	return name->len >= sizeof(prefix) && memcmp(name->at, prefix, sizeof(prefix) - 1) == 0;
}

static void head_declare(struct reader *reader, struct statement *statement)
{
	bool with = false;
	if (!is_iterator(&reader->now->token))
		statement->features |= FEATURE(CURSOR);
	for (; !item_ends_statement(reader->now) && item_key(reader->now) != KEY_FOR;
		reader_next(reader)) {
		if (item_key(reader->now) == KEY_HOLD && with)
			statement->effects |= EFFECT_HOLD_CURSOR;
		with = item_key(reader->now) == KEY_WITH;
	}
	if (reader_accept(reader, KEY_FOR))
		query_walk(reader, false, statement);
}

/* false, off, 0, as words or literals. */
static bool is_off(const struct item *item)
{
	char value[8];
	if (item->token.kind != PGW_TOK_STRING)
		return item_key(item) == KEY_FALSE || item_key(item) == KEY_OFF ||
		       (item->token.kind == PGW_TOK_NUMBER && item->token.at[0] == '0');
	pgw_token_string(&item->token, value, sizeof(value));
	return strcasecmp(value, "off") == 0 || strcasecmp(value, "false") == 0 ||
	       strcmp(value, "0") == 0;
}

/* (ANALYZE, BUFFERS off, …) */
static bool read_explain_options(struct reader *reader)
{
	bool analyze = false;
	unsigned depth = 0;
	do {
		if (item_is_punct(reader->now, '('))
			depth++;
		else if (item_is_punct(reader->now, ')'))
			depth--;
		else if (item_key(reader->now) == KEY_ANALYZE)
			analyze = !is_off(reader->now + 1);
		reader_next(reader);
	} while (depth > 0 && reader->now->token.kind != PGW_TOK_END);
	return analyze;
}

static void head_explain(struct reader *reader, struct statement *statement)
{
	bool analyze = false;
	/* EXPLAIN (SELECT …) has no options */
	enum key next = item_key(reader->now + 1);
	if (item_is_punct(reader->now, '(') && next != KEY_SELECT && next != KEY_WITH &&
		next != KEY_VALUES && !item_is_punct(reader->now + 1, '(')) {
		analyze = read_explain_options(reader);
	} else {
		analyze = reader_accept(reader, KEY_ANALYZE);
		reader_accept(reader, KEY_VERBOSE);
	}
	if (!analyze)
		statement->features |= FEATURE(EXPLAIN);
	if (begins_query(reader))
		query_walk(reader, false, statement);
	else if (reader_accept(reader, KEY_EXECUTE))
		head_execute(reader, statement);
	else if (reader_accept(reader, KEY_DECLARE))
		head_declare(reader, statement);
	else if (reader_accept(reader, KEY_CREATE))
		head_create(reader, statement);
	statement->effects &=
		analyze ? ~(uint32_t)EFFECT_HOLD_CURSOR : EFFECT_NAMES; /* a cursor is only explained */
}

static void head_prepare(struct reader *reader, struct statement *statement)
{
	if (item_key(reader->now) == KEY_TRANSACTION &&
		reader->now[1].token.kind == PGW_TOK_STRING) {
		statement->is_transaction = true; /* of two phases */
		return;
	}
	take_name(reader, statement);
	while (!item_ends_statement(reader->now) && item_key(reader->now) != KEY_AS)
		reader_next(reader); /* (types) */
	if (!reader_accept(reader, KEY_AS))
		return;
	statement->kind = STATEMENT_PREPARE;
	if (begins_query(reader))
		query_walk(reader, false, statement);
	statement->effects |= EFFECT_PREPARE;
}

/* ---- by the first word ---- */

/* Words that only touch the session: SHOW, SAVEPOINT … */
static bool is_neutral(enum key key)
{
	return key == KEY_SHOW || key == KEY_SAVEPOINT || key == KEY_RELEASE ||
	       key == KEY_UNLISTEN || key == KEY_CLOSE;
}

/* Apart: most statements are queries. */
NOINLINE static void read_head(struct reader *reader, enum key key, struct statement *statement)
{
	switch ((unsigned)key) {
	case KEY_BEGIN:
	case KEY_START:
		head_begin(reader, statement, key == KEY_START);
		break;
	case KEY_COMMIT:
	case KEY_END:
		head_end(reader, statement, true);
		break;
	case KEY_ROLLBACK:
	case KEY_ABORT:
		head_end(reader, statement, false);
		break;
	case KEY_SET:
		head_set(reader, statement);
		break;
	case KEY_RESET:
		statement->kind = STATEMENT_NEUTRAL;
		statement->effects |= EFFECT_SET;
		read_class_setting(reader, statement, CLASS_SET, true);
		break;
	case KEY_LISTEN:
		statement->kind = STATEMENT_NEUTRAL;
		statement->effects |= EFFECT_LISTEN;
		break;
	case KEY_DISCARD:
		head_discard(reader, statement);
		break;
	case KEY_DEALLOCATE:
		head_deallocate(reader, statement);
		break;
	case KEY_LOAD:
		statement->effects |= EFFECT_LOAD;
		break;
	case KEY_CREATE:
		head_create(reader, statement);
		break;
	case KEY_EXPLAIN:
		head_explain(reader, statement);
		break;
	case KEY_PREPARE:
		head_prepare(reader, statement);
		break;
	case KEY_EXECUTE:
		head_execute(reader, statement);
		break;
	case KEY_DECLARE:
		head_declare(reader, statement);
		break;
	case KEY_COPY:
		query_copy(reader, statement);
		break;
	case KEY_CALL:
		statement->effects |= EFFECT_CALL;
		query_walk(reader, false, statement);
		break;
	default:
		if (is_neutral(key))
			statement->kind = STATEMENT_NEUTRAL;
		else
			statement->features |= FEATURE(SCHEMA);
		if (key == KEY_DO)
			statement->effects |= EFFECT_CALL;
		if (key == KEY_DROP || key == KEY_CLOSE || key == KEY_UNLISTEN)
			statement->effects |= EFFECT_RELEASE;
		if (key == KEY_UNLISTEN)
			statement->effects |= EFFECT_UNLISTEN;
		break;
	}
}

/* Up to, not including, the semicolon; or somewhere before it. */
static void read_statement(struct reader *reader, struct statement *statement)
{
	if (begins_query(reader)) {
		query_walk(reader, false, statement);
		return;
	}
	enum key key = item_key(reader->now);
	reader_next(reader);
	read_head(reader, key, statement);
}

bool features_next(struct reader *reader, struct statement *statement_r)
{
	if (reader->now->token.kind == PGW_TOK_END)
		return false;
	statement_r->kind = STATEMENT_WORK;
	statement_r->effects = 0;
	statement_r->features = 0;
	statement_r->is_transaction = false;
	statement_r->change = CLASS_KEPT;
	statement_r->name[0] = '\0';
	if (item_is_punct(reader->now, ';'))
		statement_r->kind = STATEMENT_EMPTY;
	else
		read_statement(reader, statement_r);
	skip_statement(reader);
	if (item_is_punct(reader->now, ';'))
		reader_next(reader);
	return true;
}
