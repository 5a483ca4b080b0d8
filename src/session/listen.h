/* SPDX-License-Identifier: ISC */
/*
 * LISTEN in transaction and statement pooling: the channels of all clients of a pool are listened to by one connection, the pool's
 * listener (listen_server.h), and what it hears is passed to each client. A client's LISTEN and UNLISTEN run for real on a server of its
 * own, which it keeps meanwhile (pin.h); so errors, rollbacks and savepoints are PostgreSQL's, and what came of them is asked.
 *
 * At any time one of the two says what the client hears of all its channels: its server, or the listener. It changes at a *marker*, a
 * notification of our own that both hear: notifications have one order, that of the commits, on every connection. What the one says
 * before the marker and what the other says behind it is passed, in that order, each once, none lost.
 *
 *	to the listener		when the transaction is over and the listener listens to all its channels: the server, which listens
 *				to the marker, is told to notify it; then it listens to nothing, and goes back
 *	back to a server	ahead of LISTEN and UNLISTEN, in their transaction: what is listened to is put back there and the marker
 *				is notified. So it comes at the place where the transaction was committed, or, rolled back, never
 *
 * Owner: the client's worker. Source of the order: PostgreSQL manual, NOTIFY; src/backend/commands/async.c.
 */
#ifndef SESSION_LISTEN_H
#define SESSION_LISTEN_H

#include "base/strbuf.h"
#include "session/client.h"

struct expect;
struct server;
struct listen_hub;
struct listen_mail;
struct lane_ticket;

#define LISTEN_MARKER_BYTES 40u /* "pglane:", 32 hex digits and the NUL */
#define LISTEN_MARK_BYTES 17u	/* 16 hex digits */

enum topic_state {
	TOPIC_ASKED,	/* the listener is asked for it */
	TOPIC_LISTENED, /* it listens */
	TOPIC_REFUSED,	/* max_listen_channels: asked again once a second */
};

/* A channel that clients of this worker listen to. */
struct topic {
	LIST_ENTRY(topic) link; /* of its bucket */
	struct listen_hub *hub;
	TAILQ_HEAD(topic_members, subscription) members;
	uint8_t state; /* enum topic_state */
	uint64_t number; /* of the last asking: what is answered to an earlier one says nothing */
	char name[];
};

struct subscription {
	TAILQ_ENTRY(subscription) of_topic, of_client;
	struct topic *topic;
	struct listen *listen;
	bool is_answered; /* its channel is in the answer that is being read */
};

/* A message for clients: shared by the queues of those of this worker. */
struct note {
	uint32_t refs, n_bytes;
	bool is_ascii;
	uint8_t bytes[]; /* NotificationResponse or NoticeResponse */
};

struct note_item {
	struct note *note;
	const struct topic *topic; /* NULL: for whatever it listens to */
};

/* What waits until its client is at rest and reads; bounded by max_listen_bytes. */
struct note_queue {
	struct note_item *items; /* a ring; NULL: nothing was ever kept */
	uint32_t head, n, cap; /* cap is a power of two */
	size_t n_bytes;
};

/* Where its client's next transaction stands, which begins behind all that was notified before it was said. See listen_fence.c. */
enum listen_fence {
	FENCE_NONE,
	FENCE_WAITS,  /* in hub->fences_next */
	FENCE_ASKED,  /* in hub->fences_asked */
	FENCE_PASSED, /* until it is told that it is in no transaction */
};

enum listen_step {
	STEP_NONE,
	STEP_MARK,     /* its server was told to listen to the marker and to notify it */
	STEP_UNLISTEN, /* its server is told to listen to nothing */
	STEP_BACK,     /* its channels are back on its server: the listener is still to say what came before */
};

