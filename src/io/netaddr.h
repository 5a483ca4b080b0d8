/* SPDX-License-Identifier: ISC */
/* Socket addresses as text and by name. resolve: literals and unix directories answer at once,
 * names through evdns on the loop. */
#ifndef IO_NETADDR_H
#define IO_NETADDR_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "io/loop.h"

struct netaddr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len;
};

#define NETADDR_TEXT_BYTES 64
/* "127.0.0.1", "::1", "unix" into buf; *port_r 0 for unix sockets. */
const char *netaddr_format(
	const struct netaddr *addr, char buf[static NETADDR_TEXT_BYTES], uint16_t *port_r);
/* The peer's, or our own, address of a connected socket; false when the kernel does not know it any
 * more. */
bool netaddr_of_peer(int fd, struct netaddr *addr_r);
bool netaddr_of_local(int fd, struct netaddr *addr_r);
/* DIR/.s.PGSQL.PORT, "@…" for the abstract name space. false: too long. */
bool netaddr_unix(const char *dir, uint16_t port, struct netaddr *addr_r);
bool netaddr_literal(
	const char *host, uint16_t port, struct netaddr *addr_r); /* IPv4 or IPv6 literal */

struct resolver; /* one per loop, made at its first name */
struct resolve;	 /* a question under way */
/* done is called once, perhaps before this returns (then NULL is returned): addr NULL and a text on
 * failure. */
typedef void resolve_done(void *arg, const struct netaddr *addr, const char *error);
struct resolver *resolver_new(struct loop *loop);
void resolver_free(struct resolver **resolver);
struct resolve *resolver_ask(
	struct resolver *resolver, const char *host, uint16_t port, resolve_done *done, void *arg);
void resolve_cancel(struct resolve **resolve); /* done is not called any more */

#endif
