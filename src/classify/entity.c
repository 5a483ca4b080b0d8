/* SPDX-License-Identifier: ISC */
/*
 * The tokens of a text are walked once. Each comment belongs to the statement in which, or before
 * or behind which, it stands; what is said of a statement is known at its end, so its marks are
 * completed there. Not all comments are annotations, but a comment that asks for a note is never
 * passed over because of where it stands.
 */
#include "classify/entity.h"

#include "classify/rules.h"
#include "pgw/annotation.h"

#define KEY "ml_entity"
#define TYPE_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

enum verb { VERB_OTHER, VERB_CALLS, VERB_SILENT, VERB_RETURNS, VERB_WRITES, VERB_COPY, VERB_CREATE };

struct walker {
	struct pgw_lexer lexer;
	struct entity_marks *marks;
	struct pgw_fault *fault;
	unsigned n_settled; /* marks of statements that are over */
	/* the statement under way, or the last */
	enum verb verb;
	bool begun, returning, from, atomic;
	int depth;
	const char *table;
	uint32_t n_table;
};

bool entity_is_asked_for(const char *sql, size_t n)
{
	return memmem(sql, n, KEY, strlen(KEY)) != NULL;
}

/* ---- values ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool entity_uuid_parse(const char *text, size_t n, uint8_t id_r[static ENTITY_UUID_BYTES])
{
	const char *at = text, *end = text + n;
	bool braces = n > 0 && *at == '{';
	unsigned i;

	at += braces;
	for (i = 0; i < ENTITY_UUID_BYTES; i++) {
		int high = end - at >= 2 ? hex_digit(at[0]) : -1;
		int low = high >= 0 ? hex_digit(at[1]) : -1;

		if (low < 0)
			return false;
		id_r[i] = (uint8_t)(high << 4 | low);
		at += 2;
		if (i % 2 == 1 && i < ENTITY_UUID_BYTES - 1 && at < end && *at == '-')
			at++;
	}
	if (braces && (at == end || *at++ != '}'))
		return false;
	return at == end;
}

void entity_uuid_write(const uint8_t id[static ENTITY_UUID_BYTES],
	char text_r[static ENTITY_UUID_CHARACTERS + 1])
{
	static const char digits[] = "0123456789abcdef";
	char *to = text_r;
	unsigned i;

	for (i = 0; i < ENTITY_UUID_BYTES; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = digits[id[i] >> 4];
		*to++ = digits[id[i] & 15];
	}
	*to = '\0';
}

static bool invalid(struct walker *w, const char *value, size_t n, const char *why)
{
	pgw_fault_set(w->fault, PGW_FAULT_ANNOTATION_INVALID, NULL, "%s in %s='%.*s'.", why, KEY,
		(int)MIN_OF(n, 200u), value);
	return false;
}

/* $1 … $65535 */
static bool parse_parameter(const char *text, size_t n, uint16_t *parameter_r)
{
	uint32_t number = 0;
	size_t i;

	if (n < 2 || n > 6 || text[0] != '$' || text[1] == '0')
		return false;
	for (i = 1; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		number = number * 10 + (uint32_t)(text[i] - '0');
	}
	*parameter_r = (uint16_t)number;
	return number <= UINT16_MAX;
}

/* type, type:uuid or type:$n, without white space around it */
static bool read_item(struct walker *w, uint32_t statement, const char *item, size_t n)
{
	const char *colon = memchr(item, ':', n);
	size_t n_type = colon ? (size_t)(colon - item) : n;
	size_t n_id = colon ? n - n_type - 1 : 0;
	struct entity_mark *mark = &w->marks->items[w->marks->n];

	if (n_type == 0 || n_type >= ENTITY_TYPE_BYTES || strspn(item, TYPE_CHARACTERS) < n_type)
		return invalid(w, item, n, "No entity type");
	if (w->marks->n == ENTITY_MARKS_MAX) {
		pgw_fault_set(w->fault, PGW_FAULT_ANNOTATION_LIMIT, NULL,
			"A text may name %u.", ENTITY_MARKS_MAX);
		return false;
	}
	*mark = (struct entity_mark){.source = ENTITY_RETURNED, .statement = statement};
	memcpy(mark->type, item, n_type);
	if (colon && n_id > 0 && colon[1] == '$') {
		mark->source = ENTITY_PARAMETER;
		w->marks->has_parameter = true;
		if (!parse_parameter(colon + 1, n_id, &mark->parameter))
			return invalid(w, item, n, "No parameter");
	} else if (colon) {
		mark->source = ENTITY_LITERAL;
		mark->has_id = true;
		if (!entity_uuid_parse(colon + 1, n_id, mark->id)) {
			pgw_fault_set(w->fault, PGW_FAULT_ANNOTATION_UUID, NULL, "It is \"%.*s\".",
				(int)MIN_OF(n_id, 100u), colon + 1);
			return false;
		}
	}
	w->marks->n++;
	return true;
}

