/* SPDX-License-Identifier: ISC */
/* A connection of pglane's own against a server that plays scripts: good ends, bad ones, deadlines. */
#include "service/pgconn.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"
#include "unit/service/fakepg.h"

#define LONG_US 20000000u
#define SHORT_US 50000u

struct test {
	struct fakepg fake;
	struct loop loop;
	struct resolver *resolver;
	struct pgconn *conn;
	bool inside; /* a call of pgconn's: no callback may come */
	char happened[64]; /* a letter for each callback */
	char sqlstate[6], text[256], value[64];
	bool ask, close_at_once; /* what to do when connected */
	uint64_t query_timeout_us;
};

static void note(struct test *test, char what)
{
	size_t n = strlen(test->happened);

	assert_false(test->inside);
	assert_true(n + 1 < sizeof(test->happened));
	test->happened[n] = what;
}

static void end_it(struct test *test)
{
	test->inside = true;
	pgconn_close(test->conn);
	test->inside = false;
}

static void ask(struct test *test)
{
	static const char *const values[] = { "one", NULL };

	test->inside = true;
	pgconn_query(test->conn, "INSERT", 2, values, test->query_timeout_us);
	test->inside = false;
}

static void on_connected(void *arg)
{
	struct test *test = arg;

	note(test, 'c');
	if (test->ask)
		ask(test);
	else if (test->close_at_once)
		end_it(test);
}

static void on_answered(void *arg, const PGresult *result)
{
	struct test *test = arg;

	note(test, 'a');
	if (PQntuples(result) > 0)
		(void)snprintf(test->value, sizeof(test->value), "%s", PQgetvalue(result, 0, 0));
	end_it(test);
}

static void on_failed(void *arg, const struct pgconn_error *error)
{
	struct test *test = arg;

	note(test, 'f');
	(void)snprintf(test->sqlstate, sizeof(test->sqlstate), "%s", error->sqlstate);
	(void)snprintf(test->text, sizeof(test->text), "%s", error->text);
	end_it(test);
}

static void on_closed(void *arg)
{
	struct test *test = arg;

	note(test, 'x');
	test->conn = NULL;
	loop_stop(&test->loop);
}

static const struct pgconn_ops ops = {
	.connected = on_connected,
	.answered = on_answered,
	.failed = on_failed,
	.closed = on_closed,
};

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof(*test));

	if (test == NULL)
		return -1;
	fakepg_open(&test->fake);
	loop_init(&test->loop);
	test->resolver = resolver_new(&test->loop);
	test->ask = true;
	test->query_timeout_us = LONG_US;
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;

	resolver_free(&test->resolver);
	loop_release(&test->loop);
	fakepg_release(&test->fake);
	free(test);
	return 0;
}

static void open_conn(struct test *test, const char *host, uint64_t timeout_us)
{
	static const struct config_tls tls = { .mode = TLS_DISABLE };
	struct pgconn_params params = {
		.host = host,
		.port = FAKEPG_PORT,
		.dbname = "d",
		.user = "u",
		.password = "p",
		.application_name = "test",
		.tls = &tls,
		.connect_timeout_us = timeout_us,
	};

	test->inside = true;
	test->conn = pgconn_open(&test->loop, test->resolver, &params, &ops, test);
	test->inside = false;
}

static void run(struct test *test, void (*script)(struct fakepg *fake), uint64_t timeout_us)
{
	fakepg_play(&test->fake, script);
	open_conn(test, test->fake.dir, timeout_us);
	loop_run(&test->loop);
	fakepg_join(&test->fake);
}

/* ---- good ends ---- */

