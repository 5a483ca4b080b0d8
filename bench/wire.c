/* SPDX-License-Identifier: ISC */
/* What the bench's load programs share; see wire.h. */
#include "wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROTOCOL_3_0 = 3 << 16 };

void wire_die(const char *what)
{
	perror(what);
	exit(1);
}

uint16_t wire_port(const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || port < 1 || port > 65535) {
		fprintf(stderr, "not a port: %s\n", text);
		exit(2);
	}
	return (uint16_t)port;
}

int wire_connect(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		wire_die("connect");
	return fd;
}

static size_t put_u32(char *out, size_t at, uint32_t value)
{
	uint32_t big_endian = htonl(value);

	memcpy(out + at, &big_endian, sizeof(big_endian));
	return at + sizeof(big_endian);
}

/* With its NUL; a text that does not fit is a mistake on the command line. */
static size_t put_text(char out[static WIRE_PACKET_BYTES], size_t at, const char *text)
{
	size_t n = strlen(text) + 1;

	if (n > WIRE_PACKET_BYTES - at) {
		fprintf(stderr, "too long: %s\n", text);
		exit(2);
	}
	memcpy(out + at, text, n);
	return at + n;
}

size_t wire_build_startup(
	char out[static WIRE_PACKET_BYTES], const char *user, const char *database)
{
	size_t at = put_u32(out, 4, PROTOCOL_3_0);

	at = put_text(out, at, "user");
	at = put_text(out, at, user);
	at = put_text(out, at, "database");
	at = put_text(out, at, database);
	at = put_text(out, at, "");
	put_u32(out, 0, (uint32_t)at);
	return at;
}

size_t wire_build_query(char out[static WIRE_PACKET_BYTES], const char *sql)
{
	size_t at = put_text(out, WIRE_HEADER_BYTES, sql);

	out[0] = 'Q';
	put_u32(out, 1, (uint32_t)(at - 1));
	return at;
}

uint32_t wire_get_u32(const char *bytes)
{
	uint32_t big_endian;

	memcpy(&big_endian, bytes, sizeof(big_endian));
	return ntohl(big_endian);
}

void wire_send(int fd, const char *bytes, size_t n_bytes)
{
	while (n_bytes > 0) {
		ssize_t n = send(fd, bytes, n_bytes, MSG_NOSIGNAL);

		if (n < 0)
			wire_die("send");
		bytes += n;
		n_bytes -= (size_t)n;
	}
}

/* True once the header is whole; it may have come in pieces. */
static bool take_header(struct wire_frames *frames, const char **bytes, size_t *n_bytes)
{
	size_t n = WIRE_HEADER_BYTES - frames->n_header;
	uint32_t n_message;

	if (n > *n_bytes)
		n = *n_bytes;
	memcpy(frames->header + frames->n_header, *bytes, n);
	frames->n_header += n;
	*bytes += n;
	*n_bytes -= n;
	if (frames->n_header < WIRE_HEADER_BYTES)
		return false;
	n_message = wire_get_u32(frames->header + 1);
	if (n_message < 4) {
		fprintf(stderr, "the server sent a message of length %u\n", n_message);
		exit(1);
	}
	frames->n_body = n_message - 4;
	return true;
}

static void refuse_error(const char *body, size_t n_body)
{
	fprintf(stderr, "the server reports an error:");
	for (size_t i = 0; i < n_body; i++)
		fputc(body[i] == '\0' ? ' ' : body[i], stderr);
	fputc('\n', stderr);
	exit(1);
}

int wire_feed(struct wire_frames *frames, const char *bytes, size_t n_bytes)
{
	bool ready = false;

	frames->n_bytes += n_bytes;
	while (n_bytes > 0) {
		size_t n;

		if (frames->n_header < WIRE_HEADER_BYTES && !take_header(frames, &bytes, &n_bytes))
			break;
		n = frames->n_body < n_bytes ? frames->n_body : n_bytes;
		if (frames->header[0] == 'E')
			refuse_error(bytes, n);
		bytes += n;
		n_bytes -= n;
		frames->n_body -= n;
		if (frames->n_body == 0) {
			ready = ready || frames->header[0] == 'Z';
			frames->n_header = 0;
		}
	}
	return ready;
}