/* What a client has that listens, or is about to. */
struct listen {
	struct client *client;
	struct listen_hub *hub;
	TAILQ_ENTRY(listen) of_hub, of_fence;
	TAILQ_HEAD(subscriptions, subscription) subscriptions;
	uint32_t n_subscriptions;
	uint8_t step;	   /* enum listen_step */
	uint8_t fence;	   /* enum listen_fence */
	bool is_served;	   /* by the listener: what its server says is dropped */
	bool is_live;	   /* the listener has heard the marker: what it says is the client's, at once or (not served yet) later */
	bool is_held;	   /* its LISTEN waits for the listener */
	bool may_pass;	   /* it has waited long enough */
	bool is_answered;  /* the last question was, and nothing was noted since */
	bool is_over;	   /* it has channels that the listener will not have: its server keeps it */
	bool has_mark;	   /* the answer that is being read */
	bool discards;	   /* DISCARD ALL is under way */
	bool is_slow;	   /* too much waits for it: the janitor ends it */
	bool is_unreadable; /* the next note is in an encoding that is not its own */
	bool has_passed;   /* STEP_MARK: the server's marker came */
	bool has_heard;	   /* the listener's marker came */
	bool must_restart; /* STEP_MARK: the listener was lost meanwhile */
	uint64_t marker;   /* the number of the last one on its way to the listener; 0: none */
	uint64_t back;	   /* of the one on its way back, in a transaction that is open or not asked about; 0: none */
	bool is_back_heard;  /* the listener's came: its server is next to say what the client hears */
	bool is_back_passed; /* its server's came, or will not: what it says behind it is new */
	bool is_back_lost;   /* the listener was lost meanwhile: it may miss the marker, and is not heard until that is over */
	bool is_back_marked; /* its server's did come */
	uint32_t n_early;    /* of `later`, what the server said before it */
	uint64_t held_since_us, retry_us, back_since_us; /* mono */
	struct strbuf answer; /* names, each with its NUL */
	char mark[LISTEN_MARK_BYTES]; /* pglane.listen, where what it listens to was put back on its server; "": it was not */
	struct note_queue queue, later; /* later: of whoever is next to say what it hears, until both are over the marker */
};

/* ---- listen.c: what a client listens to ---- */

/* Its LISTEN must wait for the pool's listener to come up, if for seconds: client_resume() comes. Call it ahead of pin_allows(). */
bool listen_holds(struct client *client, uint32_t effects);
/* It may not listen to one channel more (max_listen_channels); *fault_r says so. */
bool listen_is_refused(const struct client *client, const char *sql, size_t n, struct pgw_fault *fault_r);
/* What LISTEN leaves will be the listener's: it needs no place among the pins. */
bool listen_is_served(const struct client *client);
/* Its server is about to run the statement, of which nothing was sent yet. */
void listen_ahead(struct client *client, uint32_t effects);
/* Adds the question for its server's channels to one of pin.c's; a row of the answer, whose first column is LISTEN_COLUMN; its end. */
#define LISTEN_COLUMN " " /* no setting has such a name */
void listen_ask(struct client *client, struct strbuf *sql);
void listen_answer(struct client *client, const char *value);
void listen_answered(struct client *client, bool failed);
/* ReadyForQuery of its own came: a DISCARD ALL has run. */
void listen_settled(struct client *client, bool failed);
bool listen_janitor(struct client *client, uint64_t now_us); /* once a second; true: the client was ended */
/* Its server is its no more. */
void listen_parted(struct client *client);
/* It listens to nothing any more. */
void listen_end(struct client *client);
struct subscription *listen_find(const struct listen *listen, const char *channel);
/* ClientEncoding is that of the pool's listener. */
bool listen_encoding_fits(const struct client *client);
/* What its client listens to is gone when its server is. */
bool listen_has_state(const struct client *client);
/* What its server listens to is what the client does: the answer holds. */
void listen_take_answer(struct listen *listen);

/* ---- listen_move.c: from a server to the listener and back ---- */

/* The server is at rest between transactions. true: something was sent to it. */
bool listen_moves(struct client *client, struct server *server);
/* ReadyForQuery of a query of ours: of that, or of a listener's. */
void listen_query_over(struct server *server, const struct expect *expect, bool failed);
/* What its client listens to is listened to by the server, if the transaction that is open is committed. */
void listen_put_back(struct listen *listen, struct server *server);
/* The answer says whether it was. */
void listen_settle_back(struct listen *listen);
/* A whole NotificationResponse (its body) of its server; at: the message. true: it is not to be passed now. */
bool listen_takes(struct client *client, const uint8_t *at, const uint8_t *body, size_t n);
/* Its statements must wait until that is over. */
bool listen_is_moving(const struct client *client);
/* The listener has heard a marker. false: it is not this client's. */
bool listen_marked(struct listen *listen, uint64_t number);
/* The listener was lost, or is there again. */
void listen_lost(struct listen *listen);
/* true: its marker may have been missed, and is to be notified once more, by the listener. */
bool listen_is_back(struct listen *listen);
void listen_stop(struct listen *listen); /* whatever is under way came to nothing: its server is its no more */
/* It waits for a marker of the listener for too long. */
void listen_move_janitor(struct listen *listen, uint64_t now_us);
/* Channel and payload of the body of a NotificationResponse. false: it is none. */
bool listen_view(const uint8_t *body, size_t n, const char **channel_r, const char **payload_r);

