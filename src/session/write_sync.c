/* SPDX-License-Identifier: ISC */
/* What the client says: which notes its statement asks for, and what is sent for them. */
#include "session/write_sync.h"

#include "base/mem.h"
#include "session/ahead.h"
#include "session/search.h"
#include "session/server.h"

#define PORTALS_MAX 64u

static void watched_free(struct watched **watched)
{
	struct watched *w = *watched;

	*watched = NULL;
	if (w == NULL)
		return;
	mem_free(w->portal);
	mem_free(w);
}

static void portal_drop(struct write_sync *sync, struct watched *watched)
{
	if (sync->watching == watched)
		sync->watching = NULL;
	LIST_REMOVE(watched, link);
	sync->n_portals--;
	watched_free(&watched);
}

void write_sync_free(struct write_sync **sync_p)
{
	struct write_sync *sync = *sync_p;

	*sync_p = NULL;
	if (sync == NULL)
		return;
	while (!LIST_EMPTY(&sync->portals))
		portal_drop(sync, LIST_FIRST(&sync->portals));
	watched_free(&sync->query);
	strbuf_release(&sync->held);
	mem_free(sync->ids);
	mem_free(sync);
}

static struct write_sync *sync_of(struct client *client)
{
	if (client->sync == NULL) {
		client->sync = mem_alloc(sizeof(*client->sync));
		/* not its 9 kB of marks and types */
		memset(client->sync, 0, offsetof(struct write_sync, marks));
		strbuf_init(&client->sync->held);
		write_sync_no_marks(client->sync);
	}
	return client->sync;
}

/* ---- may it, and is it well said? ---- */

static enum annotation_right right_of(const struct client *client)
{
	const struct config *config = worker_config(client->worker);
	const struct config_user *user = config_find_user(config, client->pool->shared->user->name);

	return user ? user->annotations : CONFIG_USER_ANNOTATIONS;
}

static bool place_fault(struct pgw_fault *fault, const char *why)
{
	pgw_fault_set(fault, PGW_FAULT_ANNOTATION_PLACE, NULL, "%s", why);
	return false;
}

/* false: *fault says why the marks cannot be honoured. */
static bool check(struct client *client, bool simple, const struct statement_route *route,
	const struct entity_marks *marks, struct pgw_fault *fault)
{
	static const char *const rights[] = {"none", "route", "all"};
	enum annotation_right right = right_of(client);

	if (right != ANNOTATIONS_ALL) {
		pgw_fault_set(fault, PGW_FAULT_ANNOTATION_DENIED, "ml_entity",
			"User %s has annotations = %s.", client->pool->shared->user->name,
			rights[right]);
		return false;
	}
	if (route->effects & EFFECT_TRANSACTION)
		return place_fault(fault,
			"The string begins or ends a transaction, so that statement and note could be "
			"committed apart.");
	if (marks->may_commit && client->xact == XACT_NONE &&
		!client_is(client, CLIENT_BATCH_HAS_XACT))
		return place_fault(fault,
			"What it calls may commit before it is done, and the note with it: begin a "
			"transaction around it.");
	if (simple && marks->has_parameter) {
		pgw_fault_set(fault, PGW_FAULT_ANNOTATION_PARAMETER, NULL,
			"A simple query has no parameters.");
		return false;
	}
	if (simple && marks->has_returned && client_is(client, CLIENT_EXTENDED))
		return place_fault(fault, "A batch without its Sync is open.");
	return true;
}

static enum step refuse(
	struct feed *feed, const struct pgw_frame *frame, const struct pgw_fault *fault)
{
	STAT_ADD(feed->worker->annotations.n_refused, 1);
	if (feed->client->state != CLIENT_LINKED)
		write_sync_free(&feed->client->sync);
	return frame->type == PGW_QUERY ? feed_refuse_query(feed, frame, fault)
					: feed_fail_batch(feed, frame, fault);
}

bool write_sync_refused(struct feed *feed, const struct pgw_frame *frame,
	const struct statement_route *route, const char *sql, size_t n, enum step *step_r)
{
	struct client *client = feed->client;
	bool simple = frame->type == PGW_QUERY;
	struct write_sync *sync = sync_of(client);
	struct pgw_fault fault;

	write_sync_no_marks(sync);
	/* What has failed is PostgreSQL's to refuse, and its end is not to be held up. */
	if (route->kind == STATEMENT_ROLLBACK || client->xact == XACT_FAILED ||
		(client->server && client->server->xact == PGW_XACT_FAILED))
		return false;
	/* Whether it is in a transaction is known when what is under way is answered; and if what is
	 * ahead of it fails, nothing behind it is heard. */
	if (simple && client->state == CLIENT_LINKED && client_is(client, CLIENT_AWAITS_READY)) {
		*step_r = STEP_WAIT;
		return true;
	}
	if (entity_read(sql, n, client->params->backslash_escapes,
		    frame->n_available < frame->n_body_bytes, &sync->marks, &fault) &&
		(sync->marks.n == 0 || check(client, simple, route, &sync->marks, &fault))) {
		sync->is_write = sync->marks.n_statements == 1 && route->kind == STATEMENT_WORK && (route->effects & EFFECT_WRITE);
		return false;
	}
	*step_r = refuse(feed, frame, &fault);
	return true;
}

