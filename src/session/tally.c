/* SPDX-License-Identifier: ISC */
/*
 * Rows come from the headers of what the server sends and from command tags, times from the loop's
 * clock: a row's body is never looked at. An entry of the table may be evicted while its statement
 * runs; then nobody counts the run.
 */
#include "session/tally.h"

#include "base/log.h"
#include "session/client.h"
#include "session/server.h"

/* ---- what is decided ---- */

static struct pgw_lexer lexer_on(const struct client *client, const char *sql, size_t n)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);

	lexer.standard_conforming_strings = !client->params->backslash_escapes;
	return lexer;
}

static bool is_fetch(struct pgw_lexer lexer)
{
	struct pgw_token token;

	/* Nearly always told by a byte; space and comments are the lexer's. */
	if (lexer.at < lexer.end && *lexer.at >= 'A' && (*lexer.at | 0x20) != 'f')
		return false;
	token = pgw_lex(&lexer);
	return pgw_word_is(&token, "fetch");
}

static bool is_work(const struct statement_route *route)
{
	return route->kind == STATEMENT_WORK || route->kind == STATEMENT_PREPARE ||
	       route->kind == STATEMENT_EXECUTE;
}

static enum lesson lesson_of(struct worker *worker, struct fingerprint *entry)
{
	struct lessons *lessons = worker->cluster->lessons;
	uint64_t epoch = lessons_epoch(lessons);

	if (UNLIKELY(entry->lesson_epoch != epoch)) {
		entry->lesson_epoch = epoch;
		entry->lesson = (uint8_t)lessons_of(lessons, entry->key);
	}
	return (enum lesson)entry->lesson;
}

static void decide(
	struct client *client, struct fingerprint *entry, struct statement_route *route)
{
	if (route->source <= SOURCE_LEARNED) {
		bool training = lesson_of(client->worker, entry) == LESSON_TRAINING;

		route->class = training ? QUERY_TRAINING : QUERY_DEFAULT;
		route->source = training ? SOURCE_LEARNED : SOURCE_DEFAULT;
	}
	entry->used_us = loop_now_us(&client->worker->loop);
	entry->class = route->class;
	entry->source = route->source;
}

void tally_route_again(
	struct client *client, struct statement_route *route, const char *sql, size_t n)
{
	struct fingerprints *table = &client->worker->fingerprints;
	struct pgw_hash128 key = fingerprint_key(route->print, client->pool->hash);
	const struct shared_pool *pool = client->pool->shared;
	struct fingerprint *entry;

	if (route->counted == COUNTED_NOT)
		return;
	entry = fingerprints_touch(table, key);
	if (UNLIKELY(entry == NULL))
		entry = fingerprints_add(table, key, route->print, pool->database->name,
			pool->user->name, lexer_on(client, sql, n));
	decide(client, entry, route);
}

void tally_route(struct client *client, struct statement_route *route, const char *sql, size_t n)
{
	if (!is_work(route))
		route->counted = COUNTED_NOT;
	else if (UNLIKELY(route->declares))
		route->counted = COUNTED_DECLARE;
	else
		route->counted =
			is_fetch(lexer_on(client, sql, n)) ? COUNTED_FETCH : COUNTED_RUN;
	tally_route_again(client, route, sql, n);
}

/* ---- a run is over ---- */

static void log_lesson(const struct fingerprint *entry, bool learned)
{
	char id[FINGERPRINT_ID_BYTES];

	fingerprint_id_text(entry->print, id);
	log_info("fingerprint %s of %s@%s %s: %.200s", id, entry->user, entry->database,
		learned ? "is learned: it goes to training from now on"
			: "is forgotten: its runs are short and small again",
		entry->text);
}

static void learn(
	struct worker *worker, struct fingerprint *entry, const struct fingerprint_run *run)
{
	const struct config *config = worker_config(worker);
	const struct config_lane *lane = &config->lanes[config->lane_of_class[QUERY_DEFAULT]];
	struct run_limits limits = {lane->hop_after_us, config->bulk_rows};
	enum run_weight weight = run_weigh(run, limits);
	bool turned;

