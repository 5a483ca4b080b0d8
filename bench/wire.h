/* SPDX-License-Identifier: ISC */
/*
 * The little of a client that the bench's own load programs need: connect to loopback, say who we
 * are, read the answers. Blocking; a failure prints why and exits, since a bench with a hole in it
 * has measured nothing.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stddef.h>
#include <stdint.h>

enum { WIRE_HEADER_BYTES = 5, WIRE_PACKET_BYTES = 1024 };

void wire_die(const char *what) __attribute__((noreturn));
uint16_t wire_port(const char *text);
int wire_connect(uint16_t port);

/* Both write a whole packet to out and return its length. */
size_t wire_build_startup(
	char out[static WIRE_PACKET_BYTES], const char *user, const char *database);
size_t wire_build_query(char out[static WIRE_PACKET_BYTES], const char *sql);

uint32_t wire_get_u32(const char *bytes);
void wire_send(int fd, const char *bytes, size_t n_bytes);

/*
 * Follows the framing of a stream of server messages without keeping any: feed it what was read.
 * Answers whether a ReadyForQuery has ended in it; an ErrorResponse is fatal to the program.
 * n_bytes counts everything fed.
 */
struct wire_frames {
	char header[WIRE_HEADER_BYTES];
	size_t n_header;
	size_t n_body; /* bytes of the present message's body still to come */
	uint64_t n_bytes;
};
int wire_feed(struct wire_frames *frames, const char *bytes, size_t n_bytes);

#endif
