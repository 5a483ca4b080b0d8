/* SPDX-License-Identifier: ISC */
#include "config/lanes.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/schema.h"

#define LANE_NAME_MAX_BYTES 43 /* what inih leaves of a section after "lane:" */
#define N_CLASSES 5

struct default_lane {
	const char *name, *permits, *classes, *statement_timeout, *urgent, *spill;
};

static const struct default_lane default_lanes[] = {
	{ "default", "120", "default", "30", "0", "" },
	{ "ml", "30", "hybrid, serving", "30", "0", "default:100" },
	{ "vector", "15", "vector", "5", "0", "" },
	{ "training", "10", "training", "300", "0", "" },
	{ "priority", "5", "", "0", "1", "" },
};

/* A lane while the file is read. */
struct draft {
	struct config_lane lane;
	unsigned rank;		   /* defaults first, in their order; then by name */
	struct config_place place; /* of its last key; of nothing for an untouched default */
	struct config_place classes_place;
	bool classes_given, urgent_given;
};

struct drafts {
	struct draft items[CONFIG_LANES_MAX + 1];
	unsigned n;
	struct config_problems *problems;
};

static void set_known(struct config_lane *lane, const char *key, const char *text)
{
	const struct schema_row *row = schema_find(SCHEMA_LANE, key);
	struct strbuf why = STRBUF_INIT;
	bool ok = value_set(&row->type, schema_field(row, lane), text, &why);

	MUST(ok);
	strbuf_release(&why);
}

static struct draft *add_draft(struct drafts *drafts, const char *name)
{
	struct draft *draft = &drafts->items[drafts->n++];

	*draft = (struct draft){ .rank = N_ELEMENTS(default_lanes) };
	schema_set_defaults(SCHEMA_LANE, &draft->lane, false);
	draft->lane.name = mem_strdup(name);
	return draft;
}

static void add_defaults(struct drafts *drafts)
{
	for (unsigned i = 0; i < N_ELEMENTS(default_lanes); i++) {
		struct draft *draft = add_draft(drafts, default_lanes[i].name);

		draft->rank = i;
		set_known(&draft->lane, "permits", default_lanes[i].permits);
		set_known(&draft->lane, "classes", default_lanes[i].classes);
		set_known(&draft->lane, "statement_timeout", default_lanes[i].statement_timeout);
		set_known(&draft->lane, "urgent", default_lanes[i].urgent);
		set_known(&draft->lane, "spill", default_lanes[i].spill);
	}
}

/* ---- what the file says ---- */

static bool is_lane_name(const char *name)
{
	size_t n = strlen(name);

	for (const char *p = name; *p; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '_' &&
			*p != '-')
			return false;
	return n > 0 && n <= LANE_NAME_MAX_BYTES;
}

static struct draft *find_draft(struct drafts *drafts, const char *name)
{
	for (unsigned i = 0; i < drafts->n; i++)
		if (strcmp(drafts->items[i].lane.name, name) == 0)
			return &drafts->items[i];
	return NULL;
}

static struct draft *open_draft(
	struct drafts *drafts, const struct config_entry *entry, const struct config_place *place)
{
	const char *name = entry->section + sizeof(LANES_SECTION_PREFIX) - 1;
	struct draft *draft = find_draft(drafts, name);

	if (draft)
		return draft;
	if (!is_lane_name(name)) {
		if (entry->kind == ENTRY_SECTION)
			config_problem_add(drafts->problems, place,
				"\"%s\" cannot name a lane; expected 1 to %d lower-case letters, digits, _ and -",
				name, LANE_NAME_MAX_BYTES);
		return NULL;
	}
	if (drafts->n > CONFIG_LANES_MAX - 1) {
		if (entry->kind == ENTRY_SECTION)
			config_problem_add(drafts->problems, place,
				"there are too many lanes; %d is the most", CONFIG_LANES_MAX);
		return NULL;
	}
	return add_draft(drafts, name);
}

