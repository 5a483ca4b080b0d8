/* SPDX-License-Identifier: ISC */
/*
 * One worker's side of a pool: its servers by state, its counters. The other side, shared by all
 * workers, is struct shared_pool. Owner: worker.
 */
#ifndef SESSION_POOL_H
#define SESSION_POOL_H

#include "session/worker.h"

/* X(state, list, what it is): a server's state is the list it is on; only server_to() changes it.
 */
#define SERVER_STATES(X)                                                                           \
	X(CONNECTING, login, "resolving, connecting, TLS, login, connect_query")                   \
	X(LINKED, active, "serves a client")                                                       \
	X(RECOVERING, active, "its client is gone: cancel, rollback, reset are under way")         \
	X(FENCED, being_canceled, "free, but a cancel request aimed at it has not finished")       \
	X(IDLE, idle, "in the ledger's registry, or claimed there by another worker")              \
	X(LISTENING, active, "the pool's listener: for all who listen, linked to nobody")          \
	X(CLOSING, closing, "Terminate was sent; waits for the server's end of file")

enum server_state {
#define SERVER_STATE_ENUM(state, list, doc) SERVER_##state,
	SERVER_STATES(SERVER_STATE_ENUM)
#undef SERVER_STATE_ENUM
		N_SERVER_STATES
};

/* Ticks of the janitor without input after which a socket is looked at: data and a reset may share
 * one edge, and libevent does not tell a reset from data, so that a short read passes for drained.
 */
#define QUIET_TICKS 2

struct pool {
	struct pool *next; /* in the worker's list */
	struct worker *worker;
	/* No other pool has had it (an address may come again), and it is a new one when the catalog is:
	 * what classify() said holds on as long as it is the same. */
	uint64_t id;
	const struct catalog *catalog; /* of its database, worker->catalogs'; NULL: nothing is known */
	struct pgw_hash128 hash; /* of its names; the same on all workers, and nobody else's to know */
	struct shared_pool *shared;
	struct server_list servers[N_SERVER_STATES];
	uint32_t n_servers[N_SERVER_STATES];
	uint32_t n_members;	   /* clients and servers that point here, the ones that are gone and not freed among them */
	uint64_t unused_since_us;  /* no members; 0: not yet seen so */
	uint32_t n_clients;	   /* logged in */
	uint32_t n_active_clients; /* linked */
	/* login_turn.h: clients with a slot for a server of it and no turn; logins under way */
	uint32_t n_awaiting_login, n_logins;
	struct client_list
		waiting; /* for a permit or a server, in order of arrival: for the console */
	uint32_t n_waiting;
	uint64_t use; /* how much it was used lately: for who gets servers ahead of demand */
	uint64_t assignments_seen;
	uint64_t next_host; /* of the entry's host list */
	struct pool **replicas; /* of its entry's replicas; it is a member of each */
	unsigned n_replicas, next_replica;
	uint8_t leak_check; /* enum leak_check, of its database and user */
	uint8_t n_leak_hunt; /* links that are still to be checked, see leak.h */
	uint64_t leak_hunt_us; /* mono, when the last such hunt began; 0: none did */
	uint64_t leak_check_of; /* settings->serial that it is of; 0: not looked for yet */
	uint64_t replicas_of; /* settings->serial that they are of; 0: not looked for yet */
	const struct config_user *user; /* pool_user() */
	uint64_t user_of;		/* as replicas_of */
	const struct config_database *entry; /* pool_entry() */
	uint64_t entry_of;		     /* as replicas_of */
	struct pool_stats stats;
	struct pool_stats period; /* what the last whole stats period brought; worker->period_us is
				     its length */
	struct pool_stats period_start;
};

/* This worker's pool of (database, user); made when it is not there. It stays while it has members. */
struct pool *pool_of(struct worker *worker, const char *database, const char *user);
void pool_learn(struct pool *pool); /* worker->catalogs has changed */
void pool_join(struct pool *pool);
void pool_leave(struct pool *pool);
/* Frees pools that no configured name asks for and nobody uses: after autodb_idle_timeout, and the oldest at once when there are many. */
void pool_sweep(struct worker *worker, uint64_t now_us);
void pool_each(struct worker *worker, void (*visit)(void *arg, struct pool *pool), void *arg);
void pool_free_all(struct worker *worker);
/* The entry of [databases] it uses now; NULL when a reload removed it. Looked for once after each change of the settings. */
const struct config_database *pool_entry(struct pool *pool);
/* What [users] says of its user; NULL: nothing. Looked for once after each change of the settings: every statement asks. */
const struct config_user *pool_user(struct pool *pool);
/* Brings pool->replicas up to date. */
void pool_find_replicas(struct pool *pool);
uint32_t pool_size_of(struct pool *pool); /* servers it may have; 0: no limit of its own */
void pool_limit(struct pool *pool); /* tells the ledger: of servers, and as many of replication connections */
uint32_t pool_min_size(struct pool *pool); /* servers it keeps open while it has clients */
bool pool_is_paused(const struct pool *pool);	/* PAUSE, of its database or of all */
enum pool_mode pool_mode_of(struct pool *pool);  /* user > database > global */
void pool_janitor(struct pool *pool, uint64_t now_us); /* idle and old servers, min_pool_size */
/* A server ahead of demand, where a slot is free that nobody waits for. */
bool pool_open_ahead(struct pool *pool);
/* May servers be opened ahead of demand? */
bool pool_may_open(struct pool *pool);
/*
 * Logins fail while some of its servers are there: for server_login_retry the pool makes do with
 * these, and who waits is served by them. Let go when that is over, or a login succeeds, or none is
 * left (then who waits hears why).
 */
void pool_hold(struct pool *pool);
void pool_let_go(struct pool *pool);
/* One of its servers here has a copy of the statement, or is about to. */
bool pool_has_copy(const struct pool *pool, struct pgw_hash128 hash);
void pool_roll_period(struct pool *pool);	       /* a stats period is over */

#endif
