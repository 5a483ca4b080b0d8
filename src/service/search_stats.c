/* SPDX-License-Identifier: ISC */
#include "service/search_stats.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/netaddr.h"
#include "service/pgconn.h"
#include "service/pgtarget.h"
#include "stats/stats.h"

#define uthash_malloc(n) mem_alloc(n)
#define uthash_free(p, n) mem_free(p)
#include <uthash.h>

#define STATS_MAGIC 0x53535453u
#define RETRY_MAX_US 300000000u
/* The server gives up before we do. */
#define STATEMENT_OPTIONS "-c statement_timeout=10000 -c lock_timeout=2000"
#define STATEMENT_TIMEOUT_US 15000000u

/* Objects that are not known (any more) are left out. */
#define STATEMENT                                                                                  \
	"SELECT public.ml_search_stats_add(array_agg(m.id), array_agg(f.hits)) "                   \
	"FROM unnest($1::text[], $2::text[], $3::integer[]) f (entity_type, vector_id, hits) "     \
	"JOIN public.ml_vector_metadata m ON m.entity_type = f.entity_type "                       \
	"AND m.vector_id = f.vector_id AND m.deleted_at IS NULL HAVING count(*) > 0"

struct key {
	char type[ENTITY_TYPE_MAX_BYTES];
	char id[SEARCH_UUID_BYTES];
};

struct count {
	UT_hash_handle hh;
	struct key key;
	uint32_t hits;
};

enum state { RESTS, EXPECT_PERMIT, EXPECT_LOGIN, EXPECT_COMMIT, EXPECT_CLOSED };

struct search_stats {
	uint32_t magic;
	enum state state;
	struct loop *loop;
	struct resolver *resolver;
	struct config *config;
	struct search_counters *counters;
	const struct permit_ops *permits;
	void *permit;
	struct pgconn *conn;
	struct count *waiting, *flying; /* tables */
	struct timer timer;		/* the next batch */
	unsigned n_failures;
	uint64_t n_attempts;
};

/* ---- what is counted ---- */

static bool is_on(const struct search_stats *stats)
{
	return stats->config->search_stats_period_us > 0 && stats->config->weaviate_url &&
	       config_outbox_database(stats->config);
}

/* service_event of ServiceEventVector; false: it is no such name. */
static bool type_of_name(const char *collection, char type_r[static ENTITY_TYPE_MAX_BYTES])
{
	static const char suffix[] = "Vector";
	size_t n_name = strlen(collection), n = 0, i;

	if (n_name <= sizeof(suffix) - 1 ||
		strcmp(collection + n_name - (sizeof(suffix) - 1), suffix) != 0)
		return false;
	for (i = 0; i < n_name - (sizeof(suffix) - 1); i++) {
		unsigned char c = (unsigned char)collection[i];

		if (n + 3 > ENTITY_TYPE_MAX_BYTES || !isalnum(c))
			return false;
		if (isupper(c) && i > 0)
			type_r[n++] = '_';
		type_r[n++] = (char)tolower(c);
	}
	type_r[n] = '\0';
	return true;
}

bool search_stats_type(const struct config *config, const char *collection,
	char type_r[static ENTITY_TYPE_MAX_BYTES])
{
	unsigned i;

	memset(type_r, 0, ENTITY_TYPE_MAX_BYTES);
	for (i = 0; i < config->n_entities; i++) {
		const struct config_entity *entity = &config->entities[i];

		if (entity->collection && strcmp(entity->collection, collection) == 0 &&
			strlen(entity->name) < ENTITY_TYPE_MAX_BYTES) {
			memcpy(type_r, entity->name, strlen(entity->name));
			return true;
		}
	}
	return type_of_name(collection, type_r);
}

static void show(struct search_stats *stats)
{
	STAT_SET(stats->counters->n_found_waiting,
		HASH_COUNT(stats->waiting) + HASH_COUNT(stats->flying));
}

static void add(struct search_stats *stats, const struct key *key, uint32_t hits)
{
	struct count *count = NULL;

	HASH_FIND(hh, stats->waiting, key, sizeof(*key), count);
	if (count) {
		count->hits += MIN_OF(hits, INT32_MAX - count->hits);
		return;
	}
	if (HASH_COUNT(stats->waiting) >= SEARCH_STATS_MAX) {
		STAT_ADD(stats->counters->n_found_dropped, hits);
		return;
	}
	count = mem_zalloc(sizeof(*count));
	count->key = *key;
	count->hits = hits;
	HASH_ADD(hh, stats->waiting, key, sizeof(count->key), count);
}

