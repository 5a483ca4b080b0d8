/* SPDX-License-Identifier: ISC */
/* SHOW REPLICAS: how each replica stands, and what it was used for. */
#include "admin/show.h"

#include "base/mem.h"
#include "record/replica.h"

const struct column replicas_columns[11] = {
	COLUMN_T("database"),
	COLUMN_T("replica"),
	COLUMN_T("host"),
	COLUMN_I("port"),
	COLUMN_T("state"),
	COLUMN_Q("lag_ms"),
	COLUMN_Q("lag_bytes"),
	COLUMN_T("reason"),
	COLUMN_Q("statements"),
	COLUMN_Q("fallbacks"),
	COLUMN_Q("reruns"),
};

static void add_number(struct rows *rows, bool known, uint64_t number)
{
	if (known)
		rows_number(rows, number);
	else
		rows_text(rows, NULL);
}

/* What the operator did goes before what was found out. */
static const char *state_of(const struct config *config, const struct shared_database *replica)
{
	if (STAT_READ(replica->disabled))
		return "disabled";
	if (STAT_READ(replica->paused))
		return "paused";
	return config->targets_replica
		       ? replica_state_name((enum replica_state)STAT_READ(replica->replica.state))
		       : "unused";
}

static void add_replica(struct run *run, const char *database, const char *name)
{
	const struct config *config = worker_config(run->worker);
	const struct config_database *entry = config_find_database(config, name);
	struct shared_database *replica = registry_database(name);
	const struct replica_status *status = &replica->replica;
	bool is_up = STAT_READ(status->state) == REPLICA_UP;
	uint64_t lag_us = STAT_READ(status->lag_us);
	char reason[REPLICA_REASON_BYTES];
	struct rows *rows = &run->rows;

	registry_lock();
	memcpy(reason, replica->replica_reason, sizeof(reason));
	registry_unlock();
	rows_text(rows, database);
	rows_text(rows, name);
	rows_text(rows, entry->host);
	rows_number(rows, entry->port);
	rows_text(rows, state_of(config, replica));
	add_number(rows, is_up && lag_us != UINT64_MAX, lag_us / 1000);
	add_number(rows, is_up, STAT_READ(status->lag_bytes));
	rows_text(rows, reason);
	rows_number(rows, STAT_READ(status->n_statements));
	rows_number(rows, STAT_READ(status->n_fallbacks));
	rows_number(rows, STAT_READ(status->n_reruns));
	rows_end(rows);
	shared_database_unref(&replica);
}

void show_replicas(struct run *run)
{
	const struct config *config = worker_config(run->worker);

	for (unsigned i = 0; i < config->n_databases; i++) {
		const struct config_database *entry = &config->databases[i];

		for (char **name = entry->replicas; name && *name; name++)
			add_replica(run, entry->name, *name);
	}
	run_done(run);
}
