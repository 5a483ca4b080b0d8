/* SPDX-License-Identifier: ISC */
#include "session/setting.h"

#include "pgw/frame.h"
#include "pgw/messages.h"
#include "pgw/sqllex.h"
#include "session/listen.h"
#include "session/pin.h"
#include "session/restore.h"
#include "session/sequence.h"
#include "session/server.h"

#define SETTING_TEXT_BYTES 1024u
#define RESET_ALL "RESET ALL"
#define CLASS_ROLLED_BACK 0x80u /* beside a commit_class: the last tag was ROLLBACK */

/* Forms of SET whose first word is no parameter's name (PostgreSQL manual, SET). */
static bool is_special(const struct pgw_token *token)
{
	static const char *const words[] = {"local", "role", "time", "transaction", "names",
		"constraints", "xml", "characteristics", "authorization", "all", "session",
		"schema", "catalog"};
	unsigned i;

	for (i = 0; i < N_ELEMENTS(words); i++)
		if (pgw_word_is(token, words[i]))
			return true;
	return false;
}

static bool is_end(const struct pgw_token *token)
{
	return token->kind == PGW_TOK_END || (token->len == 1 && token->at[0] == ';');
}

/* Nothing follows but perhaps a semicolon. */
static bool is_last(struct pgw_lexer *lexer, const struct pgw_token *token)
{
	return token->kind == PGW_TOK_END ||
	       (is_end(token) && pgw_lex(lexer).kind == PGW_TOK_END);
}

static void add_ident(struct strbuf *out, const struct pgw_token *token)
{
	char text[SETTING_TEXT_BYTES];

	(void)pgw_token_ident(token, text, sizeof(text));
	strbuf_adds(out, text);
}

/* name or namespace.name; *next_r is the token behind it. */
static bool parse_name(struct pgw_lexer *lexer, struct strbuf *name, struct pgw_token *next_r)
{
	struct pgw_token token = pgw_lex(lexer);

	if (pgw_word_is(&token, "session"))
		token = pgw_lex(lexer);
	if ((token.kind != PGW_TOK_WORD && token.kind != PGW_TOK_QUOTED_IDENT) ||
		is_special(&token))
		return false;
	add_ident(name, &token);
	*next_r = pgw_lex(lexer);
	if (next_r->len != 1 || next_r->at[0] != '.')
		return true;
	token = pgw_lex(lexer);
	if (token.kind != PGW_TOK_WORD && token.kind != PGW_TOK_QUOTED_IDENT)
		return false;
	strbuf_addc(name, '.');
	add_ident(name, &token);
	*next_r = pgw_lex(lexer);
	return true;
}