/* ---- listen_queue.c: what it hears ---- */

struct note *note_new(const void *bytes, size_t n);
void note_unref(struct note **note);
/* topic NULL: a notice. The client may be gone after it: ended by FATAL, because it does not read. */
void listen_hear(struct listen *listen, struct note *note, const struct topic *topic);
/* The same of its server: kept behind what is kept, in `later` or not; never ends it here. */
void listen_keep(struct listen *listen, const void *message, size_t n, const struct topic *topic, bool later);
void listen_later_is_now(struct listen *listen); /* what was for later is next */
/* On the way back both say what came just before the marker: what the server said behind or instead of it is next, each once. */
void listen_join(struct listen *listen);
/* It was rolled back: what both said the listener says. */
void listen_part_again(struct listen *listen);
void listen_notice_loss(struct listen *listen, uint64_t away_us); /* 0: not known */
/* What is kept leaves, if its client is at rest. */
void listen_flush(struct client *client);
void listen_end_slow(struct client *client);
/* Between messages and outside of a transaction, it reads, and what it listens to is not in doubt. */
bool listen_is_at_rest(const struct client *client);
/* The same just ahead of the ReadyForQuery that says that it is in no transaction. */
void listen_flush_ahead(struct client *client);
void listen_forget(struct listen *listen, const struct topic *topic); /* what is kept of a channel */
void note_queue_release(struct note_queue *queue);

/* ---- listen_fence.c: what was notified before a transaction comes before it ---- */

/* A message other than Terminate and COPY's: must it wait? client_resume() comes. */
bool listen_holds_back(struct client *client, uint8_t type);
/* It is told that it is in no transaction. */
void listen_transaction_over(struct listen *listen);
void listen_fence_passed(struct listen_hub *hub, uint64_t number);
void listen_fences_open(struct listen_hub *hub); /* the listener was lost */
void listen_fence_janitor(struct listen *listen, uint64_t now_us);
void listen_fence_end(struct listen *listen); /* it is freed */

/* ---- listen_hub.c: this worker's side of a pool's listener ---- */

#define HUB_BUCKETS 256u

enum hub_state {
	HUB_NEW,    /* nobody has asked for a listener */
	HUB_ASKED,
	HUB_UP,
	HUB_FAILED, /* it cannot be had, or was lost: it is tried again while somebody wants it */
};

struct listen_hub {
	LIST_ENTRY(listen_hub) link; /* of worker->hubs */
	struct worker *worker;
	struct shared_pool *shared; /* a reference */
	TAILQ_HEAD(, listen) listens;
	TAILQ_HEAD(, listen) fences_next, fences_asked;
	uint64_t fence; /* the number of that of fences_asked; 0: none is under way */
	uint64_t fence_since_us; /* mono */
	bool is_fence_late;	 /* nobody waits for it any more, nor asks for another */
	uint32_t n_listens;
	uint32_t n_busy; /* somebody walks over it: it may not be freed */
	uint8_t state; /* enum hub_state */
	char marker[LISTEN_MARKER_BYTES]; /* when it is UP; kept when it is lost */
	LIST_HEAD(, topic) buckets[HUB_BUCKETS];
};

struct listen_hub *hub_join(struct client *client); /* of its pool, made when it is not there */
void hub_leave(struct listen *listen);
void hub_ask_for_fence(struct listen_hub *hub, uint64_t number);
void hub_ask(struct listen_hub *hub); /* for a listener */
struct topic *hub_find(const struct listen_hub *hub, const char *channel);
struct topic *hub_topic(struct listen_hub *hub, const char *channel); /* made, and the listener is asked for it */
void hub_topic_left(struct topic *topic); /* a member has gone */
void hub_ask_again(struct topic *topic);
void hub_take(struct worker *worker, struct listen_mail *mail); /* of the listener's worker */

#endif
