/* SPDX-License-Identifier: ISC */
#include "session/restore.h"

#include "base/mem.h"
#include "pgw/sqllex.h"
#include "session/replica.h"
#include "session/server.h"

#define PORTALS_MAX 16u /* that are bound at a time; of more, the oldest is forgotten */
#define STATEMENT "pglane_restore" /* and its portal */
#define MESSAGES_ROOM 256u

/* A portal that resets, until it is executed. */
struct restore {
	TAILQ_ENTRY(restore) link;
	struct reset_text text;
	char portal[];
};

/* ---- texts ---- */

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

bool restore_may_want(const char *sql, size_t n)
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

/* ---- values ---- */

static bool differs(const struct param *param, const struct param_set *defaults)
{
	const char *value = param_set_get(defaults, param->name);

	return !param_is_server_fact(param->name) && (value == NULL || strcmp(value, param->value) != 0);
}

bool restore_is_for(const struct param_set *login, const struct param_set *defaults)
{
	unsigned i;

	for (i = 0; i < login->n; i++)
		if (differs(&login->items[i], defaults))
			return true;
	return false;
}

/* DISCARD ALL, but not RESET ALL, takes back who the session is (GUC_NO_RESET_ALL). */
static bool is_reset(const struct reset_text *text, const char *name)
{
	if (!text->all)
		return strcasecmp(name, text->name) == 0;
	return text->discards || (strcasecmp(name, "role") != 0 && strcasecmp(name, "session_authorization") != 0);
}

/* SET quotes what it is given, so that it could not make of a list what a startup packet has made of it. */
static bool is_list(const char *name)
{
	static const char *const lists[] = {"search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries"};
	unsigned i;

	for (i = 0; i < N_ELEMENTS(lists); i++)
		if (strcasecmp(name, lists[i]) == 0)
			return true;
	return false;
}

/* SET takes no snapshot: behind it the transaction's isolation can still be chosen, as behind RESET. What only set_config() can say costs that. */
static void add_statement(struct strbuf *sql, const struct param *param, bool is_local)
{
	if (is_list(param->name) || param->encoding) {
		param_add_call(sql, param, is_local);
		return;
	}
	strbuf_adds(sql, is_local ? "SET LOCAL " : "SET ");
	strbuf_add_ident(sql, param->name);
	strbuf_adds(sql, " TO ");
	strbuf_add_literal(sql, param->value);
}

/* ---- messages ---- */

static void build_restore(struct pgw_writer *writer, const void *arg)
{
	const struct strbuf *sql = arg;

	pgw_build_target(writer, PGW_CLOSE, 'S', STATEMENT); /* where the last one failed it was left behind */
	pgw_build_parse(writer, STATEMENT, sql->data, sql->len, NULL, 0);
	pgw_build_bind_plain(writer, STATEMENT, STATEMENT);
	pgw_build_execute(writer, STATEMENT, 0);
	pgw_build_target(writer, PGW_CLOSE, 'P', STATEMENT);
	pgw_build_target(writer, PGW_CLOSE, 'S', STATEMENT);
}

static void expect_ours(struct server *server, const enum expect_kind *kinds, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		expect_push(&server->expects, (struct expect){.kind = (uint8_t)kinds[i], .flags = EXPECT_SWALLOW});
}

static void send_restore(struct server *server, const struct param *param, bool is_local)
{
	static const enum expect_kind kinds[] = {EXPECT_CLOSE, EXPECT_PARSE, EXPECT_BIND, EXPECT_EXECUTE, EXPECT_CLOSE, EXPECT_CLOSE};
	struct strbuf sql = STRBUF_INIT;

	add_statement(&sql, param, is_local);
	inject_built(server, build_restore, &sql, MESSAGES_ROOM + sql.len);
	expect_ours(server, kinds, N_ELEMENTS(kinds));
	strbuf_release(&sql);
}

