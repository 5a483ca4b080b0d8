/* SPDX-License-Identifier: ISC */
#include "session/reset_text.h"

#include "pgw/sqllex.h"

static bool is_punct(const struct pgw_token *token, char c)
{
	return (token->kind == PGW_TOK_PUNCT || token->kind == PGW_TOK_OPERATOR) && token->len == 1 && token->at[0] == c;
}

/* Nothing follows but perhaps semicolons; *token is the first that does. */
static bool ends(struct pgw_lexer *lexer, struct pgw_token *token)
{
	while (is_punct(token, ';'))
		*token = pgw_lex(lexer);
	return token->kind == PGW_TOK_END;
}

/* name, or class.name; *token is its first word, and then what is behind. */
static bool parse_name(struct pgw_lexer *lexer, struct pgw_token *token, char name[static 256])
{
	size_t n = 0;

	for (;;) {
		if ((token->kind != PGW_TOK_WORD && token->kind != PGW_TOK_QUOTED_IDENT) || token->len > 250 - n)
			return false;
		n += pgw_token_ident(token, name + n, 256 - n);
		*token = pgw_lex(lexer);
		if (n > 250 || !is_punct(token, '.'))
			break;
		name[n++] = '.';
		*token = pgw_lex(lexer);
	}
	name[MIN_OF(n, 255u)] = '\0';
	return n > 0 && n <= 250;
}

/* TIME ZONE, NAMES: the words of a parameter. *token is the first of them, and then what is behind. */
static bool parse_words(struct pgw_lexer *lexer, struct pgw_token *token, struct reset_text *text, bool is_reset)
{
	struct pgw_lexer ahead = *lexer;
	struct pgw_token next = pgw_lex(&ahead);

	if (pgw_word_is(token, "time") && pgw_word_is(&next, "zone"))
		(void)snprintf(text->name, sizeof(text->name), "TimeZone");
	else if (!is_reset && pgw_word_is(token, "names") && !is_punct(&next, '.') && !is_punct(&next, '=') && !pgw_word_is(&next, "to"))
		(void)snprintf(text->name, sizeof(text->name), "client_encoding");
	else
		return false;
	*token = pgw_lex(lexer);
	if (text->name[0] == 'T')
		*token = pgw_lex(lexer);
	return true;
}

/* Behind SET. */
static bool parse_set(struct pgw_lexer *lexer, struct pgw_token *token, struct reset_text *text)
{
	bool of_names;

	text->is_local = pgw_word_is(token, "local");
	if (text->is_local || pgw_word_is(token, "session"))
		*token = pgw_lex(lexer);
	if (parse_words(lexer, token, text, false)) {
		of_names = text->name[0] == 'c';
		if (of_names && ends(lexer, token))
			return true;
		if (!pgw_word_is(token, "default") && (of_names || !pgw_word_is(token, "local")))
			return false;
	} else {
		if (!parse_name(lexer, token, text->name) || (!pgw_word_is(token, "to") && !is_punct(token, '=')))
			return false;
		*token = pgw_lex(lexer);
		if (!pgw_word_is(token, "default"))
			return false;
	}
	*token = pgw_lex(lexer);
	return ends(lexer, token);
}

bool reset_text_parse(const char *sql, size_t n, bool backslash_escapes, struct reset_text *text_r)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	struct pgw_token verb, token;

	lexer.standard_conforming_strings = !backslash_escapes;
	*text_r = (struct reset_text){.all = false};
	do
		verb = pgw_lex(&lexer);
	while (is_punct(&verb, ';'));
	token = pgw_lex(&lexer);
	if (pgw_word_is(&verb, "set"))
		return parse_set(&lexer, &token, text_r);
	text_r->discards = pgw_word_is(&verb, "discard");
	if (!text_r->discards && !pgw_word_is(&verb, "reset"))
		return false;
	if (pgw_word_is(&token, "all")) {
		text_r->all = true;
		token = pgw_lex(&lexer);
	} else if (text_r->discards ||
		   (!parse_words(&lexer, &token, text_r, true) && !parse_name(&lexer, &token, text_r->name))) {
		return false;
	}
	return ends(&lexer, &token);
}

bool reset_text_may_be(const char *sql, size_t n)
{
	static const char *const verbs[] = {"set", "reset", "discard"};
	unsigned i;

	for (; n > 0 && (*sql == ' ' || (*sql >= '\t' && *sql <= '\r')); n--)
		sql++;
	if (n == 0)
		return false;
	if (*sql == '-' || *sql == '/' || *sql == ';') /* a comment may hide it */
		return true;
	for (i = 0; i < N_ELEMENTS(verbs); i++)
		if (n > strlen(verbs[i]) && strncasecmp(sql, verbs[i], strlen(verbs[i])) == 0)
			return true;
	return false;
}

/* ---- amid others ---- */

/* One pass over the statements of a text. */
struct scan {
	struct pgw_lexer lexer;
	bool backslash_escapes;
	const char *begin, *end; /* of the statement, without what separates it; end NULL: it has no token yet */
	unsigned depth;		 /* of parentheses */
	unsigned n_statements, n_found;
};

static bool statement_over(struct scan *scan, const char *sql, struct reset_found *found_r, unsigned max)
{
	struct reset_found *found = &found_r[scan->n_found];
	size_t n = scan->end ? (size_t)(scan->end - scan->begin) : 0;

	if (scan->end == NULL)
		return true;
	scan->n_statements++;
	scan->end = NULL;
	if (!reset_text_may_be(scan->begin, n))
		return true;
	if (scan->n_found == max)
		return false;
	if (reset_text_parse(scan->begin, n, scan->backslash_escapes, &found->text) && !found->text.discards) {
		found->at = (size_t)(scan->begin - sql) + n;
		found->n_statements = scan->n_statements;
		scan->n_found++;
	}
	return true;
}

unsigned reset_text_find(const char *sql, size_t n, bool backslash_escapes, struct reset_found *found_r, unsigned max)
{
	struct scan scan = {.lexer = pgw_lexer_on(sql, n), .backslash_escapes = backslash_escapes};
	struct pgw_token token;

	scan.lexer.standard_conforming_strings = !backslash_escapes;
	for (;;) {
		token = pgw_lex(&scan.lexer);
		if (token.kind == PGW_TOK_ERROR || pgw_word_is(&token, "atomic"))
			return 0;
		if (token.kind == PGW_TOK_END || is_punct(&token, ';')) {
			if (scan.depth > 0 || !statement_over(&scan, sql, found_r, max))
				return 0;
			if (token.kind == PGW_TOK_END)
				return scan.n_found;
			continue;
		}
		if (scan.end == NULL)
			scan.begin = token.at;
		scan.end = token.at + token.len;
		if (is_punct(&token, '('))
			scan.depth++;
		else if (is_punct(&token, ')') && scan.depth > 0)
			scan.depth--;
	}
}
