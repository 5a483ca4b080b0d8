/* SPDX-License-Identifier: ISC */
/*
 * A server that is lost, or given up, in the middle of something: what its client is told, and what was under way is forgotten.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "session/client.h"
#include "session/listen_server.h"
#include "session/pin.h"
#include "session/replication.h"
#include "session/search.h"
#include "session/server.h"
#include "session/setting.h"
#include "session/write_sync.h"

/* What its client lost with a server. */
struct loss {
	bool is_in_reply; /* in the middle of a message */
	bool is_session;  /* its session has state that is gone */
	bool is_unsure;	  /* what was under way may have been committed, and nobody has said so */
};

/*
 * Of a transaction all is rolled back, unless its end was under way. What stands alone commits by itself. A batch without its Sync
 * does not; a replica's statements only read.
 */
static bool may_be_committed(const struct client *client, const struct server *server)
{
	if (server->pool != client->pool || server->expects.n == 0)
		return false;
	return client_is(client, CLIENT_BATCH_HAS_XACT) ||
	       (client->xact == XACT_NONE && client_is(client, CLIENT_AWAITS_READY));
}

static enum pgw_fault_id lost_fault(const struct client *client, const struct loss *loss)
{
	if (loss->is_session || loss->is_in_reply)
		return PGW_FAULT_SERVER_LOST_FATAL;
	return loss->is_unsure && !client_is(client, CLIENT_LANE_TIMEOUT) ? PGW_FAULT_COMMIT_UNKNOWN : PGW_FAULT_SERVER_LOST;
}

static void tell_lost(struct client *client, struct server *server, const char *why, const struct loss *loss)
{
	struct pgw_fault fault;

	if (server_is(server, SERVER_VIOLATED)) { /* who knows which replies it waits for */
		pgw_fault_set(&fault, PGW_FAULT_PROTOCOL_VIOLATION, NULL, "%s", server->last_words);
		client_fatal(client, &fault);
		return;
	}
	pgw_fault_set(&fault, lost_fault(client, loss), NULL, "%s",
		server->last_words[0] ? server->last_words : why);
	if (client_is(client, CLIENT_LANE_TIMEOUT))
		client_lane_timeout_fault(client, &fault);
	if (loss->is_in_reply) { /* half a message went out: nothing can be said behind it */
		client_disconnect(client, "server lost in the middle of a message");
		return;
	}
	if (loss->is_session) {
		client_fatal(client, &fault);
		return;
	}
	client_statement_ends(client, clock_mono_us(), true);
	if (client_is(client, CLIENT_AWAITS_READY)) {
		/* Its Query or Sync was sent: error and ReadyForQuery are the reply. */
		client_unset(client, CLIENT_AWAITS_READY);
		client_unset(client, CLIENT_EXTENDED);
		if (loss->is_unsure && client->xact == XACT_SERVER) { /* committed or not, it is over */
			client->xact = XACT_NONE;
			client_xact_over(client);
		}
		client_error_simple(client, &fault);
	} else if (client_is(client, CLIENT_EXTENDED)) {
		client_error(client, &fault);
	} else if (client->xact == XACT_SERVER) {
		client->xact = XACT_FAILED;
		client->was_idle = false;
		client_set(client, CLIENT_SERVER_LOST);
	}
}

bool link_is_in_reply(const struct server *server)
{
	return server->skip_bytes > 0 && !server_is(server, SERVER_SKIP_SWALLOW);
}

/* What was under way on a server that is gone. */
static void forget_batch(struct client *client)
{
	client_unset(client, CLIENT_BIG_UNNAMED);
	client_unset(client, CLIENT_COPY_ENDED);
	client_unset(client, CLIENT_BATCH_HAS_XACT | CLIENT_REPLAYS | CLIENT_REPLAYED);
	search_drop(client);
	setting_settled(client, true);
	client->xact_class = client->commit_class = 0;
	setting_meaning_ends(client);
	client_names_failed(client, UINT32_MAX);
	mem_free(client->fault);
	client->fault = NULL;
	mem_free(client->replay);
	client->replay = NULL;
	write_sync_free(&client->sync);
}

void link_server_lost(struct server *server, const char *why)
{
	struct client *client = server->client;
	struct loss loss = {.is_in_reply = link_is_in_reply(server)};

	if (client == NULL) {
		if (UNLIKELY(server->listener != NULL))
			listen_server_lost(server, server->last_words[0] ? server->last_words : why, false);
		server_dead(server, why);
		return;
	}
	if (server->state != SERVER_CONNECTING)
		STAT_ADD(server->worker->counters.n_connection_errors, 1);
	if (client->state == CLIENT_WAITING)
		client_stop_waiting(client); /* a swap of lanes */
	loss.is_session = client_is(client, CLIENT_SESSION) || pin_has_state(client) || pin_is_asking(client) ||
			  listen_has_state(client);
	loss.is_unsure = may_be_committed(client, server);
	if (client->state == CLIENT_SEARCHING)
		search_drop(client);
	if (UNLIKELY(server->tally.is_used))
		tally_lost(server);
	link_part(client, server);
	(void)!lane_release(
		client->worker->cluster->ledger, &client->ticket, NULL, clock_mono_us());
	if (server_is(server, SERVER_ENDED) || server->stream.fd < 0)
		server_dead(server, why);
	else
		server_close(server, why);
	if (client->state == CLIENT_GONE) {
		client_maybe_free(client);
		return;
	}
	if (client->state == CLIENT_EXPECT_WELCOME) {
		login_server_welcomed(
			client, false, server->last_words[0] ? server->last_words : why);
		return;
	}
	if (client->replication) {
		replication_server_gone(client, why);
		return;
	}
	client_to(client, CLIENT_IDLE);
	forget_batch(client);
	if (client->skip_bytes)
		client_set(client, CLIENT_DROP_MESSAGE);
	tell_lost(client, server, why, &loss);
	if (client->state == CLIENT_IDLE)
		client_resume(client);
}

bool link_roll_back_idle(struct client *client)
{
	struct server *server = client->server;

	if (client_is(client, CLIENT_SESSION | CLIENT_EXTENDED) || (client->pin && client->pin->reasons != PIN_SEQUENCE) ||
		client->state != CLIENT_LINKED ||
		server->expects.n > 0 || server->n_cancels > 0 || client->skip_bytes > 0 ||
		stream_is_blocked(&server->stream) || link_is_in_reply(server) ||
		server_is(server, SERVER_COPY_IN | SERVER_COPY_BOTH))
		return false;
	pin_end(client);
	setting_settled(client, true);
	write_sync_free(&client->sync);
	client_xact_over(client);
	client_statement_ends(client, loop_now_us(&client->worker->loop), true);
	client->xact = XACT_FAILED;
	client->was_idle = true;
	client_set(client, CLIENT_SERVER_LOST);
	server_set(server, SERVER_ROLLS_BACK);
	inject_query(server, "ROLLBACK", 0);
	return true;
}

void link_abort_transaction(struct client *client)
{
	struct server *server = client->server;

	if (server == NULL)
		return;
	if (link_is_in_reply(server)) { /* nothing can be said behind half a message */
		client_disconnect(client, "transaction aborted in the middle of a message");
		return;
	}
	if (UNLIKELY(server->tally.is_used))
		tally_transaction_end(server);
	link_part(client, server);
	(void)!lane_release(
		client->worker->cluster->ledger, &client->ticket, NULL, clock_mono_us());
	server_close(server, "its client's transaction was aborted");
	client_to(client, CLIENT_IDLE);
	client_statement_ends(client, clock_mono_us(), true);
	forget_batch(client);
}
