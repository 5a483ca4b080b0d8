/* SPDX-License-Identifier: ISC */
/* Addresses as text, of sockets and by name. Names come from the machine's own hosts file: no
 * question leaves it. */
#include "io/netaddr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#define HANG_S 20

static void assert_text(const struct netaddr *addr, const char *text, uint16_t port)
{
	char buf[NETADDR_TEXT_BYTES];
	uint16_t got = 12345;

	assert_ptr_equal(netaddr_format(addr, buf, &got), buf);
	assert_string_equal(buf, text);
	assert_int_equal(got, port);
	assert_string_equal(netaddr_format(addr, buf, NULL), text);
}

static void literals(void **state)
{
	struct netaddr addr;

	assert_true(netaddr_literal("127.0.0.1", 6432, &addr));
	assert_int_equal(addr.sa.sa_family, AF_INET);
	assert_int_equal(addr.len, sizeof(struct sockaddr_in));
	assert_text(&addr, "127.0.0.1", 6432);
	assert_true(netaddr_literal("::1", 65535, &addr));
	assert_int_equal(addr.sa.sa_family, AF_INET6);
	assert_int_equal(addr.len, sizeof(struct sockaddr_in6));
	assert_text(&addr, "::1", 65535);
	assert_true(netaddr_literal(
		"2001:db8:1:2:3:4:255.255.255.255", 0, &addr)); /* the longest there is */
	assert_text(&addr, "2001:db8:1:2:3:4:ffff:ffff", 0);
}

static void no_literals(void **state)
{
	static const char *const texts[] = {"", "localhost", "127.0.0.1 ", "127.1", "1.2.3.256",
		"[::1]", "::1%lo", "/tmp", "@x"};
	struct netaddr addr;

	for (unsigned i = 0; i < N_ELEMENTS(texts); i++)
		assert_false(netaddr_literal(texts[i], 1, &addr));
}

static void unix_directories(void **state)
{
	char dir[sizeof(((struct netaddr *)NULL)->un.sun_path) + 1];
	struct netaddr addr;
	size_t n_tail = strlen("/.s.PGSQL.5432");

	assert_true(netaddr_unix("/var/run/postgresql", 5432, &addr));
	assert_int_equal(addr.sa.sa_family, AF_UNIX);
	assert_string_equal(addr.un.sun_path, "/var/run/postgresql/.s.PGSQL.5432");
	assert_int_equal(
		addr.len, offsetof(struct sockaddr_un, sun_path) + strlen(addr.un.sun_path) + 1);
	assert_text(&addr, "unix", 0);

	/* The longest path keeps its NUL. */
	memset(dir, 'd', sizeof(dir));
	dir[0] = '/';
	dir[sizeof(addr.un.sun_path) - 1 - n_tail] = '\0';
	assert_true(netaddr_unix(dir, 5432, &addr));
	assert_int_equal(strlen(addr.un.sun_path), sizeof(addr.un.sun_path) - 1);
	dir[sizeof(addr.un.sun_path) - 1 - n_tail] = 'd';
	dir[sizeof(addr.un.sun_path) - n_tail] = '\0';
	assert_false(netaddr_unix(dir, 5432, &addr));
}

static void abstract_names(void **state)
{
	struct netaddr addr;

	assert_true(netaddr_unix("@pglane", 6432, &addr));
	assert_int_equal(addr.un.sun_path[0], '\0');
	assert_memory_equal(addr.un.sun_path + 1, "pglane/.s.PGSQL.6432", 20);
	/* The kernel counts every byte of it: none behind the name. */
	assert_int_equal(addr.len, offsetof(struct sockaddr_un, sun_path) + 21);
}

static void both_ends_of_a_socket(void **state)
{
	int fds[2], listener = socket(AF_INET, SOCK_STREAM, 0);
	struct netaddr there, here, peer;

	assert_true(netaddr_literal("127.0.0.1", 0, &there));
	assert_int_equal(bind(listener, &there.sa, there.len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_true(netaddr_of_local(listener, &there));
	assert_false(netaddr_of_peer(listener, &peer)); /* has none */
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[0], &there.sa, there.len), 0);
	fds[1] = accept(listener, NULL, NULL);
	assert_true(netaddr_of_peer(fds[0], &peer));
	assert_text(&peer, "127.0.0.1", ntohs(there.in.sin_port));
	assert_true(netaddr_of_local(fds[0], &here));
	assert_true(netaddr_of_peer(fds[1], &peer));
	assert_text(&peer, "127.0.0.1", ntohs(here.in.sin_port));
	close(fds[0]);
	close(fds[1]);
	close(listener);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_true(netaddr_of_peer(fds[0], &peer));
	assert_text(&peer, "unix", 0);
	close(fds[0]);
	close(fds[1]);
	assert_false(netaddr_of_peer(fds[0], &peer));
	assert_false(netaddr_of_local(fds[0], &peer));
}