	if (LIKELY(weight == RUN_LIGHT && entry->lesson == LESSON_NONE))
		return;
	entry->lesson = (uint8_t)lessons_run(
		worker->cluster->lessons, entry, run, weight, &turned);
	if (turned)
		log_lesson(entry, entry->lesson == LESSON_TRAINING);
}

static void count(
	struct server *server, struct pgw_hash128 key, const struct fingerprint_run *run)
{
	struct worker *worker = server->worker;
	struct fingerprint *entry = fingerprints_find(&worker->fingerprints, key);

	if (UNLIKELY(entry == NULL))
		return;
	fingerprint_count(&entry->counts, run);
	if (!run->failed && entry->source <= SOURCE_LEARNED)
		learn(worker, entry, run);
}

static void close_open(struct server *server)
{
	struct tally *tally = &server->tally;

	if (!tally->is_open)
		return;
	tally->is_open = false;
	count(server, tally->open_key, &tally->open);
}

static void open_run(struct server *server, struct pgw_hash128 key, bool is_cursor)
{
	struct tally *tally = &server->tally;

	close_open(server);
	tally->is_open = true;
	tally->is_cursor = is_cursor;
	tally->open_key = key;
	memset(&tally->open, 0, sizeof(tally->open));
}

static bool is_open_run(const struct tally *tally, struct pgw_hash128 key)
{
	return tally->is_open && tally->open_key.lo == key.lo && tally->open_key.hi == key.hi;
}

/* What one run comes to over several replies. */
static void add_to_open(struct tally *tally, const struct fingerprint_run *run)
{
	struct fingerprint_run *open = &tally->open;

	if (open->began_us == 0)
		open->began_us = run->began_us;
	open->n_rows += run->n_rows;
	open->n_returned += run->n_returned;
	open->n_bytes += run->n_bytes;
	open->took_us += run->took_us;
	open->hopped |= run->hopped;
	open->timed_out |= run->timed_out;
	open->failed |= run->failed;
}

void tally_end(struct server *server, const struct expect *expect, bool suspended)
{
	struct tally *tally = &server->tally;
	struct fingerprint_run *run = &tally->run;
	uint64_t now_us = loop_now_us(&server->worker->loop);
	bool goes_on = suspended || expect->counted == COUNTED_DECLARE ||
		       expect->counted == COUNTED_FETCH;

	run->began_us = tally->began_us;
	run->took_us = now_us > tally->began_us ? now_us - tally->began_us : 0;
	run->n_rows = tally->n_tagged > 0 ? tally->n_tagged : run->n_returned;
	if (server->client == NULL || server->client->state == CLIENT_GONE)
		run->failed = true;
	if (UNLIKELY(suspended && !is_open_run(tally, expect->hash)))
		open_run(server, expect->hash, false);
	if (UNLIKELY(is_open_run(tally, expect->hash))) {
		add_to_open(tally, run);
		if (!goes_on || run->failed)
			close_open(server);
	} else {
		count(server, expect->hash, run);
	}
	memset(run, 0, sizeof(*run));
	tally->n_tagged = 0;
	tally->began_us = now_us; /* what is owed next could begin now */
}

void tally_tag(struct tally *tally, const uint8_t *tag, size_t n)
{
	uint64_t number = 0, digit = 1;

	if (n < 2 || tag[n - 1] != '\0')
		return;
	for (n--; n > 0 && tag[n - 1] >= '0' && tag[n - 1] <= '9' && digit < UINT64_MAX / 100; n--) {
		number += digit * (uint64_t)(tag[n - 1] - '0');
		digit *= 10;
	}
	tally->n_tagged += number;
}

/* ---- what is sent ---- */

static void mark(struct server *server, struct expect *expect, uint8_t counted,
	struct pgw_hash128 key)
{
	struct tally *tally = &server->tally;

