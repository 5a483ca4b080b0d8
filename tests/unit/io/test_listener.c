/* SPDX-License-Identifier: ISC */
/* Listening sockets: opened all or none, what is said of those that fail, and who is handed over to
 * whom. */
#include "io/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/netaddr.h"

#define HANG_S 20

static char dir[] = "/tmp/pglane_listener_XXXXXX";
static char tcp_any[] = "127.0.0.1";
static struct strbuf problems;

static struct config tcp_config(char *addresses)
{
	return (struct config){.listen_addr = addresses, .listen_backlog = 16};
}

static struct config unix_config(uint16_t port)
{
	return (struct config){.unix_socket_dir = dir,
		.unix_socket_mode = 0750,
		.listen_port = port,
		.listen_backlog = 16};
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void assert_fails(const struct config *config, const char *why)
{
	struct listeners listeners;
	int n_before = count_fds();

	strbuf_reset(&problems);
	assert_false(listeners_open(&listeners, config, &problems));
	if (strstr(problems.data, why) == NULL)
		fail_msg("\"%s\" instead of \"%s\"", problems.data, why);
	assert_int_equal(problems.data[problems.len - 1], '\n');
	assert_int_equal(listeners.n, 0);
	assert_int_equal(count_fds(), n_before);
}

static void must_open(struct listeners *listeners, const struct config *config)
{
	strbuf_reset(&problems);
	if (!listeners_open(listeners, config, &problems))
		fail_msg("%s", problems.data);
	assert_int_equal(problems.len, 0);
}

static int connect_to(const struct listener *listener)
{
	struct netaddr addr;
	int fd;

	assert_true(netaddr_of_local(listener->fd, &addr));
	fd = socket(addr.sa.sa_family, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, &addr.sa, addr.len), 0);
	return fd;
}

static uint16_t port_of(const struct listener *listener)
{
	char text[NETADDR_TEXT_BYTES];
	struct netaddr addr;
	uint16_t port;

	assert_true(netaddr_of_local(listener->fd, &addr));
	(void)netaddr_format(&addr, text, &port);
	return port;
}

/* ---- opening ---- */