/* Parameters that are lists of names: SET quotes what it is given (GUC_LIST_QUOTE in PostgreSQL's guc.c). */
static bool is_of_names(const char *name)
{
	static const char *const names[] = {"search_path", "temp_tablespaces",
		"local_preload_libraries", "session_preload_libraries"};
	unsigned i;

	for (i = 0; i < N_ELEMENTS(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

static bool is_plain(const char *name)
{
	return name[0] && strchr("0123456789", name[0]) == NULL &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static void add_item(struct strbuf *value, const struct pgw_token *token, bool of_names)
{
	char text[SETTING_TEXT_BYTES];

	if (token->kind == PGW_TOK_STRING)
		(void)pgw_token_string(token, text, sizeof(text));
	else
		(void)pgw_token_ident(token, text, sizeof(text));
	if (of_names && !is_plain(text))
		strbuf_add_ident(value, text);
	else
		strbuf_adds(value, text);
}

/* The value as SET itself makes it of literals, names and numbers (flatten_set_variable_args()). */
static bool parse_value(
	struct pgw_lexer *lexer, const char *name, struct strbuf *value, bool *reset_r)
{
	struct pgw_token token = pgw_lex(lexer);
	bool of_names = is_of_names(name);
	unsigned n;

	*reset_r = pgw_word_is(&token, "default");
	for (n = 0; !is_end(&token); n++) {
		if (token.kind == PGW_TOK_PUNCT && token.at[0] == ',')
			strbuf_adds(value, ", ");
		else if (token.kind == PGW_TOK_STRING || token.kind == PGW_TOK_WORD ||
			 token.kind == PGW_TOK_QUOTED_IDENT)
			add_item(value, &token, of_names);
		else if (token.kind == PGW_TOK_NUMBER || token.kind == PGW_TOK_OPERATOR)
			strbuf_add(value, token.at, token.len);
		else
			return false;
		token = pgw_lex(lexer);
	}
	token = token.kind == PGW_TOK_END ? token : pgw_lex(lexer);
	return n > 0 && token.kind == PGW_TOK_END && value->len < SETTING_TEXT_BYTES;
}

bool setting_parse(const char *sql, size_t n, bool backslash_escapes, struct strbuf *name,
	struct strbuf *value, bool *reset_r)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	struct pgw_token token = pgw_lex(&lexer);
	bool reset = pgw_word_is(&token, "reset");

	lexer.standard_conforming_strings = !backslash_escapes;
	if (n > SETTING_TEXT_BYTES || (!reset && !pgw_word_is(&token, "set")) ||
		!parse_name(&lexer, name, &token))
		return false;
	*reset_r = reset;
	if (reset)
		return is_last(&lexer, &token);
	if (!pgw_word_is(&token, "to") && (token.len != 1 || token.at[0] != '='))
		return false;
	return parse_value(&lexer, name->data, value, reset_r);
}

static bool has(const struct param_set *set, const char *name, const char *value)
{
	const char *found = param_set_get(set, name);

	return found && strcmp(found, value) == 0;
}

static bool note(struct client *client, const char *sql, size_t n)
{
	struct strbuf name = STRBUF_INIT, value = STRBUF_INIT;
	bool reset, ok = setting_parse(
		sql, n, client->params->backslash_escapes, &name, &value, &reset);
	const struct param *login = NULL;
	struct param_set *set = NULL;

	if (ok && !param_is_ascii(name.data))
		ok = false; /* it is another name in another client_encoding */
	if (ok && !reset &&
		(touched_is_of_one_server(name.data, value.data) || touched_is_relative(name.data, value.data)))
		ok = false; /* it will be asked for */
	if (ok && reset)
		login = param_set_find(client->params_login, name.data);
	if (login) { /* restore.h gives it to the server, too */
		set = param_set_with_param(client->params, login);
	} else if (ok) {
		set = param_set_with(client->params, name.data, reset ? NULL : value.data);
		ok = reset || has(set, name.data, value.data); /* else it has too many */
	}
	/* The server runs the statement itself: it will have what the client has. */
	if (ok && touched_is_of_transaction(name.data)) {
		param_set_unref(&set); /* it says nothing about the next one */
	} else if (ok) {
		client->n_noted++;
		if (client->params_before == NULL)
			client->params_before = param_set_ref(client->params);
		param_set_unref(&client->params);
		client->params = set;
		param_set_unref(&client->server->params);
		client->server->params = param_set_ref(set);
	} else {
		param_set_unref(&set);
	}
	strbuf_release(&name);
	strbuf_release(&value);
	return ok;
}

/* RESET ALL, DISCARD ALL */
static bool is_reset_of_all(const char *sql, size_t n)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	struct pgw_token verb = pgw_lex(&lexer), all = pgw_lex(&lexer), end = pgw_lex(&lexer);

	return (pgw_word_is(&verb, "reset") || pgw_word_is(&verb, "discard")) &&
	       pgw_word_is(&all, "all") && is_last(&lexer, &end);
}

/* It is its server's no more, but the client's: a reported one is reported again. */
static void report(struct client *client, const struct server *server, const struct param *param)
{
	uint8_t message[PGW_HEADER_BYTES + 2 * (PARAMS_VALUE_MAX_BYTES + 1)];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));
	const char *value = param_set_get(server->params, param->name);
	struct param_set *defaults;

	registry_lock();
	defaults = param_set_ref(server->pool->shared->defaults);
	registry_unlock();
	if (value == NULL) /* it had that before, too, and reported no change */
		value = param_set_get(defaults, param->name);
	if (value && strcmp(value, param->value) != 0) { /* else never reported, or reported by the server */
		pgw_build_parameter_status(&writer, param->name, param->value);
		client_reply(client, message, writer.len);
	}
	param_set_unref(&defaults);
}

