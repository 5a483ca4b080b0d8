/* SPDX-License-Identifier: ISC */
#include "config/replicas.h"

#include "config/lanes.h"

struct replicas {
	struct config *config;
	const struct config_entries *entries;
	struct config_problems *problems;
};

/* The last line of [databases] with that name. */
static struct config_place place_of_database(const struct replicas *r, const char *name)
{
	for (size_t i = r->entries->n; i-- > 0;) {
		const struct config_entry *entry = &r->entries->items[i];

		if (entry->kind == ENTRY_PAIR && strcmp(entry->section, "databases") == 0 &&
			strcmp(entry->key, name) == 0)
			return (struct config_place){
				entry->file, entry->line, entry->section, entry->key };
	}
	return (struct config_place){ .file = r->config->file_name, .key = name };
}

static struct config_place place_of_target(const struct replicas *r, const char *lane)
{
	const size_t n_prefix = sizeof(LANES_SECTION_PREFIX) - 1;

	for (size_t i = r->entries->n; i-- > 0;) {
		const struct config_entry *entry = &r->entries->items[i];

		if (entry->kind == ENTRY_PAIR && strcmp(entry->key, "target") == 0 &&
			strncmp(entry->section, LANES_SECTION_PREFIX, n_prefix) == 0 &&
			strcmp(entry->section + n_prefix, lane) == 0)
			return (struct config_place){
				entry->file, entry->line, entry->section, entry->key };
	}
	return (struct config_place){ .file = r->config->file_name, .key = "target" };
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* The entry of exactly this name: the fallback "*" is nobody's replica. */
static const struct config_database *find_exact(const struct config *config, const char *name)
{
	const struct config_database *entry = config_find_database(config, name);

	return entry && strcmp(entry->name, name) == 0 ? entry : NULL;
}

/* ---- entries ---- */

/* Statements are to find the same database there, as the same user. */
static void check_fits(struct replicas *r, const struct config_database *primary,
	const struct config_database *replica, const struct config_place *place)
{
	const char *dbname = primary->dbname ? primary->dbname : primary->name;
	const char *there = replica->dbname ? replica->dbname : replica->name;

	if (strcmp(dbname, there) != 0)
		config_problem_add(r->problems, place,
			"replica %s connects to database \"%s\", this entry to \"%s\"; give %s dbname=%s",
			replica->name, there, dbname, replica->name, dbname);
	if (!same_text(primary->user, replica->user))
		config_problem_add(r->problems, place,
			"replica %s logs in as %s, this entry as %s; give both the same user",
			replica->name, replica->user ? replica->user : "its client",
			primary->user ? primary->user : "its client");
	if (replica->host && strchr(replica->host, ','))
		config_problem_add(r->problems, place,
			"replica %s has several hosts; give each replica an entry of its own",
			replica->name);
	if (replica->replicas && replica->replicas[0])
		config_problem_add(r->problems, place,
			"replica %s has replicas itself; name them here", replica->name);
}

static void check_replica(struct replicas *r, const struct config_database *primary, unsigned i)
{
	struct config_place place = place_of_database(r, primary->name);
	const char *name = primary->replicas[i];
	const struct config_database *replica = find_exact(r->config, name);

	for (unsigned j = 0; j < i; j++)
		if (strcmp(primary->replicas[j], name) == 0) {
			config_problem_add(r->problems, &place,
				"replica %s is named twice; name it once", name);
			return;
		}
	if (strcmp(name, "*") == 0 || replica == NULL)
		config_problem_add(r->problems, &place,
			"replicas: \"%s\" is no entry of [databases]; expected the names of others",
			name);
	else if (replica == primary)
		config_problem_add(r->problems, &place,
			"replicas: \"%s\" is this entry itself; expected the names of others", name);
	else
		check_fits(r, primary, replica, &place);
}

static void check_database(struct replicas *r, const struct config_database *primary)
{
	struct config_place place = place_of_database(r, primary->name);

	if (strcmp(primary->name, "*") == 0) {
		config_problem_add(r->problems, &place,
			"replicas: this entry stands for many databases; give the one that has replicas an entry of its own");
		return;
	}
	for (unsigned i = 0; primary->replicas[i]; i++) {
		if (i == CONFIG_REPLICAS_MAX) {
			config_problem_add(r->problems, &place,
				"there are too many replicas; %d is the most", CONFIG_REPLICAS_MAX);
			return;
		}
		check_replica(r, primary, i);
	}
}

/* ---- who asks them ---- */

static void check_user(struct replicas *r, const struct config_database *primary)
{
	const struct config *config = r->config;
	struct config_place place = place_of_database(r, primary->name);

	if (config->replica_check_user == NULL && config->metrics_user == NULL &&
		primary->user == NULL)
		config_problem_add(r->problems, &place,
			"its replicas cannot be asked how far they are behind, because no user is known who does; set replica_check_user");
}

/* ---- lanes ---- */

static void check_lane(struct replicas *r, const struct config_lane *lane, bool has_replicas)
{
	struct config_place place = place_of_target(r, lane->name);

	if (lane->urgent)
		config_problem_add(r->problems, &place,
			"lane %s is urgent: the lane of a statement that it helps out decides where that goes; remove the line",
			lane->name);
	else if (!has_replicas)
		config_problem_add(r->problems, &place,
			"no entry of [databases] has replicas; name them there: shop = host=… replicas=shop_replica");
}

static bool is_named(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->n_databases; i++)
		if (config_list_has(config->databases[i].replicas, name))
			return true;
	return false;
}

/* Each of them is watched over a connection that stays open. */
static unsigned count_watched(const struct config *config)
{
	unsigned n = 0;

	for (unsigned i = 0; i < config->n_databases; i++) {
		const struct config_database *entry = &config->databases[i];

		n += entry->replicas && entry->replicas[0];
		n += is_named(config, entry->name);
	}
	return n;
}

static void check_permits(struct replicas *r)
{
	const struct config_lane *lane = &r->config->lanes[r->config->lane_of_class[0]];
	unsigned n = count_watched(r->config);

	for (unsigned i = 0; i < r->config->n_lanes; i++) {
		struct config_place place = place_of_target(r, r->config->lanes[i].name);

		if (r->config->lanes[i].target != TARGET_REPLICA || n < lane->permits)
			continue;
		config_problem_add(r->problems, &place,
			"replicas and the entries that have some are watched over %u connections with permits of lane %s, which has %u and would have none left; give it more",
			n, lane->name, lane->permits);
		return;
	}
}

void replicas_resolve(struct config *config, const struct config_entries *entries,
	struct config_problems *problems)
{
	struct replicas r = { config, entries, problems };
	bool has_replicas = false;

	for (unsigned i = 0; i < config->n_lanes; i++)
		config->targets_replica |= config->lanes[i].target == TARGET_REPLICA;
	for (unsigned i = 0; i < config->n_databases; i++) {
		const struct config_database *primary = &config->databases[i];

		if (primary->replicas == NULL || primary->replicas[0] == NULL)
			continue;
		has_replicas = true;
		check_database(&r, primary);
		if (config->targets_replica)
			check_user(&r, primary);
	}
	for (unsigned i = 0; i < config->n_lanes; i++)
		if (config->lanes[i].target == TARGET_REPLICA)
			check_lane(&r, &config->lanes[i], has_replicas);
	check_permits(&r);
}
