/* SPDX-License-Identifier: ISC */
/*
 * relay: hands bytes between each client and a server connection of its own, and does nothing else.
 * It is the floor that bench/run measures against: what one thread, epoll and four socket calls per
 * statement cost when nobody looks at the bytes.
 *
 * How it keeps to those four calls. Both sockets of a pair are registered once, edge-triggered, for
 * reading and writing; nothing is ever re-armed. A read shorter than the buffer means the socket is
 * drained, so there is no second recv that only says EAGAIN; the exception is a peer that has
 * closed, whose end of file can share an edge with its last bytes. Bytes go on from the buffer they
 * were read into; only what the other socket would not take is copied, and then the source is not
 * read until it has left.
 *
 * When either end closes, the pair is closed: PostgreSQL's protocol has no half-closed connections,
 * and the end of file is only seen once what came before it has been read and passed on.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 64 * 1024, N_EVENTS = 256, BACKLOG = 1024 };

struct side {
	struct pair *pair;
	struct side *peer;
	int fd;
	bool readable; /* an edge has said so and no short read has unsaid it */
	bool hung_up;  /* the other end has closed: read on to the end of file */
	size_t spill_start, spill_end;
	char *spill; /* bytes for this fd that it would not take; NULL when there are none */
};

struct pair {
	struct side client, server;
	struct pair *next_dead;
	bool dead;
};

static char buffer[BUFFER_BYTES];
static struct pair *dead_pairs; /* freed after the batch: a later event of it may name a pair that
				   an earlier one closed */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void pair_close(struct pair *pair)
{
	if (pair->dead)
		return;
	pair->dead = true;
	close(pair->client.fd);
	close(pair->server.fd);
	pair->next_dead = dead_pairs;
	dead_pairs = pair;
}

static void free_dead_pairs(void)
{
	while (dead_pairs) {
		struct pair *pair = dead_pairs;

		dead_pairs = pair->next_dead;
		free(pair->client.spill);
		free(pair->server.spill);
		free(pair);
	}
}

/* How many of the bytes the socket took: 0 when it is full or still connecting, -1 when the
 * connection is gone. */
static ssize_t send_some(struct side *to, const char *bytes, size_t n_bytes)
{
	ssize_t n = send(to->fd, bytes, n_bytes, MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN)
		return 0;
	return n;
}

static void keep(struct side *to, const char *bytes, size_t n_bytes)
{
	to->spill = malloc(n_bytes);
	if (!to->spill)
		die("malloc");
	memcpy(to->spill, bytes, n_bytes);
	to->spill_start = 0;
	to->spill_end = n_bytes;
}

/* Passes on what `from` has until it is drained, its peer is full or one of them is gone; false:
 * gone. */
static bool pump(struct side *from)
{
	struct side *to = from->peer;

	while (from->readable && !to->spill) {
		ssize_t n_read = recv(from->fd, buffer, sizeof(buffer), 0);
		ssize_t n_sent;

		if (n_read < 0 && errno == EAGAIN) {
			from->readable = false;
			return true;
		}
		if (n_read <= 0)
			return false;
		if ((size_t)n_read < sizeof(buffer) && !from->hung_up)
			from->readable = false;
		n_sent = send_some(to, buffer, (size_t)n_read);
		if (n_sent < 0)
			return false;
		if (n_sent < n_read)
			keep(to, buffer + n_sent, (size_t)(n_read - n_sent));
	}
	return true;
}

/* Sends what was kept for `to`; once all of it has left, its peer is read again. */
static bool flush(struct side *to)
{
	ssize_t n_sent;

	if (!to->spill)
		return true;
	n_sent = send_some(to, to->spill + to->spill_start, to->spill_end - to->spill_start);
	if (n_sent < 0)
		return false;
	to->spill_start += (size_t)n_sent;
	if (to->spill_start < to->spill_end)
		return true;
	free(to->spill);
	to->spill = NULL;
	return pump(to->peer);
}

static void on_event(struct side *side, uint32_t events)
{
	bool alive = true;

	if (side->pair->dead)
		return;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		side->hung_up = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		side->readable = true;
	if (events & EPOLLOUT)
		alive = flush(side);
	if (!alive || !pump(side))
		pair_close(side->pair);
}

static void watch(int epoll_fd, struct side *side)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = side};
	int on = 1;

	if (setsockopt(side->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		die("setsockopt");
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, side->fd, &event) < 0)
		die("epoll_ctl");
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static void on_client(int epoll_fd, int listen_fd, const struct sockaddr_in *server)
{
	struct pair *pair;
	int client_fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int server_fd;

	if (client_fd < 0)
		return; /* it left again, or we are out of descriptors: then it waits in the backlog
			 */
	server_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	pair = calloc(1, sizeof(*pair));
	if (server_fd < 0 || !pair)
		die("a connection to the server");
	pair->client = (struct side){.pair = pair, .peer = &pair->server, .fd = client_fd};
	pair->server = (struct side){.pair = pair, .peer = &pair->client, .fd = server_fd};
	if (connect(server_fd, (const struct sockaddr *)server, sizeof(*server)) < 0 &&
		errno != EINPROGRESS) {
		pair_close(pair);
		return;
	}
	watch(epoll_fd, &pair->client);
	watch(epoll_fd, &pair->server);
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, BACKLOG) < 0)
		die("listen");
	return fd;
}

static void run(int epoll_fd, int listen_fd, const struct sockaddr_in *server)
{
	struct epoll_event events[N_EVENTS];

	for (;;) {
		int n_events = epoll_wait(epoll_fd, events, N_EVENTS, -1);

		if (n_events < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n_events; i++) {
			if (events[i].data.ptr)
				on_event(events[i].data.ptr, events[i].events);
			else
				on_client(epoll_fd, listen_fd, server);
		}
		free_dead_pairs();
	}
}

static uint16_t port_argument(const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || port < 1 || port > 65535) {
		fprintf(stderr, "relay: not a port: %s\n", text);
		exit(2);
	}
	return (uint16_t)port;
}

int main(int argc, char **argv)
{
	struct epoll_event listening = {.events = EPOLLIN, .data.ptr = NULL};
	struct sockaddr_in server;
	int epoll_fd, listen_fd;

	if (argc != 3) {
		fprintf(stderr, "usage: relay LISTEN-PORT SERVER-PORT (both on 127.0.0.1)\n");
		return 2;
	}
	listen_fd = listen_on(port_argument(argv[1]));
	server = loopback(port_argument(argv[2]));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &listening) < 0)
		die("epoll");
	run(epoll_fd, listen_fd, &server);
	return 0;
}