/* Of flying, all; what becomes of each is `give_back`'s to say. */
static void end_batch(struct search_stats *stats, bool give_back)
{
	struct count *count;

	while ((count = stats->flying) != NULL) {
		HASH_DEL(stats->flying, count);
		if (give_back)
			add(stats, &count->key, count->hits);
		mem_free(count);
	}
	show(stats);
}

static uint64_t batch_hits(const struct search_stats *stats)
{
	const struct count *count;
	uint64_t n = 0;

	for (count = stats->flying; count; count = count->hh.next)
		n += count->hits;
	return n;
}

/* ---- when ---- */

static void begin(struct search_stats *stats);

static void on_timer(struct timer *timer)
{
	struct search_stats *stats = CONTAINER_OF(timer, struct search_stats, timer);

	CHECK_MAGIC(stats, STATS_MAGIC);
	begin(stats);
}

/* A period from now; after failures twice as long each time. */
static void arm(struct search_stats *stats)
{
	uint64_t delay_us = stats->config->search_stats_period_us << MIN_OF(stats->n_failures, 16u);

	if (stats->state != RESTS || timer_is_armed(&stats->timer) || stats->waiting == NULL ||
		!is_on(stats))
		return;
	if (stats->n_failures > 0)
		delay_us = MIN_OF(delay_us,
			MAX_OF((uint64_t)RETRY_MAX_US, stats->config->search_stats_period_us));
	loop_timer(stats->loop, &stats->timer, delay_us, on_timer);
}

void search_stats_add(struct search_stats *stats, const char *collection,
	const struct wv_found *found)
{
	struct key key;
	uint32_t i;

	if (!is_on(stats))
		return;
	if (!search_stats_type(stats->config, collection, key.type)) {
		STAT_ADD(stats->counters->n_found_dropped, found->n);
		return;
	}
	for (i = 0; i < found->n; i++) {
		memcpy(key.id, found->ids[i], sizeof(key.id));
		add(stats, &key, 1);
	}
	show(stats);
	arm(stats);
}

/* ---- one connection ---- */

static void complain(const struct search_stats *stats, const char *text, const char *sqlstate)
{
	log_rated(LOG_LEVEL_WARNING,
		"what searches found cannot be counted in %s: %s%s",
		config_outbox_database(stats->config) ? config_outbox_database(stats->config) : "",
		text,
		strncmp(sqlstate, "42", 2) == 0 ? ": run sql/pglane-migrate there, and grant ml_proxy "
						  "to outbox_user"
						: "");
}

static void close_connection(struct search_stats *stats)
{
	stats->state = EXPECT_CLOSED;
	stats->permits->closing(stats->permit);
	pgconn_close(stats->conn);
}

/* Moves a batch from waiting to flying, and makes arrays of it. */
static void take_batch(struct search_stats *stats, struct strbuf arrays[static 3])
{
	struct count *count;
	unsigned i;

	for (i = 0; i < 3; i++)
		strbuf_addc(&arrays[i], '{');
	for (i = 0; i < SEARCH_STATS_BATCH && (count = stats->waiting) != NULL; i++) {
		HASH_DEL(stats->waiting, count);
		HASH_ADD(hh, stats->flying, key, sizeof(count->key), count);
		strbuf_addf(&arrays[0], i ? ",%s" : "%s", count->key.type);
		strbuf_addf(&arrays[1], i ? ",%s" : "%s", count->key.id);
		strbuf_addf(&arrays[2], i ? ",%u" : "%u", count->hits);
	}
	for (i = 0; i < 3; i++)
		strbuf_addc(&arrays[i], '}');
}

static void write_batch(struct search_stats *stats)
{
	struct strbuf arrays[3] = {STRBUF_INIT, STRBUF_INIT, STRBUF_INIT};
	const char *values[3];
	unsigned i;

	if (stats->waiting == NULL || !is_on(stats)) {
		close_connection(stats);
		return;
	}
	take_batch(stats, arrays);
	for (i = 0; i < 3; i++)
		values[i] = arrays[i].data;
	stats->state = EXPECT_COMMIT;
	pgconn_query(stats->conn, STATEMENT, 3, values, STATEMENT_TIMEOUT_US);
	for (i = 0; i < 3; i++)
		strbuf_release(&arrays[i]);
}

static void on_connected(void *arg)
{
	struct search_stats *stats = arg;

	CHECK_MAGIC(stats, STATS_MAGIC);
	write_batch(stats);
}

static void on_answered(void *arg, const PGresult *result)
{
	struct search_stats *stats = arg;

	CHECK_MAGIC(stats, STATS_MAGIC);
	(void)result;
	STAT_ADD(stats->counters->n_found_counted, batch_hits(stats));
	stats->n_failures = 0;
	end_batch(stats, false);
	write_batch(stats);
}