static void a_list_of_addresses(void **state)
{
	char list[] = "127.0.0.1, 127.0.0.2,,127.0.0.3";
	struct config config = tcp_config(list);
	struct listeners listeners;

	config.tcp_defer_accept = true;
	must_open(&listeners, &config);
	assert_int_equal(listeners.n, 3);
	for (unsigned i = 0; i < listeners.n; i++) {
		assert_false(listeners.items[i].is_unix);
		assert_true(fcntl(listeners.items[i].fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(listeners.items[i].fd, F_GETFD) & FD_CLOEXEC);
		close(connect_to(&listeners.items[i]));
	}
	listeners_close(&listeners);
	listeners_close(&listeners); /* nothing is left to close */
}

static void nowhere(void **state)
{
	char empty[] = "", blanks[] = " , ";
	struct config config = {.listen_backlog = 1};

	assert_fails(&config, "nowhere to listen: set listen_addr or unix_socket_dir");
	config.unix_socket_dir = empty;
	config.listen_addr = blanks;
	assert_fails(&config, "nowhere to listen");
}

/* All that is wrong is said, and what could be opened is closed again. */
static void every_failure_has_its_line(void **state)
{
	char list[] = "127.0.0.1,192.0.2.7,not-a-number.invalid,127.0.0.1";
	struct config config = tcp_config(tcp_any);
	struct listeners listeners;
	unsigned n_lines = 0;

	must_open(&listeners, &config);
	config = tcp_config(list);
	config.listen_port = port_of(&listeners.items[0]);
	assert_fails(&config, "cannot listen on 192.0.2.7 port ");
	for (size_t i = 0; i < problems.len; i++)
		n_lines += problems.data[i] == '\n';
	assert_int_equal(n_lines, 4);
	assert_non_null(strstr(problems.data, "cannot listen on not-a-number.invalid port "));
	assert_non_null(strstr(problems.data, ": bind: Address already in use"));
	assert_non_null(strstr(problems.data, ": bind: Cannot assign requested address"));
	listeners_close(&listeners);
}

static void more_addresses_than_there_are_places(void **state)
{
	struct strbuf list = STRBUF_INIT;
	struct listeners listeners;
	struct config config;

	for (unsigned i = 1; i <= LISTENER_MAX; i++)
		strbuf_addf(&list, "127.0.0.%u,", i);
	config = tcp_config(list.data);
	must_open(&listeners, &config);
	assert_int_equal(listeners.n, LISTENER_MAX);
	listeners_close(&listeners);

	strbuf_adds(&list, "127.0.1.1");
	config = tcp_config(list.data);
	assert_fails(&config, "cannot listen on 127.0.1.1 port 0: at most 32 addresses");
	strbuf_release(&list);

	strbuf_adds(&list, "127.0.0.1");
	for (unsigned i = 2; i <= LISTENER_MAX; i++)
		strbuf_addf(&list, ",127.0.0.%u", i);
	config = unix_config(6432);
	config.listen_addr = list.data;
	config.listen_port = 0;
	assert_fails(&config, ": at most 32 addresses");
	strbuf_release(&list);
}

static void socket_path(char *path, size_t cap, unsigned port)
{
	(void)snprintf(path, cap, "%s/.s.PGSQL.%u", dir, port);
}

static void a_unix_socket_and_its_file(void **state)
{
	struct config config = unix_config(6432);
	struct listeners listeners;
	struct stat info;
	char path[128];

	socket_path(path, sizeof(path), 6432);
	must_open(&listeners, &config);
	assert_int_equal(listeners.n, 1);
	assert_true(listeners.items[0].is_unix);
	assert_string_equal(listeners.items[0].path, path);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0750);
	close(connect_to(&listeners.items[0]));

	/* Who else wants to listen there is told, and takes nothing away. */
	assert_fails(&config, "another process listens there");
	assert_int_equal(stat(path, &info), 0);
	close(connect_to(&listeners.items[0]));
	listeners_close(&listeners);
	assert_int_equal(stat(path, &info), -1);
	assert_int_equal(errno, ENOENT);
}

static void a_file_left_behind_is_replaced(void **state)
{
	struct config config = unix_config(6433);
	struct listeners listeners;
	struct netaddr addr;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(netaddr_unix(dir, 6433, &addr));
	assert_int_equal(bind(fd, &addr.sa, addr.len), 0);
	close(fd); /* as after a kill -9 */
	must_open(&listeners, &config);
	close(connect_to(&listeners.items[0]));
	listeners_close(&listeners);
}

static void an_abstract_name(void **state)
{
	char name[64];
	struct config config = unix_config(6432);
	struct listeners listeners;

	(void)snprintf(name, sizeof(name), "@pglane-test-%d", (int)getpid());
	config.unix_socket_dir = name;
	must_open(&listeners, &config);
	assert_string_equal(listeners.items[0].path, ""); /* nothing to unlink */
	close(connect_to(&listeners.items[0]));
	assert_fails(&config, "another process listens there");
	listeners_close(&listeners);
}

static void unix_sockets_that_cannot_be(void **state)
{
	struct config config = unix_config(6434);
	char missing[] = "/tmp/pglane_no_such_directory", group[] = "no such group", long_dir[200],
	     path[128];
	struct stat info;

	config.unix_socket_dir = missing;
	assert_fails(&config,
		"cannot listen on /tmp/pglane_no_such_directory: bind: No such file or directory");
	memset(long_dir, 'd', sizeof(long_dir));
	long_dir[sizeof(long_dir) - 1] = '\0';
	config.unix_socket_dir = long_dir;
	assert_fails(&config, "path is too long");

	config = unix_config(6434);
	config.unix_socket_group = group;
	assert_fails(&config, "unix_socket_group");
	assert_null(strstr(problems.data, "Success"));
	socket_path(path, sizeof(path), 6434);
	assert_int_equal(stat(path, &info), -1); /* no file is left of it */
}

/* ---- watching ---- */

struct door {
	struct loop loop;
	struct listener_watch watch;
	int fds[200];
	unsigned n, n_wanted;
	bool is_unix;
};

