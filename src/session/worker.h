/* SPDX-License-Identifier: ISC */
/*
 * A data-plane thread: its loop, its clients and servers, its buffers and counters. A client and
 * the server it is linked to always belong to the same worker. Everything in struct worker belongs
 * to its thread; others send it mails. What all workers share is struct cluster: written before the
 * threads start, except for the fields marked atomic.
 */
#ifndef SESSION_WORKER_H
#define SESSION_WORKER_H

#include <pthread.h>

#include "classify/entity.h"
#include "classify/catalog.h"
#include "classify/entity.h"
#include "io/gather.h"
#include "io/listener.h"
#include "io/mailbox.h"
#include "io/netaddr.h"
#include "classify/learned.h"
#include "lane/lane.h"
#include "record/outbox.h"
#include "record/search.h"
#include "session/leaks.h"
#include "session/registry.h"
#include "session/scaling.h"
#include "session/settings.h"
#include "session/statements.h"
#include "stats/stats.h"

#define WORKER_RX_BYTES 131072u /* one read; the window in which messages are framed */

#define PGLANE_COMPAT_VERSION "1.25.2" /* the PgBouncer whose console we speak */
#define CONSOLE_DATABASE "pglane"      /* the databases whose clients speak with the console */
#define CONSOLE_DATABASE_COMPAT "pgbouncer"

/* Bytes received and not yet used: part of a message, or what waits for a permit. An idle client
 * has none. They begin at data[at]: using up the front of a long pipeline moves nothing. */
struct input {
	size_t at, len, cap;
	uint8_t data[];
};
struct input *input_new(const uint8_t *bytes, size_t n); /* a copy; NULL when there are none */
static inline size_t input_bytes(const struct input *input) /* NULL: none */
{
	return input ? input->len - input->at : 0;
}

struct replay_ring { /* see replay.h */
	uint8_t *bytes; /* NULL until it is used */
	uint64_t n;	/* written so far */
};

struct client;
struct server;
struct pool;
struct cluster;
struct search;

/* The console registers itself here, so that session/ never includes admin/. Called on the client's
 * worker. */
struct console_ops {
	/* A complete message of a console client. The console answers with client_reply(), now or
	 * later (client_console_pause()). false: close the client. */
	bool (*message)(struct client *client, uint8_t type, const uint8_t *body, size_t n_body);
	void (*gone)(struct client
			*client); /* it disconnected: no reply may follow; frees client->console */
	void (*cancel)(
		struct client *client); /* its own cancel request: a command that waits gives up */
};

struct worker_counters {
	uint64_t n_connection_errors; /* connecting or logging in to a server failed, or a server
					 was lost */
	uint64_t n_bad_annotations;
	uint64_t n_cancels;
	uint64_t n_rejected_clients;
	uint64_t n_searches, n_searches_refused; /* asked of Weaviate; answered by an error */
	uint64_t n_searches_empty; /* failed, and their statements ran without hits */
};

/* What became of annotations that ask for notes (write_sync.h). */
struct annotation_stats {
	uint64_t n_statements[N_ENTITY_SOURCES]; /* by how their entities are found: notes were sent, or will be */
	uint64_t n_entities;			 /* ids that were sent; those of a COPY are not known */
	uint64_t n_refused;			 /* statements that were refused here */
	uint64_t n_failed;			 /* PostgreSQL refused what was sent ahead of a statement */
};

/* A type of entities that a pool's database has taken notes of. */
#define KNOWN_TYPES 8u
struct known_type {
	uint64_t pool, until_us;
	char type[ENTITY_TYPE_BYTES];
};

TAILQ_HEAD(client_list, client);
TAILQ_HEAD(server_list, server);
LIST_HEAD(cancel_list, cancel);
LIST_HEAD(hub_list, listen_hub);
LIST_HEAD(listener_list, listen_server);

struct pin;
/* Those that are kept for sequences and may give way, see sequence.h. */
struct sequence_pins {
	TAILQ_HEAD(pin_list, pin) list; /* the one that moved a sequence first, first */
	struct timer timer;
	bool watches; /* the ledger says when anybody begins to wait */
};

struct worker {
	uint32_t magic;
	unsigned index; /* also its port in the ledger */
	struct cluster *cluster;
	struct settings *settings; /* a reference */
	struct catalogs *catalogs; /* a reference; NULL: no catalog has been read */
	struct loop loop;
	struct mailbox mailbox;
	struct resolver *resolver;
	pthread_t thread;
	struct client_list clients;
	uint32_t n_clients; /* atomic for readers: accept balances by it */
	uint32_t n_pool_clients, n_kept; /* atomic for readers, once a second: logged in; what
					    min_pool_size keeps open */
	struct pool *pools; /* newest first, see pool.c */
	struct pool_stats forgotten; /* of pools that are no more: totals never fall */
	struct cancel_list cancels;
	/* login_turn.h */
	struct client_list awaiting_login; /* in the order of their turns */
	uint32_t n_logins;		   /* under way, of all pools */
	struct task login_task;
	struct hub_list hubs;		/* see listen.h */
	struct listener_list listeners; /* that belong to it, see listen_server.h */
	struct client **keys; /* cancel keys: buckets by pid, see cancel.c */
	struct statement_table statements;
	struct listener_watch watches[LISTENER_MAX];
	unsigned n_watches;
	struct ticker janitor;	  /* once a second */
	bool delivery;		  /* atomic: the ledger put something into our port */
	bool draining;		  /* SHUTDOWN: no new clients */
	bool reported_quiet;	  /* draining is over: nothing is open any more */
	uint32_t n_holding; /* atomic: clients that hold up a shutdown, once a second while it drains; before, one */
	uint64_t period_began_us; /* of the statistics, see pool_roll_period() */
	uint64_t period_us;	  /* how long the last one was; 0: none is over */
	uint64_t next_id;
	int64_t wall_s; /* the second for which utc_offset_s was asked */
	int32_t utc_offset_s;
	struct class_stats classes[N_QUERY_CLASSES];
	bool detects; /* workload_detection: statements are counted, see tally.h */
	struct fingerprints fingerprints;
	struct leaks leaks;
	struct sequence_pins sequence_pins;
	struct worker_counters counters;
	struct replay_ring replay;
	struct annotation_stats annotations;
	struct known_type known_types[KNOWN_TYPES]; /* see write_sync.c */
	unsigned next_known_type;
	/* The last answer of replica_params(): what was asked, and the answer. References; NULL: none */
	struct param_set *replica_asked, *replica_params;
	struct gather to_client, to_server;
	uint8_t *rx; /* WORKER_RX_BYTES */
};