static void set_key(struct drafts *drafts, struct draft *draft, const struct config_entry *entry,
	const struct config_place *place)
{
	const struct schema_row *row = schema_find(SCHEMA_LANE, entry->key);
	struct strbuf why = STRBUF_INIT;
	const char *nearest;

	if (row == NULL) {
		nearest = schema_nearest(SCHEMA_LANE, entry->key);
		config_problem_add(drafts->problems, place, "unknown key; %s%s%s",
			nearest ? "did you mean " : "see conf/KEYS.md for those of lanes",
			nearest ? nearest : "", nearest ? "?" : "");
		return;
	}
	if (!value_set(&row->type, schema_field(row, &draft->lane), entry->value, &why))
		config_problem_add(drafts->problems, place, "%s", why.data);
	strbuf_release(&why);
	draft->place = *place;
	if (strcmp(row->key, "classes") == 0) {
		draft->classes_given = true;
		draft->classes_place = *place;
	} else if (strcmp(row->key, "urgent") == 0) {
		draft->urgent_given = true;
	}
}

static void read_entries(struct drafts *drafts, const struct config_entries *entries)
{
	for (size_t i = 0; i < entries->n; i++) {
		const struct config_entry *entry = &entries->items[i];
		struct config_place place = { entry->file, entry->line, entry->section,
			entry->key };
		struct draft *draft;

		if (strncmp(entry->section, LANES_SECTION_PREFIX, sizeof(LANES_SECTION_PREFIX) - 1))
			continue;
		draft = open_draft(drafts, entry, &place);
		if (draft && entry->kind == ENTRY_PAIR)
			set_key(drafts, draft, entry, &place);
		else if (draft)
			draft->place = place;
	}
}

/* ---- what follows from it ---- */

/*
 * The place of a lane's problem: its section in the file, or the file for a default that no section
 * touched.
 */
static struct config_place place_of(
	const struct draft *draft, const char *key, const struct config *config)
{
	struct config_place place = draft->place;

	if (place.file == NULL)
		place.file = config->file_name;
	place.key = key;
	return place;
}

static void settle_class(struct drafts *drafts, unsigned class, const struct config *config)
{
	const uint32_t bit = 1u << class;
	struct draft *claimant = NULL;
	unsigned n_owners = 0;

	for (unsigned i = 0; i < drafts->n; i++) {
		struct draft *draft = &drafts->items[i];

		if (!(draft->lane.class_mask & bit) || !draft->classes_given)
			continue;
		if (claimant)
			config_problem_add(drafts->problems, &draft->classes_place,
				"class %s belongs to lane %s already; each class belongs to one lane",
				value_class_names[class], claimant->lane.name);
		claimant = draft;
	}
	for (unsigned i = 0; i < drafts->n; i++) {
		struct draft *draft = &drafts->items[i];

		if (claimant && !draft->classes_given)
			draft->lane.class_mask &= ~bit;
		n_owners += (draft->lane.class_mask & bit) != 0;
	}
	if (n_owners == 0)
		config_problem_add(drafts->problems,
			&(struct config_place){ .file = config->file_name },
			"class %s belongs to no lane; add it to the classes of one",
			value_class_names[class]);
}

static void settle_urgent(struct drafts *drafts, const struct config *config)
{
	struct draft *urgent = NULL;

	for (unsigned pass = 0; pass < 2; pass++) { /* what the file says goes before the default */
		for (unsigned i = 0; i < drafts->n; i++) {
			struct draft *draft = &drafts->items[i];
			struct config_place place = place_of(draft, "urgent", config);

			if (!draft->lane.urgent || draft->urgent_given != (pass == 0))
				continue;
			if (urgent && pass == 0)
				config_problem_add(drafts->problems, &place,
					"lane %s is urgent already; at most one lane is",
					urgent->lane.name);
			if (urgent)
				draft->lane.urgent = false;
			else
				urgent = draft;
		}
	}
}

static void check_draft(
	struct drafts *drafts, const struct draft *draft, const struct config *config)
{
	const struct config_lane *lane = &draft->lane;
	struct config_place place = place_of(draft, NULL, config);

