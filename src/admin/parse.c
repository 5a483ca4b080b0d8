/* SPDX-License-Identifier: ISC */
/*
 * From a text to a command. Words are what PgBouncer's console takes unquoted (digits may lead: a database may be called 2024), "…" and '…' with
 * doubled quotes; unlike there, comments count as space, because drivers and tools add them.
 */
#include "admin/command.h"

#include "base/mem.h"

#define ARGUMENT_MAX_BYTES 1024u /* of one word; EXPLAIN ROUTE's text has the message's bound */
#define FILTERS_MAX 16u		 /* there are fewer to choose from */
#define QUOTED_MAX_BYTES 300u	 /* of a text that is no command, in the error */

enum token_kind { TOKEN_END, TOKEN_SEMICOLON, TOKEN_WORD, TOKEN_QUOTED, TOKEN_STRING, TOKEN_EQUALS, TOKEN_COMMA, TOKEN_OTHER };

struct token {
	enum token_kind kind;
	const char *at; /* with its quotes */
	size_t n;
};

struct scan {
	const char *at, *end;
	bool broken; /* a comment has no end */
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Bytes above ASCII are letters of some alphabet; '.' joins numbers. */
static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || (unsigned char)c >= 0x80;
}

static bool starts_with(const struct scan *scan, const char *two)
{
	return scan->end - scan->at >= 2 && scan->at[0] == two[0] && scan->at[1] == two[1];
}

static void skip_block_comment(struct scan *scan)
{
	unsigned depth = 0;

	do {
		if (starts_with(scan, "/*")) {
			depth++;
			scan->at += 2;
		} else if (starts_with(scan, "*/")) {
			depth--;
			scan->at += 2;
		} else {
			scan->at++;
		}
	} while (depth > 0 && scan->at < scan->end);
	scan->broken = depth > 0;
}

static void skip_space(struct scan *scan)
{
	while (scan->at < scan->end) {
		if (is_space(*scan->at))
			scan->at++;
		else if (starts_with(scan, "--"))
			while (scan->at < scan->end && *scan->at != '\n')
				scan->at++;
		else if (starts_with(scan, "/*"))
			skip_block_comment(scan);
		else
			return;
	}
}

/* Behind the closing quote; false: there is none. */
static bool skip_quoted(struct scan *scan, char quote)
{
	for (scan->at++; scan->at < scan->end; scan->at++) {
		if (*scan->at != quote)
			continue;
		if (scan->end - scan->at >= 2 && scan->at[1] == quote) {
			scan->at++;
			continue;
		}
		scan->at++;
		return true;
	}
	return false;
}

static enum token_kind scan_kind(struct scan *scan)
{
	char c = *scan->at;

	if (is_word(c) || ((c == '-' || c == '+') && scan->end - scan->at >= 2 && scan->at[1] >= '0' && scan->at[1] <= '9')) {
		do {
			scan->at++;
		} while (scan->at < scan->end && is_word(*scan->at));
		return TOKEN_WORD;
	}
	if (c == '"')
		return skip_quoted(scan, c) ? TOKEN_QUOTED : TOKEN_OTHER;
	if (c == '\'')
		return skip_quoted(scan, c) ? TOKEN_STRING : TOKEN_OTHER;
	scan->at++;
	return c == ';' ? TOKEN_SEMICOLON : c == '=' ? TOKEN_EQUALS : c == ',' ? TOKEN_COMMA : TOKEN_OTHER;
}

static struct token next_token(struct scan *scan)
{
	struct token token = { .kind = TOKEN_END };

	skip_space(scan);
	token.at = scan->at;
	if (scan->broken)
		token.kind = TOKEN_OTHER;
	else if (scan->at < scan->end)
		token.kind = scan_kind(scan);
	token.n = (size_t)(scan->at - token.at);
	return token;
}

static bool is_name(const struct token *token)
{
	return token->kind == TOKEN_WORD || token->kind == TOKEN_QUOTED;
}

static bool token_is(const struct token *token, const char *word)
{
	return token->kind == TOKEN_WORD && strlen(word) == token->n && strncasecmp(token->at, word, token->n) == 0;
}

/* Its text without quotes. NULL: too long. */
static char *token_text(const struct token *token)
{
	char quote = token->kind == TOKEN_WORD ? '\0' : token->at[0];
	size_t at = quote ? 1 : 0, end = token->n - at, n = 0;
	char *text;

	if (token->n > ARGUMENT_MAX_BYTES)
		return NULL;
	text = mem_alloc(token->n + 1);
	for (; at < end; at++) {
		if (quote && token->at[at] == quote)
			at++; /* the second one of a pair */
		text[n++] = token->at[at];
	}
	text[n] = '\0';
	return text;
}

/* Nothing but one semicolon may follow. */
static bool at_end(struct scan *scan)
{
	struct token token = next_token(scan);

	if (token.kind == TOKEN_SEMICOLON)
		token = next_token(scan);
	return token.kind == TOKEN_END;
}

static const struct command *find_command(const struct token *verb, const struct token *noun)
{
	for (unsigned i = 0; i < n_commands; i++) {
		const struct command *command = &commands[i];

		if (!token_is(verb, command->verb) && !(token_is(verb, "select") && strcmp(command->verb, "SHOW") == 0))
			continue;
		if (command->noun == NULL || (noun && token_is(noun, command->noun)))
			return command;
	}
	return NULL;
}