/* Of the client's login, what the text resets and the server will not have by itself. */
static unsigned restore(struct client *client, const struct reset_text *text, bool sends)
{
	struct server *server = client->server;
	const struct param_set *login = client->params_login;
	struct param_set *defaults;
	unsigned i, n = 0;

	registry_lock();
	defaults = param_set_ref(server->pool->shared->defaults);
	registry_unlock();
	for (i = 0; i < login->n; i++) {
		const struct param *param = &login->items[i];

		if (!is_reset(text, param->name) || !differs(param, defaults) ||
			(server->pool != client->pool && replica_is_our_param(param->name)))
			continue;
		n++;
		if (sends)
			send_restore(server, param, text->is_local);
	}
	param_set_unref(&defaults);
	return n;
}

/* ---- Query ---- */

struct text {
	const char *sql;
	size_t n;
};

static void build_statement(struct pgw_writer *writer, const void *arg)
{
	const struct text *text = arg;

	pgw_build_parse(writer, "", text->sql, text->n, NULL, 0);
	pgw_build_bind_plain(writer, "", "");
	pgw_build_execute(writer, "", 0);
}

/* A Query leaves neither behind. */
static void build_closes(struct pgw_writer *writer, const void *arg)
{
	pgw_build_target(writer, PGW_CLOSE, 'P', "");
	pgw_build_target(writer, PGW_CLOSE, 'S', "");
}

bool restore_query(struct client *client, const char *sql, size_t n)
{
	static const enum expect_kind begin[] = {EXPECT_PARSE, EXPECT_BIND}, end[] = {EXPECT_CLOSE, EXPECT_CLOSE};
	struct server *server = client->server;
	struct text message = {sql, n};
	struct reset_text text;

	if (!reset_text_parse(sql, n, client->params->backslash_escapes, &text) || restore(client, &text, false) == 0)
		return false;
	inject_built(server, build_statement, &message, MESSAGES_ROOM + n);
	expect_ours(server, begin, N_ELEMENTS(begin));
	expect_push(&server->expects, (struct expect){.kind = EXPECT_EXECUTE});
	(void)restore(client, &text, true);
	inject_built(server, build_closes, NULL, MESSAGES_ROOM);
	expect_ours(server, end, N_ELEMENTS(end));
	inject_sync(server);
	return true;
}

/* ---- portals ---- */

static struct restore *find(struct client *client, const char *portal)
{
	struct restore *found;

	TAILQ_FOREACH(found, &client->restores, link)
	{
		if (strcmp(found->portal, portal) == 0)
			return found;
	}
	return NULL;
}

static void forget(struct client *client, struct restore *old)
{
	TAILQ_REMOVE(&client->restores, old, link);
	mem_free(old);
}

void restore_bound(struct client *client, const char *portal, const char *sql, size_t n)
{
	struct restore *old = find(client, portal), *new;
	struct reset_text text;
	unsigned n_bound = 0;

	if (old)
		forget(client, old);
	if (sql == NULL || !client->brings_own ||
		!reset_text_parse(sql, n, client->params->backslash_escapes, &text))
		return;
	new = mem_alloc(sizeof(*new) + strlen(portal) + 1);
	new->text = text;
	memcpy(new->portal, portal, strlen(portal) + 1);
	TAILQ_INSERT_TAIL(&client->restores, new, link);
	TAILQ_FOREACH(old, &client->restores, link)
	n_bound++;
	if (n_bound > PORTALS_MAX)
		forget(client, TAILQ_FIRST(&client->restores));
}

void restore_executed(struct client *client, const char *portal)
{
	struct restore *found = find(client, portal);

	if (found == NULL)
		return;
	(void)restore(client, &found->text, true);
	forget(client, found);
}

void restore_portals_gone(struct client *client)
{
	while (!TAILQ_EMPTY(&client->restores))
		forget(client, TAILQ_FIRST(&client->restores));
}
