/* SPDX-License-Identifier: ISC */
/*
 * Cancel requests. Clients get keys of pglane's own: the pid names the worker and the client, the
 * secret is random. A request travels to the target's worker and there either takes the client out
 * of its queue, or becomes a CancelRequest to the server that runs the client's statement. That
 * server is not reused, and gets no further statement, until the request's connection was closed by
 * PostgreSQL: by then the signal was sent. The key that a request carries is all that it takes to
 * cancel: it goes through TLS as the server's own connection does.
 */
#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "io/tls.h"
#include "pgw/startup.h"
#include "session/client.h"
#include "session/search.h"
#include "session/server.h"

#define PID_WORKER_SHIFT 25
#define PID_COUNTER_MASK ((1u << PID_WORKER_SHIFT) - 1)
#define KEY_BUCKETS 1024u
#define KEY_BYTES_3_0 4u

enum cancel_step { CANCEL_CONNECT, CANCEL_EXPECT_TLS_ANSWER, CANCEL_TLS, CANCEL_EXPECT_END };

struct cancel {
	LIST_ENTRY(cancel) link;
	enum cancel_step step;
	struct stream stream;
	struct worker *worker;
	struct server *server;
	struct client *canceller; /* told when it is over; NULL: nobody asked */
	struct timer timer;
	struct task task;
};

/* ---- keys ---- */

static struct client **bucket_of(struct worker *worker, uint32_t pid)
{
	return &worker->keys[pid % KEY_BUCKETS];
}

void cancel_register(struct client *client)
{
	struct worker *worker = client->worker;
	struct client **bucket;

	if (worker->keys == NULL)
		worker->keys = mem_zalloc(KEY_BUCKETS * sizeof(struct client *));
	client->key_pid = worker->index << PID_WORKER_SHIFT |
			  (__atomic_add_fetch(&worker->cluster->next_key, 1, __ATOMIC_RELAXED) &
				  PID_COUNTER_MASK);
	rng_bytes(client->key, sizeof(client->key));
	bucket = bucket_of(worker, client->key_pid);
	client->next_key = *bucket;
	*bucket = client;
	client_set(client, CLIENT_HAS_KEY);
}

size_t cancel_key_bytes(const struct client *client)
{
	return client_is(client, CLIENT_PROTOCOL_32) ? CLIENT_KEY_BYTES : KEY_BYTES_3_0;
}

void cancel_forget(struct client *client)
{
	struct client **at;

	if (!client_is(client, CLIENT_HAS_KEY))
		return;
	client_unset(client, CLIENT_HAS_KEY);
	for (at = bucket_of(client->worker, client->key_pid); *at != client; at = &(*at)->next_key)
		;
	*at = client->next_key;
}

static struct client *find_target(
	struct worker *worker, uint32_t pid, const uint8_t *key, size_t n_key)
{
	struct client *client;

	if (worker->keys == NULL)
		return NULL;
	for (client = *bucket_of(worker, pid); client; client = client->next_key)
		if (client->key_pid == pid && n_key == cancel_key_bytes(client) &&
			CRYPTO_memcmp(client->key, key, n_key) == 0)
			return client;
	return NULL;
}

/* ---- to the server ---- */

struct over {
	struct mail mail;
	struct client *canceller;
};

static void on_over(struct mail *mail, void *owner)
{
	struct over *over = CONTAINER_OF(mail, struct over, mail);
	struct client *canceller = over->canceller;

	mem_free(over);
	client_unset(canceller, CLIENT_CANCEL_RUNS);
	if (canceller->state == CLIENT_GONE)
		client_maybe_free(canceller);
	else
		client_disconnect(canceller, "cancel request done");
}

/* The connection that asked is closed: libpq waits for that. */
static void tell_canceller(struct client *canceller)
{
	struct over *over;

	if (canceller == NULL)
		return;
	over = mem_zalloc(sizeof(*over));
	over->canceller = canceller;
	mailbox_post(&canceller->worker->mailbox, &over->mail, on_over);
}

