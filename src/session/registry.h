/* SPDX-License-Identifier: ISC */
/*
 * What all workers know of databases, users and pools: names, credentials, limits, the lane
 * ledger's accounts. Entries are made when somebody asks for them and live as long as somebody holds
 * a reference: each worker's side of a pool (pool.h) holds its pool, a pool its database and its
 * user, a command of the console what it is about. Beyond that stay a database that is paused or
 * disabled, and a user whose secret was read: there are no more of those than names in the
 * configuration and in the auth_file.
 *
 * Fields marked atomic are read and written by any thread, those marked guarded only between
 * registry_lock() and registry_unlock(); the rest never changes.
 */
#ifndef SESSION_REGISTRY_H
#define SESSION_REGISTRY_H

#include "base/base.h"
#include "base/list.h"
#include "lane/lane.h"
#include "pgw/fault.h"
#include "pgw/scram.h"
#include "record/replica.h"
#include "session/params.h"
#include "session/sequence_lessons.h"

#define REGISTRY_FACTS_MAX 16

/* How it stands if it is a replica of another database. All atomic: the control thread writes what
 * it learnt (service/replicas.h), workers read it for each statement that may go there, and count. */
struct replica_status {
	uint32_t state; /* enum replica_state */
	uint64_t lag_us, lag_bytes;
	uint64_t n_statements; /* statements and transactions that got a server of it */
	uint64_t n_fallbacks;  /* that might have, but no replica of their database could be used */
	uint64_t n_reruns;     /* that it refused, and the primary ran */
};

struct shared_database {
	LIST_ENTRY(shared_database) link;
	unsigned refs;	    /* guarded */
	char *name;	    /* as clients call it */
	uint32_t n_clients; /* atomic */
	uint32_t n_servers; /* atomic */
	uint32_t n_own;	    /* atomic: connections of pglane's own, each for a moment; PAUSE waits for them */
	bool paused;	    /* atomic: PAUSE */
	bool disabled;	    /* atomic: DISABLE */
	struct replica_status replica;
	char replica_reason[REPLICA_REASON_BYTES]; /* guarded: why it is not UP */
};

struct shared_user {
	LIST_ENTRY(shared_user) link;
	unsigned refs; /* guarded */
	char *name;
	uint32_t n_clients; /* atomic */
	uint32_t n_servers; /* atomic */
	/* guarded: */
	char *secret;		       /* of the auth_file, as it is written there; NULL: `scram` is empty */
	struct pgw_scram_secret scram; /* what it says, or what it comes to: read or hashed once, not at every login */
	bool has_scram_secret;	       /* the former */
	bool has_keys;
	uint8_t client_key[PGW_SCRAM_KEY_BYTES]; /* of the last SCRAM login: pass-through to the
						    server */
	struct pgw_scram_cache server_cache;	 /* the last derivation for a server's salt */
};

/* A parameter as a client asked for it, and as servers of this pool report it. */
struct welcome_entry {
	LIST_ENTRY(welcome_entry) link;
	struct param_set *asked, *canonical;
};

struct shared_pool {
	LIST_ENTRY(shared_pool) link;
	unsigned refs; /* guarded */
	struct shared_database *database;
	struct shared_user *user;
	struct lane_pool *lane_pool;
	struct lane_pool *replication_pool; /* guarded: see shared_pool_replication() */
	uint64_t failed_until_us; /* atomic: connecting failed; until then statements are refused at
				     once */
	uint32_t n_open; /* atomic: servers that are logged in and not closing, on all workers */
	struct sequence_lessons *sequences; /* atomic, made once: NULL until currval() or lastval() is called, see sequence.h */
	bool is_held;	 /* atomic: logins fail while servers are there, see pool_hold() */
	uint32_t copies_epoch; /* atomic: raised when a copy of a statement was stale, see replay.h */
	uint32_t epoch; /* atomic: RECONNECT raises it; servers of an older one are closed when idle
			 */
	/* guarded: */
	struct pgw_fault last_failure;
	uint64_t last_failure_us; /* when that was, mono */
	bool has_welcome;
	struct param_set *facts; /* parameters that only the server decides, shown at login */
	struct param_set
		*defaults; /* what the server reports for a session that asked for nothing */
	LIST_HEAD(, welcome_entry) welcomes;
	unsigned n_welcomes;
};

void registry_open(struct lane_ledger *ledger);
void registry_close(void);
void registry_lock(void);
void registry_unlock(void);

/* New references, of entries that are made when they are not there. */
struct shared_pool *registry_pool(const char *database, const char *user) WARN_UNUSED;
struct shared_user *registry_user(const char *user) WARN_UNUSED;
struct shared_database *registry_database(const char *name) WARN_UNUSED;
/* The same; NULL when there is none. */
struct shared_user *registry_find_user(const char *name) WARN_UNUSED;
struct shared_database *registry_find_database(const char *name) WARN_UNUSED;
bool registry_is_disabled(const char *database);
/* References; unref nulls, and NULL is fine. */
struct shared_pool *shared_pool_ref(struct shared_pool *pool);
void shared_pool_unref(struct shared_pool **pool);
/* The ledger's account of the pool's replication connections: none of these is ever idle, and none is taken for another. It lives as long
 * as the pool. NULL: nobody asked for it with `make`. */
struct lane_pool *shared_pool_replication(struct shared_pool *pool, bool make);
struct shared_database *shared_database_ref(struct shared_database *database);
void shared_database_unref(struct shared_database **database);
void shared_user_unref(struct shared_user **user);
void registry_each_database(void (*visit)(void *arg, struct shared_database *database),
	void *arg); /* locked meanwhile */
void registry_each_user(void (*visit)(void *arg, struct shared_user *user), void *arg);
void registry_each_pool(void (*visit)(void *arg, struct shared_pool *pool), void *arg);
/* New references to all pools: an array of *n_r, the caller's to free. */
struct shared_pool **registry_all_pools(unsigned *n_r) WARN_UNUSED;

/* The set a client that asked for `asked` gets, when it is known already: new references. false: a
 * server must be asked. */
bool shared_pool_welcome(struct shared_pool *pool, struct param_set *asked,
	struct param_set **canonical_r, struct param_set **facts_r);
void shared_pool_learn(
	struct shared_pool *pool, struct param_set *asked, struct param_set *canonical);
void shared_pool_set_facts(
	struct shared_pool *pool, struct param_set *facts, struct param_set *defaults);
/* The words of the attempt that failed last, which may be history: the DETAIL says how long ago it was,
 * and that it is tried again in again_us. */
void shared_pool_last_failure(
	struct shared_pool *pool, uint64_t now_us, uint64_t again_us, struct pgw_fault *fault_r);
void shared_pool_forget(struct shared_pool *pool); /* RECONNECT, RELOAD: learn again */

#endif