enum shutdown_mode {
	SHUTDOWN_NONE,
	SHUTDOWN_WAIT_FOR_SERVERS,
	SHUTDOWN_WAIT_FOR_CLIENTS,
	SHUTDOWN_IMMEDIATE
};

struct cluster {
	struct worker *workers;
	unsigned n_workers;
	struct lane_ledger *ledger;
	unsigned control_port; /* the control thread's port in the ledger */
	struct listeners listeners;
	const struct console_ops *console;
	uint8_t mock_key[32]; /* for unknown users' SCRAM salts */
	uint64_t hash_seed;   /* of pools' hashes */
	struct lessons *lessons; /* shared by all: guarded inside */
	uint64_t started_wall_us;
	uint32_t n_clients;  /* atomic: logged in or logging in, cancels apart */
	uint32_t n_watching; /* atomic: workers that accept; the last one closes the listeners */
	uint32_t next_key;   /* atomic: cancel pids */
	uint64_t next_search; /* atomic: ids of searches */
	int shutdown_mode;   /* atomic: enum shutdown_mode */
	bool paused_all;     /* atomic: PAUSE without a database */
	uint32_t n_pinned[LANE_MAX]; /* atomic: permits of each lane that pins hold */
	struct scaling scaling;
	struct search_counters searches; /* the control thread's */
	/* Filled by the daemon: what the console asks of it. Any thread. */
	void (*reload)(
		void *arg, void (*done)(void *done_arg, bool ok, const char *text), void *done_arg);
	void (*set)(void *arg, const char *key, const char *value,
		void (*done)(void *done_arg, bool ok, const char *text), void *done_arg);
	/* database NULL: all of them. */
	void (*refresh_catalog)(void *arg, const char *database,
		void (*done)(void *done_arg, bool ok, const char *text), void *done_arg);
	void (*shutdown)(void *arg, enum shutdown_mode mode);
	/* done is called on the control thread. */
	void (*outbox)(void *arg, enum outbox_order order, const char *argument, outbox_done *done,
		void *done_arg);
	/* Takes it to the control thread; search_answered() brings it back. */
	void (*search)(void *arg, struct search *search);
	void (*search_abandon)(void *arg, uint64_t id); /* nobody waits for it; it comes back sooner */
	void (*wake_control)(void *arg);	   /* the ledger delivered to the control port */
	void (*quiet)(void *arg, unsigned worker); /* a draining worker has nothing open any more */
	void *daemon_arg;
};

#define WORKER_MAGIC 0x574f524bu

void worker_init(
	struct worker *worker, struct cluster *cluster, unsigned index, struct settings *settings);
void worker_start(struct worker *worker); /* its thread */
void worker_join(struct worker *worker);
void worker_release(struct worker *worker); /* after join of a quiet worker */
/* Mails, any thread. */
void worker_change_settings(
	struct worker *worker, struct settings *settings); /* takes a reference of its own */
void worker_change_catalogs(
	struct worker *worker, struct catalogs *catalogs); /* the same */
void worker_drain(
	struct worker *worker); /* acts on cluster->shutdown_mode, again when that changes */
void worker_stop(struct worker *worker);
void worker_wake_port(void *cluster,
	unsigned port); /* the ledger's wake callback; the control port is the daemon's */

/*
 * Visits every worker in turn, on its own thread, then calls done on the thread of `home` (NULL:
 * the last worker's thread). visit and done share arg. The arg must live until done. This is how
 * the console and the sampler read without locks.
 */
void cluster_visit(struct cluster *cluster, struct mailbox *home,
	void (*visit)(void *arg, struct worker *worker), void (*done)(void *arg), void *arg);

static inline const struct config *worker_config(const struct worker *worker)
{
	return worker->settings->config;
}
/* Seconds since 1970 UTC; worker->utc_offset_s is what local time is ahead of it then. */
int64_t worker_wall_s(struct worker *worker);
uint64_t worker_new_id(struct worker *worker); /* unique in the process, over clients and servers;
						  small: the console shows it as int4 */
static inline bool is_console_database(const char *name)
{
	return strcmp(name, CONSOLE_DATABASE) == 0 || strcmp(name, CONSOLE_DATABASE_COMPAT) == 0;
}

#endif