static bool parse_setting(struct scan *scan, struct request *request)
{
	struct token key = next_token(scan), sign = next_token(scan), value = next_token(scan);

	if (!is_name(&key) || (sign.kind != TOKEN_EQUALS && !token_is(&sign, "to")) || (!is_name(&value) && value.kind != TOKEN_STRING) || !at_end(scan))
		return false;
	request->argument = token_text(&key);
	request->value = token_text(&value);
	return request->argument && request->value && request->argument[0];
}

static bool parse_word(struct scan *scan, struct request *request)
{
	struct token word = next_token(scan);

	if (word.kind == TOKEN_END || word.kind == TOKEN_SEMICOLON) {
		return word.kind == TOKEN_END || next_token(scan).kind == TOKEN_END;
	}
	request->argument = is_name(&word) ? token_text(&word) : NULL;
	return request->argument && at_end(scan);
}

/* What a filter may hold is the command's to say; here it only must be one. */
static bool parse_filter(struct scan *scan, const struct token *word, struct request *request)
{
	struct scan ahead = *scan;
	struct token sign = next_token(&ahead), value = *word;
	struct filter *filter;

	request->filters = mem_realloc(request->filters, (request->n_filters + 1) * sizeof(*request->filters));
	filter = &request->filters[request->n_filters++];
	filter->key = NULL;
	if (sign.kind == TOKEN_EQUALS) {
		value = next_token(&ahead);
		filter->key = token_text(word);
		*scan = ahead;
	}
	filter->value = is_name(&value) || value.kind == TOKEN_STRING ? token_text(&value) : NULL;
	return filter->value && (filter->key || sign.kind != TOKEN_EQUALS);
}

static bool parse_filters(struct scan *scan, struct request *request)
{
	struct token word;

	for (word = next_token(scan); is_name(&word) && request->n_filters < FILTERS_MAX; word = next_token(scan))
		if (!parse_filter(scan, &word, request))
			return false;
	return word.kind == TOKEN_END || (word.kind == TOKEN_SEMICOLON && next_token(scan).kind == TOKEN_END);
}

static bool parse_words(struct scan *scan)
{
	struct token token;

	do {
		token = next_token(scan);
	} while (token.kind == TOKEN_WORD || token.kind == TOKEN_COMMA);
	return token.kind == TOKEN_END || (token.kind == TOKEN_SEMICOLON && next_token(scan).kind == TOKEN_END);
}

/* The statement behind EXPLAIN ROUTE: comments in it are annotations, so it is taken as it stands. None begins with ON. */
static bool parse_sql(struct scan *scan, struct request *request)
{
	struct scan ahead = *scan;
	struct token on = next_token(&ahead), name;

	if (token_is(&on, "on")) {
		name = next_token(&ahead);
		request->value = is_name(&name) ? token_text(&name) : NULL;
		if (request->value == NULL)
			return false;
		*scan = ahead;
	}
	while (scan->at < scan->end && is_space(*scan->at))
		scan->at++;
	while (scan->end > scan->at && (is_space(scan->end[-1]) || scan->end[-1] == ';'))
		scan->end--;
	request->argument = mem_strndup(scan->at, (size_t)(scan->end - scan->at));
	return request->argument[0] != '\0';
}

static bool parse_argument(struct scan *scan, struct request *request)
{
	switch (request->command->argument) {
	case ARGUMENT_SETTING:
		return parse_setting(scan, request);
	case ARGUMENT_OPTIONAL:
		return parse_word(scan, request);
	case ARGUMENT_WORDS:
		return parse_words(scan);
	case ARGUMENT_FILTERS:
		return parse_filters(scan, request);
	case ARGUMENT_SQL:
		return parse_sql(scan, request);
	case ARGUMENT_NONE:
	default:
		return at_end(scan);
	}
}

static bool parse_command(struct scan *scan, const struct token *verb, struct request *request)
{
	struct scan ahead = *scan;
	struct token noun = next_token(&ahead);

	/* A name in quotes is the same command to PgBouncer; where a database may stand, it is one. */
	if (noun.kind == TOKEN_QUOTED && noun.n >= 2 && !token_is(verb, "pause") && !token_is(verb, "resume"))
		noun = (struct token){ TOKEN_WORD, noun.at + 1, noun.n - 2 };
	request->command = find_command(verb, &noun);
	if (request->command == NULL)
		return false;
	if (request->command->noun)
		*scan = ahead;
	return parse_argument(scan, request);
}

/* The text, or its beginning, whole characters only. */
static int quotable(const char *text, size_t n)
{
	if (n <= QUOTED_MAX_BYTES)
		return (int)n;
	for (n = QUOTED_MAX_BYTES; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
		;
	return (int)n;
}

bool request_parse(struct request *request_r, const char *text, size_t n, struct pgw_fault *fault_r)
{
	struct scan scan = { .at = text, .end = text + n };
	struct token verb;

	memset(request_r, 0, sizeof(*request_r));
	do {
		verb = next_token(&scan);
	} while (verb.kind == TOKEN_SEMICOLON);
	if (verb.kind == TOKEN_END)
		return true;
	if (parse_command(&scan, &verb, request_r)) {
		if (request_r->argument == NULL)
			request_r->argument = mem_strdup("");
		return true;
	}
	request_release(request_r);
	*fault_r = pgw_fault_make(PGW_FAULT_CONSOLE_COMMAND);
	(void)snprintf(fault_r->message, sizeof(fault_r->message), "invalid command '%.*s', use SHOW HELP;", quotable(text, n), text);
	return false;
}

void request_release(struct request *request)
{
	mem_free(request->argument);
	mem_free(request->value);
	for (unsigned i = 0; i < request->n_filters; i++) {
		mem_free(request->filters[i].key);
		mem_free(request->filters[i].value);
	}
	mem_free(request->filters);
	memset(request, 0, sizeof(*request));
}
