/* SPDX-License-Identifier: ISC */
/* EXPLAIN ROUTE: what would become of a statement, from the same classifier and the ledger as it stands. */
#include "admin/show.h"

#include <inttypes.h>

#include "base/mem.h"
#include "classify/catalog.h"
#include "classify/only_reads.h"

const struct column explain_columns[2] = { COLUMN_T("key"), COLUMN_T("value") };

static void add(struct run *run, const char *key, const char *value)
{
	rows_text(&run->rows, key);
	rows_text(&run->rows, value);
	rows_end(&run->rows);
}

static void add_number(struct run *run, const char *key, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	add(run, key, text);
}

static const char *kind_name(enum statement_kind kind)
{
	switch (kind) {
	case STATEMENT_EMPTY:
		return "empty";
	case STATEMENT_BEGIN:
		return "begin";
	case STATEMENT_BEGIN_CHECKED:
		return "begin, sent ahead";
	case STATEMENT_COMMIT:
		return "commit";
	case STATEMENT_ROLLBACK:
		return "rollback";
	case STATEMENT_NEUTRAL:
		return "neutral";
	case STATEMENT_PREPARE:
		return "prepare";
	case STATEMENT_EXECUTE:
		return "execute";
	case STATEMENT_WORK:
	default:
		return "work";
	}
}

static uint32_t free_permits(const struct lane_reading *reading)
{
	return reading->spec.size - MIN_OF(reading->spec.size, reading->in_use);
}

static bool may_spill(const struct lane_reading *from, const struct lane_reading *to)
{
	return to->in_use < from->spec.spill_below && free_permits(to) > 0 && to->waiting == 0;
}

static unsigned lane_of(const struct config *config, const struct classify_result *result)
{
	return result->has_lane ? result->lane : config->lane_of_class[result->class];
}

/* Now, if it came as the first statement of its transaction. */
static const char *outcome(const struct config *config, const struct classify_result *result, const struct lane_reading *readings, char text[80])
{
	const struct lane_reading *lane = &readings[lane_of(config, result)];

	if (result->deny)
		return "deny";
	if (result->kind == STATEMENT_BEGIN || result->kind == STATEMENT_EMPTY)
		return "answered by pglane";
	if (free_permits(lane) > 0 && lane->waiting == 0)
		return "run";
	if (result->priority >= LANE_PRIORITY_URGENT && config->urgent_lane >= 0 && free_permits(&readings[config->urgent_lane]) > 0) {
		(void)snprintf(text, 80, "run in lane %s", config->lanes[config->urgent_lane].name);
		return text;
	}
	if (lane->waiting == 0 && may_spill(lane, &readings[lane->spec.spill_lane])) {
		(void)snprintf(text, 80, "spill to %s", readings[lane->spec.spill_lane].spec.name);
		return text;
	}
	if (lane->spec.max_waiting > 0 && lane->waiting >= lane->spec.max_waiting)
		return "refuse";
	return "wait";
}

static const char *target_name(const struct config_lane *lane, const char *sql)
{
	if (lane->target == TARGET_PRIMARY)
		return "primary";
	switch (only_reads(sql, strlen(sql), false)) {
	case READS:
		return "replica";
	case READS_IN_TRANSACTION:
		return "replica, in a transaction that is declared READ ONLY";
	case READS_NOT:
	default:
		return "primary: it may write";
	}
}

/* Those that SHOW CATALOG lists, and those of which the catalog says that they are none. */
static void count_columns(const struct catalog *catalog, char text[80])
{
	unsigned n = catalog_n_columns(catalog), n_vectors = 0;

	for (unsigned i = 0; i < n; i++)
		n_vectors += catalog_column(catalog, i)->is_vector;
	(void)snprintf(text, 80, "%u vector column%s, %u that only look%s like one", n_vectors, n_vectors == 1 ? "" : "s",
		n - n_vectors, n - n_vectors == 1 ? "s" : "");
}

/* What is known of the database that was named. */
static void add_catalog(struct run *run)
{
	const struct catalogs_entry *entry = run->request.value ? catalogs_find(run->worker->catalogs, run->request.value) : NULL;
	char text[80] = "";

	if (entry && entry->catalog)
		count_columns(entry->catalog, text);
	else if (run->request.value)
		(void)snprintf(text, sizeof(text), "nothing is known");
	add(run, "catalog", text);
}

/* As its own user would be classed who may annotate with the highest priority; on the database that was named, if one was. */
static void classify_for(const struct run *run, struct classify_result *result_r, struct pgw_hash128 *print_r)
{
	const char *sql = run->request.argument, *database = run->request.value;
	struct classify_session session = {
		.user = run->client->pool->shared->user->name,
		.database = database ? database : run->client->pool->shared->database->name,
		.catalog = database ? catalogs_known(run->worker->catalogs, database) : NULL,
		.application_name = client_application_name(run->client),
		.may_annotate = true,
		.max_priority = LANE_PRIORITY_MAX,
		.now_s = worker_wall_s(run->worker),
	};

	session.utc_offset_s = run->worker->utc_offset_s;
	classify_printed(run->worker->settings->classifier, &session, sql, strlen(sql), result_r, print_r);
}

void explain_route(struct run *run)
{
	const struct config *config = worker_config(run->worker);
	struct lane_reading readings[LANE_MAX];
	struct lane_totals totals;
	struct classify_result result;
	struct strbuf features = STRBUF_INIT, learned_for = STRBUF_INIT;
	struct pgw_hash128 print;
	char id[FINGERPRINT_ID_BYTES];
	const struct config_lane *lane;
	char spill[80];
	unsigned index;

	if (run->request.value && config_find_database(config, run->request.value) == NULL) {
		run_fail(run, PGW_FAULT_CONSOLE_NO_DATABASE, run->request.value);
		run_done(run);
		return;
	}
	(void)lane_read(run->cluster->ledger, readings, &totals);
	classify_for(run, &result, &print);
	fingerprint_id_text(print, id);
	if (lessons_learned_for(run->cluster->lessons, print, &learned_for))
		classify_learned(&result);
	classify_feature_names(result.features, &features);
	index = lane_of(config, &result);
	lane = &config->lanes[index];
	add(run, "class", query_class_name(result.class));
	add_number(run, "priority", result.priority);
	add(run, "lane", lane->name);
	add(run, "target", target_name(lane, run->request.argument));
	add_number(run, "timeout_ms", result.timeout_ms ? result.timeout_ms : lane->statement_timeout_us / 1000);
	add(run, "rule", result.deny ? result.deny_rule : result.rule);
	add(run, "deny", result.deny ? result.deny : "");
	add(run, "log", result.log_rule ? result.log_rule : "");
	add(run, "kind", kind_name(result.kind));
	add(run, "features", features.data);
	add_catalog(run);
	add(run, "annotation", result.bad_annotation ? "ignored: malformed or not allowed" : "");
	add_number(run, "free_permits", free_permits(&readings[index]));
	add_number(run, "waiting", readings[index].waiting);
	add(run, "now", outcome(config, &result, readings, spill));
	add(run, "fingerprint", id);
	add(run, "learned_for", learned_for.data);
	strbuf_release(&learned_for);
	strbuf_release(&features);
	run_done(run);
}