static void on_accepted(void *arg, int fd, bool is_unix)
{
	struct door *door = arg;

	door->is_unix = is_unix;
	door->fds[door->n++] = fd;
	if (door->n == door->n_wanted)
		loop_stop(&door->loop);
}

static void door_open(struct door *door, const struct listener *listener)
{
	memset(door, 0, sizeof(*door));
	loop_init(&door->loop);
	listener_watch_open(&door->watch, &door->loop, listener, on_accepted, door);
}

static void door_close(struct door *door)
{
	listener_watch_close(&door->watch);
	while (door->n > 0)
		close(door->fds[--door->n]);
	loop_release(&door->loop);
}

static void whoever_comes_is_handed_over(void **state)
{
	struct config configs[] = {tcp_config(tcp_any), unix_config(6435)};
	struct listeners listeners;
	int clients[130];
	struct door door;

	for (unsigned kind = 0; kind < N_ELEMENTS(configs); kind++) {
		configs[kind].listen_backlog = 200;
		must_open(&listeners, &configs[kind]);
		door_open(&door, &listeners.items[0]);
		door.n_wanted = N_ELEMENTS(clients); /* more than one batch */
		for (unsigned i = 0; i < N_ELEMENTS(clients); i++)
			clients[i] = connect_to(&listeners.items[0]);
		loop_run(&door.loop);
		assert_int_equal(door.n, N_ELEMENTS(clients));
		assert_int_equal(door.is_unix, kind == 1);
		for (unsigned i = 0; i < N_ELEMENTS(clients); i++) {
			assert_true(fcntl(door.fds[i], F_GETFL) & O_NONBLOCK);
			assert_true(fcntl(door.fds[i], F_GETFD) & FD_CLOEXEC);
			close(clients[i]);
		}
		door_close(&door);
		listeners_close(&listeners);
	}
}