/* ---- names ---- */

struct answer {
	unsigned n;
	bool found;
	struct netaddr addr;
	struct loop *loop;
};

static void on_answer(void *arg, const struct netaddr *addr, const char *error)
{
	struct answer *answer = arg;

	assert_true((addr == NULL) == (error != NULL));
	answer->n++;
	answer->found = addr != NULL;
	if (addr)
		answer->addr = *addr;
	else
		assert_ptr_equal(strstr(error, "could not resolve the host name"), error);
}

static void names_of_this_machine(void **state)
{
	struct loop loop;
	struct resolver *resolver;
	struct resolve *resolve;
	struct answer answer = {.n = 0};
	char buf[NETADDR_TEXT_BYTES];
	uint16_t port;

	loop_init(&loop);
	resolver = resolver_new(&loop);
	resolve = resolver_ask(resolver, "localhost", 5432, on_answer, &answer);
	while (answer.n == 0)
		assert_int_equal(event_base_loop(loop.base, EVLOOP_ONCE), 0);
	assert_int_equal(answer.n, 1);
	assert_true(answer.found);
	(void)netaddr_format(&answer.addr, buf, &port);
	assert_true(strcmp(buf, "127.0.0.1") == 0 || strcmp(buf, "::1") == 0);
	assert_int_equal(port, 5432);
	(void)resolve;

	/* An address answers from inside the question. */
	answer.n = 0;
	assert_null(resolver_ask(resolver, "127.0.0.9", 1, on_answer, &answer));
	assert_int_equal(answer.n, 1);
	assert_text(&answer.addr, "127.0.0.9", 1);
	resolver_free(&resolver);
	assert_null(resolver);
	resolver_free(&resolver);
	loop_release(&loop);
}

static void a_name_that_cannot_be(void **state)
{
	char name[400];
	struct loop loop;
	struct resolver *resolver;
	struct resolve *resolve;
	struct answer answer = {.n = 0};

	memset(name, 'x', sizeof(name)); /* one label of more than 63 bytes: no server is asked */
	name[sizeof(name) - 1] = '\0';
	loop_init(&loop);
	resolver = resolver_new(&loop);
	resolve = resolver_ask(resolver, name, 5432, on_answer, &answer);
	while (answer.n == 0)
		assert_int_equal(event_base_loop(loop.base, EVLOOP_ONCE), 0);
	assert_false(answer.found);
	assert_int_equal(answer.n, 1);
	(void)resolve;
	resolver_free(&resolver);
	loop_release(&loop);
}

static void a_question_that_is_taken_back(void **state)
{
	struct loop loop;
	struct resolver *resolver;
	struct resolve *resolve;
	struct answer answer = {.n = 0};

	loop_init(&loop);
	resolver = resolver_new(&loop);
	resolve = resolver_ask(resolver, "pglane-test.invalid", 5432, on_answer, &answer);
	if (resolve == NULL) /* a machine without any name server answers at once */
		assert_int_equal(answer.n, 1);
	answer.n = 0;
	resolve_cancel(&resolve);
	assert_null(resolve);
	resolve_cancel(&resolve);
	for (unsigned i = 0; i < 10; i++)
		event_base_loop(loop.base, EVLOOP_NONBLOCK);
	assert_int_equal(answer.n, 0);
	resolver_free(&resolver);
	loop_release(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals),
		cmocka_unit_test(no_literals),
		cmocka_unit_test(unix_directories),
		cmocka_unit_test(abstract_names),
		cmocka_unit_test(both_ends_of_a_socket),
		cmocka_unit_test(names_of_this_machine),
		cmocka_unit_test(a_name_that_cannot_be),
		cmocka_unit_test(a_question_that_is_taken_back),
	};

	alarm(HANG_S);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
