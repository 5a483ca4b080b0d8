/* SPDX-License-Identifier: ISC */
/*
 * Lanes with target = replica: does a statement, or a whole batch of the extended protocol, only
 * read? A batch is one transaction, so all of it must be here, up to its Sync.
 */
#include "classify/only_reads.h"
#include "session/feed.h"
#include "session/replica.h"
#include "session/server.h"

bool feed_targets_replica(const struct client *client, const struct statement_route *route)
{
	const struct config *config = worker_config(client->worker);
	unsigned lane = route->has_lane ? route->lane : config->lane_of_class[route->class];

	if (client_is(client, CLIENT_CLASS_FIXED))
		lane = config->lane_of_class[client->begin_class];
	return route->actions == 0 && config->lanes[lane].target == TARGET_REPLICA;
}

enum reads feed_reads(const struct client *client, const struct statement_route *route,
	const char *sql, size_t n)
{
	return feed_targets_replica(client, route)
		       ? only_reads(sql, n, client->params->backslash_escapes)
		       : READS_NOT;
}

/* What has been met of the batch. */
struct batch {
	struct client *client;
	bool parses_unnamed, parses_named;
};

static bool parse_reads(struct batch *batch, const struct pgw_frame *frame)
{
	struct pgw_parse parse;

	if (pgw_view_parse(frame->body, frame->n_available, &parse) != PGW_OK)
		return false;
	if (parse.n_name_bytes > 0)
		batch->parses_named = true;
	else
		batch->parses_unnamed = true;
	return feed_acts_on_nothing(parse.query, parse.n_query_bytes) &&
	       only_reads(parse.query, parse.n_query_bytes,
		       batch->client->params->backslash_escapes) == READS;
}

static bool view_bind(const struct pgw_frame *frame, struct pgw_bind *bind)
{
	return frame->type == PGW_BIND &&
	       pgw_view_bind(frame->body, frame->n_available, frame->n_body_bytes, bind) == PGW_OK;
}

static bool bind_reads(struct batch *batch, const struct pgw_frame *frame)
{
	struct statement *statement;
	struct pgw_bind bind;

	if (!view_bind(frame, &bind))
		return false;
	/* Of what is parsed in this batch the text was read; but a name that the client has already may still be that of its statement. */
	if (bind.n_statement_bytes == 0 && batch->parses_unnamed)
		return true;
	statement = feed_find_statement(batch->client, bind.statement, bind.n_statement_bytes);
	if (statement == NULL)
		return bind.n_statement_bytes > 0 && batch->parses_named;
	return statement->route.reads == READS && statement->route.actions == 0;
}

static bool message_reads(struct batch *batch, const struct pgw_frame *frame)
{
	switch (frame->type) {
	case PGW_PARSE:
		return parse_reads(batch, frame);
	case PGW_BIND:
		return bind_reads(batch, frame);
	case PGW_DESCRIBE:
	case PGW_EXECUTE:
	case PGW_CLOSE:
		return true;
	default: /* Flush, too: it would bring a part of the answer before the rest has run */
		return false;
	}
}

const uint8_t *feed_batch_reads(const struct feed *feed)
{
	struct batch batch = {.client = feed->client};
	const uint8_t *at = feed->at;
	struct pgw_frame frame;

	while (pgw_frame_read(at, (size_t)(feed->end - at), &frame) == PGW_OK &&
		frame.n_available == frame.n_body_bytes) {
		at += PGW_HEADER_BYTES + frame.n_body_bytes;
		if ((uint64_t)(at - feed->at) >
			worker_config(feed->worker)->inspect_limit_bytes)
			return NULL;
		if (frame.type == PGW_SYNC)
			return at;
		if (!message_reads(&batch, &frame))
			return NULL;
	}
	return NULL;
}

void feed_batch_writes(struct client *client, const struct input *batch)
{
	const uint8_t *at = batch->data + batch->at, *end = batch->data + batch->len;
	struct statement *statement;
	struct pgw_frame frame;
	struct pgw_bind bind;

	for (; pgw_frame_read(at, (size_t)(end - at), &frame) == PGW_OK &&
		frame.n_available == frame.n_body_bytes;
		at += PGW_HEADER_BYTES + frame.n_body_bytes) {
		if (!view_bind(&frame, &bind))
			continue;
		statement = feed_find_statement(client, bind.statement, bind.n_statement_bytes);
		if (statement == NULL)
			continue;
		statement->writes = true;
		statement->route.reads = READS_NOT;
	}
}
