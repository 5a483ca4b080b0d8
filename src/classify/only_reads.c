/* SPDX-License-Identifier: ISC */
#include "classify/only_reads.h"

#include "pgw/sqllex.h"

#define NAME_BYTES 64 /* PostgreSQL's NAMEDATALEN: longer names are cut to it */

/*
 * Words that write, where a statement that begins with a query has them: in WITH, behind WITH, SELECT
 * INTO. As names they are rare enough to go to the primary with the rest. Sorted.
 */
static const char *const writing_words[] = { "delete", "insert", "into", "merge", "update" };

/* Functions that write, change the session, or ask what only the primary's session knows; the
 * catalog. Sorted. */
static const char *const primary_names[] = {
	"currval", "information_schema", "lastval", "loread", "lowrite", "nextval", "set_config",
	"setval",
};

/* Families of them, and what acts elsewhere. */
static const char *const primary_prefixes[] = { "dblink", "lo_", "txid_" };

/*
 * Names that begin with pg_ are of the server itself: its locks, its log, its sessions, its
 * catalog as it is now. These mean the same on a replica. Sorted.
 */
static const char *const harmless_names[] = {
	"pg_backend_pid", "pg_catalog", "pg_client_encoding", "pg_collation_for", "pg_column_size",
	"pg_database_size", "pg_indexes_size", "pg_input_is_valid", "pg_is_in_recovery",
	"pg_last_wal_receive_lsn", "pg_last_wal_replay_lsn", "pg_last_xact_replay_timestamp",
	"pg_lsn", "pg_postmaster_start_time", "pg_relation_size", "pg_size_bytes",
	"pg_size_pretty", "pg_sleep", "pg_sleep_for", "pg_sleep_until", "pg_table_size",
	"pg_total_relation_size", "pg_trgm", "pg_typeof",
};

static bool is_among(const char *const *sorted, size_t n, const char *name)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(name, sorted[middle]);

		if (order == 0)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static bool means_primary(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(primary_prefixes); i++)
		if (strncmp(name, primary_prefixes[i], strlen(primary_prefixes[i])) == 0)
			return true;
	if (strncmp(name, "pg_", 3) == 0)
		return !is_among(harmless_names, N_ELEMENTS(harmless_names), name);
	return is_among(primary_names, N_ELEMENTS(primary_names), name);
}

/* ---- the tokens, with one look ahead ---- */

struct reading {
	struct pgw_lexer lexer;
	struct pgw_token now;
};

static void next(struct reading *r)
{
	r->now = pgw_lex(&r->lexer);
}

static bool at_word(const struct reading *r, const char *word)
{
	return r->now.kind == PGW_TOK_WORD && pgw_word_is(&r->now, word);
}

static bool accept(struct reading *r, const char *word)
{
	if (!at_word(r, word))
		return false;
	next(r);
	return true;
}

static bool at_punct(const struct reading *r, char c)
{
	return r->now.kind == PGW_TOK_PUNCT && r->now.at[0] == c;
}

static struct reading begin(const char *sql, size_t n, bool backslash_escapes)
{
	struct reading r = { .lexer = pgw_lexer_on(sql, n) };

	r.lexer.standard_conforming_strings = !backslash_escapes;
	next(&r);
	return r;
}

/* ---- what is met on the way ---- */

/* FOR UPDATE, FOR SHARE, FOR NO KEY UPDATE, FOR KEY SHARE; not substring(… FOR 3). */
static bool locks_rows(const struct reading *r)
{
	struct reading ahead = *r;

	next(&ahead);
	return at_word(&ahead, "update") || at_word(&ahead, "share") || at_word(&ahead, "no") ||
	       at_word(&ahead, "key");
}

static bool word_reads(const struct reading *r, const char *name)
{
	if (is_among(writing_words, N_ELEMENTS(writing_words), name) || means_primary(name))
		return false;
	return strcmp(name, "for") != 0 || !locks_rows(r);
}

