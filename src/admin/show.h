/* SPDX-License-Identifier: ISC */
/* The start functions of the table of commands, one for each row, and the columns they fill. */
#ifndef ADMIN_SHOW_H
#define ADMIN_SHOW_H

#include "admin/run.h"

#define SOCKET_COLUMNS_N 21 /* of socket_columns: those that SHOW CLIENTS and SHOW SERVERS have */

extern const struct column pools_columns[17], stats_columns[23], stats_totals_columns[12], stats_averages_columns[12], totals_columns[2];
extern const struct column socket_columns[28];
extern const struct column databases_columns[17], users_columns[8], config_columns[4], lists_columns[2], state_columns[2], mem_columns[5];
extern const struct column version_columns[1], peers_columns[4], peer_pools_columns[5], dns_hosts_columns[3], dns_zones_columns[3];
extern const struct column scaling_columns[10], pins_columns[9], listeners_columns[9], leaks_columns[8];
extern const struct column outbox_columns[18], retry_outbox_columns[1];
extern const struct column annotations_columns[3];
extern const struct column lanes_columns[19], classes_columns[10], queue_columns[9], budget_columns[7], explain_columns[2];
extern const struct column catalog_columns[7];
extern const struct column fingerprints_columns[21];
extern const struct column searches_columns[26];
extern const struct column replicas_columns[11];

void show_pools(struct run *run);
void show_stats(struct run *run);
void show_stats_totals(struct run *run);
void show_stats_averages(struct run *run);
void show_totals(struct run *run);
void show_clients(struct run *run);
void show_servers(struct run *run);
void show_sockets(struct run *run);
void show_active_sockets(struct run *run);
void show_databases(struct run *run);
void show_users(struct run *run);
void show_config(struct run *run);
void show_lists(struct run *run);
void show_state(struct run *run);
void show_mem(struct run *run);
void show_version(struct run *run);
void show_help(struct run *run);
void show_nothing(struct run *run); /* PgBouncer's peers and DNS cache, which we do not have */
void show_parameter(struct run *run); /* what drivers ask of a PostgreSQL */
void show_lanes(struct run *run);
void show_classes(struct run *run);
void show_queue(struct run *run);
void show_budget(struct run *run);
void show_scaling(struct run *run);
void show_pins(struct run *run);
void show_leaks(struct run *run);
void show_listeners(struct run *run);
void show_outbox(struct run *run);
void show_annotations(struct run *run);
void show_searches(struct run *run);
void show_catalog(struct run *run);
void show_fingerprints(struct run *run);
void show_replicas(struct run *run);
void explain_route(struct run *run);

void control_pause(struct run *run);
void control_resume(struct run *run);
void control_reconnect(struct run *run);
void control_kill(struct run *run);
void control_kill_client(struct run *run);
void control_disable(struct run *run);
void control_enable(struct run *run);
void control_wait_close(struct run *run);
void control_reload(struct run *run);
void control_reset_fingerprint(struct run *run);
void control_shutdown(struct run *run);
void control_set(struct run *run);
void control_retry_outbox(struct run *run);
void control_pause_forwarding(struct run *run);
void control_resume_forwarding(struct run *run);
void control_refresh_catalog(struct run *run);
void control_session(struct run *run); /* BEGIN, DEALLOCATE …: only the console itself has to do with them */

/* Names of users that are configured, have a secret or have been here: sorted, each once. Borrowed: use them before the turn ends. */
struct user_names {
	char **items;
	unsigned n, cap;
};
void user_names_gather(struct user_names *names, const struct config *config);
void user_names_release(struct user_names *names);
unsigned count_databases(const struct config *config); /* as many as SHOW DATABASES has rows */

/* The value of a parameter that is answered as if this were a PostgreSQL; NULL: none of those. */
const char *fake_parameter(const char *name);

#endif
