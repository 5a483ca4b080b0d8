/* SPDX-License-Identifier: ISC */
#include "config/moves.h"

#include <stdlib.h>

#include "base/mem.h"
#include "config/lanes.h"

#define BELOW_MAX_DIGITS 9

struct moves {
	struct config *config;
	const struct config_entries *entries;
	struct config_problems *problems;
};

/* The last line that gives the key of a lane; NULL: none, so it is the default. */
static const struct config_entry *entry_of(
	const struct moves *m, const struct config_lane *lane, const char *key)
{
	const size_t n_prefix = sizeof(LANES_SECTION_PREFIX) - 1;

	for (size_t i = m->entries->n; i-- > 0;) {
		const struct config_entry *entry = &m->entries->items[i];

		if (entry->kind == ENTRY_PAIR &&
			strncmp(entry->section, LANES_SECTION_PREFIX, n_prefix) == 0 &&
			strcmp(entry->section + n_prefix, lane->name) == 0 &&
			strcmp(entry->key, key) == 0)
			return entry;
	}
	return NULL;
}

static struct config_place place_of(
	const struct moves *m, const struct config_lane *lane, const char *key)
{
	const struct config_entry *entry = entry_of(m, lane, key);

	if (entry == NULL)
		return (struct config_place){ .file = m->config->file_name, .key = key };
	return (struct config_place){ entry->file, entry->line, entry->section, entry->key };
}

/* The lane of this name that statements of `from` may go to; or -1, and the problem is said. */
static int find_target(
	struct moves *m, const struct config_lane *from, const char *key, const char *name)
{
	struct config_place place = place_of(m, from, key);
	const struct config *config = m->config;

	if (from->urgent) {
		config_problem_add(m->problems, &place,
			"lane %s is urgent: the lane of a statement that it helps out decides where that may go; remove the line",
			from->name);
		return -1;
	}
	for (unsigned i = 0; i < config->n_lanes; i++) {
		const struct config_lane *lane = &config->lanes[i];

		if (strcmp(lane->name, name) != 0)
			continue;
		if (lane != from && !lane->urgent)
			return (int)i;
		config_problem_add(m->problems, &place,
			lane == from ? "\"%s\" is this lane itself; expected another one"
				     : "lane %s is urgent and for priorities 8 to 10 only; expected another one",
			name);
		return -1;
	}
	config_problem_add(
		m->problems, &place, "there is no lane \"%s\"; expected the name of one", name);
	return -1;
}

/* ---- spill ---- */

/* "LANE:BELOW" into name (at least as long as text) and number. */
static bool parse_spill(const char *text, char *name, uint32_t *below_r)
{
	const char *colon = strrchr(text, ':');
	size_t n_digits;

	if (colon == NULL || colon == text)
		return false;
	n_digits = strspn(colon + 1, "0123456789");
	if (n_digits == 0 || n_digits > BELOW_MAX_DIGITS || colon[1 + n_digits] != '\0' ||
		colon[1] == '0')
		return false;
	memcpy(name, text, (size_t)(colon - text));
	name[colon - text] = '\0';
	*below_r = (uint32_t)strtoul(colon + 1, NULL, 10);
	return true;
}

/* Nobody wrote it: it must not be in the way of what somebody wrote. */
static bool default_spill_holds(const struct moves *m, const struct config_lane *from,
	const char *name, uint32_t below)
{
	const struct config *config = m->config;

	if (config->pgbouncer_section || from->urgent)
		return false;
	for (unsigned i = 0; i < config->n_lanes; i++)
		if (strcmp(config->lanes[i].name, name) == 0)
			return !config->lanes[i].urgent && config->lanes[i].permits >= below;
	return false;
}

