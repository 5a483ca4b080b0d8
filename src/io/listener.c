/* SPDX-License-Identifier: ISC */
#include "io/listener.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/netaddr.h"

#define ACCEPT_BATCH 64u
#define ACCEPT_RETRY_US 100000u
#define DEFER_ACCEPT_S 45

static void set_option(int fd, int level, int option, int value)
{
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

void socket_tune(int fd, bool is_unix, const struct config *config)
{
	if (is_unix)
		return;
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (config->tcp_keepalive)
		set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (config->tcp_keepidle)
		set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)config->tcp_keepidle);
	if (config->tcp_keepintvl)
		set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)config->tcp_keepintvl);
	if (config->tcp_keepcnt)
		set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)config->tcp_keepcnt);
	if (config->tcp_user_timeout_ms)
		set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)config->tcp_user_timeout_ms);
	if (config->tcp_socket_buffer) {
		set_option(fd, SOL_SOCKET, SO_SNDBUF, (int)config->tcp_socket_buffer);
		set_option(fd, SOL_SOCKET, SO_RCVBUF, (int)config->tcp_socket_buffer);
	}
}

void socket_watch_end(int fd)
{
	/* A unix socket refuses these, and needs none. */
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

static void add_problem(
	struct strbuf *problems, const char *where, const char *what, int error_number)
{
	char text[128] = "";

	strbuf_addf(problems, "cannot listen on %s: %s: %s\n", where, what,
		strerror_r(error_number, text, sizeof(text)));
}

static bool has_room(const struct listeners *listeners, const char *where, struct strbuf *problems)
{
	if (listeners->n < LISTENER_MAX)
		return true;
	strbuf_addf(problems, "cannot listen on %s: at most %d addresses\n", where, LISTENER_MAX);
	return false;
}

static void add_listener(struct listeners *listeners, int fd, bool is_unix, const char *path)
{
	struct listener *listener = &listeners->items[listeners->n++];

	listener->fd = fd;
	listener->is_unix = is_unix;
	(void)snprintf(listener->path, sizeof(listener->path), "%s", path);
}

static bool open_tcp(struct listeners *listeners, const struct config *config,
	const struct addrinfo *ai, const char *where, struct strbuf *problems)
{
	const char *failed = "socket";
	int fd;

	if (!has_room(listeners, where, problems))
		return false;
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		goto out;
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (ai->ai_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	failed = "bind";
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0)
		goto out;
	if (config->tcp_defer_accept)
		set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, DEFER_ACCEPT_S);
	failed = "listen";
	if (listen(fd, (int)config->listen_backlog) == 0) {
		add_listener(listeners, fd, false, "");
		return true;
	}
out:
	add_problem(problems, where, failed, errno);
	if (fd >= 0)
		close(fd);
	return false;
}

static bool open_tcp_name(struct listeners *listeners, const struct config *config,
	const char *name, struct strbuf *problems)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *list = NULL, *ai;
	char service[8], where[300];
	bool ok = true;
	int error;

	(void)snprintf(service, sizeof(service), "%u", config->listen_port);
	(void)snprintf(where, sizeof(where), "%s port %s", name, service);
	error = getaddrinfo(strcmp(name, "*") == 0 ? NULL : name, service, &hints, &list);
	if (error) {
		strbuf_addf(problems, "cannot listen on %s: %s\n", where, gai_strerror(error));
		return false;
	}
	for (ai = list; ai; ai = ai->ai_next)
		ok &= open_tcp(listeners, config, ai, where, problems);
	freeaddrinfo(list);
	return ok;
}

