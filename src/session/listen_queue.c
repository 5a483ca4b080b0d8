/* SPDX-License-Identifier: ISC */
/*
 * From the listener to a client: at once when it is at rest, else kept until it is, as PostgreSQL does. A message is kept once for
 * all clients of a worker; each client has a ring of references. Nothing is written to a client that does not read, and who lets more
 * than max_listen_bytes wait is ended.
 */
#include "base/mem.h"
#include "session/listen.h"
#include "session/pin.h"
#include "session/server.h"

#define ITEM_BYTES 16u /* of the ring, for each note */
#define RING_MIN 8u

struct note *note_new(const void *bytes, size_t n)
{
	struct note *note = mem_alloc(sizeof(*note) + n);
	size_t i;

	note->refs = 1;
	note->n_bytes = (uint32_t)n;
	note->is_ascii = true;
	memcpy(note->bytes, bytes, n);
	for (i = PGW_HEADER_BYTES + 4; i < n; i++) /* behind the pid of a NotificationResponse */
		note->is_ascii &= note->bytes[i] < 0x80;
	return note;
}

void note_unref(struct note **note)
{
	if (--(*note)->refs == 0)
		mem_free(*note);
	*note = NULL;
}

/* ---- the ring ---- */

static size_t cost_of(const struct note *note)
{
	return note->n_bytes + ITEM_BYTES;
}

static void grow(struct note_queue *queue)
{
	uint32_t i, cap = queue->cap ? 2 * queue->cap : RING_MIN;
	struct note_queue bigger = {.items = mem_alloc(cap * sizeof(*bigger.items)), .cap = cap, .n = queue->n};

	for (i = 0; i < queue->n; i++)
		bigger.items[i] = queue->items[(queue->head + i) & (queue->cap - 1)];
	bigger.n_bytes = queue->n_bytes;
	mem_free(queue->items);
	*queue = bigger;
}

static void push(struct note_queue *queue, struct note *note, const struct topic *topic)
{
	uint32_t at;

	if (queue->n == queue->cap)
		grow(queue);
	at = (queue->head + queue->n++) & (queue->cap - 1);
	queue->items[at].note = note;
	queue->items[at].topic = topic;
	queue->n_bytes += cost_of(note);
	note->refs++;
}

void note_queue_release(struct note_queue *queue)
{
	for (; queue->n > 0; queue->n--, queue->head++)
		note_unref(&queue->items[queue->head & (queue->cap - 1)].note);
	mem_free(queue->items);
	*queue = (struct note_queue){0};
}

static struct note *pop(struct note_queue *queue)
{
	struct note *note = queue->items[queue->head].note;

	queue->head = (queue->head + 1) & (queue->cap - 1);
	queue->n--;
	queue->n_bytes -= cost_of(note);
	return note;
}

static struct note_item *item_at(const struct note_queue *queue, uint32_t i)
{
	return &queue->items[(queue->head + i) & (queue->cap - 1)];
}

static void take_out(struct note_queue *queue, struct note_item *item)
{
	queue->n_bytes -= cost_of(item->note);
	note_unref(&item->note);
}

/* What was taken out leaves no gap. */
static void close_gaps(struct note_queue *queue)
{
	uint32_t i, n = queue->n;

	queue->n = 0;
	for (i = 0; i < n; i++)
		if (item_at(queue, i)->note)
			*item_at(queue, queue->n++) = *item_at(queue, i);
}

/* Returns how many of the first n_early it were. */
static uint32_t forget(struct note_queue *queue, const struct topic *topic, uint32_t n_early)
{
	uint32_t i, n = 0;

	for (i = 0; i < queue->n; i++) {
		if (item_at(queue, i)->topic != topic)
			continue;
		take_out(queue, item_at(queue, i));
		n += i < n_early;
	}
	close_gaps(queue);
	return n;
}

void listen_forget(struct listen *listen, const struct topic *topic)
{
	(void)forget(&listen->queue, topic, 0);
	listen->n_early -= forget(&listen->later, topic, listen->n_early);
}

/* ---- what both said ---- */

