/* SPDX-License-Identifier: ISC */
/* What all workers share of databases, users and pools: one entry for a name, and a bounded memory
 * of welcomes. */
#include "session/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "base/mem.h"

#define WELCOMES_MAX 1024u /* as in registry.c */

static struct lane_ledger *ledger;

static void ignore_wake(void *arg, unsigned port)
{
}

static int registry_setup(void **state)
{
	static const struct lane_spec spec = {.name = "default", .size = 4};

	ledger = lane_ledger_new(&spec, 1, 4, 1, ignore_wake, NULL);
	registry_open(ledger);
	return 0;
}

static int registry_teardown(void **state)
{
	registry_close();
	lane_ledger_free(&ledger); /* MUST: no pools */
	return 0;
}

static void one_entry_for_a_name(void **state)
{
	struct shared_pool *pool = registry_pool("shop", "alice");

	assert_ptr_equal(registry_pool("shop", "alice"), pool);
	assert_ptr_not_equal(registry_pool("shop", "bob"), pool);
	assert_ptr_not_equal(registry_pool("alice", "shop"), pool);
	assert_ptr_not_equal(registry_pool("Shop", "alice"), pool);
	assert_ptr_equal(registry_user("alice"), pool->user);
	assert_ptr_equal(registry_pool("other", "alice")->user, pool->user);
	assert_ptr_equal(registry_database("shop"), pool->database);
	assert_ptr_equal(registry_find_database("shop"), pool->database);
	assert_null(registry_find_database("nobody's"));
	assert_null(registry_find_database("nobody's")); /* looking makes nothing */
	assert_string_equal(pool->database->name, "shop");
	assert_string_equal(pool->user->name, "alice");
	assert_non_null(pool->lane_pool);
	assert_ptr_not_equal(pool->lane_pool, registry_pool("shop", "bob")->lane_pool);
	assert_false(pool->has_welcome);
}

static void count_database(void *arg, struct shared_database *database)
{
	++*(unsigned *)arg;
}

static void count_user(void *arg, struct shared_user *user)
{
	++*(unsigned *)arg;
}

static void count_pool(void *arg, struct shared_pool *pool)
{
	++*(unsigned *)arg;
}

static void each_is_visited_once(void **state)
{
	unsigned n_databases = 0, n_users = 0, n_pools = 0;

	assert_non_null(registry_pool("a", "x"));
	assert_non_null(registry_pool("a", "y"));
	assert_non_null(registry_pool("b", "x"));
	assert_non_null(registry_user("nowhere yet"));
	assert_non_null(registry_database("c"));
	registry_each_database(count_database, &n_databases);
	registry_each_user(count_user, &n_users);
	registry_each_pool(count_pool, &n_pools);
	assert_int_equal(n_databases, 3);
	assert_int_equal(n_users, 3);
	assert_int_equal(n_pools, 3);
}

/* ---- references ---- */

struct sizes {
	unsigned n_databases, n_users, n_pools;
};

static void assert_sizes(unsigned n_databases, unsigned n_users, unsigned n_pools)
{
	struct sizes n = {0};

	registry_each_database(count_database, &n.n_databases);
	registry_each_user(count_user, &n.n_users);
	registry_each_pool(count_pool, &n.n_pools);
	assert_int_equal(n.n_databases, n_databases);
	assert_int_equal(n.n_users, n_users);
	assert_int_equal(n.n_pools, n_pools);
}

static void nobody_keeps_what_nobody_holds(void **state)
{
	struct shared_pool *one = registry_pool("shop", "alice"), *again = registry_pool("shop", "alice"),
			   *other = registry_pool("shop", "bob"), *none = NULL;
	struct shared_database *database;

	shared_pool_unref(&one);
	assert_null(one);
	assert_sizes(1, 2, 2); /* another holds it still */
	one = shared_pool_ref(again);
	shared_pool_unref(&again);
	assert_sizes(1, 2, 2);
	shared_pool_unref(&one);
	assert_sizes(1, 1, 1);
	database = shared_database_ref(other->database);
	shared_pool_unref(&other);
	assert_sizes(1, 0, 0);
	assert_ptr_equal(registry_find_database("shop"), database);
	again = NULL;
	shared_database_unref(&(struct shared_database *){database});
	assert_sizes(1, 0, 0);
	shared_database_unref(&database);
	assert_sizes(0, 0, 0);
	shared_pool_unref(&none);
	shared_database_unref(&database);
	assert_null(registry_find_user("alice"));
	assert_false(registry_is_disabled("shop")); /* asking makes nothing */
	assert_sizes(0, 0, 0);
}

