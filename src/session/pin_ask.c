/* SPDX-License-Identifier: ISC */
/*
 * The question of a pin (pin.h): what is in the session, and which values the settings have that were touched. One query, swallowed.
 */
#include "session/pin.h"

#include "base/mem.h"
#include "base/strbuf.h"
#include "session/listen.h"
#include "session/replica.h"
#include "session/server.h"
#include "session/setting.h"
#include "session/sql_prepared.h"

#define FAILURES_MAX 3u /* until what it asks for is taken to be unknown */
#define EQ " OPERATOR(pg_catalog.=) "

/*
 * What the session has, in the bits of enum pin_reason. All of it is cheap: an index of pg_depend, and functions that look at
 * this session alone, but for pg_locks. Temporary objects depend on the schema of their session; 2615 is pg_namespace.
 */
#define ASK_STATE                                                                                  \
	"SELECT '', (CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid = 2615 "  \
	"AND refobjid = pg_catalog.pg_my_temp_schema()) THEN 1 ELSE 0 END"                         \
	" + CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable) "               \
	"THEN 2 ELSE 0 END"                                                                        \
	" + CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND "    \
	"pid = pg_catalog.pg_backend_pid()) THEN 4 ELSE 0 END"                                     \
	" + CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_listening_channels()) THEN 8 ELSE 0 END"   \
	" + CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE "
#define ASK_STATE_END ") THEN 16 ELSE 0 END)::text"

/* All that this session has set, of those that have a row there: all but custom ones. */
#define ASK_LISTED                                                                                 \
	"SELECT name, pg_catalog.current_setting(name, true) FROM pg_catalog.pg_settings "         \
	"WHERE source" EQ "'session'"

static void add_equals(struct strbuf *sql, const char *current, const struct param *param, const char *before)
{
	strbuf_addf(sql, "%s%s" EQ, before, current);
	param_add_text(sql, param->value, param->encoding);
}

/*
 * A row for each: name, and value. Null when there is none of that name, or, of what the client connected with, when it is what RESET makes of it. A custom
 * one is in no list, and empty then. Who set it is looked up only for a value that is neither the login's nor the one that the client had: a server whose
 * default that is has not been given it.
 */
static void add_setting(struct strbuf *sql, const char *name, const struct client *client)
{
	const struct param *login = param_set_find(client->params_login, name), *had = param_set_find(client->pin->before, name);
	struct strbuf current = STRBUF_INIT;

	strbuf_adds(&current, "pg_catalog.current_setting(");
	strbuf_add_literal(&current, name);
	strbuf_adds(&current, ", true)");
	strbuf_adds(sql, sql->len ? " UNION ALL SELECT " : "SELECT ");
	strbuf_add_literal(sql, name);
	if (login == NULL) {
		strbuf_addf(sql, ", %s", current.data);
	} else {
		strbuf_adds(sql, ", CASE WHEN ");
		add_equals(sql, current.data, login, "");
		if (had)
			add_equals(sql, current.data, had, " OR ");
		strbuf_addf(sql, " THEN %s ELSE ", current.data);
		if (strchr(name, '.')) {
			strbuf_addf(sql, "CASE WHEN %s" EQ "'' THEN NULL ELSE %s END END", current.data, current.data);
		} else {
			strbuf_adds(sql, "(SELECT pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE source" EQ
					 "'session' AND pg_catalog.lower(name)" EQ "pg_catalog.lower(");
			strbuf_add_literal(sql, name);
			strbuf_adds(sql, ")) END");
		}
	}
	strbuf_release(&current);
}

static void ask_for_settings(struct client *client, struct strbuf *sql)
{
	struct pin *pin = client->pin;
	unsigned i;

	for (i = 0; pin->touched.all && i < client->params->n; i++)
		touched_add(&pin->touched, client->params->items[i].name);
	TOUCHED_FOREACH(name, &pin->touched) {
		add_setting(sql, name, client);
	}
	if (pin->touched.listed)
		strbuf_addf(sql, "%s%s", sql->len ? " UNION ALL " : "", ASK_LISTED);
	pin->answered = mem_alloc(sizeof(*pin->answered));
	param_list_init(pin->answered, NULL);
}

void pin_ask(struct client *client, struct server *server)
{
	struct pin *pin = client->pin;
	struct strbuf sql = STRBUF_INIT;

	if (client->listen)
		client->listen->is_answered = false;
	if (pin->reasons & PIN_ASKED) {
		strbuf_adds(&sql, ASK_STATE);
		sql_prepared_add_condition(client, server, &sql); /* those that are followed are no pin */
		strbuf_adds(&sql, ASK_STATE_END);
		listen_ask(client, &sql);
	}
	if (touched_any(&pin->touched))
		ask_for_settings(client, &sql);
	pin->must_ask = pin->has_run = false;
	pin->is_asking = true;
	if (pin->may_end) /* what it gives up is for the next at once */
		pin_uncount(client);
	pin->may_end = false;
	if (client->listen == NULL && !touched_any(&pin->touched)) { /* its text is one of a few: they are planned once */
		inject_question(server, sql.data);
		inject_question_ends(server);
	} else {
		inject_query(server, sql.data, EXPECT_ANSWER);
	}
	strbuf_release(&sql);
}

/* ---- the answer ---- */

