/* SPDX-License-Identifier: ISC */
#include "io/netaddr.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/util.h>

#include "base/mem.h"

const char *netaddr_format(
	const struct netaddr *addr, char buf[static NETADDR_TEXT_BYTES], uint16_t *port_r)
{
	uint16_t port = 0;

	(void)snprintf(buf, NETADDR_TEXT_BYTES, "unix");
	if (addr->sa.sa_family == AF_INET) {
		port = ntohs(addr->in.sin_port);
		(void)inet_ntop(AF_INET, &addr->in.sin_addr, buf, NETADDR_TEXT_BYTES);
	} else if (addr->sa.sa_family == AF_INET6) {
		port = ntohs(addr->in6.sin6_port);
		(void)inet_ntop(AF_INET6, &addr->in6.sin6_addr, buf, NETADDR_TEXT_BYTES);
	}
	if (port_r)
		*port_r = port;
	return buf;
}

bool netaddr_of_peer(int fd, struct netaddr *addr_r)
{
	addr_r->len = sizeof(addr_r->un);
	return getpeername(fd, &addr_r->sa, &addr_r->len) == 0;
}

bool netaddr_of_local(int fd, struct netaddr *addr_r)
{
	addr_r->len = sizeof(addr_r->un);
	return getsockname(fd, &addr_r->sa, &addr_r->len) == 0;
}

bool netaddr_unix(const char *dir, uint16_t port, struct netaddr *addr_r)
{
	int n;

	memset(addr_r, 0, sizeof(*addr_r));
	addr_r->un.sun_family = AF_UNIX;
	n = snprintf(addr_r->un.sun_path, sizeof(addr_r->un.sun_path), "%s/.s.PGSQL.%u", dir, port);
	if (n < 0 || (size_t)n >= sizeof(addr_r->un.sun_path))
		return false;
	addr_r->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n +
				  (dir[0] == '@' ? 0 : 1));
	if (dir[0] == '@')
		addr_r->un.sun_path[0] = '\0';
	return true;
}

bool netaddr_literal(const char *host, uint16_t port, struct netaddr *addr_r)
{
	memset(addr_r, 0, sizeof(*addr_r));
	if (inet_pton(AF_INET, host, &addr_r->in.sin_addr) == 1) {
		addr_r->in.sin_family = AF_INET;
		addr_r->in.sin_port = htons(port);
		addr_r->len = sizeof(addr_r->in);
		return true;
	}
	if (inet_pton(AF_INET6, host, &addr_r->in6.sin6_addr) == 1) {
		addr_r->in6.sin6_family = AF_INET6;
		addr_r->in6.sin6_port = htons(port);
		addr_r->len = sizeof(addr_r->in6);
		return true;
	}
	return false;
}

struct resolver {
	struct loop *loop;
	struct evdns_base *dns; /* NULL until the first name */
};

struct resolve {
	struct evdns_getaddrinfo_request *request;
	resolve_done *done;
	void *arg;
	bool inside_ask;
	bool answered;
};

struct resolver *resolver_new(struct loop *loop)
{
	struct resolver *resolver = mem_zalloc(sizeof(*resolver));

	resolver->loop = loop;
	return resolver;
}

void resolver_free(struct resolver **resolver)
{
	if (*resolver == NULL)
		return;
	if ((*resolver)->dns)
		evdns_base_free((*resolver)->dns, 0);
	mem_free(*resolver);
	*resolver = NULL;
}

/* libevent's words for a name that nobody has, of BSD, do not say that. */
static void describe_error(int error, char *text, size_t n_text)
{
	bool no_such_name = error == EVUTIL_EAI_NONAME || error == EVUTIL_EAI_NODATA;

	(void)snprintf(text, n_text, "could not resolve the host name%s%s",
		error && !no_such_name ? ": " : "",
		error && !no_such_name ? evutil_gai_strerror(error) : "");
}

static void on_answer(int error, struct evutil_addrinfo *list, void *arg)
{
	struct resolve *resolve = arg;
	resolve_done *done = resolve->done;
	struct netaddr addr;
	char text[128];

	resolve->answered = true;
	if (done && error == 0 && list && list->ai_addrlen <= sizeof(addr.un)) {
		memcpy(&addr.un, list->ai_addr, list->ai_addrlen);
		addr.len = list->ai_addrlen;
		done(resolve->arg, &addr, NULL);
	} else if (done && error != EVUTIL_EAI_CANCEL) {
		describe_error(error, text, sizeof(text));
		done(resolve->arg, NULL, text);
	}
	if (list)
		evutil_freeaddrinfo(list);
	if (!resolve->inside_ask)
		mem_free(resolve);
}

struct resolve *resolver_ask(
	struct resolver *resolver, const char *host, uint16_t port, resolve_done *done, void *arg)
{
	struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = EVUTIL_AI_ADDRCONFIG};
	struct resolve *resolve;
	char service[8];

	if (resolver->dns == NULL) {
		resolver->dns =
			evdns_base_new(resolver->loop->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
		if (resolver->dns && evdns_base_resolv_conf_parse(resolver->dns, DNS_OPTIONS_ALL,
					     "/etc/resolv.conf") != 0)
			(void)evdns_base_load_hosts(resolver->dns, "/etc/hosts");
	}
	if (resolver->dns == NULL) {
		done(arg, NULL, "no resolver");
		return NULL;
	}
	resolve = mem_zalloc(sizeof(*resolve));
	resolve->done = done;
	resolve->arg = arg;
	resolve->inside_ask = true;
	(void)snprintf(service, sizeof(service), "%u", port);
	resolve->request =
		evdns_getaddrinfo(resolver->dns, host, service, &hints, on_answer, resolve);
	resolve->inside_ask = false;
	if (!resolve->answered)
		return resolve;
	mem_free(resolve);
	return NULL;
}

void resolve_cancel(struct resolve **resolve)
{
	if (*resolve == NULL)
		return;
	(*resolve)->done = NULL;
	evdns_getaddrinfo_cancel((*resolve)->request); /* on_answer frees it */
	*resolve = NULL;
}