static void on_failed(void *arg, const struct pgconn_error *error)
{
	struct search_stats *stats = arg;
	bool is_refused = error->sqlstate[0] != '\0'; /* else it may have been committed */

	CHECK_MAGIC(stats, STATS_MAGIC);
	complain(stats, error->text, error->sqlstate);
	stats->n_failures++;
	if (!is_refused)
		STAT_ADD(stats->counters->n_found_dropped, batch_hits(stats));
	end_batch(stats, is_refused);
	close_connection(stats);
}

static void on_closed(void *arg)
{
	struct search_stats *stats = arg;

	CHECK_MAGIC(stats, STATS_MAGIC);
	stats->conn = NULL;
	stats->state = RESTS;
	stats->permits->closed(stats->permit);
	arm(stats);
}

static const struct pgconn_ops conn_ops = {
	.connected = on_connected,
	.answered = on_answered,
	.failed = on_failed,
	.closed = on_closed,
};

static void give_permit_back(struct search_stats *stats)
{
	stats->state = RESTS;
	stats->permits->closing(stats->permit);
	stats->permits->closed(stats->permit);
	arm(stats);
}

/* A permit and a slot are held. */
static void connect_now(struct search_stats *stats)
{
	const struct config *config = stats->config;
	struct pgtarget target;
	const char *trouble = pgtarget_init(&target, config, config_outbox_database(config),
		config_outbox_user(config), config_outbox_password(config), stats->n_attempts++);

	if (trouble) {
		complain(stats, trouble, "");
		stats->n_failures++;
		give_permit_back(stats);
		return;
	}
	stats->state = EXPECT_LOGIN;
	stats->conn = pgconn_open(stats->loop, stats->resolver,
		&(struct pgconn_params){
			.host = target.host,
			.port = target.port,
			.dbname = target.dbname,
			.user = target.user,
			.password = target.password,
			.application_name = "pglane search",
			.options = STATEMENT_OPTIONS,
			.tls = target.tls,
			.connect_timeout_us = config->server_connect_timeout_us,
		},
		&conn_ops, stats);
	pgtarget_release(&target);
}

static void begin(struct search_stats *stats)
{
	if (stats->state != RESTS || stats->waiting == NULL || !is_on(stats))
		return;
	switch (stats->permits->acquire(stats->permit)) {
	case PERMIT_GRANTED:
		connect_now(stats);
		break;
	case PERMIT_WAITS:
		stats->state = EXPECT_PERMIT;
		break;
	case PERMIT_REFUSED: /* the lane has enough to do */
	default:
		stats->n_failures++;
		arm(stats);
		break;
	}
}

void search_stats_granted(struct search_stats *stats)
{
	CHECK_MAGIC(stats, STATS_MAGIC);
	MUST(stats->state == EXPECT_PERMIT);
	if (is_on(stats))
		connect_now(stats);
	else
		give_permit_back(stats);
}

/* ---- life ---- */

struct search_stats *search_stats_new(struct loop *loop, struct config *config,
	struct search_counters *counters, const struct permit_ops *permits, void *permit)
{
	struct search_stats *stats = mem_zalloc(sizeof(*stats));

	stats->magic = STATS_MAGIC;
	stats->loop = loop;
	stats->resolver = resolver_new(loop);
	stats->config = config_ref(config);
	stats->counters = counters;
	stats->permits = permits;
	stats->permit = permit;
	return stats;
}

void search_stats_change(struct search_stats *stats, struct config *config)
{
	CHECK_MAGIC(stats, STATS_MAGIC);
	config_unref(&stats->config);
	stats->config = config_ref(config);
	stats->n_failures = 0;
	timer_stop(&stats->timer);
	arm(stats);
}

static void forget(struct search_stats *stats)
{
	struct count *count;

	end_batch(stats, false);
	while ((count = stats->waiting) != NULL) {
		HASH_DEL(stats->waiting, count);
		mem_free(count);
	}
}

void search_stats_free(struct search_stats **stats_p, uint64_t patience_us)
{
	struct search_stats *stats = *stats_p;

	*stats_p = NULL;
	if (stats == NULL)
		return;
	CHECK_MAGIC(stats, STATS_MAGIC);
	timer_stop(&stats->timer);
	if (stats->state == EXPECT_PERMIT)
		stats->permits->cancel(stats->permit);
	if (stats->conn) {
		if (stats->state != EXPECT_CLOSED)
			stats->permits->closing(stats->permit);
		pgconn_end(&stats->conn, patience_us);
		stats->permits->closed(stats->permit);
	}
	resolver_free(&stats->resolver);
	config_unref(&stats->config);
	forget(stats);
	stats->magic = 0;
	mem_free(stats);
}