static bool parse_reasons(const char *text, uint8_t *reasons_r)
{
	unsigned reasons = 0;

	for (; *text; text++) {
		if (*text < '0' || *text > '9' || reasons > PIN_ASKED)
			return false;
		reasons = reasons * 10 + (unsigned)(*text - '0');
	}
	*reasons_r = (uint8_t)(reasons & PIN_ASKED);
	return true;
}

/* The next column of a DataRow as a string of its own; *value_r is NULL for null. */
static bool read_column(const uint8_t **at, const uint8_t *end, char **value_r)
{
	uint32_t n;

	*value_r = NULL;
	if (end - *at < 4)
		return false;
	n = (uint32_t)(*at)[0] << 24 | (uint32_t)(*at)[1] << 16 | (uint32_t)(*at)[2] << 8 | (*at)[3];
	*at += 4;
	if (n == UINT32_MAX)
		return true;
	if (n > (size_t)(end - *at))
		return false;
	*value_r = mem_strndup((const char *)*at, n);
	*at += n;
	return true;
}

static bool take_row(struct client *client, const char *name, const char *value)
{
	struct pin *pin = client->pin;
	uint8_t reasons;

	if (strcmp(name, LISTEN_COLUMN) == 0) {
		if (value && value[0])
			listen_answer(client, value);
		return true;
	}
	if (name[0] != '\0') {
		if (pin->answered == NULL)
			return false;
		/* Null is a name that nobody knows any more, nor set before, or one that was reset. */
		if (value == NULL && param_set_get(client->params_login, name))
			setting_was_reset(client, name);
		if (value && (touched_is_of_one_server(name, value) ||
				     !param_list_set(pin->answered, name, value)))
			pin->touched.unknown = true; /* it cannot be followed, or is too long */
		return true;
	}
	if (value == NULL || !parse_reasons(value, &reasons))
		return false;
	/* What was noted behind the question is not in the answer. */
	if (!pin->must_ask)
		pin->reasons &= (uint8_t)~PIN_ASKED;
	pin->reasons |= reasons;
	return true;
}

bool pin_answer(struct server *server, const uint8_t *body, size_t n, bool whole)
{
	struct client *client = server->client;
	const uint8_t *at = body + 2, *end = body + n;
	char *name = NULL, *value = NULL;
	bool ok = n > 2 && body[0] == 0 && body[1] == 2 && read_column(&at, end, &name) && name &&
		  read_column(&at, end, &value) && at == end;

	if (!whole) { /* a value longer than can be followed */
		mem_free(name);
		mem_free(value);
		if (client && client->pin)
			client->pin->touched.unknown = true;
		return true;
	}
	if (ok && server_is(server, SERVER_ASKED))
		leak_row(server, name, value);
	else if (ok && client && pin_is_asking(client))
		ok = take_row(client, name, value);
	mem_free(name);
	mem_free(value);
	return ok;
}

/* A new reference. of_replica: what is ours there is not the client's. */
static struct param_set *with_answers(struct client *client, const struct param_set *before, bool of_replica)
{
	struct pin *pin = client->pin;
	struct param_list list;
	struct param_set *set;
	unsigned i;

	param_list_init(&list, before);
	for (i = 0; i < pin->answered->n; i++) {
		const struct param *param = &pin->answered->items[i];

		if (of_replica && replica_is_our_param(param->name))
			continue;
		if (!param_list_set(&list, param->name, param->value))
			pin->touched.unknown = true;
	}
	if (client->resets) {
		TOUCHED_FOREACH(name, client->resets) {
			(void)!param_list_set(&list, name, NULL);
		}
	}
	set = param_set_intern(&list);
	param_list_release(&list);
	return set;
}

/* What the server has is what its client is to find on every server; what was reset there is the client's as it connected. */
static void take_settings(struct client *client, struct server *server)
{
	struct param_set *set = with_answers(client, server->params, false);

	param_set_unref(&server->params);
	server->params = set;
	set = with_answers(client, client->params, server->pool != client->pool);
	param_set_unref(&client->params);
	client->params = set;
	setting_take_resets(client, server);
}

void pin_answered(struct server *server, bool failed)
{
	struct client *client = server->client;
	struct pin *pin;

	if (server_is(server, SERVER_ASKED)) {
		leak_answered(server, failed);
		return;
	}
	if (client == NULL || !pin_is_asking(client))
		return;
	pin = client->pin;
	pin->is_asking = false;
	listen_answered(client, failed);
	if (failed) { /* what was there is taken to be there still; a late cancel may have hit it */
		pin->has_run = true;
		if (++pin->n_failures < FAILURES_MAX)
			pin->must_ask = true;
		else
			pin->touched.unknown |= pin->answered != NULL;
	} else if (pin->answered) {
		take_settings(client, server);
	}
	if (pin->answered)
		param_list_release(pin->answered);
	mem_free(pin->answered);
	pin->answered = NULL;
	if (!pin->touched.unknown) {
		pin->reasons &= (uint8_t)~PIN_SETTING;
		if (!pin->must_ask) { /* else more were set behind the question */
			touched_release(&pin->touched);
			param_set_unref(&pin->before);
		}
	}
	if (client->xact == XACT_NONE && !pin->must_ask)
		setting_meaning_ends(client);
}
