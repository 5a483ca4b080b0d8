/* SPDX-License-Identifier: ISC */
#include "session/touched.h"

#include "pgw/sqllex.h"
#include "session/params.h"

#define NAME_BYTES 256u /* of a name with its class */

void touched_init(struct touched *touched)
{
	strbuf_init(&touched->names);
	touched->n = 0;
	touched->all = touched->listed = touched->ignored = touched->unknown = false;
}

void touched_release(struct touched *touched)
{
	strbuf_release(&touched->names);
	touched_init(touched);
}

bool touched_is_of_one_server(const char *name, const char *value)
{
	return strcasecmp(name, "temp_buffers") == 0 ||
	       (strcasecmp(name, "search_path") == 0 && strcasestr(value, "pg_temp") != NULL);
}

bool touched_is_relative(const char *name, const char *value)
{
	return strcasecmp(name, "DateStyle") == 0 && strchr(value, ',') == NULL;
}

bool touched_is_of_transaction(const char *name)
{
	return strcasecmp(name, "transaction_isolation") == 0 ||
	       strcasecmp(name, "transaction_read_only") == 0 ||
	       strcasecmp(name, "transaction_deferrable") == 0;
}

bool touched_has(const struct touched *touched, const char *name)
{
	TOUCHED_FOREACH(known, touched) {
		if (strcasecmp(known, name) == 0)
			return true;
	}
	return false;
}

void touched_remove(struct touched *touched, const char *name)
{
	struct strbuf rest = STRBUF_INIT;

	if (!touched_has(touched, name))
		return;
	TOUCHED_FOREACH(known, touched) {
		if (strcasecmp(known, name) != 0)
			strbuf_add(&rest, known, strlen(known) + 1);
	}
	strbuf_release(&touched->names);
	touched->names = rest;
	touched->n--;
}

void touched_add(struct touched *touched, const char *name)
{
	if (touched_is_of_transaction(name)) {
		touched->ignored = true;
		return;
	}
	/* It cannot be shown; or is another name in another client_encoding. */
	if (strcasecmp(name, "seed") == 0 || !param_is_ascii(name)) {
		touched->unknown = true;
		return;
	}
	if (touched_has(touched, name))
		return;
	if (touched->n == TOUCHED_MAX) {
		touched->unknown = true;
		return;
	}
	strbuf_add(&touched->names, name, strlen(name) + 1);
	touched->n++;
}

static bool is_punct(const struct pgw_token *token, char c)
{
	return token->kind == PGW_TOK_PUNCT && token->at[0] == c;
}

static bool is_name(const struct pgw_token *token)
{
	return token->kind == PGW_TOK_WORD || token->kind == PGW_TOK_QUOTED_IDENT;
}

/* name, or class.name; *token is the first word of it, and then what is behind. */
static void add_name(struct touched *touched, struct pgw_lexer *lexer, struct pgw_token *token)
{
	char name[NAME_BYTES];
	size_t n = 0;

	while (is_name(token)) {
		n += pgw_token_ident(token, name + n, sizeof(name) - n);
		if (n + 2 > sizeof(name)) {
			touched->unknown = true;
			return;
		}
		*token = pgw_lex(lexer);
		if (!is_punct(token, '.'))
			break;
		name[n++] = '.';
		*token = pgw_lex(lexer);
	}
	name[n] = '\0';
	if (n > 0)
		touched_add(touched, name);
}

/* Forms whose words are not a parameter's name. true: *token was the first word of one. */
static bool add_special(struct touched *touched, struct pgw_lexer *lexer, struct pgw_token *token)
{
	struct pgw_lexer ahead = *lexer;
	struct pgw_token next = pgw_lex(&ahead);
	static const struct {
		const char *word, *name;
	} forms[] = {{"time", "TimeZone"}, {"names", "client_encoding"}, {"schema", "search_path"},
		{"role", "role"}, {"authorization", "session_authorization"}, {"xml", "xmloption"}};
	unsigned i;

	if (is_punct(&next, '.')) /* role.x is a setting of that name */
		return false;
	for (i = 0; i < N_ELEMENTS(forms); i++) {
		if (!pgw_word_is(token, forms[i].word))
			continue;
		touched_add(touched, forms[i].name);
		if (strcmp(forms[i].word, "authorization") == 0) /* it takes the role along */
			touched_add(touched, "role");
		*token = pgw_lex(lexer);
		return true;
	}
	if (pgw_word_is(token, "characteristics")) {
		touched_add(touched, "default_transaction_isolation");
		touched_add(touched, "default_transaction_read_only");
		touched_add(touched, "default_transaction_deferrable");
		return true;
	}
	if (pgw_word_is(token, "all")) {
		touched->all = true;
		return true;
	}
	return pgw_word_is(token, "transaction") || pgw_word_is(token, "constraints");
}

/* Behind SET or RESET. */
static void add_statement(struct touched *touched, struct pgw_lexer *lexer, struct pgw_token *token)
{
	if (pgw_word_is(token, "local"))
		return;
	if (pgw_word_is(token, "session"))
		*token = pgw_lex(lexer);
	if (!add_special(touched, lexer, token))
		add_name(touched, lexer, token);
}

/* Behind set_config. A column `name` may be that of pg_settings, as pg_dump has it: *of_view_r. */
static void add_call(struct touched *touched, struct pgw_lexer *lexer, struct pgw_token *token, bool *of_view_r)
{
	char name[NAME_BYTES];
	bool is_literal, is_column;

	if (!is_punct(token, '('))
		return;
	*token = pgw_lex(lexer);
	is_literal = token->kind == PGW_TOK_STRING && token->len < sizeof(name);
	is_column = pgw_word_is(token, "name");
	if (is_literal)
		(void)pgw_token_string(token, name, sizeof(name));
	*token = pgw_lex(lexer);
	if (is_literal && is_punct(token, ','))
		touched_add(touched, name);
	else if (is_column && is_punct(token, ','))
		*of_view_r = true;
	else
		touched->unknown = true; /* $1, 'a' || 'b' */
}

static bool is_set_config(const struct pgw_token *word)
{
	static const char quoted[] = "\"set_config\"";

	return pgw_word_is(word, "set_config") ||
	       (word->kind == PGW_TOK_QUOTED_IDENT && word->len == sizeof(quoted) - 1 &&
		       memcmp(word->at, quoted, word->len) == 0);
}

void touched_add_text(struct touched *touched, const char *sql, size_t n, bool backslash_escapes)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	struct pgw_token token;
	bool begins = true, of_view = false, has_view = false;

	lexer.standard_conforming_strings = !backslash_escapes;
	token = pgw_lex(&lexer);
	while (token.kind != PGW_TOK_END) {
		struct pgw_token word = token;

		token = pgw_lex(&lexer);
		if (begins && (pgw_word_is(&word, "set") || pgw_word_is(&word, "reset")))
			add_statement(touched, &lexer, &token);
		else if (begins && pgw_word_is(&word, "discard"))
			touched->all |= pgw_word_is(&token, "all");
		else if (is_set_config(&word))
			add_call(touched, &lexer, &token, &of_view);
		has_view |= pgw_word_is(&word, "pg_settings");
		begins = is_punct(&word, ';');
	}
	touched->listed |= of_view && has_view;
	touched->unknown |= of_view && !has_view;
}