static bool is_alive(const struct netaddr *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool alive = fd >= 0 && (connect(fd, &addr->sa, addr->len) == 0 || errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return alive;
}

/* NULL: done; else what failed, with errno. */
static const char *set_rights(const char *path, const struct config *config)
{
	struct group *group;

	if (chmod(path, config->unix_socket_mode) < 0)
		return "chmod";
	if (config->unix_socket_group == NULL || config->unix_socket_group[0] == '\0')
		return NULL;
	errno = 0;
	group = getgrnam(config->unix_socket_group);
	if (group == NULL) {
		if (errno == 0)
			errno = EINVAL; /* looked up well, and not there */
		return "unix_socket_group";
	}
	return chown(path, (uid_t)-1, group->gr_gid) < 0 ? "chown" : NULL;
}

static bool open_unix(
	struct listeners *listeners, const struct config *config, struct strbuf *problems)
{
	const char *path, *failed = "path is too long";
	struct netaddr addr;
	bool bound = false;
	int fd = -1;

	if (!has_room(listeners, config->unix_socket_dir, problems))
		return false;
	errno = ENAMETOOLONG;
	if (!netaddr_unix(config->unix_socket_dir, config->listen_port, &addr))
		goto out;
	path = addr.un.sun_path;
	if (is_alive(&addr)) {
		failed = "another process listens there";
		errno = EADDRINUSE;
		goto out;
	}
	if (path[0])
		(void)unlink(path); /* left by a process that is gone */
	failed = "bind";
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, &addr.sa, addr.len) < 0)
		goto out;
	bound = true;
	if (path[0] && (failed = set_rights(path, config)) != NULL)
		goto out;
	failed = "listen";
	if (listen(fd, (int)config->listen_backlog) == 0) {
		add_listener(listeners, fd, true, path);
		return true;
	}
out:
	add_problem(problems, config->unix_socket_dir, failed, errno);
	if (bound && addr.un.sun_path[0])
		(void)unlink(addr.un.sun_path);
	if (fd >= 0)
		close(fd);
	return false;
}

bool listeners_open(
	struct listeners *listeners, const struct config *config, struct strbuf *problems)
{
	bool ok = true;

	memset(listeners, 0, sizeof(*listeners));
	if (config->listen_addr) {
		char *list = mem_strdup(config->listen_addr), *rest = list, *name;

		while ((name = strsep(&rest, ", \t")) != NULL)
			if (*name)
				ok &= open_tcp_name(listeners, config, name, problems);
		mem_free(list);
	}
	if (config->unix_socket_dir && config->unix_socket_dir[0])
		ok &= open_unix(listeners, config, problems);
	if (ok && listeners->n == 0) {
		strbuf_adds(problems, "nowhere to listen: set listen_addr or unix_socket_dir\n");
		ok = false;
	}
	if (!ok)
		listeners_close(listeners);
	return ok;
}

void listeners_close(struct listeners *listeners)
{
	unsigned i;

	for (i = 0; i < listeners->n; i++) {
		if (listeners->items[i].path[0])
			(void)unlink(listeners->items[i].path);
		close(listeners->items[i].fd);
	}
	listeners->n = 0;
}

static void on_retry(struct timer *timer)
{
	struct listener_watch *watch = CONTAINER_OF(timer, struct listener_watch, retry);

	(void)event_add(&watch->event, NULL);
}

/*
 * accept(2) that finds nobody costs nearly what it costs to find somebody, and mostly one comes at a time: one is taken, and the loop says
 * if there is another. When it does so turn after turn, many come at once, and each turn takes twice as many as the last.
 */
static unsigned next_batch(struct listener_watch *watch)
{
	bool goes_on = watch->last_turn + 1 == watch->loop->n_turns;

	watch->last_turn = watch->loop->n_turns;
	watch->batch = goes_on ? MIN_OF(watch->batch * 2, ACCEPT_BATCH) : 1;
	return watch->batch;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct listener_watch *watch = arg;
	unsigned i, n = next_batch(watch);

	for (i = 0; i < n; i++) {
		int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (accepted >= 0) {
			watch->accepted(watch->arg, accepted, watch->listener->is_unix);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_rated(LOG_LEVEL_ERROR,
				"accept: no descriptors or memory left (errno %d): see ulimit -n "
				"and max_client_conn",
				errno);
			event_del(&watch->event);
			loop_timer(watch->loop, &watch->retry, ACCEPT_RETRY_US, on_retry);
		}
		return;
	}
}

void listener_watch_open(struct listener_watch *watch, struct loop *loop,
	const struct listener *listener, void (*accepted)(void *arg, int fd, bool is_unix),
	void *arg)
{
	memset(watch, 0, sizeof(*watch));
	watch->listener = listener;
	watch->accepted = accepted;
	watch->arg = arg;
	watch->loop = loop;
	watch->batch = 1;
	MUST(event_assign(&watch->event, loop->base, listener->fd, EV_READ | EV_PERSIST,
		     on_acceptable, watch) == 0);
	MUST(event_add(&watch->event, NULL) == 0);
}

void listener_watch_close(struct listener_watch *watch)
{
	timer_stop(&watch->retry);
	event_del(&watch->event);
}