static bool is_same(const struct note *a, const struct note *b)
{
	return a == b || (a->n_bytes == b->n_bytes && memcmp(a->bytes, b->bytes, a->n_bytes) == 0);
}

/*
 * Its server did not hear the marker, as it was told to listen to nothing behind it, and then to some again. What it said first is what the
 * listener said last: the longest such is taken, so that nothing comes twice. Returns up to where in `later`.
 */
static uint32_t find_overlap(const struct note_queue *queue, const struct note_queue *later)
{
	uint32_t *place = mem_alloc((later->n + 1) * sizeof(*place)), *border = mem_alloc((later->n + 1) * sizeof(*border));
	uint32_t i, n = 0, k = 0;

	place[0] = border[0] = 0;
	for (i = 0; i < later->n; i++)
		if (item_at(later, i)->topic)
			place[n++] = i;
	for (i = 1; i < n; i++) { /* Knuth, Morris, Pratt */
		while (k > 0 && !is_same(item_at(later, place[i])->note, item_at(later, place[k])->note))
			k = border[k - 1];
		k += is_same(item_at(later, place[i])->note, item_at(later, place[k])->note);
		border[i] = k;
	}
	for (i = 0, k = 0; i < queue->n && n > 0; i++) {
		while (k > 0 && (k == n || !is_same(item_at(queue, i)->note, item_at(later, place[k])->note)))
			k = border[k - 1];
		k += is_same(item_at(queue, i)->note, item_at(later, place[k])->note);
	}
	n = k > 0 ? place[k - 1] + 1 : 0;
	mem_free(place);
	mem_free(border);
	return n;
}

/*
 * The server listens from the commit on, and says what came between that and the marker: of channels that its client listened to before
 * this is the end of what the listener said, of others the listener said nothing. So the order is the server's, and what the listener
 * said of it goes. What it did not say (it was lost) is not to come now, behind what came later.
 */
void listen_join(struct listen *listen)
{
	struct note_queue *queue = &listen->queue, *later = &listen->later;
	uint32_t i, n = queue->n;
	bool is_said = true;

	i = listen->is_back_marked ? listen->n_early : find_overlap(queue, later);
	for (; i > 0; i--) {
		struct note_item *item = item_at(later, i - 1);

		if (item->topic == NULL)
			continue;
		while (is_said && n > 0 && !is_same(item_at(queue, n - 1)->note, item->note))
			n--;
		is_said &= n > 0;
		if (is_said)
			take_out(queue, item_at(queue, --n));
		else
			take_out(later, item);
	}
	close_gaps(queue);
	close_gaps(later);
	listen_later_is_now(listen);
}

void listen_part_again(struct listen *listen)
{
	struct note_queue *later = &listen->later;
	uint32_t i;

	for (i = 0; i < later->n; i++)
		if (item_at(later, i)->topic)
			take_out(later, item_at(later, i));
	close_gaps(later);
	listen_later_is_now(listen);
}

/* ---- to the client ---- */

/* What it listens to is not in doubt. */
static bool is_settled(const struct client *client)
{
	const struct pin *pin = client->pin;

	/* Where nothing of the session is in doubt it will not be asked for it. */
	return !(pin && ((pin->must_ask && (pin->reasons & PIN_ASKED)) || pin->is_asking)) &&
	       client->listen->step == STEP_NONE;
}

bool listen_is_at_rest(const struct client *client)
{
	const struct server *server = client->server;

	if (client->xact != XACT_NONE || stream_is_blocked(&client->stream) || client->skip_bytes > 0 ||
		client_is(client, CLIENT_EXTENDED | CLIENT_DISCARD | CLIENT_AWAITS_READY) ||
		!is_settled(client))
		return false;
	if (client->state == CLIENT_IDLE)
		return true;
	return client->state == CLIENT_LINKED && server->expects.n == 0 &&
	       server->xact == PGW_XACT_IDLE && client->query_start_us == 0 &&
	       !link_is_in_reply(server) && !server_is(server, SERVER_COPY_IN | SERVER_COPY_BOTH);
}