/* One crowd does not stop the other work of a loop. */
static void a_turn_accepts_a_batch_only(void **state)
{
	struct config config = unix_config(6436);
	struct listeners listeners;
	int clients[130];
	struct door door;

	config.listen_backlog = 200;
	must_open(&listeners, &config);
	door_open(&door, &listeners.items[0]);
	for (unsigned i = 0; i < N_ELEMENTS(clients); i++)
		clients[i] = connect_to(&listeners.items[0]);
	assert_int_equal(event_base_loop(door.loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
	assert_in_range(door.n, 1, N_ELEMENTS(clients) - 1);
	for (unsigned i = 0; i < N_ELEMENTS(clients); i++)
		close(clients[i]);
	door_close(&door);
	listeners_close(&listeners);
}

/* Who comes alone costs one accept(2); of a crowd each turn takes twice as many as the last. */
static void a_crowd_is_taken_faster_and_faster(void **state)
{
	static const unsigned taken[] = {1, 3, 7, 15, 31, 63, 100};
	struct config config = unix_config(6438);
	struct listeners listeners;
	int clients[100];
	struct door door;

	config.listen_backlog = 200;
	must_open(&listeners, &config);
	door_open(&door, &listeners.items[0]);
	for (unsigned i = 0; i < N_ELEMENTS(clients); i++)
		clients[i] = connect_to(&listeners.items[0]);
	door.loop.n_turns = 10; /* it has been quiet */
	for (unsigned i = 0; i < N_ELEMENTS(taken); i++) {
		door.loop.n_turns++;
		assert_int_equal(event_base_loop(door.loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
		assert_int_equal(door.n, taken[i]);
	}
	for (unsigned i = 0; i < N_ELEMENTS(clients); i++)
		close(clients[i]);
	door_close(&door);
	listeners_close(&listeners);
}

static void two_watches_of_one_listener(void **state)
{
	struct config config = unix_config(6437);
	struct listeners listeners;
	struct door doors[2];
	int client;

	must_open(&listeners, &config);
	door_open(&doors[0], &listeners.items[0]);
	door_open(&doors[1], &listeners.items[0]);
	client = connect_to(&listeners.items[0]);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
			event_base_loop(doors[i].loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
	assert_int_equal(doors[0].n + doors[1].n, 1);
	close(client);
	door_close(&doors[0]);
	door_close(&doors[1]);
	listeners_close(&listeners);
}

static void a_closed_watch_accepts_nobody(void **state)
{
	struct config config = unix_config(6438);
	struct listeners listeners;
	struct door door;
	int client;

	must_open(&listeners, &config);
	door_open(&door, &listeners.items[0]);
	listener_watch_close(&door.watch);
	client = connect_to(&listeners.items[0]);
	event_base_loop(door.loop.base, EVLOOP_NONBLOCK);
	assert_int_equal(door.n, 0);
	close(client);
	door_close(&door);
	listeners_close(&listeners);
}

/* Without descriptors the loop must not spin on a connection that it cannot accept. */
static void out_of_descriptors(void **state)
{
	struct config config = unix_config(6439);
	struct listeners listeners;
	struct rlimit limit, none;
	struct door door;
	int client, next;

	must_open(&listeners, &config);
	door_open(&door, &listeners.items[0]);
	client = connect_to(&listeners.items[0]);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	next = dup(client); /* the first descriptor that is free */
	close(next);
	none = limit;
	none.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(event_base_loop(door.loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(door.n, 0);
	assert_false(event_pending(&door.watch.event, EV_READ, NULL));
	assert_true(timer_is_armed(&door.watch.retry));

	door.n_wanted = 1;
	loop_run(&door.loop);
	assert_int_equal(door.n, 1);
	close(client);
	door_close(&door);
	listeners_close(&listeners);
}

/* ---- options of a connection ---- */

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void options_of_the_configuration(void **state)
{
	struct config config = {.tcp_keepalive = 1,
		.tcp_keepidle = 61,
		.tcp_keepintvl = 7,
		.tcp_keepcnt = 3,
		.tcp_user_timeout_ms = 12345,
		.tcp_socket_buffer = 20000};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	socket_tune(fd, false, &config);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 61);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
	assert_int_equal(option(fd, SOL_SOCKET, SO_SNDBUF), 40000); /* the kernel doubles it */
	assert_int_equal(option(fd, SOL_SOCKET, SO_RCVBUF), 40000);
	close(fd);
}

static void zero_is_the_systems_own(void **state)
{
	struct config config = {.tcp_keepalive = 0};
	int fd = socket(AF_INET, SOCK_STREAM, 0), plain = socket(AF_INET, SOCK_STREAM, 0);

	socket_tune(fd, false, &config);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_int_equal(
		option(fd, IPPROTO_TCP, TCP_KEEPIDLE), option(plain, IPPROTO_TCP, TCP_KEEPIDLE));
	assert_int_equal(option(fd, SOL_SOCKET, SO_RCVBUF), option(plain, SOL_SOCKET, SO_RCVBUF));
	close(fd);
	close(plain);
}

static int group_setup(void **state)
{
	strbuf_init(&problems);
	return mkdtemp(dir) ? 0 : -1;
}

static int group_teardown(void **state)
{
	strbuf_release(&problems);
	return rmdir(dir); /* fails when a socket file was left */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_of_addresses),
		cmocka_unit_test(nowhere),
		cmocka_unit_test(every_failure_has_its_line),
		cmocka_unit_test(more_addresses_than_there_are_places),
		cmocka_unit_test(a_unix_socket_and_its_file),
		cmocka_unit_test(a_file_left_behind_is_replaced),
		cmocka_unit_test(an_abstract_name),
		cmocka_unit_test(unix_sockets_that_cannot_be),
		cmocka_unit_test(whoever_comes_is_handed_over),
		cmocka_unit_test(a_turn_accepts_a_batch_only),
		cmocka_unit_test(a_crowd_is_taken_faster_and_faster),
		cmocka_unit_test(two_watches_of_one_listener),
		cmocka_unit_test(a_closed_watch_accepts_nobody),
		cmocka_unit_test(out_of_descriptors),
		cmocka_unit_test(options_of_the_configuration),
		cmocka_unit_test(zero_is_the_systems_own),
	};

	alarm(HANG_S);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
