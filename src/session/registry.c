/* SPDX-License-Identifier: ISC */
#include "session/registry.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <pthread.h>

#include "base/mem.h"

#define WELCOMES_MAX 1024u /* different sets of startup parameters remembered for a pool */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct lane_ledger *ledger_of_all;
static LIST_HEAD(, shared_database) databases = LIST_HEAD_INITIALIZER(databases);
static LIST_HEAD(, shared_user) users = LIST_HEAD_INITIALIZER(users);
static LIST_HEAD(, shared_pool) pools = LIST_HEAD_INITIALIZER(pools);

void registry_lock(void)
{
	pthread_mutex_lock(&mutex);
}

void registry_unlock(void)
{
	pthread_mutex_unlock(&mutex);
}

void registry_open(struct lane_ledger *ledger)
{
	ledger_of_all = ledger;
}

static void forget_welcomes(struct shared_pool *pool)
{
	struct welcome_entry *entry;

	while ((entry = LIST_FIRST(&pool->welcomes)) != NULL) {
		LIST_REMOVE(entry, link);
		param_set_unref(&entry->asked);
		param_set_unref(&entry->canonical);
		mem_free(entry);
	}
	pool->n_welcomes = 0;
}

static void free_database(struct shared_database *database)
{
	LIST_REMOVE(database, link);
	mem_free(database->name);
	mem_free(database);
}

static void free_user(struct shared_user *user)
{
	LIST_REMOVE(user, link);
	mem_free(user->name);
	if (user->secret)
		OPENSSL_cleanse(user->secret, strlen(user->secret));
	mem_free(user->secret);
	OPENSSL_cleanse(user, sizeof(*user));
	mem_free(user);
}

static void free_pool(struct shared_pool *pool)
{
	LIST_REMOVE(pool, link);
	forget_welcomes(pool);
	param_set_unref(&pool->facts);
	param_set_unref(&pool->defaults);
	mem_free(pool->sequences);
	lane_pool_free(ledger_of_all, &pool->lane_pool);
	if (pool->replication_pool)
		lane_pool_free(ledger_of_all, &pool->replication_pool);
	mem_free(pool);
}

void registry_close(void)
{
	while (!LIST_EMPTY(&pools))
		free_pool(LIST_FIRST(&pools));
	while (!LIST_EMPTY(&users))
		free_user(LIST_FIRST(&users));
	while (!LIST_EMPTY(&databases))
		free_database(LIST_FIRST(&databases));
}

/* ---- references; the registry is locked ---- */

static void drop_database(struct shared_database *database)
{
	if (--database->refs == 0 && !__atomic_load_n(&database->paused, __ATOMIC_RELAXED) &&
		!__atomic_load_n(&database->disabled, __ATOMIC_RELAXED))
		free_database(database);
}

static void drop_user(struct shared_user *user)
{
	if (--user->refs == 0 && user->secret == NULL)
		free_user(user);
}

static void drop_pool(struct shared_pool *pool)
{
	if (--pool->refs > 0)
		return;
	drop_database(pool->database);
	drop_user(pool->user);
	free_pool(pool);
}

static struct shared_database *find_database(const char *name)
{
	struct shared_database *database;

	LIST_FOREACH(database, &databases, link) {
		if (strcmp(database->name, name) != 0)
			continue;
		database->refs++;
		return database;
	}
	return NULL;
}

static struct shared_database *database_of(const char *name)
{
	struct shared_database *database = find_database(name);

	if (database)
		return database;
	database = mem_zalloc(sizeof(*database));
	database->refs = 1;
	database->name = mem_strdup(name);
	LIST_INSERT_HEAD(&databases, database, link);
	return database;
}

static struct shared_user *find_user(const char *name)
{
	struct shared_user *user;

	LIST_FOREACH(user, &users, link) {
		if (strcmp(user->name, name) != 0)
			continue;
		user->refs++;
		return user;
	}
	return NULL;
}

static struct shared_user *user_of(const char *name)
{
	struct shared_user *user = find_user(name);

	if (user)
		return user;
	user = mem_zalloc(sizeof(*user));
	user->refs = 1;
	user->name = mem_strdup(name);
	LIST_INSERT_HEAD(&users, user, link);
	return user;
}

static struct shared_pool *pool_of(const char *database, const char *user)
{
	struct shared_pool *pool;

	LIST_FOREACH(pool, &pools, link) {
		if (strcmp(pool->database->name, database) != 0 ||
			strcmp(pool->user->name, user) != 0)
			continue;
		pool->refs++;
		return pool;
	}
	pool = mem_zalloc(sizeof(*pool));
	pool->refs = 1;
	pool->database = database_of(database);
	pool->user = user_of(user);
	pool->lane_pool = lane_pool_new(ledger_of_all);
	LIST_INIT(&pool->welcomes);
	LIST_INSERT_HEAD(&pools, pool, link);
	return pool;
}

/* ---- what others call ---- */

struct shared_pool *registry_pool(const char *database, const char *user)
{
	struct shared_pool *pool;

	registry_lock();
	pool = pool_of(database, user);
	registry_unlock();
	return pool;
}

struct shared_user *registry_user(const char *name)
{
	struct shared_user *user;

	registry_lock();
	user = user_of(name);
	registry_unlock();
	return user;
}

struct shared_user *registry_find_user(const char *name)
{
	struct shared_user *user;

	registry_lock();
	user = find_user(name);
	registry_unlock();
	return user;
}

struct shared_database *registry_database(const char *name)
{
	struct shared_database *database;

	registry_lock();
	database = database_of(name);
	registry_unlock();
	return database;
}

struct shared_database *registry_find_database(const char *name)
{
	struct shared_database *database;

	registry_lock();
	database = find_database(name);
	registry_unlock();
	return database;
}

