/* SPDX-License-Identifier: ISC */
/* A worker's side of a pool's listener: the channels of its clients, and the mails from and to the listener's worker. */
#include "base/mem.h"
#include "session/feed.h"
#include "session/listen_server.h"
#include "session/server.h"

/* ---- mails ---- */

static void on_mail(struct mail *mail, void *owner)
{
	struct listen_mail *letter = CONTAINER_OF(mail, struct listen_mail, mail);
	struct worker *worker = owner;
	uint8_t kind = letter->kind;

	if (kind <= LISTEN_TAKEN)
		listen_server_take(worker, letter);
	else
		hub_take(worker, letter);
	if (kind == LISTEN_HEARD) {
		listen_post_back(worker, letter->from, letter);
		return;
	}
	shared_pool_unref(&letter->shared);
	mem_free(letter);
}

void listen_post(struct worker *from, unsigned to, struct shared_pool *shared, enum listen_mail_kind kind,
	uint64_t number, const void *text, size_t n)
{
	struct listen_mail *letter = mem_alloc(sizeof(*letter) + n + 1);

	letter->shared = shared_pool_ref(shared);
	letter->kind = (uint8_t)kind;
	letter->from = (uint8_t)from->index;
	letter->number = number;
	letter->n = n;
	if (n > 0)
		memcpy(letter->text, text, n);
	letter->text[n] = '\0';
	mailbox_post(&from->cluster->workers[to].mailbox, &letter->mail, on_mail);
}

void listen_post_back(struct worker *from, unsigned to, struct listen_mail *letter)
{
	letter->kind = LISTEN_TAKEN;
	letter->from = (uint8_t)from->index;
	mailbox_post(&from->cluster->workers[to].mailbox, &letter->mail, on_mail);
}

unsigned listen_owner(const struct pool *pool)
{
	return (unsigned)(pool->hash.lo % pool->worker->cluster->n_workers);
}

/* A hub has a client as long as it has channels. */
static void tell(struct listen_hub *hub, enum listen_mail_kind kind, uint64_t number, const char *channel)
{
	const struct pool *pool = TAILQ_FIRST(&hub->listens)->client->pool;

	listen_post(hub->worker, listen_owner(pool), hub->shared, kind, number, channel, strlen(channel));
}

/* ---- channels ---- */

static unsigned bucket_of(const char *channel)
{
	return (unsigned)(pgw_hash128(channel, strlen(channel), 0).lo % HUB_BUCKETS);
}

struct topic *hub_find(const struct listen_hub *hub, const char *channel)
{
	struct topic *topic;

	LIST_FOREACH(topic, &hub->buckets[bucket_of(channel)], link)
	{
		if (strcmp(topic->name, channel) == 0)
			return topic;
	}
	return NULL;
}

struct topic *hub_topic(struct listen_hub *hub, const char *channel)
{
	struct topic *topic = hub_find(hub, channel);
	size_t n = strlen(channel) + 1;

	if (topic)
		return topic;
	topic = mem_zalloc(sizeof(*topic) + n);
	topic->hub = hub;
	TAILQ_INIT(&topic->members);
	memcpy(topic->name, channel, n);
	LIST_INSERT_HEAD(&hub->buckets[bucket_of(channel)], topic, link);
	hub_ask_again(topic);
	return topic;
}

void hub_ask_again(struct topic *topic)
{
	topic->state = TOPIC_ASKED;
	topic->number = worker_new_id(topic->hub->worker);
	tell(topic->hub, LISTEN_WANT, topic->number, topic->name);
}

void hub_topic_left(struct topic *topic)
{
	if (!TAILQ_EMPTY(&topic->members))
		return;
	tell(topic->hub, LISTEN_UNWANT, 0, topic->name);
	LIST_REMOVE(topic, link);
	mem_free(topic);
}

/* ---- life ---- */

static struct listen_hub *find(struct worker *worker, const struct shared_pool *shared)
{
	struct listen_hub *hub;

	LIST_FOREACH(hub, &worker->hubs, link)
	{
		if (hub->shared == shared)
			return hub;
	}
	return NULL;
}

struct listen_hub *hub_join(struct client *client)
{
	struct worker *worker = client->worker;
	struct listen_hub *hub = find(worker, client->pool->shared);

	if (hub == NULL) {
		hub = mem_zalloc(sizeof(*hub));
		hub->worker = worker;
		hub->shared = shared_pool_ref(client->pool->shared);
		TAILQ_INIT(&hub->listens);
		TAILQ_INIT(&hub->fences_next);
		TAILQ_INIT(&hub->fences_asked);
		LIST_INSERT_HEAD(&worker->hubs, hub, link);
	}
	hub->n_listens++;
	return hub;
}

