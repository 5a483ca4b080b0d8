/* SPDX-License-Identifier: ISC */
/*
 * An HTTP server of a few lines for tests: a thread that reads whole requests, one connection after the other, and has the test answer them.
 */
#ifndef UNIT_SERVICE_FAKEHTTP_H
#define UNIT_SERVICE_FAKEHTTP_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"

#define FAKEHTTP_MAX_BYTES (12u << 20) /* of one request */

struct fakehttp {
	int listener;
	uint16_t port;
	pthread_t thread;
	/* What to do with a whole request; false: the connection is to be closed. On the server's thread. */
	bool (*act)(struct fakehttp *server, int fd, const char *request, size_t n);
	void *arg;	   /* the test's */
	int n_connections; /* atomic */
	int closing;	   /* atomic */
};

static inline void fakehttp_say(int fd, const char *text, size_t n)
{
	(void)!send(fd, text, n, MSG_NOSIGNAL);
}

static inline void fakehttp_answer(int fd, unsigned status, const char *body, size_t n)
{
	char head[128];
	int n_head = snprintf(head, sizeof(head), "HTTP/1.1 %u Said\r\nContent-Length: %zu\r\n\r\n", status, n);

	fakehttp_say(fd, head, (size_t)n_head);
	fakehttp_say(fd, body, n);
}

/* Waits for the client to go. */
static inline void fakehttp_be_silent(struct fakehttp *server, int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char byte;

	while (!__atomic_load_n(&server->closing, __ATOMIC_RELAXED))
		if (poll(&wait, 1, 20) > 0 && recv(fd, &byte, 1, 0) <= 0)
			return;
}

static inline void fakehttp_serve(struct fakehttp *server, int fd, char *buf)
{
	size_t n = 0;

	for (;;) {
		char *end = memmem(buf, n, "\r\n\r\n", 4), *length;
		size_t n_all;
		ssize_t more;

		if (end) {
			length = memmem(buf, (size_t)(end - buf), "Content-Length: ", 16);
			n_all = (size_t)(end - buf) + 4 + (length ? strtoul(length + 16, NULL, 10) : 0);
			if (n >= n_all) {
				if (!server->act(server, fd, buf, n_all))
					return;
				n -= n_all;
				continue;
			}
		}
		more = recv(fd, buf + n, FAKEHTTP_MAX_BYTES - n, 0);
		if (more <= 0)
			return;
		n += (size_t)more;
	}
}

static inline void *fakehttp_run(void *arg)
{
	struct fakehttp *server = arg;
	char *buf = malloc(FAKEHTTP_MAX_BYTES);
	int fd;

	while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
		__atomic_add_fetch(&server->n_connections, 1, __ATOMIC_RELAXED);
		fakehttp_serve(server, fd, buf);
		close(fd);
	}
	free(buf);
	return NULL;
}

static inline void fakehttp_open(
	struct fakehttp *server, bool (*act)(struct fakehttp *server, int fd, const char *request, size_t n), void *arg)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(addr);

	memset(server, 0, sizeof(*server));
	server->act = act;
	server->arg = arg;
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(bind(server->listener, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	MUST(listen(server->listener, 8) == 0);
	MUST(getsockname(server->listener, (struct sockaddr *)&addr, &n) == 0);
	server->port = ntohs(addr.sin_port);
	MUST(pthread_create(&server->thread, NULL, fakehttp_run, server) == 0);
}

static inline void fakehttp_close(struct fakehttp *server)
{
	__atomic_store_n(&server->closing, 1, __ATOMIC_RELAXED);
	(void)shutdown(server->listener, SHUT_RDWR);
	MUST(pthread_join(server->thread, NULL) == 0);
	close(server->listener);
}

#endif
