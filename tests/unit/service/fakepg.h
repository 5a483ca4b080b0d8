/* SPDX-License-Identifier: ISC */
/*
 * A PostgreSQL of a few lines for tests: a thread that listens on a unix socket in a directory of
 * its own and plays a script of the test's, blocking. What goes wrong in it aborts the test.
 */
#ifndef UNIT_SERVICE_FAKEPG_H
#define UNIT_SERVICE_FAKEPG_H

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base.h"

#define FAKEPG_PORT 5432

struct fakepg {
	char dir[32];
	int listener, fd;
	pthread_t thread;
	void (*script)(struct fakepg *fake);
	void *arg; /* the script's */
	char body[16384]; /* of the last message read */
	size_t n_body;
	int closing; /* atomic: fakepg_close() has begun */
	int go;	     /* atomic: for scripts that wait for the test */
};

/* ---- what scripts are made of ---- */

static inline void fakepg_read_exactly(struct fakepg *fake, void *out, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t more = recv(fake->fd, (char *)out + got, n - got, 0);

		MUST(more > 0);
		got += (size_t)more;
	}
}

static inline uint32_t fakepg_u32(const void *at)
{
	const uint8_t *b = at;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline void fakepg_read_body(struct fakepg *fake)
{
	uint8_t length[4];

	fakepg_read_exactly(fake, length, sizeof(length));
	fake->n_body = fakepg_u32(length) - 4;
	MUST(fake->n_body < sizeof(fake->body));
	fakepg_read_exactly(fake, fake->body, fake->n_body);
	fake->body[fake->n_body] = '\0';
}

/* Reads messages up to one of this type; its body stays. */
static inline void fakepg_await(struct fakepg *fake, char type)
{
	char got;

	do {
		fakepg_read_exactly(fake, &got, 1);
		fakepg_read_body(fake);
	} while (got != type);
}

static inline void fakepg_say(struct fakepg *fake, char type, const void *body, size_t n)
{
	uint8_t head[5] = { (uint8_t)type, 0, 0, (uint8_t)((n + 4) >> 8), (uint8_t)(n + 4) };

	MUST(send(fake->fd, head, sizeof(head), MSG_NOSIGNAL) == (ssize_t)sizeof(head));
	MUST(n == 0 || send(fake->fd, body, n, MSG_NOSIGNAL) == (ssize_t)n);
}

#define FAKEPG_SAY(fake, type, literal) fakepg_say(fake, type, literal, sizeof(literal) - 1)

static inline void fakepg_accept(struct fakepg *fake)
{
	fake->fd = accept(fake->listener, NULL, NULL);
	MUST(fake->fd >= 0);
}

static inline void fakepg_login(struct fakepg *fake)
{
	fakepg_accept(fake);
	fakepg_read_body(fake); /* the startup message */
	FAKEPG_SAY(fake, 'R', "\0\0\0\0");
	FAKEPG_SAY(fake, 'S', "client_encoding\0UTF8\0");
	FAKEPG_SAY(fake, 'Z', "I");
}

static inline void fakepg_error(struct fakepg *fake, const char *severity, const char *sqlstate,
	const char *text)
{
	char body[512];
	int n = snprintf(body, sizeof(body), "S%s%cV%s%cC%s%cM%s%cDmore\nof it%c%c", severity, 0,
		severity, 0, sqlstate, 0, text, 0, 0, 0);

	fakepg_say(fake, 'E', body, (size_t)n);
}

/* A statement is read whole; its Bind message is in body. */
static inline void fakepg_await_statement(struct fakepg *fake)
{
	char bind[sizeof(fake->body)];
	size_t n_bind;

	fakepg_await(fake, 'B');
	n_bind = fake->n_body;
	memcpy(bind, fake->body, n_bind);
	fakepg_await(fake, 'S');
	memcpy(fake->body, bind, n_bind);
	fake->n_body = n_bind;
}

static inline void fakepg_done(struct fakepg *fake)
{
	FAKEPG_SAY(fake, '1', "");
	FAKEPG_SAY(fake, '2', "");
	FAKEPG_SAY(fake, 'n', "");
	FAKEPG_SAY(fake, 'C', "INSERT 0 1\0");
}

static inline void fakepg_ready(struct fakepg *fake)
{
	FAKEPG_SAY(fake, 'Z', "I");
}

static inline void fakepg_close(struct fakepg *fake)
{
	__atomic_store_n(&fake->closing, 1, __ATOMIC_SEQ_CST);
	close(fake->fd);
	fake->fd = -1;
}

/* The client's end of file, whatever it says before. */
static inline void fakepg_await_eof(struct fakepg *fake)
{
	char bytes[256];

	while (recv(fake->fd, bytes, sizeof(bytes), 0) > 0)
		;
}

/* Terminate, then the end of file. */
static inline void fakepg_await_end(struct fakepg *fake)
{
	fakepg_await(fake, 'X');
	MUST(recv(fake->fd, fake->body, 1, 0) == 0);
}

static inline void fakepg_wait_for_go(struct fakepg *fake)
{
	while (!__atomic_load_n(&fake->go, __ATOMIC_SEQ_CST))
		usleep(1000);
}

/* ---- its life ---- */

static inline void *fakepg_run(void *arg)
{
	struct fakepg *fake = arg;

	fake->script(fake);
	if (fake->fd >= 0)
		close(fake->fd);
	return NULL;
}

static inline void fakepg_path(const struct fakepg *fake, struct sockaddr_un *addr_r)
{
	memset(addr_r, 0, sizeof(*addr_r));
	addr_r->sun_family = AF_UNIX;
	(void)snprintf(addr_r->sun_path, sizeof(addr_r->sun_path), "%s/.s.PGSQL.%d", fake->dir,
		FAKEPG_PORT);
}

static inline void fakepg_open(struct fakepg *fake)
{
	struct sockaddr_un addr;

	memset(fake, 0, sizeof(*fake));
	(void)snprintf(fake->dir, sizeof(fake->dir), "/tmp/fakepg.XXXXXX");
	MUST(mkdtemp(fake->dir) != NULL);
	fakepg_path(fake, &addr);
	fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(fake->listener >= 0);
	MUST(bind(fake->listener, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	MUST(listen(fake->listener, 5) == 0);
}

static inline void fakepg_play(struct fakepg *fake, void (*script)(struct fakepg *fake))
{
	fake->fd = -1;
	fake->script = script;
	MUST(pthread_create(&fake->thread, NULL, fakepg_run, fake) == 0);
}

static inline void fakepg_join(struct fakepg *fake)
{
	MUST(pthread_join(fake->thread, NULL) == 0);
}

static inline void fakepg_release(struct fakepg *fake)
{
	struct sockaddr_un addr;

	fakepg_path(fake, &addr);
	close(fake->listener);
	(void)unlink(addr.sun_path);
	(void)rmdir(fake->dir);
}

#endif