static void answers(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	MUST(memmem(fake->body, fake->n_body, "\0\0\0\3one\377\377\377\377", 11) != NULL);
	FAKEPG_SAY(fake, '1', "");
	FAKEPG_SAY(fake, '2', "");
	FAKEPG_SAY(fake, 'T', "\0\1x\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
	FAKEPG_SAY(fake, 'D', "\0\1\0\0\0\3yes");
	FAKEPG_SAY(fake, 'N', "SNOTICE\0C00000\0Mnever mind\0\0");
	FAKEPG_SAY(fake, 'C', "SELECT 1\0");
	fakepg_ready(fake);
	fakepg_await_end(fake);
}

static void asks_and_is_answered(void **state)
{
	struct test *test = *state;

	run(test, answers, LONG_US);
	assert_string_equal(test->text, "");
	assert_string_equal(test->happened, "cax");
	assert_string_equal(test->value, "yes");
}

static void says_done_before_ready(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	fakepg_done(fake);
	usleep(SHORT_US); /* time for a mistake: the answer is not committed yet */
	__atomic_store_n(&fake->go, 1, __ATOMIC_SEQ_CST);
	fakepg_ready(fake);
	fakepg_await_end(fake);
}

static void on_answered_late(void *arg, const PGresult *result)
{
	struct test *test = arg;

	assert_int_equal(__atomic_load_n(&test->fake.go, __ATOMIC_SEQ_CST), 1);
	on_answered(arg, result);
}

static void answered_means_committed(void **state)
{
	struct test *test = *state;
	struct pgconn_ops late = ops;
	struct config_tls tls = { .mode = TLS_DISABLE };
	struct pgconn_params params = {
		.host = test->fake.dir, .port = FAKEPG_PORT, .dbname = "d", .user = "u", .tls = &tls,
		.connect_timeout_us = LONG_US,
	};

	late.answered = on_answered_late;
	fakepg_play(&test->fake, says_done_before_ready);
	test->conn = pgconn_open(&test->loop, test->resolver, &params, &late, test);
	loop_run(&test->loop);
	fakepg_join(&test->fake);
	assert_string_equal(test->happened, "cax");
}

static void closes_late(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	fakepg_done(fake);
	fakepg_ready(fake);
	fakepg_await_end(fake);
	FAKEPG_SAY(fake, 'N', "SNOTICE\0C00000\0Mbye\0\0");
	usleep(SHORT_US); /* time for a mistake: it counts as open until we close */
	fakepg_close(fake);
}

static void on_closed_late(void *arg)
{
	struct test *test = arg;

	assert_int_equal(__atomic_load_n(&test->fake.closing, __ATOMIC_SEQ_CST), 1);
	on_closed(arg);
}

static void closed_means_the_server_closed(void **state)
{
	struct test *test = *state;
	struct pgconn_ops late = ops;
	struct config_tls tls = { .mode = TLS_DISABLE };
	struct pgconn_params params = {
		.host = test->fake.dir, .port = FAKEPG_PORT, .dbname = "d", .user = "u", .tls = &tls,
		.connect_timeout_us = LONG_US,
	};

	late.closed = on_closed_late;
	fakepg_play(&test->fake, closes_late);
	test->conn = pgconn_open(&test->loop, test->resolver, &params, &late, test);
	loop_run(&test->loop);
	fakepg_join(&test->fake);
	assert_string_equal(test->happened, "cax");
}

static void only_logs_in(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_end(fake);
}

static void closes_without_asking(void **state)
{
	struct test *test = *state;

	test->ask = false;
	test->close_at_once = true;
	run(test, only_logs_in, LONG_US);
	assert_string_equal(test->happened, "cx");
}

/* ---- bad ends ---- */

static void refuses_statement(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	fakepg_error(fake, "ERROR", "42P01", "no such\ntable");
	fakepg_ready(fake);
	fakepg_await_end(fake);
}

static void statement_fails(void **state)
{
	struct test *test = *state;

	run(test, refuses_statement, LONG_US);
	assert_string_equal(test->happened, "cfx");
	assert_string_equal(test->sqlstate, "42P01");
	assert_string_equal(test->text, "no such");
}

static void fails_at_commit(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	fakepg_done(fake);
	fakepg_error(fake, "ERROR", "23505", "a deferred one");
	fakepg_ready(fake);
	fakepg_await_end(fake);
}

/* CommandComplete is not yet a commit. */
static void commit_fails(void **state)
{
	struct test *test = *state;

	run(test, fails_at_commit, LONG_US);
	assert_string_equal(test->happened, "cfx");
	assert_string_equal(test->sqlstate, "23505");
}

static void dies_before_ready(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	fakepg_done(fake);
	fakepg_close(fake);
}

static void connection_lost_before_commit(void **state)
{
	struct test *test = *state;

	run(test, dies_before_ready, LONG_US);
	assert_string_equal(test->happened, "cfx");
	assert_string_equal(test->sqlstate, "");
	assert_true(test->text[0] != '\0');
}

static void is_shut_down(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	fakepg_error(fake, "FATAL", "57P01", "shutting down");
	fakepg_close(fake);
}

static void last_words_are_the_reason(void **state)
{
	struct test *test = *state;

	run(test, is_shut_down, LONG_US);
	assert_string_equal(test->happened, "cfx");
	assert_string_equal(test->sqlstate, "57P01");
	assert_string_equal(test->text, "shutting down");
}

static void dies_idle(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_close(fake);
}

static void idle_connection_lost(void **state)
{
	struct test *test = *state;

	test->ask = false;
	run(test, dies_idle, LONG_US);
	assert_string_equal(test->happened, "cfx");
}

static void refuses_login(struct fakepg *fake)
{
	fakepg_accept(fake);
	fakepg_read_body(fake);
	fakepg_error(fake, "FATAL", "28P01", "password authentication failed");
	fakepg_close(fake);
}

static void login_fails(void **state)
{
	struct test *test = *state;

	run(test, refuses_login, LONG_US);
	assert_string_equal(test->happened, "fx");
	assert_non_null(strstr(test->text, "password authentication failed"));
	assert_null(strchr(test->text, '\n'));
}

static void nobody_listens(void **state)
{
	struct test *test = *state;

	open_conn(test, "/tmp/there is no such directory", LONG_US);
	loop_run(&test->loop);
	assert_string_equal(test->happened, "fx");
	assert_non_null(strstr(test->text, "no such directory"));
}

static void connection_refused(void **state)
{
	struct test *test = *state;
	struct sockaddr_un addr;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	/* A socket file without a listener. */
	fakepg_path(&test->fake, &addr);
	assert_int_equal(unlink(addr.sun_path), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	open_conn(test, test->fake.dir, LONG_US);
	loop_run(&test->loop);
	close(fd);
	assert_string_equal(test->happened, "fx");
}

static void literal_addresses_need_no_resolver(void **state)
{
	struct test *test = *state;
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct config_tls tls = { .mode = TLS_DISABLE };
	struct pgconn_params params = {
		.host = "127.0.0.1", .dbname = "d", .user = "u", .tls = &tls, .connect_timeout_us = LONG_US,
	};

	/* A port that is bound and not listened on refuses. */
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	params.port = ntohs(addr.sin_port);
	test->conn = pgconn_open(&test->loop, NULL, &params, &ops, test);
	loop_run(&test->loop);
	close(fd);
	assert_string_equal(test->happened, "fx");
	assert_non_null(strstr(test->text, "refused"));
}

/* ---- deadlines ---- */

static void is_silent_at_login(struct fakepg *fake)
{
	fakepg_accept(fake);
	fakepg_await_eof(fake);
}

static void login_has_a_deadline(void **state)
{
	struct test *test = *state;

	run(test, is_silent_at_login, SHORT_US);
	assert_string_equal(test->happened, "fx");
	assert_string_equal(test->text, "connecting took too long");
}

static void is_silent_when_asked(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	fakepg_await_eof(fake);
}

static void statements_have_a_deadline(void **state)
{
	struct test *test = *state;

	test->query_timeout_us = SHORT_US;
	run(test, is_silent_when_asked, LONG_US);
	assert_string_equal(test->happened, "cfx");
	assert_string_equal(test->text, "the server did not answer in time");
}

/* ---- ends that cannot wait ---- */

static void end_while_logging_in(void **state)
{
	struct test *test = *state;

	fakepg_play(&test->fake, is_silent_at_login);
	open_conn(test, test->fake.dir, LONG_US);
	pgconn_end(&test->conn, LONG_US);
	assert_null(test->conn);
	fakepg_join(&test->fake);
	assert_string_equal(test->happened, "");
	pgconn_end(&test->conn, LONG_US);
}

static void on_connected_stop(void *arg)
{
	struct test *test = arg;

	note(test, 'c');
	loop_stop(&test->loop);
}

static void connect_and_stop(struct test *test, void (*script)(struct fakepg *fake))
{
	static const struct pgconn_ops stop_ops = { on_connected_stop, on_answered, on_failed, on_closed };
	struct config_tls tls = { .mode = TLS_DISABLE };
	struct pgconn_params params = {
		.host = test->fake.dir, .port = FAKEPG_PORT, .dbname = "d", .user = "u", .tls = &tls,
		.connect_timeout_us = LONG_US,
	};

	fakepg_play(&test->fake, script);
	test->conn = pgconn_open(&test->loop, test->resolver, &params, &stop_ops, test);
	loop_run(&test->loop);
}

static void end_waits_for_the_server(void **state)
{
	struct test *test = *state;

	connect_and_stop(test, closes_late);
	ask(test);
	pgconn_end(&test->conn, LONG_US);
	assert_int_equal(__atomic_load_n(&test->fake.closing, __ATOMIC_SEQ_CST), 1);
	fakepg_join(&test->fake);
	assert_string_equal(test->happened, "c");
}

static void never_closes(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_wait_for_go(fake);
}

static void end_waits_only_so_long(void **state)
{
	struct test *test = *state;
	uint64_t before_us;

	connect_and_stop(test, never_closes);
	before_us = clock_mono_us();
	pgconn_end(&test->conn, SHORT_US);
	assert_true(clock_mono_us() - before_us >= SHORT_US);
	__atomic_store_n(&test->fake.go, 1, __ATOMIC_SEQ_CST);
	fakepg_join(&test->fake);
	assert_string_equal(test->happened, "c");
}

static void end_while_closing(void **state)
{
	struct test *test = *state;

	connect_and_stop(test, closes_late);
	ask(test);
	pgconn_close(test->conn);
	pgconn_end(&test->conn, LONG_US);
	assert_int_equal(__atomic_load_n(&test->fake.closing, __ATOMIC_SEQ_CST), 1);
	fakepg_join(&test->fake);
	assert_string_equal(test->happened, "c");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(asks_and_is_answered),
		TEST(answered_means_committed),
		TEST(closed_means_the_server_closed),
		TEST(closes_without_asking),
		TEST(statement_fails),
		TEST(commit_fails),
		TEST(connection_lost_before_commit),
		TEST(last_words_are_the_reason),
		TEST(idle_connection_lost),
		TEST(login_fails),
		TEST(nobody_listens),
		TEST(connection_refused),
		TEST(literal_addresses_need_no_resolver),
		TEST(login_has_a_deadline),
		TEST(statements_have_a_deadline),
		TEST(end_while_logging_in),
		TEST(end_waits_for_the_server),
		TEST(end_waits_only_so_long),
		TEST(end_while_closing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