/* Both have what the client logged in with (restore.h), as if it had connected itself. */
static void reset_all(struct client *client, struct server *server)
{
	param_set_unref(&server->params);
	server->params = param_set_ref(client->params_login);
	param_set_unref(&client->params);
	client->params = param_set_ref(client->params_login);
	pin_settings_gone(client);
}

/* The batch that reset some is over: they are the login's, unless it set them again. */
static void reset_some(struct client *client, const struct server *server)
{
	const struct param_set *login = client->params_login;
	unsigned i;

	for (i = 0; i < login->n; i++) {
		const struct param *param = &login->items[i];
		struct param_set *set;

		if (!touched_has(client->resets, param->name) ||
			touched_is_of_one_server(param->name, param->value)) /* setting it again may be an error now */
			continue;
		set = param_set_with_param(client->params, param);
		param_set_unref(&client->params);
		client->params = set;
		report(client, server, param);
	}
}

void setting_was_reset(struct client *client, const char *name)
{
	if (client->resets == NULL) {
		client->resets = mem_alloc(sizeof(*client->resets));
		touched_init(client->resets);
	}
	touched_add(client->resets, name);
}

void setting_take_resets(struct client *client, const struct server *server)
{
	if (client->resets == NULL)
		return;
	reset_some(client, server);
	setting_forget_resets(client);
}

void setting_forget_resets(struct client *client)
{
	if (client->resets == NULL)
		return;
	touched_release(client->resets);
	mem_free(client->resets);
	client->resets = NULL;
}

static bool is_transaction_control(enum statement_kind kind)
{
	return kind == STATEMENT_BEGIN || kind == STATEMENT_BEGIN_CHECKED ||
	       kind == STATEMENT_COMMIT || kind == STATEMENT_ROLLBACK;
}

/* ---- pglane.class ---- */

/* As client->xact_class and commit_class hold it: 0 is "no SET did". */
static uint8_t coded(uint8_t class)
{
	return (uint8_t)(class + 1);
}

bool setting_class(const struct client *client, enum query_class *class_r)
{
	const char *name = client->params->class_name;

	if (UNLIKELY(client->xact_class != 0)) {
		*class_r = (enum query_class)(client->xact_class - 1);
		return *class_r < N_QUERY_CLASSES;
	}
	return name && query_class_parse(name, strlen(name), class_r);
}

/* A plain SET outside of a transaction goes the way of every parameter. */
static void note_class(struct client *client, const struct statement_route *route)
{
	bool in_xact = client->xact != XACT_NONE || client_is(client, CLIENT_BATCH_HAS_XACT) ||
		       route->kind != STATEMENT_NEUTRAL ||
		       (route->effects & EFFECT_TRANSACTION) != 0;

	if (route->bad_class) {
		struct pgw_fault warning = pgw_fault_make(PGW_FAULT_CLASS_UNKNOWN);

		client_notice(client, &warning);
	}
	if (route->change == CLASS_SET && !in_xact)
		return;
	client->xact_class = coded(route->changed_class);
	if (route->change == CLASS_SET)
		client->commit_class = coded(route->changed_class);
}

void setting_tag(struct client *client, const uint8_t *tag, size_t n)
{
	static const char rollback[] = "ROLLBACK", commit[] = "COMMIT";

	if (n == sizeof(rollback) && memcmp(tag, rollback, n) == 0)
		client->commit_class |= CLASS_ROLLED_BACK;
	else if (n == sizeof(commit) && memcmp(tag, commit, n) == 0)
		client->commit_class &= (uint8_t)~CLASS_ROLLED_BACK;
}

/* The transaction is over. */
static void settle_class(struct client *client, bool failed)
{
	uint8_t class = (uint8_t)(client->commit_class - 1);
	struct param_set *set;

	if (client->commit_class != 0 && !failed && !(client->commit_class & CLASS_ROLLED_BACK)) {
		set = param_set_with(client->params, "pglane.class",
			class < N_QUERY_CLASSES ? query_class_name((enum query_class)class) : NULL);
		param_set_unref(&client->params);
		client->params = set;
	}
	client->xact_class = client->commit_class = 0;
}