static void free_cancel(struct task *task)
{
	mem_free(CONTAINER_OF(task, struct cancel, task));
}

static void finish(struct cancel *cancel)
{
	if (cancel->server == NULL)
		return;
	timer_stop(&cancel->timer);
	stream_close(&cancel->stream);
	LIST_REMOVE(cancel, link);
	tell_canceller(cancel->canceller);
	server_cancel_done(cancel->server);
	cancel->server = NULL;
	loop_task(&cancel->worker->loop, &cancel->task, free_cancel);
}

/* Whether and when its signal arrives is unknown: the server must not serve another statement. */
static void fail(struct cancel *cancel, const char *what)
{
	log_rated(LOG_LEVEL_WARNING, "S-%llu: cancel request failed: %s",
		(unsigned long long)cancel->server->id, what);
	server_set(cancel->server, SERVER_RETIRE);
	finish(cancel);
}

static void on_cancel_deadline(struct timer *timer)
{
	fail(CONTAINER_OF(timer, struct cancel, timer), "no answer within cancel_wait_timeout");
}

static bool send_request(struct cancel *cancel)
{
	uint8_t message[16 + PGW_CANCEL_KEY_MAX_BYTES];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));
	struct server *server = cancel->server;

	cancel->step = CANCEL_EXPECT_END;
	pgw_build_cancel(&writer, server->pid, server->key, server->n_key_bytes);
	if (stream_send(&cancel->stream, message, writer.len))
		return true;
	fail(cancel, "send");
	return false;
}

static bool shake_hands(struct cancel *cancel)
{
	char error[TLS_ERROR_BYTES];

	switch (tls_handshake(cancel->stream.ssl, error)) {
	case TLS_STEP_DONE:
		cancel->stream.flags |= STREAM_READABLE;
		return send_request(cancel);
	case TLS_STEP_WANT_READ:
	case TLS_STEP_WANT_WRITE:
		cancel->stream.flags &= (uint16_t)~STREAM_READABLE;
		cancel->stream.flags |= STREAM_TLS_WANTS_WRITE;
		return false;
	case TLS_STEP_FAILED:
	default:
		fail(cancel, error);
		return false;
	}
}

static bool read_tls_answer(struct cancel *cancel)
{
	struct worker *worker = cancel->worker;
	uint8_t answer = 0;
	size_t n;
	enum stream_result result = stream_recv(&cancel->stream, &answer, 1, &n);

	if (result == STREAM_AGAIN)
		return false;
	if (answer == 'S' && worker->settings->server_tls) {
		cancel->stream.ssl = tls_connect_new(
			worker->settings->server_tls, cancel->stream.fd, cancel->server->host);
		cancel->step = CANCEL_TLS;
		return shake_hands(cancel);
	}
	if (answer == 'N' && worker_config(worker)->server_tls.mode < TLS_REQUIRE)
		return send_request(cancel);
	fail(cancel, answer == 'N' ? "the server does not offer TLS, and server_tls_sslmode demands it"
				   : "unexpected answer to SSLRequest");
	return false;
}

/* PostgreSQL answers with the end of file, after the signal was sent. */
static bool read_end(struct cancel *cancel)
{
	uint8_t nothing[16];
	size_t n;

	if (stream_recv(&cancel->stream, nothing, sizeof(nothing), &n) != STREAM_AGAIN)
		finish(cancel);
	return false;
}

static void on_cancel_readable(struct stream *stream)
{
	struct cancel *cancel = CONTAINER_OF(stream, struct cancel, stream);
	bool more = true;

	while (more && cancel->server && stream_has_input(stream)) {
		if (cancel->step == CANCEL_EXPECT_TLS_ANSWER)
			more = read_tls_answer(cancel);
		else if (cancel->step == CANCEL_TLS)
			more = shake_hands(cancel);
		else
			more = read_end(cancel);
	}
}

static void on_cancel_drained(struct stream *stream)
{
}