	if (lane->urgent && lane->class_mask)
		config_problem_add(drafts->problems, &place,
			"lane %s is urgent and has classes; an urgent lane serves those of full lanes: leave classes empty",
			lane->name);
	else if (!lane->urgent && lane->class_mask && lane->permits == 0)
		config_problem_add(drafts->problems, &place,
			"lane %s has classes but no permits: its statements would wait for ever; give it permits",
			lane->name);
	else if (!lane->urgent && !lane->class_mask && lane->permits)
		config_problem_add(drafts->problems, &place,
			"lane %s has permits but no classes: nothing could use them; give it classes, or permits = 0",
			lane->name);
}

static int compare_drafts(const void *a, const void *b)
{
	const struct draft *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return strcmp(x->lane.name, y->lane.name);
}

static void keep_lane(struct config *config, const struct config_lane *lane)
{
	unsigned index = config->n_lanes++;

	config->lanes[index] = *lane;
	if (lane->urgent)
		config->urgent_lane = (int)index;
	for (unsigned class = 0; class < N_CLASSES; class ++)
		if (lane->class_mask & 1u << class)
			config->lane_of_class[class] = (uint8_t)index;
}

void lanes_load(struct config *config, const struct config_entries *entries,
	struct config_problems *problems)
{
	struct drafts drafts = { .problems = problems };

	add_defaults(&drafts);
	read_entries(&drafts, entries);
	for (unsigned class = 0; class < N_CLASSES; class ++)
		settle_class(&drafts, class, config);
	settle_urgent(&drafts, config);
	qsort(drafts.items, drafts.n, sizeof(drafts.items[0]), compare_drafts);
	config->lanes = mem_zalloc(drafts.n * sizeof(config->lanes[0]));
	for (unsigned i = 0; i < drafts.n; i++) {
		struct draft *draft = &drafts.items[i];

		check_draft(&drafts, draft, config);
		if (draft->lane.permits || draft->lane.class_mask) {
			keep_lane(config, &draft->lane);
		} else {
			schema_release_fields(SCHEMA_LANE, &draft->lane);
			mem_free(draft->lane.name);
		}
	}
}

void lanes_check_sum(const struct config *config, const struct config_place *place,
	struct config_problems *problems)
{
	struct strbuf terms = STRBUF_INIT;
	uint64_t sum = 0;

	for (unsigned i = 0; i < config->n_lanes; i++) {
		sum += config->lanes[i].permits;
		strbuf_addf(&terms, "%s%s %u", i ? " + " : "", config->lanes[i].name,
			config->lanes[i].permits);
	}
	if (sum != config->budget)
		config_problem_add(problems, place,
			"the lanes' permits add up to %llu (%s), but budget is %u; change permits or budget so that both are the same",
			(unsigned long long)sum, terms.data, config->budget);
	strbuf_release(&terms);
}

void lanes_write_defaults(struct strbuf *out)
{
	for (unsigned i = 0; i < N_ELEMENTS(default_lanes); i++) {
		const struct default_lane *lane = &default_lanes[i];
		bool urgent = strcmp(lane->urgent, "0") != 0;

		strbuf_addf(out, "[" LANES_SECTION_PREFIX "%s]\n;permits = %s\n", lane->name,
			lane->permits);
		if (urgent)
			strbuf_addf(out, ";urgent = %s\n\n", lane->urgent);
		else
			strbuf_addf(out, ";classes = %s\n%s%s%s;statement_timeout = %s\n\n",
				lane->classes, *lane->spill ? ";spill = " : "", lane->spill,
				*lane->spill ? "\n" : "", lane->statement_timeout);
	}
}

void lanes_check_rules(const struct config *config, const struct config_entries *entries,
	config_rule_check *check_rule, struct config_problems *problems)
{
	const char **lanes = config_lane_names(config);
	char error[256];

	for (size_t i = 0; i < entries->n; i++) {
		const struct config_entry *entry = &entries->items[i];
		struct config_place place = { entry->file, entry->line, entry->section, entry->key };

		if (entry->kind == ENTRY_RULE &&
			!check_rule(entry->value, lanes, config->n_lanes, error))
			config_problem_add(problems, &place, "%s", error);
	}
	mem_free(lanes);
}