/* ---- what a statement leaves ---- */

/* It sets or resets, and nothing else, outside of a transaction. */
static bool may_be_followed(const struct client *client, const struct statement_route *route)
{
	return route->kind == STATEMENT_NEUTRAL && (route->effects & EFFECT_TRANSACTION) == 0 &&
	       (route->effects & PIN_EFFECTS & ~(uint32_t)EFFECT_SET) == 0 &&
	       (route->effects & (EFFECT_SET | EFFECT_DISCARD_ALL)) &&
	       client->xact == XACT_NONE && !client_is(client, CLIENT_BATCH_HAS_XACT) &&
	       !client_is(client, CLIENT_RESETS_ALL);
}

/* Settings that were taken for the client's belong to a transaction: it will be asked for them. */
static void touch_difference(struct client *client)
{
	const struct param_set *now = client->params, *before = client->params_before;
	unsigned i;

	for (i = 0; i < now->n; i++)
		if (!has(before, now->items[i].name, now->items[i].value))
			pin_touch(client, now->items[i].name);
	for (i = 0; i < before->n; i++)
		if (param_set_get(now, before->items[i].name) == NULL)
			pin_touch(client, before->items[i].name);
}

/* RESET ALL, but not DISCARD ALL, leaves the session to whom it is (GUC_NO_RESET_ALL). */
static bool keeps_identity(const struct client *client, uint32_t effects)
{
	return (effects & EFFECT_DISCARD_ALL) == 0 &&
	       (param_set_get(client->params, "role") ||
		       param_set_get(client->params, "session_authorization"));
}

#define MEANING_EFFECTS (EFFECT_SET | EFFECT_SET_LOCAL | EFFECT_DISCARD_ALL | EFFECT_ROLLBACK_TO)

/* SET LOCAL alone, whose text says it all. */
static bool is_local_set(const struct statement_route *route, const char *sql, size_t n)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	struct pgw_token token = pgw_lex(&lexer);

	return route->kind == STATEMENT_NEUTRAL && pgw_word_is(&token, "set") && memchr(sql, ';', n) == NULL;
}

/*
 * Up to the end of the transaction, or of the batch, its statements mean what no other client's do. After SET LOCAL they mean the same as those of
 * whoever has said the same since it had the same settings, so that who begins every transaction with one still finds its copies.
 */
static void note_meaning(struct client *client, const struct statement_route *route, const char *sql, size_t n)
{
	static uint64_t n_made; /* atomic; of the process, because servers move between workers */
	uint64_t one_of_its_own = __atomic_add_fetch(&n_made, 1, __ATOMIC_RELAXED);
	struct pgw_hash128 meaning = client_meaning(client);

	if ((route->effects & MEANING_EFFECTS) == EFFECT_ROLLBACK_TO && client->xact_meaning.lo == 0)
		return; /* nothing was set */
	if ((route->effects & EFFECT_SET_LOCAL) && is_local_set(route, sql, n))
		meaning = pgw_hash128_more(meaning, sql, n);
	else
		meaning = pgw_hash128_more(meaning, &one_of_its_own, sizeof(one_of_its_own));
	meaning.lo |= meaning.lo == 0;
	client->xact_meaning = meaning;
}

void setting_meaning_ends(struct client *client)
{
	if (UNLIKELY(client->xact_meaning.lo != 0) && !(client->pin && (client->pin->reasons & PIN_SETTING)))
		client->xact_meaning = (struct pgw_hash128){0, 0};
}

