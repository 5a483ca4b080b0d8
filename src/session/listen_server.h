/* SPDX-License-Identifier: ISC */
/*
 * The listener of a pool: one connection that listens to all channels of all its clients. It is a server like any other (login, TLS,
 * slot) but linked to nobody, and belongs to the worker that the pool's hash names; the others speak with it by mail. It holds a
 * permit of the lane of class `default`, from its first connection to its end, and one place of that lane's max_pinned; so half of the
 * lane is always there for statements. While it is connected again it keeps both.
 *
 * Whatever takes its connection (a crash, RECONNECT, KILL, PAUSE) ends in a new one, on which it listens to the same channels; then
 * each client is told by a NOTICE for how long it may have missed something. It goes when nobody wants it for LISTEN_LINGER_TICKS.
 *
 * A notification is mailed once to each worker that wants its channel, and the mail comes back when that worker has passed it on: when
 * too many are on their way the connection is not read, and PostgreSQL keeps what comes (pg_notification_queue_usage()).
 */
#ifndef SESSION_LISTEN_SERVER_H
#define SESSION_LISTEN_SERVER_H

#include "io/mailbox.h"
#include "session/expect.h"
#include "session/listen.h"
#include "session/pool.h"

enum listen_mail_kind {
	/* To the listener's worker: */
	LISTEN_OPEN,   /* somebody is about to listen */
	LISTEN_WANT,   /* text: a channel; number: what the answer is to say */
	LISTEN_UNWANT, /* text: a channel */
	LISTEN_MARK,   /* number: of a marker that it is to notify itself */
	LISTEN_FENCE,  /* number: what the answer is to say when all is heard that was notified before */
	LISTEN_TAKEN,  /* a HEARD comes back */
	/* From it: */
	LISTEN_UP,	 /* text: the marker */
	LISTEN_DOWN,	 /* number: enum hub_state that it is in */
	LISTEN_LISTENED, /* text: a channel; number: that of the WANT */
	LISTEN_REFUSED,	 /* the same */
	LISTEN_HEARD,	 /* text: a whole NotificationResponse */
	LISTEN_MARKED,	 /* number: of the marker that was heard */
	LISTEN_FENCED,	 /* number: of the FENCE */
	LISTEN_BACK,	 /* number: for how many us it was away */
};

struct listen_mail {
	struct mail mail;
	struct shared_pool *shared; /* a reference */
	uint8_t kind;
	uint8_t from; /* index of the worker */
	uint64_t number;
	size_t n;
	char text[]; /* n bytes and a NUL */
};

void listen_post(struct worker *from, unsigned to, struct shared_pool *shared, enum listen_mail_kind kind,
	uint64_t number, const void *text, size_t n);
void listen_post_back(struct worker *from, unsigned to, struct listen_mail *mail); /* as TAKEN */
/* The worker of the pool's listener. */
unsigned listen_owner(const struct pool *pool);

#define CHANNEL_BUCKETS 256u

enum channel_state {
	CHANNEL_NEW,	  /* to be listened to */
	CHANNEL_ASKED,	  /* the LISTEN is under way */
	CHANNEL_LISTENED,
	CHANNEL_LEAVING,  /* the UNLISTEN is under way */
};

struct channel {
	LIST_ENTRY(channel) link; /* of its bucket */
	uint64_t workers; /* a bit for each that wants it; none: it is to go */
	uint8_t state;	  /* enum channel_state */
	uint64_t *numbers; /* of each worker's WANT */
	char name[];
};

enum listen_server_state {
	LISTENER_WAITS,	  /* for a permit or a slot */
	LISTENER_CONNECTS,
	LISTENER_STARTS,  /* logged in; the first LISTEN is under way */
	LISTENER_UP,
	LISTENER_RETRIES, /* at its timer */
};

struct listen_server {
	LIST_ENTRY(listen_server) link; /* of worker->listeners */
	struct worker *worker;
	struct pool *pool;	    /* it is a member */
	struct lane_pool *lane_pool; /* its own: it never takes an idle server of the pool */
	struct lane_ticket ticket;
	struct server *server; /* NULL: not connected */
	struct timer timer;
	uint8_t state; /* enum listen_server_state */
	bool is_pinned; /* counts in the lane */
	uint8_t lane;	/* where */
	bool has_failed; /* since it was UP last, or ever */
	bool was_up;
	bool is_asking; /* a query is under way */
	uint8_t empty_ticks;
	uint64_t workers; /* a bit for each that has spoken with it */
	uint64_t lost_us; /* mono: when it was UP last */
	uint64_t since_wall_us; /* of its connection; 0: none */
	uint64_t n_reconnects, n_notifications;
	uint32_t n_channels, n_under_way; /* mails that have not come back */
	char marker[LISTEN_MARKER_BYTES];
	LIST_HEAD(, channel) buckets[CHANNEL_BUCKETS];
};

/* ---- listen_channels.c ---- */

void listener_tell(struct listen_server *listener, unsigned worker, enum listen_mail_kind kind, uint64_t number,
	const char *text);
void listener_tell_those(struct listen_server *listener, uint64_t workers, enum listen_mail_kind kind, uint64_t number,
	const char *text);
struct channel *channel_find(const struct listen_server *listener, const char *name);
struct channel *channel_add(struct listen_server *listener, const char *name);
void channel_drop(struct listen_server *listener, struct channel *channel);
void channels_listen(struct listen_server *listener); /* sends what is to be said, unless something is under way */
void channels_settle(struct listen_server *listener); /* what was under way is done */
void channels_reset(struct listen_server *listener);  /* the connection has gone, and what it listened to */
void channels_clear(struct listen_server *listener);
bool channels_are_wanted(const struct listen_server *listener);

/* ---- listen_server.c ---- */

void listen_server_take(struct worker *worker, struct listen_mail *mail);
void listen_server_delivered(struct lane_ticket *ticket);
void listen_server_ready(struct server *server); /* logged in */
void listen_server_answered(struct server *server, const struct expect *expect, bool failed); /* ReadyForQuery */
void listen_server_hears(struct server *server, const uint8_t *message, size_t n); /* a whole NotificationResponse */
/* Its connection is gone, or never was; the caller closes it. */
void listen_server_lost(struct server *server, const char *why, bool could_not_connect);
void listen_server_refused(struct server *server); /* 53300: its permit waits in its old place */
/* PAUSE, RECONNECT or KILL may have come. */
void listen_server_look(struct pool *pool);
void listen_server_tick(struct worker *worker); /* once a second */
/* Nobody can want them any more, or soon. */
void listen_server_drain(struct worker *worker);
const char *listen_server_state_name(const struct listen_server *listener);

#endif