	if (counted == COUNTED_NOT)
		return;
	tally->is_used = true;
	if (tally->began_us == 0) {
		tally->began_us = loop_now_us(&server->worker->loop);
		memset(&tally->run, 0, sizeof(tally->run));
		tally->n_tagged = 0;
	}
	if (UNLIKELY(counted == COUNTED_DECLARE))
		open_run(server, key, true);
	if (counted == COUNTED_FETCH && !(tally->is_open && tally->is_cursor))
		counted = COUNTED_RUN; /* from a cursor of which nothing is known */
	expect->counted = counted;
	expect->hash = counted == COUNTED_FETCH ? tally->open_key : key;
}

void tally_queried(
	struct server *server, struct expect *expect, const struct statement_route *route)
{
	mark(server, expect, route->counted,
		fingerprint_key(route->print, server->client->pool->hash));
}

/* By its name: "" is the unnamed one. NULL: what it is bound to is not known. */
static struct tally_portal *portal_of(struct tally *tally, const char *name, bool binds)
{
	uint64_t hash;

	if (LIKELY(name[0] == '\0'))
		return &tally->unnamed;
	hash = pgw_hash128(name, strlen(name), 0).lo;
	if (binds)
		tally->portal = hash;
	return tally->portal == hash ? &tally->named : NULL;
}

void tally_bound(
	struct server *server, const char *portal, const struct statement_route *route)
{
	struct tally_portal *bound = portal_of(&server->tally, portal, true);

	bound->counted = route ? route->counted : COUNTED_NOT;
	if (bound->counted == COUNTED_NOT)
		return;
	bound->key = fingerprint_key(route->print, server->client->pool->hash);
	server->tally.is_used = true;
}

void tally_executed(struct server *server, struct expect *expect, const char *portal)
{
	const struct tally_portal *bound = portal_of(&server->tally, portal, false);

	if (bound)
		mark(server, expect, bound->counted, bound->key);
}

/* ---- what goes wrong, moves, and ends ---- */

/* The statement that an error is of: what is owed at the front, or what stands behind its Parse and
 * Bind. NULL: none that is counted. */
static const struct expect *failing(struct expect_queue *expects)
{
	for (uint32_t i = 0; i < expects->n; i++) {
		const struct expect *expect = expect_at(expects, i);

		if (expect->counted != COUNTED_NOT)
			return expect;
		if (expect->kind == EXPECT_SYNC || expect->kind == EXPECT_QUERY ||
			expect->kind == EXPECT_EXECUTE)
			return NULL;
	}
	return NULL;
}

void tally_error(struct server *server, bool timed_out)
{
	const struct expect *expect = failing(&server->expects);

	if (expect == NULL)
		return;
	server->tally.run.failed = true;
	server->tally.run.timed_out = timed_out;
	if (expect->kind != EXPECT_QUERY) /* that ends with its ReadyForQuery */
		tally_end(server, expect, false);
}

void tally_lost(struct server *server)
{
	const struct expect *expect = failing(&server->expects);

	if (expect) {
		server->tally.run.failed = true;
		tally_end(server, expect, false);
	}
	tally_transaction_end(server);
}

void tally_hop(struct server *server)
{
	server->tally.run.hopped = true;
}

void tally_transaction_end(struct server *server)
{
	struct tally *tally = &server->tally;

	close_open(server);
	tally->is_used = false;
	tally->unnamed.counted = tally->named.counted = COUNTED_NOT;
}

/* ---- settings ---- */

void tally_settings(struct worker *worker)
{
	const struct config *config = worker_config(worker);

	worker->detects = config->workload_detection && config->max_fingerprints > 0;
	fingerprints_limit(&worker->fingerprints, worker->detects ? config->max_fingerprints : 0);
	if (!worker->detects) {
		fingerprints_release(&worker->fingerprints);
		lessons_forget_all(worker->cluster->lessons);
	}
}