static bool read_list(struct walker *w, uint32_t statement, const char *value)
{
	const char *at = value;

	for (;;) {
		size_t n = strcspn(at, ","), n_item;

		while (n > 0 && *at == ' ') {
			at++;
			n--;
		}
		n_item = n;
		while (n_item > 0 && at[n_item - 1] == ' ')
			n_item--;
		if (!read_item(w, statement, at, n_item))
			return false;
		if (at[n] == '\0')
			return true;
		at += n + 1;
	}
}

/* ---- the walk ---- */

NOINLINE static bool read_comment(struct walker *w, const struct pgw_token *comment)
{
	struct pgw_annotation annotation;
	const char *value, *organization;
	/* Before the first token of a statement it is of that one, behind the last ; of the one
	 * before it. Which of them is known when more, or nothing, comes. */
	uint32_t statement = w->marks->n_statements - (w->begun ? 1 : 0);

	pgw_annotation_init(&annotation);
	pgw_annotation_add(&annotation, comment);
	if (annotation.malformed_entity) {
		pgw_fault_set(w->fault, PGW_FAULT_ANNOTATION_INVALID, NULL,
			"The comment is not well formed: %.*s", (int)MIN_OF(comment->len, 200u),
			comment->at);
		return false;
	}
	organization = pgw_annotation_get(&annotation, "ml_organization");
	if (organization && !w->marks->has_organization)
		w->marks->has_organization = entity_uuid_parse(
			organization, strlen(organization), w->marks->organization);
	value = pgw_annotation_get(&annotation, KEY);
	return value == NULL || read_list(w, statement, value);
}

static bool misplaced(struct walker *w, const char *why)
{
	pgw_fault_set(w->fault, PGW_FAULT_ANNOTATION_PLACE, NULL, "%s", why);
	return false;
}

/* A statement is over: its marks without an id get what its rows will be. */
static bool settle(struct walker *w, uint32_t statement)
{
	struct entity_marks *marks = w->marks;

	for (; w->n_settled < marks->n && marks->items[w->n_settled].statement == statement;
		w->n_settled++) {
		struct entity_mark *mark = &marks->items[w->n_settled];

		if (w->verb == VERB_SILENT)
			return misplaced(w, "It neither reads nor writes rows.");
		marks->may_commit |= w->verb == VERB_CALLS;
		if (mark->source != ENTITY_RETURNED)
			continue;
		if (w->verb == VERB_COPY && w->from && w->n_table > 0) {
			mark->source = ENTITY_LOADED;
			mark->table = w->table;
			mark->n_table = w->n_table;
			continue;
		}
		if (w->verb == VERB_COPY || w->verb == VERB_OTHER || w->verb == VERB_CALLS ||
			w->verb == VERB_CREATE)
			return misplaced(w, "It returns no rows in which the entities could be found.");
		if (w->verb == VERB_WRITES && !w->returning) {
			pgw_fault_set(w->fault, PGW_FAULT_ANNOTATION_KEY, NULL,
				"It has no RETURNING.");
			return false;
		}
		marks->has_returned = true;
	}
	return true;
}

static enum verb verb_of(const struct pgw_token *token)
{
	static const struct {
		const char *word;
		enum verb verb;
	} verbs[] = {{"insert", VERB_WRITES}, {"update", VERB_WRITES}, {"delete", VERB_WRITES},
		{"merge", VERB_WRITES}, {"with", VERB_RETURNS}, {"select", VERB_RETURNS},
		{"values", VERB_RETURNS}, {"table", VERB_RETURNS}, {"execute", VERB_RETURNS},
		{"fetch", VERB_RETURNS}, {"copy", VERB_COPY}, {"create", VERB_CREATE},
		{"begin", VERB_SILENT}, {"start", VERB_SILENT}, {"set", VERB_SILENT},
		{"reset", VERB_SILENT}, {"show", VERB_SILENT}, {"savepoint", VERB_SILENT},
		{"release", VERB_SILENT}, {"discard", VERB_SILENT}, {"deallocate", VERB_SILENT},
		{"prepare", VERB_SILENT}, {"listen", VERB_SILENT}, {"unlisten", VERB_SILENT},
		{"close", VERB_SILENT}, {"call", VERB_CALLS}, {"do", VERB_CALLS}};
	unsigned i;