static void maybe_free(struct listen_hub *hub)
{
	if (hub->n_listens > 0 || hub->n_busy > 0)
		return;
	LIST_REMOVE(hub, link);
	shared_pool_unref(&hub->shared);
	mem_free(hub);
}

void hub_leave(struct listen *listen)
{
	struct listen_hub *hub = listen->hub;

	TAILQ_REMOVE(&hub->listens, listen, of_hub);
	hub->n_listens--;
	maybe_free(hub);
}

void hub_ask_for_fence(struct listen_hub *hub, uint64_t number)
{
	tell(hub, LISTEN_FENCE, number, "");
}

void hub_ask(struct listen_hub *hub)
{
	hub->state = HUB_ASKED;
	tell(hub, LISTEN_OPEN, 0, "");
}

/* ---- what the listener's worker says ---- */

/* The listener has come, or has more channels: who waits for that may go on. */
static void go_on(struct listen_hub *hub)
{
	struct listen *listen, *next;

	TAILQ_FOREACH_SAFE(listen, &hub->listens, of_hub, next)
	{
		if (listen->is_held)
			client_resume(listen->client);
		else if (!listen->is_served && listen->n_subscriptions > 0 && listen->client->state == CLIENT_LINKED)
			link_on_ready(listen->client->server);
	}
}

static void hear(struct listen_hub *hub, const struct listen_mail *mail)
{
	const char *channel, *payload;
	struct subscription *subscription, *next;
	struct topic *topic = NULL;
	struct note *note;

	if (listen_view((const uint8_t *)mail->text + PGW_HEADER_BYTES, mail->n - PGW_HEADER_BYTES, &channel, &payload))
		topic = hub_find(hub, channel);
	if (topic == NULL) /* everybody has left it meanwhile */
		return;
	note = note_new(mail->text, mail->n);
	TAILQ_FOREACH_SAFE(subscription, &topic->members, of_topic, next)
	{
		if (subscription->listen->is_live)
			listen_hear(subscription->listen, note, topic);
	}
	note_unref(&note);
}

static void marked(struct listen_hub *hub, uint64_t number)
{
	struct listen *listen;

	TAILQ_FOREACH(listen, &hub->listens, of_hub)
	{
		if (!listen_marked(listen, number))
			continue;
		if (listen->client->state == CLIENT_LINKED)
			link_on_ready(listen->client->server);
		return;
	}
}

/* It was away, and listens again. */
static void back(struct listen_hub *hub, uint64_t away_us)
{
	struct listen *listen;

	TAILQ_FOREACH(listen, &hub->listens, of_hub)
	{
		if (listen_is_back(listen))
			tell(hub, LISTEN_MARK, listen->marker, "");
		if (!listen->is_served || listen->n_subscriptions == 0)
			continue;
		listen_notice_loss(listen, MAX_OF(away_us, 1));
		listen_flush(listen->client);
	}
}

static void down(struct listen_hub *hub, uint8_t state)
{
	struct listen *listen;

	hub->state = state;
	TAILQ_FOREACH(listen, &hub->listens, of_hub)
	listen_lost(listen);
	listen_fences_open(hub);
}

static void take(struct listen_hub *hub, const struct listen_mail *mail)
{
	struct topic *topic;

	switch ((enum listen_mail_kind)mail->kind) {
	case LISTEN_UP:
		hub->state = HUB_UP;
		memcpy(hub->marker, mail->text, MIN_OF(mail->n + 1, sizeof(hub->marker)));
		break;
	case LISTEN_DOWN:
		down(hub, (uint8_t)mail->number);
		break;
	case LISTEN_LISTENED:
	case LISTEN_REFUSED:
		topic = hub_find(hub, mail->text);
		if (topic && topic->number == mail->number)
			topic->state = mail->kind == LISTEN_LISTENED ? TOPIC_LISTENED : TOPIC_REFUSED;
		break;
	case LISTEN_HEARD:
		hear(hub, mail);
		return;
	case LISTEN_MARKED:
		marked(hub, mail->number);
		break;
	case LISTEN_FENCED:
		listen_fence_passed(hub, mail->number);
		return;
	case LISTEN_BACK:
		back(hub, mail->number);
		break;
	case LISTEN_OPEN:
	case LISTEN_WANT:
	case LISTEN_UNWANT:
	case LISTEN_MARK:
	case LISTEN_FENCE:
	case LISTEN_TAKEN:
	default:
		break;
	}
	go_on(hub);
}

void hub_take(struct worker *worker, struct listen_mail *mail)
{
	struct listen_hub *hub = find(worker, mail->shared);

	if (hub == NULL)
		return;
	hub->n_busy++;
	take(hub, mail);
	hub->n_busy--;
	maybe_free(hub);
}
