/* SPDX-License-Identifier: ISC */
#include "session/replay.h"

#include "base/mem.h"
#include "session/search.h"
#include "session/server.h"
#include "session/setting.h"
#include "session/sql_names.h"

void replay_ring_release(struct replay_ring *ring)
{
	mem_free(ring->bytes);
	ring->bytes = NULL;
}

/* From `at` to behind its Sync; 0: that is not here, or it is too long, or it relies on an old description. */
static size_t batch_bytes(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *begin = at;
	bool describes = false;
	struct pgw_frame frame;

	while (pgw_frame_read(at, (size_t)(end - at), &frame) == PGW_OK &&
		frame.n_available == frame.n_body_bytes) {
		at += PGW_HEADER_BYTES + frame.n_body_bytes;
		if ((size_t)(at - begin) > REPLAY_BATCH_BYTES)
			return 0;
		if (frame.type == PGW_SYNC)
			return describes ? (size_t)(at - begin) : 0;
		describes |= frame.type == PGW_DESCRIBE && frame.body[0] == 'P';
	}
	return 0;
}

bool replay_keep(struct feed *feed)
{
	struct replay_ring *ring = &feed->worker->replay;
	size_t n = batch_bytes(feed->at, feed->end), offset = ring->n % REPLAY_RING_BYTES;

	if (n == 0)
		return false;
	if (UNLIKELY(ring->bytes == NULL))
		ring->bytes = mem_alloc(REPLAY_RING_BYTES);
	if (UNLIKELY(offset + n > REPLAY_RING_BYTES)) { /* in one piece */
		ring->n += REPLAY_RING_BYTES - offset;
		offset = 0;
	}
	memcpy(ring->bytes + offset, feed->at, n);
	feed->client->replay_at = ring->n;
	feed->client->n_replay = (uint16_t)n;
	ring->n += n;
	return true;
}

bool replay_says_stale(const struct pgw_error_view *error)
{
	return strcmp(error->sqlstate, "0A000") == 0 && strcmp(error->routine, "RevalidateCachedQuery") == 0;
}

bool replay_is_stale(const struct expect *front, const struct pgw_error_view *error)
{
	return front && front->kind == EXPECT_BIND && (front->hash.lo | front->hash.hi) != 0 &&
	       replay_says_stale(error);
}

/* What one of our names of statements is: "pglane_" and a hash. */
static bool names_copy(const char *text)
{
	const char *at = strstr(text, "pglane_");

	return at && strspn(at + 7, "0123456789abcdef") == STATEMENT_NAME_BYTES - 8;
}

bool replay_has_other_copies(const struct expect *front, const struct pgw_error_view *view)
{
	if (strcmp(view->sqlstate, "26000") == 0)
		return names_copy(view->message);
	return strcmp(view->sqlstate, "42P05") == 0 && front && front->kind == EXPECT_PARSE &&
	       (front->flags & EXPECT_COPY);
}

bool replay_begins(struct server *server, const struct expect *bind)
{
	struct client *client = server->client;
	const struct replay_ring *ring;
	bool kept;

	if (server_copies_has(&server->copies, bind->hash)) {
		server_copies_drop(&server->copies, bind->hash);
		server->stale = bind->hash;
		server_set(server, SERVER_HAS_STALE);
		(void)__atomic_add_fetch(
			&server->pool->shared->copies_epoch, 1, __ATOMIC_RELAXED);
	}
	if (client == NULL || !(bind->flags & EXPECT_REPLAY))
		return false;
	ring = &client->worker->replay;
	kept = client->replay_at + REPLAY_RING_BYTES >= ring->n;
	if (!kept || client->xact != XACT_NONE || client->state != CLIENT_LINKED || client->skip_bytes > 0)
		return false;
	client_set(client, CLIENT_REPLAYS);
	client->replay = input_new(ring->bytes + client->replay_at % REPLAY_RING_BYTES, client->n_replay);
	return true;
}

void replay_input(struct client *client)
{
	struct input *input = client->replay, *rest = client->input;
	size_t n = input->len, n_rest = input_bytes(rest);

	client->replay = NULL;
	search_again(client);
	if (n_rest > 0) {
		input = mem_realloc(input, sizeof(*input) + n + n_rest);
		memcpy(input->data + n, rest->data + rest->at, n_rest);
		input->len = input->cap = n + n_rest;
	}
	mem_free(rest);
	client->input = input;
	setting_settled(client, true);
	client_unset(client, CLIENT_AWAITS_READY);
	client_resume(client);
}

void replay_close_stale(struct server *server)
{
	char name[STATEMENT_NAME_BYTES];
	uint8_t bytes[2 * PGW_HEADER_BYTES + 2 + STATEMENT_NAME_BYTES];
	struct pgw_writer writer = pgw_writer_on(bytes, sizeof(bytes));

	server_unset(server, SERVER_HAS_STALE);
	statement_name(server->stale, name);
	pgw_build_target(&writer, PGW_CLOSE, 'S', name);
	pgw_build_empty(&writer, PGW_SYNC);
	inject_bytes(server, bytes, writer.len);
	expect_push(&server->expects,
		(struct expect){.kind = EXPECT_CLOSE, .flags = EXPECT_SWALLOW});
	expect_push(&server->expects, (struct expect){.kind = EXPECT_SYNC, .flags = EXPECT_SWALLOW});
}

void replay_drop_old_copies(struct server *server)
{
	uint32_t epoch = STAT_READ(server->pool->shared->copies_epoch);

	if (LIKELY(server->copies_epoch == epoch))
		return;
	server->copies_epoch = epoch;
	if (server_copies_count(&server->copies) == 0 && server->sql_names == NULL)
		return;
	server_copies_clear(&server->copies);
	sql_names_free(&server->sql_names);
	inject_query(server, "DEALLOCATE ALL", 0);
}