	if (token->kind == PGW_TOK_PUNCT && token->at[0] == '(')
		return VERB_RETURNS;
	for (i = 0; i < N_ELEMENTS(verbs); i++)
		if (pgw_word_is(token, verbs[i].word))
			return verbs[i].verb;
	return VERB_OTHER;
}

/* COPY [BINARY] name[.name[.name]]: the lexer stands behind COPY. */
static void read_table(struct walker *w)
{
	struct pgw_lexer lexer = w->lexer;
	struct pgw_token token;

	lexer.want_comments = false;
	token = pgw_lex(&lexer);
	if (pgw_word_is(&token, "binary"))
		token = pgw_lex(&lexer);
	w->table = token.at;
	w->n_table = 0;
	while (token.kind == PGW_TOK_WORD || token.kind == PGW_TOK_QUOTED_IDENT) {
		w->n_table = (uint32_t)(token.at + token.len - w->table);
		token = pgw_lex(&lexer);
		if (token.kind != PGW_TOK_PUNCT || token.at[0] != '.')
			return;
		token = pgw_lex(&lexer);
	}
	w->n_table = 0;
}

static bool take_token(struct walker *w, const struct pgw_token *token)
{
	bool is_punct = token->kind == PGW_TOK_PUNCT;

	if (is_punct && token->at[0] == ';' && w->depth <= 0) {
		bool was = w->begun;

		w->begun = false;
		return !was || settle(w, w->marks->n_statements - 1);
	}
	if (!w->begun) {
		w->begun = true;
		w->returning = w->from = false;
		w->depth = 0;
		w->n_table = 0;
		w->verb = verb_of(token);
		w->marks->n_statements++;
		if (w->verb == VERB_COPY)
			read_table(w);
	}
	if (is_punct)
		w->depth += (token->at[0] == '(') - (token->at[0] == ')');
	else if (token->kind == PGW_TOK_WORD) {
		w->returning |= pgw_word_is(token, "returning");
		w->from |= w->depth == 0 && pgw_word_is(token, "from");
		w->atomic |= w->verb == VERB_CREATE && pgw_word_is(token, "atomic");
	}
	return true;
}

/* Comments behind the last ; are of the statement before it. */
static bool settle_last(struct walker *w)
{
	struct entity_marks *marks = w->marks;
	unsigned i;

	if (marks->n > 0 && marks->n_statements == 0)
		return misplaced(w, "There is no statement.");
	for (i = w->n_settled; i < marks->n; i++)
		if (marks->items[i].statement >= marks->n_statements)
			marks->items[i].statement = marks->n_statements - 1;
	if (!settle(w, marks->n_statements - 1))
		return false;
	if (marks->has_returned && marks->n_statements > 1 && w->atomic)
		return misplaced(w, "Statements behind a body in SQL cannot be told apart.");
	return true;
}

bool entity_read(const char *sql, size_t n, bool backslash_escapes, bool is_cut,
	struct entity_marks *marks_r, struct pgw_fault *fault_r)
{
	struct walker w = {.lexer = pgw_lexer_on(sql, n), .marks = marks_r, .fault = fault_r};
	struct pgw_token token;

	marks_r->n = 0;
	marks_r->n_statements = 0;
	marks_r->has_returned = marks_r->has_parameter = marks_r->has_organization = false;
	marks_r->may_commit = false;
	w.lexer.standard_conforming_strings = !backslash_escapes;
	w.lexer.want_comments = true;
	while ((token = pgw_lex(&w.lexer)).kind != PGW_TOK_END)
		if (token.kind == PGW_TOK_COMMENT ? !read_comment(&w, &token)
						  : !take_token(&w, &token))
			return false;
	w.returning |= is_cut; /* it would stand at the end */
	return settle_last(&w);
}