/* What an operator has said of a database holds without anybody in it. */
static void a_flag_is_kept(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct shared_database *database = registry_database("shop");
		bool *flag = i == 0 ? &database->paused : &database->disabled;

		__atomic_store_n(flag, true, __ATOMIC_RELAXED);
		shared_database_unref(&database);
		assert_int_equal(registry_is_disabled("shop"), i == 1);
		assert_sizes(1, 0, 0);
		database = registry_find_database("shop");
		__atomic_store_n(flag, false, __ATOMIC_RELAXED);
		shared_database_unref(&database);
		assert_sizes(0, 0, 0);
	}
}

/* Reading a secret again at each attempt would tell who exists. */
static void a_secret_is_kept(void **state)
{
	struct shared_pool *pool = registry_pool("shop", "alice");

	pool->user->secret = mem_strdup("secret");
	shared_pool_unref(&pool);
	assert_sizes(0, 1, 0);
}

static void all_pools_are_held(void **state)
{
	struct shared_pool *first = registry_pool("shop", "alice"), *second = registry_pool("shop", "bob");
	struct shared_pool **all;
	unsigned n;

	all = registry_all_pools(&n);
	assert_int_equal(n, 2);
	shared_pool_unref(&first);
	shared_pool_unref(&second);
	assert_sizes(1, 2, 2);
	while (n > 0)
		shared_pool_unref(&all[--n]);
	mem_free(all);
	assert_sizes(0, 0, 0);
	all = registry_all_pools(&n);
	assert_int_equal(n, 0);
	mem_free(all);
}

/* ---- welcomes ---- */

static struct param_set *set_of(const char *name, unsigned value)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", value);
	return param_set_with(NULL, name, text);
}

static void learn(struct shared_pool *pool, unsigned asked, unsigned canonical)
{
	struct param_set *a = set_of("asked", asked), *c = set_of("canonical", canonical);

	shared_pool_learn(pool, a, c);
	param_set_unref(&a);
	param_set_unref(&c);
}

/* What the pool says to a client that asks so: the canonical value, -1 when it does not know. */
static int welcome(struct shared_pool *pool, unsigned asked)
{
	struct param_set *a = set_of("asked", asked), *canonical = NULL, *facts = NULL;
	int value = -1;

	if (shared_pool_welcome(pool, a, &canonical, &facts)) {
		assert_ptr_equal(facts, pool->facts);
		assert_int_equal(sscanf(param_set_get(canonical, "canonical"), "%d", &value), 1);
	} else {
		assert_null(canonical);
		assert_null(facts);
	}
	param_set_unref(&a);
	param_set_unref(&canonical);
	param_set_unref(&facts);
	return value;
}

static void set_facts(struct shared_pool *pool, unsigned facts, unsigned defaults)
{
	struct param_set *f = set_of("fact", facts), *d = set_of("default", defaults);

	shared_pool_set_facts(pool, f, d);
	param_set_unref(&f);
	param_set_unref(&d);
}

static void what_was_learned_is_said_again(void **state)
{
	struct shared_pool *pool = registry_pool("shop", "alice");

	assert_int_equal(welcome(pool, 1), -1);
	set_facts(pool, 16, 1);
	assert_int_equal(welcome(pool, 1), -1);
	learn(pool, 1, 100);
	learn(pool, 2, 200);
	assert_int_equal(welcome(pool, 1), 100);
	assert_int_equal(welcome(pool, 2), 200);
	assert_int_equal(welcome(pool, 3), -1);
	assert_int_equal(welcome(registry_pool("shop", "bob"), 1), -1); /* each pool has its own */
	set_facts(pool, 16, 1); /* the same again changes nothing */
	assert_int_equal(welcome(pool, 1), 100);
}

static void other_facts_are_another_server(void **state)
{
	struct shared_pool *pool = registry_pool("shop", "alice");

	set_facts(pool, 16, 1);
	learn(pool, 1, 100);
	set_facts(pool, 17, 1); /* upgraded */
	assert_int_equal(welcome(pool, 1), -1);
	learn(pool, 1, 101);
	set_facts(pool, 17, 2); /* ALTER ROLE … SET */
	assert_int_equal(welcome(pool, 1), -1);
	assert_int_equal(pool->n_welcomes, 0);
}

static void forgetting_asks_a_server_first(void **state)
{
	struct shared_pool *pool = registry_pool("shop", "alice");

	set_facts(pool, 16, 1);
	learn(pool, 1, 100);
	shared_pool_forget(pool);
	assert_int_equal(welcome(pool, 1), -1);
	learn(pool, 1, 102);
	assert_int_equal(welcome(pool, 1), -1); /* no server has told its facts yet */
	set_facts(pool, 16, 1);
	assert_int_equal(welcome(pool, 1), 102);
}

