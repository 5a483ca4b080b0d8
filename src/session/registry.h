/* SPDX-License-Identifier: ISC */
/*
 * What all workers know of databases, users and pools: names, credentials, limits, the lane
 * ledger's accounts. Entries are made at a first successful login and live as long as the process,
 * so that pointers to them may be kept. Fields marked atomic are read and written by any thread,
 * those marked guarded only between registry_lock() and registry_unlock(); the rest never changes.
 */
#ifndef SESSION_REGISTRY_H
#define SESSION_REGISTRY_H

#include "base/base.h"
#include "base/list.h"
#include "lane/lane.h"
#include "pgw/fault.h"
#include "pgw/scram.h"
#include "session/params.h"

#define REGISTRY_FACTS_MAX 16

struct shared_database {
	LIST_ENTRY(shared_database) link;
	char *name;	    /* as clients call it */
	uint32_t n_clients; /* atomic */
	uint32_t n_servers; /* atomic */
	bool paused;	    /* atomic: PAUSE */
	bool disabled;	    /* atomic: DISABLE */
};

struct shared_user {
	LIST_ENTRY(shared_user) link;
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
	struct shared_database *database;
	struct shared_user *user;
	struct lane_pool *lane_pool;
	uint64_t failed_until_us; /* atomic: connecting failed; until then statements are refused at
				     once */
	uint32_t epoch; /* atomic: RECONNECT raises it; servers of an older one are closed when idle
			 */
	/* guarded: */
	struct pgw_fault last_failure;
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

struct shared_pool *registry_pool(const char *database, const char *user);
struct shared_user *registry_user(const char *user);
struct shared_database *registry_database(const char *name);
struct shared_database *registry_find_database(
	const char *name); /* NULL: nobody logged in to it yet */
void registry_each_database(void (*visit)(void *arg, struct shared_database *database),
	void *arg); /* locked meanwhile */
void registry_each_user(void (*visit)(void *arg, struct shared_user *user), void *arg);
void registry_each_pool(void (*visit)(void *arg, struct shared_pool *pool), void *arg);

/* The set a client that asked for `asked` gets, when it is known already: new references. false: a
 * server must be asked. */
bool shared_pool_welcome(struct shared_pool *pool, struct param_set *asked,
	struct param_set **canonical_r, struct param_set **facts_r);
void shared_pool_learn(
	struct shared_pool *pool, struct param_set *asked, struct param_set *canonical);
void shared_pool_set_facts(
	struct shared_pool *pool, struct param_set *facts, struct param_set *defaults);
void shared_pool_forget(struct shared_pool *pool); /* RECONNECT, RELOAD: learn again */

#endif
