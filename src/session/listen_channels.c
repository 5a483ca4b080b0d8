/* SPDX-License-Identifier: ISC */
/* The channels of a listener: which workers want them, and whether its connection listens to them. */
#include "base/mem.h"
#include "session/listen_server.h"
#include "session/server.h"

void listener_tell(struct listen_server *listener, unsigned worker, enum listen_mail_kind kind, uint64_t number,
	const char *text)
{
	listen_post(listener->worker, worker, listener->pool->shared, kind, number, text, strlen(text));
}

void listener_tell_those(struct listen_server *listener, uint64_t workers, enum listen_mail_kind kind, uint64_t number,
	const char *text)
{
	unsigned i;

	for (i = 0; i < listener->worker->cluster->n_workers; i++)
		if (workers & UINT64_C(1) << i)
			listener_tell(listener, i, kind, number, text);
}

#define EACH_CHANNEL(listener, i, channel, next)                                                   \
	for ((i) = 0; (i) < CHANNEL_BUCKETS; (i)++)                                                \
		LIST_FOREACH_SAFE(channel, &(listener)->buckets[i], link, next)

static unsigned bucket_of(const char *name)
{
	return (unsigned)(pgw_hash128(name, strlen(name), 0).lo % CHANNEL_BUCKETS);
}

struct channel *channel_find(const struct listen_server *listener, const char *name)
{
	struct channel *channel;

	LIST_FOREACH(channel, &listener->buckets[bucket_of(name)], link)
	{
		if (strcmp(channel->name, name) == 0)
			return channel;
	}
	return NULL;
}

struct channel *channel_add(struct listen_server *listener, const char *name)
{
	size_t n = strlen(name) + 1;
	struct channel *channel = mem_zalloc(sizeof(*channel) + n);

	memcpy(channel->name, name, n);
	channel->numbers = mem_zalloc(listener->worker->cluster->n_workers * sizeof(*channel->numbers));
	LIST_INSERT_HEAD(&listener->buckets[bucket_of(name)], channel, link);
	listener->n_channels++;
	return channel;
}

void channel_drop(struct listen_server *listener, struct channel *channel)
{
	LIST_REMOVE(channel, link);
	listener->n_channels--;
	mem_free(channel->numbers);
	mem_free(channel);
}

static void tell_listened(struct listen_server *listener, const struct channel *channel)
{
	unsigned i;

	for (i = 0; i < listener->worker->cluster->n_workers; i++)
		if (channel->workers & UINT64_C(1) << i)
			listener_tell(listener, i, LISTEN_LISTENED, channel->numbers[i], channel->name);
}

static void add_statement(struct strbuf *sql, const char *verb, const char *name)
{
	strbuf_adds(sql, verb);
	strbuf_add_ident(sql, name);
	strbuf_addc(sql, ';');
}

/* One query for all that has come since the last. */
void channels_listen(struct listen_server *listener)
{
	struct strbuf sql = STRBUF_INIT;
	struct channel *channel, *next;
	unsigned i;

	if (listener->is_asking || (listener->state != LISTENER_UP && listener->state != LISTENER_STARTS))
		return;
	if (listener->state == LISTENER_STARTS)
		add_statement(&sql, "LISTEN ", listener->marker);
	EACH_CHANNEL (listener, i, channel, next) {
		if (channel->state == CHANNEL_NEW && channel->workers != 0) {
			add_statement(&sql, "LISTEN ", channel->name);
			channel->state = CHANNEL_ASKED;
		} else if (channel->state == CHANNEL_LISTENED && channel->workers == 0) {
			add_statement(&sql, "UNLISTEN ", channel->name);
			channel->state = CHANNEL_LEAVING;
		}
	}
	if (sql.len > 0) {
		listener->is_asking = true;
		inject_query(listener->server, sql.data, EXPECT_LISTEN);
	}
	strbuf_release(&sql);
}

/* What was under way is done. */
void channels_settle(struct listen_server *listener)
{
	struct channel *channel, *next;
	unsigned i;

	EACH_CHANNEL (listener, i, channel, next) {
		if (channel->state == CHANNEL_ASKED) {
			channel->state = CHANNEL_LISTENED;
			tell_listened(listener, channel);
		} else if (channel->state == CHANNEL_LEAVING) {
			channel->state = CHANNEL_NEW;
		}
		if (channel->state == CHANNEL_NEW && channel->workers == 0)
			channel_drop(listener, channel);
	}
}

/* The connection has gone, and what it listened to. */
void channels_reset(struct listen_server *listener)
{
	struct channel *channel, *next;
	unsigned i;

	EACH_CHANNEL (listener, i, channel, next) {
		channel->state = CHANNEL_NEW;
		if (channel->workers == 0)
			channel_drop(listener, channel);
	}
}

void channels_clear(struct listen_server *listener)
{
	struct channel *channel, *next;
	unsigned i;

	EACH_CHANNEL (listener, i, channel, next)
		channel_drop(listener, channel);
}

bool channels_are_wanted(const struct listen_server *listener)
{
	struct channel *channel, *next;
	unsigned i;

	EACH_CHANNEL (listener, i, channel, next)
		if (channel->workers != 0)
			return true;
	return false;
}