bool registry_is_disabled(const char *name)
{
	struct shared_database *database;
	bool disabled = false;

	registry_lock();
	database = find_database(name);
	if (database) {
		disabled = __atomic_load_n(&database->disabled, __ATOMIC_RELAXED);
		drop_database(database);
	}
	registry_unlock();
	return disabled;
}

struct shared_pool *shared_pool_ref(struct shared_pool *pool)
{
	registry_lock();
	pool->refs++;
	registry_unlock();
	return pool;
}

void shared_pool_unref(struct shared_pool **pool_p)
{
	registry_lock();
	if (*pool_p)
		drop_pool(*pool_p);
	*pool_p = NULL;
	registry_unlock();
}

struct lane_pool *shared_pool_replication(struct shared_pool *pool, bool make)
{
	struct lane_pool *account;

	registry_lock();
	if (pool->replication_pool == NULL && make)
		pool->replication_pool = lane_pool_new(ledger_of_all);
	account = pool->replication_pool;
	registry_unlock();
	return account;
}

struct shared_database *shared_database_ref(struct shared_database *database)
{
	registry_lock();
	database->refs++;
	registry_unlock();
	return database;
}

void shared_database_unref(struct shared_database **database_p)
{
	registry_lock();
	if (*database_p)
		drop_database(*database_p);
	*database_p = NULL;
	registry_unlock();
}

void shared_user_unref(struct shared_user **user_p)
{
	registry_lock();
	if (*user_p)
		drop_user(*user_p);
	*user_p = NULL;
	registry_unlock();
}

struct shared_pool **registry_all_pools(unsigned *n_r)
{
	struct shared_pool **all, *pool;
	unsigned n = 0;

	registry_lock();
	LIST_FOREACH(pool, &pools, link)
	n++;
	all = mem_alloc(n * sizeof(struct shared_pool *));
	*n_r = n;
	n = 0;
	LIST_FOREACH(pool, &pools, link) {
		pool->refs++;
		all[n++] = pool;
	}
	registry_unlock();
	return all;
}

void registry_each_database(void (*visit)(void *arg, struct shared_database *database), void *arg)
{
	struct shared_database *database;

	registry_lock();
	LIST_FOREACH(database, &databases, link)
	visit(arg, database);
	registry_unlock();
}

void registry_each_user(void (*visit)(void *arg, struct shared_user *user), void *arg)
{
	struct shared_user *user;

	registry_lock();
	LIST_FOREACH(user, &users, link)
	visit(arg, user);
	registry_unlock();
}

void registry_each_pool(void (*visit)(void *arg, struct shared_pool *pool), void *arg)
{
	struct shared_pool *pool;

	registry_lock();
	LIST_FOREACH(pool, &pools, link)
	visit(arg, pool);
	registry_unlock();
}

static struct welcome_entry *find_welcome(
	const struct shared_pool *pool, const struct param_set *asked)
{
	struct welcome_entry *entry;

	LIST_FOREACH(entry, &pool->welcomes, link)
		if (entry->asked == asked)
			break;
	return entry;
}

bool shared_pool_welcome(struct shared_pool *pool, struct param_set *asked,
	struct param_set **canonical_r, struct param_set **facts_r)
{
	struct welcome_entry *entry;

	registry_lock();
	entry = pool->has_welcome ? find_welcome(pool, asked) : NULL;
	if (entry) {
		*canonical_r = param_set_ref(entry->canonical);
		*facts_r = param_set_ref(pool->facts);
	}
	registry_unlock();
	return entry != NULL;
}

void shared_pool_last_failure(
	struct shared_pool *pool, uint64_t now_us, uint64_t again_us, struct pgw_fault *fault_r)
{
	struct pgw_fault aged;
	uint64_t failed_us;

	registry_lock();
	*fault_r = pool->last_failure;
	failed_us = pool->last_failure_us;
	registry_unlock();
	/* Another worker's clock may be ahead of this turn's. */
	pgw_fault_set(&aged, fault_r->id, NULL,
		"Connecting failed %" PRIu64 " ms ago, and is tried again in %" PRIu64
		" ms (server_login_retry): %s",
		now_us > failed_us ? (now_us - failed_us) / 1000 : 0, (again_us + 999) / 1000,
		fault_r->detail);
	memcpy(fault_r->detail, aged.detail, sizeof(aged.detail));
}

void shared_pool_learn(
	struct shared_pool *pool, struct param_set *asked, struct param_set *canonical)
{
	struct welcome_entry *entry;

	registry_lock();
	/* Clients that came at once all asked for the same, and all of them learn it. */
	entry = find_welcome(pool, asked);
	if (entry == NULL) {
		if (pool->n_welcomes >= WELCOMES_MAX)
			forget_welcomes(pool);
		entry = mem_zalloc(sizeof(*entry));
		entry->asked = param_set_ref(asked);
		LIST_INSERT_HEAD(&pool->welcomes, entry, link);
		pool->n_welcomes++;
	}
	param_set_unref(&entry->canonical);
	entry->canonical = param_set_ref(canonical);
	registry_unlock();
}

void shared_pool_set_facts(
	struct shared_pool *pool, struct param_set *facts, struct param_set *defaults)
{
	registry_lock();
	if (pool->facts != facts || pool->defaults != defaults) {
		forget_welcomes(pool);
		param_set_unref(&pool->facts);
		param_set_unref(&pool->defaults);
		pool->facts = param_set_ref(facts);
		pool->defaults = param_set_ref(defaults);
	}
	pool->has_welcome = true;
	registry_unlock();
}

void shared_pool_forget(struct shared_pool *pool)
{
	registry_lock();
	forget_welcomes(pool);
	pool->has_welcome = false;
	registry_unlock();
}
