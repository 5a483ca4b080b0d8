/* SPDX-License-Identifier: ISC */
#include "config/replicas.h"

#include "config/snapshot.h"
#include "unit/config/config_test.h"

#define USER "[pglane]\nreplica_check_user = watcher\n"
#define SHOP "[databases]\nshop = host=10.0.0.1 replicas=shop_r1,shop_r2\n"
#define R1 "shop_r1 = host=10.0.0.2 port=5433 dbname=shop\n"
#define R2 "shop_r2 = host=10.0.0.3 dbname=shop\n"
#define TARGET "[lane:training]\ntarget = replica\n"

static void names_become_replicas(void **state)
{
	struct config *config = load_ok(USER SHOP R1 R2 TARGET "max_lag = 250ms\n"
					"replica_fallback = queue\n");
	const struct config_database *shop = config_find_database(config, "shop");
	const struct config_lane *lane = &config->lanes[config->lane_of_class[4]];
	struct config *copy = snapshot_copy(config);

	assert_string_equal(shop->replicas[0], "shop_r1");
	assert_string_equal(shop->replicas[1], "shop_r2");
	assert_null(shop->replicas[2]);
	assert_string_equal(lane->name, "training");
	assert_int_equal(lane->target, TARGET_REPLICA);
	assert_int_equal(lane->max_lag_us, 250000);
	assert_int_equal(lane->replica_fallback, FALLBACK_QUEUE);
	assert_true(config->targets_replica);
	assert_true(copy->targets_replica);
	assert_int_equal(copy->replica_check_period_us, 1000000);
	assert_string_equal(config_find_database(copy, "shop")->replicas[1], "shop_r2");
	config_unref(&copy);
	config_unref(&config);
}

static void defaults(void **state)
{
	struct config *config = load_ok("");

	assert_false(config->targets_replica);
	for (unsigned i = 0; i < config->n_lanes; i++) {
		assert_int_equal(config->lanes[i].target, TARGET_PRIMARY);
		assert_int_equal(config->lanes[i].max_lag_us, 10000000);
		assert_int_equal(config->lanes[i].replica_fallback, FALLBACK_PRIMARY);
	}
	config_unref(&config);
	/* Replicas that no lane uses are nobody's to ask. */
	config = load_ok(SHOP R1 R2);
	assert_false(config->targets_replica);
	config_unref(&config);
}

static void who_asks(void **state)
{
	load_bad(SHOP R1 R2 TARGET,
		"t.ini:2: [databases] shop: its replicas cannot be asked how far they are behind, because no user is known who does; set replica_check_user");
	config_unref(&(struct config *){ load_ok("[pglane]\nmetrics_user = m\n" SHOP R1 R2 TARGET) });
	config_unref(&(struct config *){ load_ok(
		"[databases]\nshop = host=10.0.0.1 user=u replicas=shop_r1\n"
		"shop_r1 = host=10.0.0.2 dbname=shop user=u\n" TARGET) });
}

