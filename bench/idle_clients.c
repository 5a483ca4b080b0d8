/* SPDX-License-Identifier: ISC */
/*
 * idle_clients: logs in N clients one after the other (trust), in the clear or over TLS, prints
 * "ready" and holds them until its standard input ends. bench/run reads the proxy's memory before
 * and after.
 */
#include "wire.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ssl_request[8] = {0, 0, 0, 8, 0x04, (char)0xd2, 0x16, 0x2f};

static void die_ssl(const char *what)
{
	fprintf(stderr, "%s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static SSL *start_tls(SSL_CTX *context, int fd)
{
	SSL *ssl = SSL_new(context);
	char answer;

	wire_send(fd, ssl_request, sizeof(ssl_request));
	if (recv(fd, &answer, 1, 0) != 1 || answer != 'S') {
		fprintf(stderr, "idle_clients: the proxy does not offer TLS\n");
		exit(1);
	}
	if (!ssl || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
		die_ssl("TLS handshake");
	return ssl;
}

static size_t read_some(int fd, SSL *ssl, char *out, size_t n_out)
{
	ssize_t n = ssl ? SSL_read(ssl, out, (int)n_out) : recv(fd, out, n_out, 0);

	if (n <= 0) {
		fprintf(stderr, "idle_clients: the proxy closed the connection\n");
		exit(1);
	}
	return (size_t)n;
}

static void log_in(uint16_t port, SSL_CTX *context, const char *startup, size_t n_startup)
{
	struct wire_frames frames = {.n_header = 0};
	char answer[WIRE_PACKET_BYTES];
	int fd = wire_connect(port);
	SSL *ssl = context ? start_tls(context, fd) : NULL;
	size_t n;

	if (!ssl)
		wire_send(fd, startup, n_startup);
	else if (SSL_write(ssl, startup, (int)n_startup) != (int)n_startup)
		die_ssl("SSL_write");
	do
		n = read_some(fd, ssl, answer, sizeof(answer));
	while (!wire_feed(&frames, answer, n));
}

/* Every client is a descriptor; the hard limit is what we may ask for. */
static void want_descriptors(int n)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		wire_die("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		wire_die("setrlimit");
	if (limit.rlim_max < (rlim_t)n + 16) {
		fprintf(stderr, "idle_clients: the limit of open files is %ju\n",
			(uintmax_t)limit.rlim_max);
		exit(1);
	}
}

static void await_end_of_input(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	char startup[WIRE_PACKET_BYTES];
	SSL_CTX *context = NULL;
	size_t n_startup;
	int n_clients;

	if (argc != 6 || (strcmp(argv[5], "plain") != 0 && strcmp(argv[5], "tls") != 0)) {
		fprintf(stderr, "usage: idle_clients PORT USER DATABASE N plain|tls\n");
		return 2;
	}
	n_clients = atoi(argv[4]);
	want_descriptors(n_clients);
	if (strcmp(argv[5], "tls") == 0) {
		context = SSL_CTX_new(TLS_client_method());
		if (!context)
			die_ssl("SSL_CTX_new");
	}
	n_startup = wire_build_startup(startup, argv[2], argv[3]);
	for (int i = 0; i < n_clients; i++)
		log_in(wire_port(argv[1]), context, startup, n_startup);
	puts("ready");
	fflush(stdout);
	await_end_of_input();
	return 0; /* the kernel closes the sockets */
}
