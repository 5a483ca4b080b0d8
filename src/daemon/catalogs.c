/* SPDX-License-Identifier: ISC */
#include "daemon/catalogs.h"

#include "base/mem.h"
#include "service/catalog_reader.h"

#define SERVICE_MAGIC 0x43544c47u

/* How long the end of the process waits for the server to close its end of our connection. */
#define END_PATIENCE_US 1000000u

struct catalog_service {
	uint32_t magic;
	struct cluster *cluster;
	struct settings *settings;
	struct catalog_reader *reader;
	struct permit permit;
	struct shared_database *reading; /* a reference; NULL: there is no connection */
};

/* ---- what the reader asks ---- */

/* A pool of a database that may be reached, the console's apart. */
static void add_pool(void *arg, struct shared_pool *pool)
{
	struct catalog_service *service = arg;
	const char *database = pool->database->name;

	if (!is_console_database(database) &&
		config_find_database(service->settings->config, database) != NULL)
		catalog_reader_add(service->reader, database, pool->user->name);
}

/* Those that are configured, and those for which clients have come. */
static void list_databases(void *arg, struct catalog_reader *reader)
{
	struct catalog_service *service = arg;
	const struct config *config = service->settings->config;
	unsigned i;

	service->reader = reader; /* it asks before catalog_reader_new() has returned, too */
	for (i = 0; i < config->n_databases; i++)
		if (strcmp(config->databases[i].name, "*") != 0 &&
			!is_console_database(config->databases[i].name))
			catalog_reader_add(reader, config->databases[i].name, NULL);
	registry_each_pool(add_pool, service);
}

static bool is_open(const struct catalog_service *service, const struct shared_database *database)
{
	return !__atomic_load_n(&service->cluster->paused_all, __ATOMIC_SEQ_CST) &&
	       !__atomic_load_n(&database->paused, __ATOMIC_SEQ_CST) &&
	       !STAT_READ(database->disabled);
}

static bool may_read(void *arg, const char *name)
{
	const struct catalog_service *service = arg;
	struct shared_database *database = registry_find_database(name);
	bool may = database ? is_open(service, database) : !STAT_READ(service->cluster->paused_all);

	shared_database_unref(&database);
	return may;
}

static void ended(void *arg)
{
	struct catalog_service *service = arg;

	__atomic_sub_fetch(&service->reading->n_own, 1, __ATOMIC_SEQ_CST);
	shared_database_unref(&service->reading);
}

/* Counted first, then looked at: PAUSE does it the other way round, so that one of the two sees the
 * other. */
static bool begins(void *arg, const char *name)
{
	struct catalog_service *service = arg;

	MUST(service->reading == NULL);
	service->reading = registry_database(name);
	__atomic_add_fetch(&service->reading->n_own, 1, __ATOMIC_SEQ_CST);
	if (is_open(service, service->reading))
		return true;
	ended(service);
	return false;
}

static void hand_out(void *arg, struct catalogs *catalogs)
{
	struct catalog_service *service = arg;
	unsigned i;

	for (i = 0; i < service->cluster->n_workers; i++)
		worker_change_catalogs(&service->cluster->workers[i], catalogs);
}

static const struct catalog_reader_ops reader_ops = {
	.databases = list_databases,
	.may_read = may_read,
	.begins = begins,
	.ended = ended,
	.learned = hand_out,
};

static void on_granted(void *arg)
{
	struct catalog_service *service = arg;

	CHECK_MAGIC(service, SERVICE_MAGIC);
	catalog_reader_granted(service->reader);
}

/* ---- life ---- */

/* Its turn is that of any statement: nobody waits longer for a moment's reading. */
struct catalog_service *catalogs_open(
	struct cluster *cluster, struct loop *loop, struct permits *permits, struct settings *settings)
{
	struct catalog_service *service = mem_zalloc(sizeof(*service));

	service->magic = SERVICE_MAGIC;
	service->cluster = cluster;
	service->settings = settings_ref(settings);
	permit_open(&service->permit, permits, LANE_PRIORITY_DEFAULT, on_granted, service);
	service->reader = catalog_reader_new(
		loop, settings->config, &permit_ops, &service->permit, &reader_ops, service);
	return service;
}

void catalogs_change(struct catalog_service *service, struct settings *fresh)
{
	if (service == NULL)
		return;
	CHECK_MAGIC(service, SERVICE_MAGIC);
	settings_unref(&service->settings);
	service->settings = settings_ref(fresh);
	catalog_reader_change(service->reader, fresh->config);
}

void catalogs_refresh(struct catalog_service *service, const char *database,
	void (*done)(void *done_arg, bool ok, const char *text), void *done_arg)
{
	if (service == NULL) {
		done(done_arg, false, "pglane is shutting down");
		return;
	}
	CHECK_MAGIC(service, SERVICE_MAGIC);
	catalog_reader_ask(service->reader, database, done, done_arg);
}

void catalogs_close(struct catalog_service **service_p)
{
	struct catalog_service *service = *service_p;

	if (service == NULL)
		return;
	*service_p = NULL;
	CHECK_MAGIC(service, SERVICE_MAGIC);
	catalog_reader_free(&service->reader, END_PATIENCE_US);
	permit_close(&service->permit);
	settings_unref(&service->settings);
	service->magic = 0;
	mem_free(service);
}