static void mistakes_of_entries(void **state)
{
	load_bad("[databases]\nshop = host=10.0.0.1 replicas=shop_r1\n",
		"t.ini:2: [databases] shop: replicas: \"shop_r1\" is no entry of [databases]; expected the names of others");
	load_bad("[databases]\n* = host=10.0.0.9\nshop = host=10.0.0.1 replicas=gone\n",
		"t.ini:3: [databases] shop: replicas: \"gone\" is no entry of [databases]; expected the names of others");
	load_bad("[databases]\nshop = host=10.0.0.1 replicas=shop\n",
		"t.ini:2: [databases] shop: replicas: \"shop\" is this entry itself; expected the names of others");
	load_bad("[databases]\nshop = host=10.0.0.1 replicas=shop_r1,shop_r1\n" R1,
		"t.ini:2: [databases] shop: replica shop_r1 is named twice; name it once");
	load_bad("[databases]\n* = host=10.0.0.1 replicas=shop_r1\n" R1,
		"t.ini:2: [databases] *: replicas: this entry stands for many databases; give the one that has replicas an entry of its own");
	load_bad("[databases]\nshop = host=10.0.0.1 replicas=shop_r1\nshop_r1 = host=10.0.0.2\n",
		"t.ini:2: [databases] shop: replica shop_r1 connects to database \"shop_r1\", this entry to \"shop\"; give shop_r1 dbname=shop");
	load_bad("[databases]\nshop = host=10.0.0.1 user=a replicas=shop_r1\n" R1,
		"t.ini:2: [databases] shop: replica shop_r1 logs in as its client, this entry as a; give both the same user");
	load_bad("[databases]\nshop = host=10.0.0.1 replicas=shop_r1\n"
		 "shop_r1 = host=10.0.0.2,10.0.0.3 dbname=shop\n",
		"t.ini:2: [databases] shop: replica shop_r1 has several hosts; give each replica an entry of its own");
	load_bad("[databases]\nshop = host=10.0.0.1 replicas=shop_r1\n"
		 "shop_r1 = host=10.0.0.2 dbname=shop replicas=shop_r2\n" R2,
		"t.ini:2: [databases] shop: replica shop_r1 has replicas itself; name them here");
	load_bad("[databases]\nshop = host=10.0.0.1 replicas=a1,a2,a3,a4,a5,a6,a7,a8,a9,b1,b2,b3,b4,b5,b6,b7,b8\n"
		 "a1 = dbname=shop\na2 = dbname=shop\na3 = dbname=shop\na4 = dbname=shop\na5 = dbname=shop\n"
		 "a6 = dbname=shop\na7 = dbname=shop\na8 = dbname=shop\na9 = dbname=shop\nb1 = dbname=shop\n"
		 "b2 = dbname=shop\nb3 = dbname=shop\nb4 = dbname=shop\nb5 = dbname=shop\nb6 = dbname=shop\n"
		 "b7 = dbname=shop\nb8 = dbname=shop\n",
		"t.ini:2: [databases] shop: there are too many replicas; 16 is the most");
}

static void the_watch_needs_permits(void **state)
{
#define SMALL(default_, budget) "[pglane]\nreplica_check_user = w\nbudget = " budget "\n" SHOP R1 R2 \
		"[lane:default]\npermits = " default_ "\n[lane:ml]\nspill =\n" TARGET

	config_unref(&(struct config *){ load_ok(SMALL("4", "64")) });
	load_bad(SMALL("3", "63"),
		"t.ini:13: [lane:training] target: replicas and the entries that have some are watched over 3 connections with permits of lane default, which has 3 and would have none left; give it more");
	/* Nobody is watched while no lane has the target. */
	config_unref(&(struct config *){ load_ok("[pglane]\nbudget = 61\n" SHOP R1 R2
		"[lane:default]\npermits = 1\n[lane:ml]\nspill =\n") });
}

static void mistakes_of_lanes(void **state)
{
	load_bad("[lane:training]\ntarget = standby\n",
		"t.ini:2: [lane:training] target: \"standby\" is not valid; expected one of primary, replica");
	load_bad("[lane:training]\nreplica_fallback = wait\n",
		"t.ini:2: [lane:training] replica_fallback: \"wait\" is not valid; expected one of primary, queue");
	load_bad("[lane:training]\ntarget = replica\n",
		"t.ini:2: [lane:training] target: no entry of [databases] has replicas; name them there: shop = host=… replicas=shop_replica");
	load_bad(USER SHOP R1 R2 "[lane:priority]\ntarget = replica\n",
		"t.ini:8: [lane:priority] target: lane priority is urgent: the lane of a statement that it helps out decides where that goes; remove the line");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_become_replicas),
		cmocka_unit_test(defaults),
		cmocka_unit_test(who_asks),
		cmocka_unit_test(mistakes_of_entries),
		cmocka_unit_test(the_watch_needs_permits),
		cmocka_unit_test(mistakes_of_lanes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
