/* SPDX-License-Identifier: ISC */
/* A console client's bytes as whole messages for the console; what the console says as bytes for
 * the client. */
#include "base/mem.h"
#include "pgw/frame.h"
#include "session/client.h"

#define CONSOLE_MESSAGE_MAX_BYTES 65536u

/* The message at the front of the bytes; how many bytes it took, 0: not complete, -1: the client is
 * gone. */
static long one_message(struct client *client, const uint8_t *bytes, size_t n)
{
	struct pgw_frame frame;
	enum pgw_err err = pgw_frame_read(bytes, n, &frame);
	struct pgw_fault fault;

	if (err == PGW_MORE)
		return 0;
	if (err != PGW_OK || frame.n_body_bytes > CONSOLE_MESSAGE_MAX_BYTES) {
		pgw_fault_set(
			&fault, PGW_FAULT_PROTOCOL_VIOLATION, NULL, "impossible message length");
		client_fatal(client, &fault);
		return -1;
	}
	if (frame.n_available < frame.n_body_bytes)
		return 0;
	if (frame.type == PGW_TERMINATE) {
		client_disconnect(client, "client close request");
		return -1;
	}
	if (!client->worker->cluster->console->message(
		    client, frame.type, frame.body, frame.n_body_bytes)) {
		client_disconnect(client, "console closed it");
		return -1;
	}
	return client->state == CLIENT_CONSOLE ? (long)(PGW_HEADER_BYTES + frame.n_body_bytes) : -1;
}

/* The console answers later, and stopped the stream; or the client does not read what it was
 * answered: the rest waits. */
static bool must_wait(const struct client *client)
{
	uint16_t flags = client->stream.flags;

	return (flags & STREAM_PAUSED) ||
	       (stream_is_blocked(&client->stream) && !(flags & STREAM_BROKEN));
}

static void feed(struct client *client, const uint8_t *bytes, size_t n)
{
	size_t at = 0;

	while (at < n && !must_wait(client)) {
		long used = one_message(client, bytes + at, n - at);

		if (used < 0)
			return;
		if (used == 0)
			break;
		at += (size_t)used;
	}
	client->input = input_new(bytes + at, n - at);
}

static void feed_kept(struct client *client)
{
	struct input *old = client->input;

	client->input = NULL;
	feed(client, old->data, old->len);
	mem_free(old);
}

void console_on_input(struct client *client)
{
	struct worker *worker = client->worker;

	if (client->input && !must_wait(client))
		feed_kept(client);
	while (client->state == CLIENT_CONSOLE && stream_has_input(&client->stream) &&
		!must_wait(client)) {
		struct input *old = client->input;
		size_t n_old = old ? old->len : 0, n;
		enum stream_result result = stream_recv(
			&client->stream, worker->rx + n_old, WORKER_RX_BYTES - n_old, &n);

		if (result == STREAM_AGAIN)
			return;
		if (result != STREAM_OK) {
			client_disconnect(client, "client unexpected eof");
			return;
		}
		if (old) {
			memcpy(worker->rx, old->data, n_old);
			mem_free(old);
			client->input = NULL;
		}
		feed(client, worker->rx, n_old + n);
	}
}

static void on_console_resume(struct task *task)
{
	struct client *client = CONTAINER_OF(task, struct client, task);

	if (client->state == CLIENT_CONSOLE)
		console_on_input(client);
}

void client_console_pause(struct client *client)
{
	stream_pause(&client->stream);
}

void client_console_resume(struct client *client)
{
	if (client->state != CLIENT_CONSOLE)
		return;
	stream_resume(&client->stream);
	loop_task(&client->worker->loop, &client->task, on_console_resume);
}