void setting_note(struct client *client, const struct statement_route *route, const char *sql,
	size_t n)
{
	enum statement_kind kind = (enum statement_kind)route->kind;
	uint32_t effects = route->effects;

	if (client_is(client, CLIENT_SESSION))
		return;
	if (UNLIKELY(client->server->leaks.watches || (effects & EFFECT_CALL)))
		leak_note(client, route, sql, n);
	if (UNLIKELY(route->change != CLASS_KEPT))
		note_class(client, route);
	if (UNLIKELY(is_transaction_control(kind) || (effects & EFFECT_TRANSACTION))) {
		client_set(client, CLIENT_BATCH_HAS_XACT);
		if (client->params_before) { /* a SET before it in its batch is the transaction's, too */
			touch_difference(client);
			setting_settled(client, true);
			server_set(client->server, SERVER_TAINTED);
		}
	}
	if (LIKELY(!(effects & (PIN_EFFECTS | EFFECT_DISCARD_ALL | EFFECT_RELEASE | MEANING_EFFECTS))))
		return;
	if (effects & MEANING_EFFECTS)
		note_meaning(client, route, sql, n);
	if (!(effects & (PIN_EFFECTS | EFFECT_DISCARD_ALL | EFFECT_RELEASE)))
		return;
	if (UNLIKELY(client->pin != NULL) && (effects & EFFECT_DISCARD_ALL))
		sequence_discarded(client);
	if (may_be_followed(client, route)) {
		if (is_reset_of_all(sql, n) && !keeps_identity(client, effects)) {
			client_set(client, CLIENT_RESETS_ALL);
			client->n_noted++;
			return;
		}
		if (pin_follows_settings(client) && !pin_is_asking(client) && note(client, sql, n))
			return;
	}
	if (client_is(client, CLIENT_RESETS_ALL) && (effects & PIN_EFFECTS)) {
		/* Not alone in its batch: what comes of both is asked. */
		client_unset(client, CLIENT_RESETS_ALL);
		server_set(client->server, SERVER_TAINTED);
		pin_note(client, EFFECT_SET, RESET_ALL, sizeof(RESET_ALL) - 1);
	}
	if (effects & (PIN_EFFECTS | EFFECT_DISCARD_ALL))
		server_set(client->server, SERVER_TAINTED);
	pin_note(client, effects, sql, n);
}

void setting_ran(struct client *client, const uint8_t *tag, size_t n)
{
	static const char *const tags[] = {"SET", "RESET", "DISCARD ALL"};
	unsigned i;

	for (i = 0; i < N_ELEMENTS(tags); i++)
		if (n == strlen(tags[i]) + 1 && memcmp(tag, tags[i], n) == 0)
			client->n_ran++;
}

/* Not all that was bound has been executed: the server is asked what came of it. */
static bool have_not_run(struct client *client)
{
	bool some = client->n_ran > 0, all = client->n_ran >= client->n_noted;

	if (client_is(client, CLIENT_EXTENDED_SETS) && !all && some && client->params_before && client->server) {
		touch_difference(client);
		server_set(client->server, SERVER_TAINTED);
	}
	return client_is(client, CLIENT_EXTENDED_SETS) && !all;
}

void setting_settled(struct client *client, bool failed)
{
	struct server *server = client->server;
	bool is_noted;

	if (UNLIKELY(!TAILQ_EMPTY(&client->restores)) &&
		(server == NULL || (server->xact == PGW_XACT_IDLE && server->expects.n == 0)))
		restore_portals_gone(client);
	if (UNLIKELY(client->n_noted > 0)) {
		failed |= have_not_run(client);
		client_unset(client, CLIENT_EXTENDED_SETS);
		client->n_noted = client->n_ran = 0;
	}

	if (UNLIKELY(client->listen != NULL))
		listen_settled(client, failed);
	if (UNLIKELY(client_is(client, CLIENT_RESETS_ALL))) {
		client_unset(client, CLIENT_RESETS_ALL);
		if (!failed && server && client->state != CLIENT_GONE)
			reset_all(client, server);
	}
	if (UNLIKELY(client->xact_class != 0) && (server == NULL || server->xact == PGW_XACT_IDLE))
		settle_class(client, failed);
	if (server == NULL || server->xact == PGW_XACT_IDLE)
		setting_meaning_ends(client);
	if (LIKELY(client->params_before == NULL))
		return;
	/* Parameters of ours that failed ahead of it have put the server's own back. */
	is_noted = server && server->params == client->params;
	if (failed) {
		param_set_unref(&client->params);
		client->params = param_set_ref(client->params_before);
	}
	if (failed && is_noted) {
		param_set_unref(&server->params);
		server->params = param_set_ref(client->params_before);
	}
	param_set_unref(&client->params_before);
	if (client->resets == NULL)
		return;
	if (!failed && server && client->state != CLIENT_GONE)
		setting_take_resets(client, server);
	setting_forget_resets(client);
}
