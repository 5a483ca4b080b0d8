/* SPDX-License-Identifier: ISC */
#include "session/replication.h"

#include <string.h>

#include "session/login.h"

/* ---- the startup parameter ---- */

/* parse_bool() of PostgreSQL: any beginning of a word that no other has. */
static bool begins(const char *value, const char *word, size_t n_at_least)
{
	size_t n = strlen(value);

	return n >= n_at_least && strncasecmp(value, word, n) == 0;
}

bool replication_parse(const char *value, enum replication *replication_r)
{
	bool on = begins(value, "true", 1) || begins(value, "yes", 1) || begins(value, "on", 2) || strcmp(value, "1") == 0;

	*replication_r = on ? REPLICATION_PHYSICAL : REPLICATION_NONE;
	if (strcmp(value, "database") == 0)
		*replication_r = REPLICATION_LOGICAL;
	return *replication_r != REPLICATION_NONE || begins(value, "false", 1) || begins(value, "no", 1) ||
	       begins(value, "off", 2) || strcmp(value, "0") == 0;
}

const char *replication_name(uint8_t replication)
{
	static const char *const names[] = {
		[REPLICATION_NONE] = "none",
		[REPLICATION_PHYSICAL] = "physical",
		[REPLICATION_LOGICAL] = "logical",
	};

	return names[replication];
}

/* Names that ProcessStartupPacket() knows; all others are settings. */
static bool is_of_packet(const char *name)
{
	return strcmp(name, "user") == 0 || strcmp(name, "database") == 0 || strcmp(name, "options") == 0 ||
	       strcmp(name, "replication") == 0 || strncmp(name, "_pq_.", 5) == 0 || name[0] == '\0';
}

const char *replication_unfit(const struct param_list *asked)
{
	unsigned i;

	for (i = 0; i < asked->n; i++)
		if (is_of_packet(asked->items[i].name))
			return asked->items[i].name;
	return NULL;
}

size_t replication_startup(const struct server *server, struct pgw_param params[static REPLICATION_PARAMS])
{
	const struct param_list *asked = &server->client->login->asked;
	size_t n = 0;
	unsigned i;

	MUST(replication_unfit(asked) == NULL);
	for (i = 0; i < asked->n; i++)
		params[n++] = (struct pgw_param){asked->items[i].name, asked->items[i].value};
	params[n++] = (struct pgw_param){"replication", server->replication == REPLICATION_LOGICAL ? "database" : "true"};
	return n;
}

/* ---- what the client says ---- */

static bool is_of_copy(uint8_t type)
{
	return type == PGW_COPY_DATA || type == PGW_COPY_DONE || type == PGW_COPY_FAIL;
}

/* A command waits while its client does not read, while too much is expected, and while a cancel request could hit it. */
static bool must_wait(const struct client *client)
{
	const struct server *server = client->server;

	return stream_is_blocked(&client->stream) || expect_is_full(&server->expects) ||
	       (server->n_cancels > 0 && server->expects.n_of_batch == 0);
}

static enum step pass(struct feed *feed, const struct pgw_frame *frame, enum expect_kind kind)
{
	struct client *client = feed->client;

	if (must_wait(client))
		return STEP_WAIT;
	expect_push(&client->server->expects, (struct expect){.kind = (uint8_t)kind});
	if (kind == EXPECT_QUERY || kind == EXPECT_SYNC)
		client_unset(client, CLIENT_EXTENDED | CLIENT_DISCARD);
	else
		client_set(client, CLIENT_EXTENDED);
	return feed_forward(feed, frame);
}

/* A walsender knows no extended protocol, but how to refuse it. */
enum step replication_feed(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;

	MUST(client->state == CLIENT_LINKED);
	switch (frame->type) {
	case PGW_QUERY:
	case PGW_FUNCTION_CALL:
		return pass(feed, frame, EXPECT_QUERY);
	case PGW_PARSE:
		return pass(feed, frame, EXPECT_PARSE);
	case PGW_BIND:
		return pass(feed, frame, EXPECT_BIND);
	case PGW_DESCRIBE:
		return pass(feed, frame, EXPECT_DESCRIBE);
	case PGW_CLOSE:
		return pass(feed, frame, EXPECT_CLOSE);
	case PGW_EXECUTE:
		return pass(feed, frame, EXPECT_EXECUTE);
	case PGW_SYNC:
		return pass(feed, frame, EXPECT_SYNC);
	case PGW_TERMINATE:
		client_disconnect(client, "client close request");
		return STEP_GONE;
	case PGW_FLUSH:
		return feed_forward(feed, frame);
	default:
		return is_of_copy(frame->type) ? feed_forward(feed, frame) : feed_violation(feed, PGW_E_VALUE);
	}
}

/* ---- the end ---- */

bool replication_streams(const struct client *client)
{
	return client->replication != REPLICATION_NONE && client->server && server_is(client->server, SERVER_COPY_BOTH);
}

/*
 * A stream ends by Terminate, which server_close() sends where nothing is expected. What else is under way does not look for one: without the
 * cancel request a base backup would be read to its end, for nobody.
 */
void replication_client_gone(struct client *client)
{
	struct server *server = client->server;

	if (server->state == SERVER_CONNECTING)
		return;
	if (server->expects.n > 0 && !server_is(server, SERVER_COPY_BOTH))
		cancel_server(server, NULL);
	if (client->skip_bytes == 0)
		expect_clear(&server->expects);
}

void replication_server_gone(struct client *client, const char *why)
{
	client_set(client, CLIENT_LINGERS);
	client_disconnect(client, why);
}