bool write_sync_text_refused(struct feed *feed, const struct pgw_frame *frame, const char *sql,
	size_t n, enum step *step_r)
{
	struct classify_session session = feed_session(feed->client);
	struct classify_result result;
	struct statement_route route;

	classify(feed->worker->settings->classifier, &session, sql, n, &result);
	route = feed_route(feed->client, &result);
	if (!(route.actions & ACTION_NOTE)) {
		if (feed->client->sync)
			write_sync_no_marks(feed->client->sync);
		return false;
	}
	return write_sync_refused(feed, frame, &route, sql, n, step_r);
}

/* ---- what is to be noted ---- */

static uint8_t type_index(struct write_sync *sync, const char *type)
{
	unsigned i;

	for (i = 0; i < sync->n_types; i++)
		if (strcmp(sync->types[i], type) == 0)
			return (uint8_t)i;
	MUST(sync->n_types < ENTITY_MARKS_MAX);
	memcpy(sync->types[sync->n_types], type, ENTITY_TYPE_BYTES);
	return (uint8_t)sync->n_types++;
}

void write_sync_note(struct write_sync *sync, const char *type, const uint8_t *id)
{
	struct noted *noted;

	if (sync->n_ids == sync->cap_ids) {
		sync->cap_ids = MAX_OF(16u, 2 * sync->cap_ids);
		sync->ids = mem_realloc(sync->ids, sync->cap_ids * sizeof(*sync->ids));
	}
	noted = &sync->ids[sync->n_ids++];
	noted->type = type_index(sync, type);
	memcpy(noted->id, id, ENTITY_UUID_BYTES);
}

static struct watched *watched_new(const struct entity_marks *marks, const char *portal)
{
	struct watched *watched =
		mem_zalloc(sizeof(*watched) + marks->n * sizeof(watched->items[0]));
	unsigned i;

	watched->portal = mem_strdup(portal);
	for (i = 0; i < marks->n; i++) {
		const struct entity_mark *mark = &marks->items[i];
		struct returned *returned = &watched->items[watched->n];

		if (mark->source != ENTITY_RETURNED)
			continue;
		returned->statement = mark->statement;
		returned->column = -1;
		memcpy(returned->type, mark->type, ENTITY_TYPE_BYTES);
		watched->n++;
	}
	return watched;
}

/* ---- Query ---- */

/* In a transaction of the client's that lasts, what is named can be noted ahead of the client's next message as well, which may be the COMMIT. */
static bool can_wait(const struct client *client)
{
	return client->xact != XACT_NONE && client->sync->is_write && !client_is(client, CLIENT_EXTENDED); /* an open batch may have ended it */
}

uint16_t write_sync_query_ahead(struct client *client)
{
	struct write_sync *sync = client->sync;

	if (sync == NULL || sync->marks.n == 0)
		return 0;
	sync->wraps = sync->marks.has_returned && client->xact == XACT_NONE;
	if (sync->wraps)
		inject_begin(client->server, "BEGIN");
	write_sync_send_marks(client, can_wait(client));
	sync->in_query = sync->is_busy = true;
	if (!sync->marks.has_returned)
		return 0;
	watched_free(&sync->query);
	sync->query = watched_new(&sync->marks, NULL);
	sync->watching = sync->query;
	sync->statement = 0;
	sync->is_broken = false;
	return EXPECT_WATCH;
}

/* ---- Bind and Execute ---- */

static bool read_id(const struct pgw_value *value, uint8_t id_r[static ENTITY_UUID_BYTES])
{
	if (value->binary && value->n == ENTITY_UUID_BYTES) {
		memcpy(id_r, value->at, ENTITY_UUID_BYTES);
		return true;
	}
	return entity_uuid_parse((const char *)value->at, value->n, id_r);
}

/* The id of a mark, from the Bind. */
static enum pgw_err take_parameter(const struct pgw_frame *frame, const struct pgw_bind *bind,
	struct entity_mark *mark, struct pgw_fault *fault)
{
	struct pgw_value value;
	enum pgw_err err = pgw_view_bind_value(frame->body, frame->n_available,
		frame->n_body_bytes, bind->n_prefix_bytes, mark->parameter - 1u, &value);

