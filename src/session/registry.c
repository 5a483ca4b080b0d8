/* SPDX-License-Identifier: ISC */
#include "session/registry.h"

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

static void free_pool(struct shared_pool *pool)
{
	forget_welcomes(pool);
	param_set_unref(&pool->facts);
	param_set_unref(&pool->defaults);
	lane_pool_free(ledger_of_all, &pool->lane_pool);
	mem_free(pool);
}

void registry_close(void)
{
	struct shared_database *database;
	struct shared_user *user;
	struct shared_pool *pool;

	while ((pool = LIST_FIRST(&pools)) != NULL) {
		LIST_REMOVE(pool, link);
		free_pool(pool);
	}
	while ((user = LIST_FIRST(&users)) != NULL) {
		LIST_REMOVE(user, link);
		mem_free(user->name);
		mem_free(user->secret);
		mem_free(user);
	}
	while ((database = LIST_FIRST(&databases)) != NULL) {
		LIST_REMOVE(database, link);
		mem_free(database->name);
		mem_free(database);
	}
}

static struct shared_database *find_database(const char *name)
{
	struct shared_database *database;

	LIST_FOREACH(database, &databases, link)
	if (strcmp(database->name, name) == 0)
		return database;
	return NULL;
}

static struct shared_database *database_of(const char *name)
{
	struct shared_database *database = find_database(name);

	if (database)
		return database;
	database = mem_zalloc(sizeof(*database));
	database->name = mem_strdup(name);
	LIST_INSERT_HEAD(&databases, database, link);
	return database;
}

static struct shared_user *user_of(const char *name)
{
	struct shared_user *user;

	LIST_FOREACH(user, &users, link)
	if (strcmp(user->name, name) == 0)
		return user;
	user = mem_zalloc(sizeof(*user));
	user->name = mem_strdup(name);
	LIST_INSERT_HEAD(&users, user, link);
	return user;
}

struct shared_pool *registry_pool(const char *database, const char *user)
{
	struct shared_pool *pool;

	registry_lock();
	LIST_FOREACH(pool, &pools, link)
	if (strcmp(pool->database->name, database) == 0 && strcmp(pool->user->name, user) == 0)
		break;
	if (pool == NULL) {
		pool = mem_zalloc(sizeof(*pool));
		pool->database = database_of(database);
		pool->user = user_of(user);
		pool->lane_pool = lane_pool_new(ledger_of_all);
		LIST_INIT(&pool->welcomes);
		LIST_INSERT_HEAD(&pools, pool, link);
	}
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