static void set_spill(struct moves *m, struct config_lane *lane, const char *name, uint32_t below)
{
	struct config_place place = place_of(m, lane, "spill");
	int to = find_target(m, lane, "spill", name);

	if (to < 0)
		return;
	if (below > m->config->lanes[to].permits) {
		config_problem_add(m->problems, &place,
			"lane %s has %u permits, so %u is more than can be in use; expected 1 to %u",
			name, m->config->lanes[to].permits, below, m->config->lanes[to].permits);
		return;
	}
	lane->spill_lane = (uint8_t)to;
	lane->spill_below = below;
}

static void resolve_spill(struct moves *m, struct config_lane *lane)
{
	struct config_place place = place_of(m, lane, "spill");
	char *name;
	uint32_t below;

	if (lane->spill == NULL)
		return;
	name = mem_strdup(lane->spill);
	if (!parse_spill(lane->spill, name, &below)) {
		config_problem_add(m->problems, &place,
			"\"%s\" is not valid; expected LANE:BELOW, such as default:100",
			lane->spill);
	} else if (entry_of(m, lane, "spill") || default_spill_holds(m, lane, name, below)) {
		set_spill(m, lane, name, below);
	} else {
		mem_free(lane->spill);
		lane->spill = NULL;
	}
	mem_free(name);
}

/* ---- hop ---- */

static void check_hop_times(struct moves *m, const struct config_lane *lane)
{
	struct config_place place = place_of(m, lane, "hop_after");
	const struct config_lane *to = &m->config->lanes[lane->hop_lane];

	if (lane->statement_timeout_us && lane->hop_after_us >= lane->statement_timeout_us)
		config_problem_add(m->problems, &place,
			"no statement of lane %s runs that long: its statement_timeout is %llu ms; make hop_after shorter",
			lane->name, (unsigned long long)(lane->statement_timeout_us / 1000));
	if (to->statement_timeout_us && lane->hop_after_us >= to->statement_timeout_us)
		config_problem_add(m->problems, &place,
			"in lane %s the statement would be cancelled at once: its statement_timeout is %llu ms, from the statement's start; make hop_after shorter",
			to->name, (unsigned long long)(to->statement_timeout_us / 1000));
}

static void resolve_hop(struct moves *m, struct config_lane *lane)
{
	struct config_place place;

	if (lane->hop_to == NULL && lane->hop_after_us == 0)
		return;
	if (lane->hop_to == NULL || lane->hop_after_us == 0) {
		place = place_of(m, lane, lane->hop_to ? "hop_to" : "hop_after");
		config_problem_add(m->problems, &place, "hop_after and hop_to belong together; set %s, too",
			lane->hop_to ? "hop_after" : "hop_to");
		return;
	}
	lane->hop_lane = find_target(m, lane, "hop_to", lane->hop_to);
	if (lane->hop_lane >= 0)
		check_hop_times(m, lane);
}

/* A statement must not hop round and round. */
static void check_hop_rings(struct moves *m)
{
	const struct config *config = m->config;

	for (unsigned i = 0; i < config->n_lanes; i++) {
		const struct config_lane *lane = &config->lanes[i];
		int at = lane->hop_lane;

		for (unsigned n = 0; n < config->n_lanes && at >= 0 && at != (int)i; n++)
			at = config->lanes[at].hop_lane;
		if (at == (int)i) {
			struct config_place place = place_of(m, lane, "hop_to");

			config_problem_add(m->problems, &place,
				"from lane %s statements would hop back to lane %s; let the last lane of the way have no hop_to",
				lane->hop_to, lane->name);
			return;
		}
	}
}

void moves_resolve(struct config *config, const struct config_entries *entries,
	struct config_problems *problems)
{
	struct moves m = { config, entries, problems };

	for (unsigned i = 0; i < config->n_lanes; i++)
		config->lanes[i].hop_lane = -1;
	for (unsigned i = 0; i < config->n_lanes; i++) {
		resolve_spill(&m, &config->lanes[i]);
		resolve_hop(&m, &config->lanes[i]);
	}
	check_hop_rings(&m);
}