	if (err == PGW_E_TOO_MANY) {
		pgw_fault_set(fault, PGW_FAULT_ANNOTATION_PARAMETER, NULL,
			"ml_entity='%s:$%u'.", mark->type, mark->parameter);
		return err;
	}
	if (err != PGW_OK)
		return err;
	if (value.at == NULL) {
		pgw_fault_set(fault, PGW_FAULT_ANNOTATION_NULL, NULL, "ml_entity='%s:$%u'.",
			mark->type, mark->parameter);
		return PGW_E_TOO_MANY;
	}
	if (!read_id(&value, mark->id)) {
		pgw_fault_set(fault, PGW_FAULT_ANNOTATION_UUID, NULL,
			"ml_entity='%s:$%u' is \"%.*s\".", mark->type, mark->parameter,
			value.binary ? 0 : (int)MIN_OF(value.n, 100u), (const char *)value.at);
		return PGW_E_TOO_MANY;
	}
	mark->has_id = true;
	return PGW_OK;
}

bool write_sync_bind_refused(struct feed *feed, const struct pgw_frame *frame,
	const struct pgw_bind *bind, enum step *step_r)
{
	struct write_sync *sync = feed->client->sync;
	struct pgw_fault fault;
	enum pgw_err err;
	unsigned i;

	if (sync == NULL)
		return false;
	if (sync->marks.has_returned && sync->n_portals == PORTALS_MAX) {
		pgw_fault_set(&fault, PGW_FAULT_ANNOTATION_LIMIT, NULL,
			"%u portals of annotated statements are open.", PORTALS_MAX);
		*step_r = refuse(feed, frame, &fault);
		return true;
	}
	for (i = 0; i < sync->marks.n && sync->marks.has_parameter; i++) {
		if (sync->marks.items[i].source != ENTITY_PARAMETER)
			continue;
		err = take_parameter(frame, bind, &sync->marks.items[i], &fault);
		if (err == PGW_OK)
			continue;
		if (err == PGW_E_TOO_MANY)
			*step_r = refuse(feed, frame, &fault);
		else
			*step_r = err == PGW_MORE ? STEP_MORE : feed_violation(feed, err);
		return true;
	}
	return false;
}

static struct watched *find_portal(const struct write_sync *sync, const char *portal)
{
	struct watched *watched;

	LIST_FOREACH(watched, &sync->portals, link)
		if (strcmp(watched->portal, portal) == 0)
			return watched;
	return NULL;
}

void write_sync_forget_portal(struct client *client, const char *portal)
{
	struct watched *watched = find_portal(client->sync, portal);

	if (watched)
		portal_drop(client->sync, watched);
}

void write_sync_bind(struct client *client, const struct pgw_bind *bind, bool noted)
{
	struct write_sync *sync = client->sync;
	struct watched *watched;

	write_sync_forget_portal(client, bind->portal);
	if (!noted || sync->marks.n == 0)
		return;
	write_sync_send_marks(client, false);
	if (!sync->marks.has_returned)
		return;
	watched = watched_new(&sync->marks, bind->portal);
	LIST_INSERT_HEAD(&sync->portals, watched, link);
	sync->n_portals++;
}

static void build_describe(struct pgw_writer *writer, const void *arg)
{
	pgw_build_target(writer, PGW_DESCRIBE, 'P', arg);
}

bool write_sync_execute(struct feed *feed, const struct pgw_frame *frame, enum step *step_r)
{
	struct client *client = feed->client;
	struct write_sync *sync = client->sync;
	struct expect expect = {.kind = EXPECT_EXECUTE, .flags = EXPECT_WATCH};
	struct pgw_execute execute;
	struct watched *watched;

	if (client->state != CLIENT_LINKED || LIST_EMPTY(&sync->portals))
		return false;
	*step_r = STEP_MORE;
	if (frame->n_available < frame->n_body_bytes)
		return true;
	if (pgw_view_execute(frame->body, frame->n_body_bytes, &execute) != PGW_OK) {
		*step_r = feed_violation(feed, PGW_E_VALUE);
		return true;
	}
	watched = find_portal(sync, execute.portal);
	if (watched == NULL)
		return false;
	client_set(client, CLIENT_EXTENDED);
	client_statement_begins(client, 0);
	inject_built(client->server, build_describe, watched->portal,
		PGW_HEADER_BYTES + 2 + strlen(watched->portal));
	expect_push(&client->server->expects, (struct expect){.kind = EXPECT_DESCRIBE,
						      .flags = EXPECT_SWALLOW | EXPECT_WATCH});
	if (UNLIKELY(client->search != NULL))
		search_executed(client);
	if (UNLIKELY(feed->worker->detects) && !client_is(client, CLIENT_SESSION))
		tally_executed(client->server, &expect, execute.portal);
	expect_push(&client->server->expects, expect);
	sync->watching = watched;
	sync->is_busy = true;
	sync->is_broken = false;
	*step_r = feed_forward(feed, frame);
	inject_flush(client->server);
	return true;
}
