/* SPDX-License-Identifier: ISC */
#include "unit/config/config_test.h"

/* Reloads `fresh` over `running`, expects the notes, returns what then runs. */
static struct config *reload(const char *running_text, const char *fresh_text, const char *expected)
{
	struct config *running = load_ok(running_text), *fresh = load_ok(fresh_text);
	struct strbuf notes = STRBUF_INIT;

	config_keep_boot_values(fresh, running, &notes);
	assert_string_equal(notes.data, expected);
	strbuf_release(&notes);
	config_unref(&running);
	return fresh;
}

static void what_may_change_changes(void **state)
{
	struct config *config = reload("",
		"[pglane]\nmax_client_conn=5\npool_mode=session\nbudget=200\n[lane:ml]\npermits=50\n[databases]\na=\n",
		"");

	assert_int_equal(config->max_client_conn, 5);
	assert_int_equal(config->pool_mode, POOL_MODE_SESSION);
	assert_int_equal(config->budget, 200);
	assert_int_equal(config->lanes[1].permits, 50);
	assert_int_equal(config->n_databases, 1);
	config_unref(&config);
}

static void sockets_and_threads_stay(void **state)
{
	struct config *config = reload(
		"[pglane]\ninstance_id=x\nworkers=2\nlisten_addr=*\nunix_socket_mode=0700\n",
		"[pglane]\ninstance_id=y\nworkers=3\nlisten_addr=\nunix_socket_mode=0777\nlisten_port=1\nmax_client_conn=5\nso_reuseport=1\n",
		"instance_id: needs a restart to become \"y\"; \"x\" stays\n"
		"listen_addr: needs a restart to become \"\"; \"*\" stays\n"
		"listen_port: needs a restart to become \"1\"; \"6432\" stays\n"
		"unix_socket_mode: needs a restart to become \"0777\"; \"0700\" stays\n"
		"workers: needs a restart to become \"3\"; \"2\" stays\n");

	assert_int_equal(config->workers, 2);
	assert_string_equal(config->listen_addr, "*");
	assert_int_equal(config->listen_port, 6432);
	assert_int_equal(config->unix_socket_mode, 0700);
	assert_int_equal(config->max_client_conn, 5);
	config_unref(&config);
}

static void the_set_of_lanes_stays(void **state)
{
	struct config *config = reload("",
		"[pglane]\nbudget=10\n[lane:all]\npermits=10\nclasses=default,serving,vector,hybrid,training\n[lane:default]\npermits=0\n[lane:ml]\npermits=0\n"
		"[lane:vector]\npermits=0\n[lane:training]\npermits=0\n[lane:priority]\npermits=0\n",
		"lanes: needs a restart to become \"all\"; \"default, ml, vector, training, priority\" stays\n");

	assert_int_equal(config->n_lanes, 5);
	assert_int_equal(config->budget, 180);
	assert_string_equal(config->lanes[4].name, "priority");
	assert_int_equal(config->urgent_lane, 4);
	assert_int_equal(config->lane_of_class[2], 2);
	config_unref(&config);
}

static void classes_may_move_between_lanes(void **state)
{
	struct config *config = reload(
		"", "[lane:default]\nclasses=default,serving\n[lane:ml]\nclasses=hybrid\n", "");

	assert_int_equal(config->lane_of_class[1], 0);
	config_unref(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_change_changes),
		cmocka_unit_test(sockets_and_threads_stay),
		cmocka_unit_test(the_set_of_lanes_stays),
		cmocka_unit_test(classes_may_move_between_lanes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
