/* SPDX-License-Identifier: ISC */
/*
 * Listening sockets: opened once by the daemon before threads start, watched by every worker's
 * loop. Descriptors are shared; who accepts first has the connection. All problems of all addresses
 * are collected.
 */
#ifndef IO_LISTENER_H
#define IO_LISTENER_H

#include "config/config.h"
#include "io/loop.h"

#define LISTENER_MAX 32

struct listener {
	int fd;
	bool is_unix;
	char path[108]; /* unix: to unlink at the end */
};
struct listeners {
	struct listener items[LISTENER_MAX];
	unsigned n;
};

/* Opens listen_addr and unix_socket_dir of the configuration. false: problems has a line for each
 * that failed, all are closed again. */
bool listeners_open(struct listeners *listeners, const struct config *config,
	struct strbuf *problems) WARN_UNUSED;
void listeners_close(struct listeners *listeners); /* and unlinks unix sockets */

/* One worker's watch on a listener: accepts up to a batch a turn and hands each descriptor,
 * non-blocking and close-on-exec, to accepted(). */
struct listener_watch {
	struct event event;
	const struct listener *listener;
	void (*accepted)(void *arg, int fd, bool is_unix);
	void *arg;
	struct timer retry; /* out of descriptors: a pause */
	unsigned batch;	    /* connections this turn may accept */
	uint64_t last_turn; /* of the loop, that accepted */
	struct loop *loop;
};
void listener_watch_open(struct listener_watch *watch, struct loop *loop,
	const struct listener *listener, void (*accepted)(void *arg, int fd, bool is_unix),
	void *arg);
void listener_watch_close(struct listener_watch *watch);
/* TCP_NODELAY, keepalive and user timeout of the configuration, for a client's or a server's
 * socket; nothing for unix. */
void socket_tune(int fd, bool is_unix, const struct config *config);
/* Only the peer's end of file is awaited: that its host is gone must show within a minute. */
void socket_watch_end(int fd);

#endif