static bool token_reads(const struct reading *r)
{
	char name[NAME_BYTES];

	switch (r->now.kind) {
	case PGW_TOK_WORD:
		(void)pgw_token_ident(&r->now, name, sizeof(name));
		return word_reads(r, name);
	case PGW_TOK_QUOTED_IDENT:
		if (r->now.at[0] != '"') /* U&"…": what it comes to is not worked out here */
			return false;
		(void)pgw_token_ident(&r->now, name, sizeof(name));
		return !means_primary(name);
	case PGW_TOK_ERROR:
		return false;
	case PGW_TOK_END:
	case PGW_TOK_STRING:
	case PGW_TOK_BITS:
	case PGW_TOK_NUMBER:
	case PGW_TOK_PARAM:
	case PGW_TOK_OPERATOR:
	case PGW_TOK_PUNCT:
	case PGW_TOK_COMMENT:
	default:
		return true;
	}
}

/* To the end of the one statement; nothing but semicolons may follow. */
static bool rest_reads(struct reading *r)
{
	for (; r->now.kind != PGW_TOK_END && !at_punct(r, ';'); next(r))
		if (!token_reads(r))
			return false;
	while (at_punct(r, ';'))
		next(r);
	return r->now.kind == PGW_TOK_END;
}

static bool at_query(const struct reading *r)
{
	return at_word(r, "select") || at_word(r, "with") || at_word(r, "values") ||
	       at_word(r, "table") || at_punct(r, '(');
}

/* ---- heads ---- */

/* Behind EXPLAIN: ( … ) or ANALYZE VERBOSE, then the query. */
static bool explain_reads(struct reading *r)
{
	while (accept(r, "analyze") || accept(r, "analyse") || accept(r, "verbose"))
		;
	if (at_punct(r, '(')) {
		struct reading options = *r;

		next(&options);
		if (!at_query(&options)) { /* EXPLAIN (SELECT …) has no options */
			while (r->now.kind != PGW_TOK_END && !at_punct(r, ')'))
				next(r);
			next(r);
		}
	}
	return at_query(r) && rest_reads(r);
}

/* Behind COPY: a table or a query, then TO STDOUT: a file or program is on the primary's host. */
static bool copy_reads(struct reading *r)
{
	unsigned depth = 0;

	for (; r->now.kind != PGW_TOK_END; next(r)) {
		if (at_punct(r, '('))
			depth++;
		else if (at_punct(r, ')') && depth > 0)
			depth--;
		else if (depth == 0 && at_word(r, "to"))
			break;
		if (!token_reads(r) || (depth == 0 && (at_punct(r, ';') || at_word(r, "from"))))
			return false;
	}
	return accept(r, "to") && accept(r, "stdout") && rest_reads(r);
}

/* Behind DECLARE: name … CURSOR [WITHOUT HOLD] FOR query. A cursor WITH HOLD outlasts the
 * transaction. */
static bool declare_reads(struct reading *r)
{
	if (r->now.kind != PGW_TOK_WORD && r->now.kind != PGW_TOK_QUOTED_IDENT)
		return false;
	next(r);
	while (!at_word(r, "for")) {
		if (r->now.kind != PGW_TOK_WORD || at_word(r, "with"))
			return false;
		next(r);
	}
	next(r);
	return at_query(r) && rest_reads(r);
}

enum reads only_reads(const char *sql, size_t n, bool backslash_escapes)
{
	struct reading r = begin(sql, n, backslash_escapes);

	while (at_punct(&r, ';'))
		next(&r);
	if (at_query(&r))
		return rest_reads(&r) ? READS : READS_NOT;
	if (accept(&r, "copy"))
		return copy_reads(&r) ? READS : READS_NOT;
	if (accept(&r, "explain"))
		return explain_reads(&r) ? READS : READS_NOT;
	if (accept(&r, "declare"))
		return declare_reads(&r) ? READS_IN_TRANSACTION : READS_NOT;
	return READS_NOT;
}

bool begins_read_only(const char *sql, size_t n, bool is_default)
{
	struct reading r = begin(sql, n, false);
	bool read_only = is_default;

	while (r.now.kind != PGW_TOK_END) {
		bool is_read = accept(&r, "read"); /* … READ READ ONLY */

		if (is_read && (at_word(&r, "only") || at_word(&r, "write")))
			read_only = at_word(&r, "only");
		else if (is_read)
			continue;
		next(&r);
	}
	return read_only;
}
