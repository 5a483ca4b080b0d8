/* SPDX-License-Identifier: ISC */
/*
 * drain: runs one statement a number of times and throws the answer away, as fast as it comes. What
 * a proxy spends on a bulk result is then the proxy's own: the client reads into one buffer and
 * looks at nothing but message headers. Prints "BYTES SECONDS": all that was received, and the time
 * it took after login.
 */
#include "wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_BYTES = 256 * 1024 };

static char buffer[BUFFER_BYTES];

static void await_ready(int fd, struct wire_frames *frames)
{
	ssize_t n;

	do {
		n = recv(fd, buffer, sizeof(buffer), 0);
		if (n < 0)
			wire_die("recv");
		if (n == 0) {
			fprintf(stderr, "drain: the server closed the connection\n");
			exit(1);
		}
	} while (!wire_feed(frames, buffer, (size_t)n));
}

static double mono_s(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
		wire_die("clock_gettime");
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct wire_frames login = {.n_header = 0}, answers = {.n_header = 0};
	char packet[WIRE_PACKET_BYTES];
	double start_s;
	size_t n;
	int fd;

	if (argc != 6) {
		fprintf(stderr, "usage: drain PORT USER DATABASE TIMES SQL\n");
		return 2;
	}
	fd = wire_connect(wire_port(argv[1]));
	n = wire_build_startup(packet, argv[2], argv[3]);
	wire_send(fd, packet, n);
	await_ready(fd, &login);
	start_s = mono_s();
	n = wire_build_query(packet, argv[5]);
	for (int times = atoi(argv[4]); times > 0; times--) {
		wire_send(fd, packet, n);
		await_ready(fd, &answers);
	}
	printf("%" PRIu64 " %.6f\n", answers.n_bytes, mono_s() - start_s);
	close(fd);
	return 0;
}