/* A thousand clients that log in at once all ask, and all learn the same. */
static void the_same_lesson_is_kept_once(void **state)
{
	struct shared_pool *pool = registry_pool("shop", "alice");

	set_facts(pool, 16, 1);
	learn(pool, 2, 200);
	for (unsigned i = 0; i < WELCOMES_MAX; i++)
		learn(pool, 1, 100);
	learn(pool, 1, 101); /* the newest holds */
	assert_int_equal(welcome(pool, 1), 101);
	assert_int_equal(welcome(pool, 2), 200);
	assert_int_equal(pool->n_welcomes, 2);
}

/* Who asks for something new each time cannot make it grow without end. */
static void welcomes_are_bounded(void **state)
{
	struct shared_pool *pool = registry_pool("shop", "alice");
	struct welcome_entry *entry;
	unsigned n = 0;

	set_facts(pool, 16, 1);
	for (unsigned i = 0; i < 3 * WELCOMES_MAX + 10; i++) {
		learn(pool, i, i + 1);
		assert_in_range(pool->n_welcomes, 1, WELCOMES_MAX);
		assert_int_equal(welcome(pool, i), i + 1);
	}
	LIST_FOREACH(entry, &pool->welcomes, link)
	n++;
	assert_int_equal(n, pool->n_welcomes);
}

/* ---- threads ---- */

#define N_THREADS 4u

static void ask(struct shared_pool *pool, unsigned asked)
{
	struct param_set *a = set_of("asked", asked), *canonical = NULL, *facts = NULL;

	if (shared_pool_welcome(pool, a, &canonical, &facts))
		MUST(strtoul(param_set_get(canonical, "canonical"), NULL, 10) == asked &&
			facts->n == 1);
	param_set_unref(&a);
	param_set_unref(&canonical);
	param_set_unref(&facts);
}

static void *use_it(void *arg)
{
	struct shared_pool **seen = arg;

	for (unsigned i = 0; i < 2000; i++) {
		struct shared_pool *pool = registry_pool("shop", i % 2 ? "alice" : "bob");

		MUST(seen[i % 2] == NULL || seen[i % 2] == pool);
		seen[i % 2] = pool;
		if (i % 100 == 0)
			set_facts(pool, i, 1);
		learn(pool, i % 50, i % 50);
		ask(pool, i % 50);
	}
	return NULL;
}

static void many_threads_share_it(void **state)
{
	struct shared_pool *seen[N_THREADS][2] = {{NULL}};
	pthread_t threads[N_THREADS];

	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_it, seen[i]), 0);
	for (unsigned i = 0; i < N_THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_ptr_equal(seen[i][0], seen[0][0]);
		assert_ptr_equal(seen[i][1], seen[0][1]);
	}
}

static void *come_and_go(void *arg)
{
	for (unsigned i = 0; i < 5000; i++) {
		struct shared_pool *pool = registry_pool(i % 3 ? "shop" : "store", i % 2 ? "alice" : "bob");

		MUST(strcmp(pool->user->name, i % 2 ? "alice" : "bob") == 0);
		learn(pool, i % 5, i % 5);
		MUST(!registry_is_disabled("shop"));
		shared_pool_unref(&pool);
	}
	return NULL;
}

static void many_threads_come_and_go(void **state)
{
	pthread_t threads[N_THREADS];

	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_sizes(0, 0, 0);
}

int main(void)
{
#define REGISTRY_TEST(name) cmocka_unit_test_setup_teardown(name, registry_setup, registry_teardown)
	const struct CMUnitTest tests[] = {
		REGISTRY_TEST(one_entry_for_a_name),
		REGISTRY_TEST(each_is_visited_once),
		REGISTRY_TEST(nobody_keeps_what_nobody_holds),
		REGISTRY_TEST(a_flag_is_kept),
		REGISTRY_TEST(a_secret_is_kept),
		REGISTRY_TEST(all_pools_are_held),
		REGISTRY_TEST(what_was_learned_is_said_again),
		REGISTRY_TEST(other_facts_are_another_server),
		REGISTRY_TEST(forgetting_asks_a_server_first),
		REGISTRY_TEST(the_same_lesson_is_kept_once),
		REGISTRY_TEST(welcomes_are_bounded),
		REGISTRY_TEST(many_threads_share_it),
		REGISTRY_TEST(many_threads_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
