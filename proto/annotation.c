/* SPDX-License-Identifier: ISC */
/*
 * sqlcommenter annotations. The lexer says which comments stand at the ends of the statement; one
 * comment is taken whole or not at all, so that half an annotation never routes anything. Whether
 * a key means something and a value is valid is for the caller to say.
 */
#include "pgw/annotation.h"

#include <string.h>

/*
 * Reads one comment; what it stores is part of the annotation only once `good` has been answered.
 */
struct reader {
	const char *at;
	const char *end;
	struct pgw_annotation *into;
	bool good;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/*
 * Keys are made of the characters that an URL never has to encode; all others come percent-encoded.
 */
static bool is_key_char(char c)
{
	return is_alnum(c) || c == '_' || c == '-' || c == '.' || c == '~';
}

static void skip_space(struct reader *r)
{
	while (r->at < r->end && is_space(*r->at))
		r->at++;
}

/* Is c the next character? Then it is read, and the white space around it. */
static bool accept(struct reader *r, char c)
{
	skip_space(r);
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	skip_space(r);
	return true;
}

static void store(struct reader *r, char c)
{
	if (r->into->n_text == sizeof(r->into->text))
		r->good = false;
	else
		r->into->text[r->into->n_text++] = c;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* r stands on a %. A NUL would cut the value short, so it is as bad as a missing digit. */
static void store_percent(struct reader *r)
{
	int high = r->end - r->at >= 3 ? hex_value(r->at[1]) : -1;
	int low = high >= 0 ? hex_value(r->at[2]) : -1;

	if (low < 0 || high + low == 0) {
		r->good = false;
		return;
	}
	store(r, (char)(high << 4 | low));
	r->at += 3;
}

static const char *read_key(struct reader *r)
{
	const char *key = r->into->text + r->into->n_text;
	const char *from = r->at;

	while (r->good && r->at < r->end && (is_key_char(*r->at) || *r->at == '%')) {
		if (*r->at == '%')
			store_percent(r);
		else
			store(r, *r->at++);
	}
	if (r->at == from)
		r->good = false;
	store(r, '\0');
	return key;
}

/* r stands behind the opening quote. */
static const char *read_value(struct reader *r)
{
	const char *value = r->into->text + r->into->n_text;

	while (r->good && r->at < r->end && *r->at != '\'') {
		if (*r->at == '%') {
			store_percent(r);
		} else if (*r->at == '\0') {
			r->good = false;
		} else {
			if (*r->at == '\\' && r->end - r->at >= 2 && r->at[1] == '\'')
				r->at++;
			store(r, *r->at++);
		}
	}
	store(r, '\0');
	if (r->at == r->end)
		r->good = false;
	else
		r->at++;
	return value;
}

static void read_pair(struct reader *r)
{
	struct pgw_annotation *a = r->into;
	size_t n_text = a->n_text;
	const char *key = read_key(r);
	const char *value;

	if (!accept(r, '=') || r->at == r->end || *r->at != '\'')
		r->good = false;
	if (!r->good)
		return;
	r->at++;
	value = read_value(r);
	if (!r->good)
		return;
	if (pgw_annotation_get(a, key)) {
		a->n_text = n_text; /* the first one wins */
	} else if (a->n == PGW_ANNOTATION_MAX_KEYS) {
		r->good = false;
	} else {
		a->keys[a->n] = key;
		a->values[a->n++] = value;
	}
}

/*
 * Was this comment meant to route? It has the name of one of our keys, and behind it, in whatever
 * form, something that gives it a value. Prose about a table named ml_predictions does not count.
 */
static bool names_our_key(const char *p, const char *end, bool *entity_r)
{
	const char *from = p, *key;
	bool found = false;

	while ((p = memmem(p, (size_t)(end - p), "ml_", 3)) != NULL) {
		bool begins = p == from || !is_key_char(p[-1]);

		key = p;
		while (p < end && is_key_char(*p))
			p++;
		if (!begins)
			continue;
		bool is_entity = (size_t)(p - key) == strlen("ml_entity") &&
				 memcmp(key, "ml_entity", strlen("ml_entity")) == 0;
		if (p < end && (*p == '"' || *p == '\''))
			p++;
		while (p < end && is_space(*p))
			p++;
		if (p < end && (*p == '=' || *p == ':')) {
			found = true;
			*entity_r |= is_entity;
		}
	}
	return found;
}

void pgw_annotation_init(struct pgw_annotation *a)
{
	a->n = 0;
	a->n_malformed = 0;
	a->malformed_entity = false;
	a->malformed_search = false;
	a->n_text = 0;
}

static bool names_search(const struct pgw_token *comment)
{
	return memmem(comment->at, comment->len, "ml_near_", strlen("ml_near_")) ||
	       memmem(comment->at, comment->len, "ml_hybrid", strlen("ml_hybrid"));
}

void pgw_annotation_add(struct pgw_annotation *a, const struct pgw_token *comment)
{
	struct reader r = {
		.at = comment->at + 2,
		.end = comment->at + comment->len - 2,
		.into = a,
		.good = true,
	};
	unsigned n = a->n;
	size_t n_text = a->n_text;

	if (comment->at[0] != '/')
		return; /* a line comment */
	skip_space(&r);
	do {
		read_pair(&r);
	} while (r.good && accept(&r, ','));
	skip_space(&r);
	if (r.good && r.at == r.end)
		return;
	a->n = n;
	a->n_text = n_text;
	if (names_our_key(comment->at + 2, r.end, &a->malformed_entity)) {
		a->n_malformed++;
		a->malformed_search |= names_search(comment);
	}
}

static bool is_semicolon(const struct pgw_token *token)
{
	return token->kind == PGW_TOK_PUNCT && *token->at == ';';
}

unsigned pgw_annotation_read(struct pgw_lexer lexer, struct pgw_annotation *out_r)
{
	struct pgw_lexer behind_last;
	struct pgw_token token;

	pgw_annotation_init(out_r);
	lexer.want_comments = true;
	while ((token = pgw_lex(&lexer)).kind == PGW_TOK_COMMENT)
		pgw_annotation_add(out_r, &token);
	if (token.kind == PGW_TOK_END)
		return out_r->n;

	behind_last = lexer;
	while ((token = pgw_lex(&lexer)).kind != PGW_TOK_END)
		if (token.kind != PGW_TOK_COMMENT && !is_semicolon(&token))
			behind_last = lexer;
	while ((token = pgw_lex(&behind_last)).kind != PGW_TOK_END)
		if (token.kind == PGW_TOK_COMMENT)
			pgw_annotation_add(out_r, &token);
	return out_r->n;
}

const char *pgw_annotation_get(const struct pgw_annotation *a, const char *key)
{
	for (unsigned i = 0; i < a->n; i++)
		if (strcmp(a->keys[i], key) == 0)
			return a->values[i];
	return NULL;
}