/* false: its encoding is not the listener's, and the text is not the same in both; the janitor ends it. */
static bool can_be_read(struct client *client, const struct note *note)
{
	bool can = LIKELY(note->is_ascii) || listen_encoding_fits(client);

	client->listen->is_unreadable |= !can;
	return can;
}

static uint64_t limit_of(const struct listen *listen)
{
	return worker_config(listen->client->worker)->max_listen_bytes;
}

/* true: it was not kept, and its client has to be ended. */
static bool is_too_much(struct listen *listen, struct note_queue *queue, struct note *note, const struct topic *topic)
{
	if (listen->is_slow || /* what comes behind a gap may not be passed either */
		listen->queue.n_bytes + listen->later.n_bytes + cost_of(note) > limit_of(listen))
		return true;
	push(queue, note, topic);
	return false;
}

void listen_end_slow(struct client *client)
{
	struct listen *listen = client->listen;
	struct pgw_fault fault;

	pgw_fault_set(&fault, PGW_FAULT_LISTEN_BACKLOG, NULL,
		"%u notifications waited for it to read, or to end its transaction; max_listen_bytes is %llu.",
		listen->queue.n + listen->later.n, (unsigned long long)limit_of(listen));
	client_fatal(client, &fault);
}

void listen_keep(struct listen *listen, const void *message, size_t n, const struct topic *topic, bool later)
{
	struct note *note = note_new(message, n);

	note->is_ascii = true; /* its own server's: in its own encoding */
	listen->is_slow |= is_too_much(listen, later ? &listen->later : &listen->queue, note, topic);
	note_unref(&note);
}

void listen_later_is_now(struct listen *listen)
{
	struct note_queue *later = &listen->later;
	uint32_t i;

	for (i = 0; i < later->n; i++)
		push(&listen->queue, item_at(later, i)->note, item_at(later, i)->topic);
	note_queue_release(later);
	listen->n_early = 0;
}

void listen_notice_loss(struct listen *listen, uint64_t away_us)
{
	uint8_t message[4 * PGW_FAULT_TEXT_BYTES];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));
	struct pgw_fault notice;
	struct note *note;

	if (away_us > 0)
		pgw_fault_set(&notice, PGW_FAULT_LISTENER_WAS_LOST, NULL,
			"The connection that listens was lost, and listens again after %llu ms.",
			(unsigned long long)(away_us / 1000));
	else
		pgw_fault_set(&notice, PGW_FAULT_LISTENER_WAS_LOST, NULL,
			"The connection that listens was lost while a LISTEN or UNLISTEN was under way.");
	pgw_build_fault(&writer, &notice);
	note = note_new(message, writer.len);
	note->is_ascii = true; /* not the database's text */
	push(&listen->queue, note, NULL);
	note_unref(&note);
}

void listen_hear(struct listen *listen, struct note *note, const struct topic *topic)
{
	if (!listen->is_served) {
		listen->is_slow |= is_too_much(listen, &listen->later, note, topic);
		return;
	}
	if (listen->queue.n == 0 && listen_is_at_rest(listen->client) && can_be_read(listen->client, note))
		client_reply(listen->client, note->bytes, note->n_bytes);
	else if (is_too_much(listen, &listen->queue, note, topic))
		listen_end_slow(listen->client);
}

/* Up to what its socket takes: what it does not is in its spill, and then it is blocked. */
static void send_all(struct client *client, bool (*may)(const struct client *client))
{
	struct note_queue *queue = &client->listen->queue;
	struct note *note;

	while (queue->n > 0 && may(client) && can_be_read(client, queue->items[queue->head].note)) {
		note = pop(queue);
		client_reply(client, note->bytes, note->n_bytes);
		note_unref(&note);
	}
}

void listen_flush(struct client *client)
{
	if (client->listen && client->listen->queue.n > 0)
		send_all(client, listen_is_at_rest);
}

static bool may_ahead(const struct client *client)
{
	return client->state != CLIENT_GONE && !stream_is_blocked(&client->stream) && is_settled(client);
}

void listen_flush_ahead(struct client *client)
{
	if (client->listen->queue.n > 0)
		send_all(client, may_ahead);
}