static void on_cancel_connected(struct stream *stream, int error_number)
{
	struct cancel *cancel = CONTAINER_OF(stream, struct cancel, stream);
	uint8_t message[8];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));

	if (error_number != 0) {
		fail(cancel, "connect");
		return;
	}
	if (!server_asks_for_tls(cancel->server)) {
		if (!send_request(cancel))
			return;
	} else {
		cancel->step = CANCEL_EXPECT_TLS_ANSWER;
		pgw_build_ssl_request(&writer);
		if (!stream_send(stream, message, writer.len)) {
			fail(cancel, "send");
			return;
		}
	}
	on_cancel_readable(stream);
}

static const struct stream_ops cancel_ops = {
	.on_readable = on_cancel_readable,
	.on_drained = on_cancel_drained,
	.on_connected = on_cancel_connected,
};

void cancel_server(struct server *server, struct client *canceller)
{
	struct worker *worker = server->worker;
	struct cancel *cancel;

	if (server->key == NULL || server->n_key_bytes == 0 || server_is(server, SERVER_FREED)) {
		tell_canceller(canceller);
		return;
	}
	cancel = mem_zalloc(sizeof(*cancel));
	cancel->worker = worker;
	cancel->server = server;
	cancel->canceller = canceller;
	STAT_ADD(worker->counters.n_cancels, 1);
	server->n_cancels++;
	LIST_INSERT_HEAD(&worker->cancels, cancel, link);
	if (!stream_connect(&cancel->stream, &worker->loop, &server->addr.sa, server->addr.len,
		    &cancel_ops)) {
		cancel->stream.fd = -1;
		fail(cancel, "connect");
		return;
	}
	loop_timer(&worker->loop, &cancel->timer, worker_config(worker)->cancel_wait_timeout_us,
		on_cancel_deadline);
}

void cancel_close_all(struct worker *worker)
{
	struct cancel *cancel;

	while ((cancel = LIST_FIRST(&worker->cancels)) != NULL)
		finish(cancel);
}

/* ---- from a client ---- */

void cancel_client(struct client *client, struct client *canceller)
{
	if (client->state == CLIENT_WAITING) {
		client_cancel_waiting(client);
		tell_canceller(canceller);
	} else if (client->state == CLIENT_SEARCHING) {
		search_cancel(client);
		tell_canceller(canceller);
	} else if (client->state == CLIENT_LINKED && client->server->expects.n > 0 &&
		   client->server->expects.n_of_batch > 0) { /* not what is ours */
		cancel_server(client->server, canceller);
	} else if (client->state == CLIENT_CONSOLE) {
		client->worker->cluster->console->cancel(client);
		tell_canceller(canceller);
	} else {
		tell_canceller(canceller);
	}
}

struct request {
	struct mail mail;
	struct client *canceller;
	uint32_t pid;
	size_t n_key;
	uint8_t key[PGW_CANCEL_KEY_MAX_BYTES];
};

static void on_request(struct mail *mail, void *owner)
{
	struct request *request = CONTAINER_OF(mail, struct request, mail);
	struct client *target = find_target(owner, request->pid, request->key, request->n_key);

	if (target)
		cancel_client(target, request->canceller);
	else
		tell_canceller(request->canceller);
	mem_free(request);
}

void cancel_request(struct client *canceller, uint32_t pid, const uint8_t *key, size_t n_key)
{
	struct cluster *cluster = canceller->worker->cluster;
	uint32_t index = pid >> PID_WORKER_SHIFT;
	struct request *request;

	if (index >= cluster->n_workers || n_key > PGW_CANCEL_KEY_MAX_BYTES) {
		client_disconnect(canceller, "cancel request for nobody");
		return;
	}
	request = mem_zalloc(sizeof(*request));
	request->canceller = canceller;
	request->pid = pid;
	request->n_key = n_key;
	memcpy(request->key, key, n_key);
	client_set(canceller, CLIENT_CANCEL_RUNS);
	mailbox_post(&cluster->workers[index].mailbox, &request->mail, on_request);
}
