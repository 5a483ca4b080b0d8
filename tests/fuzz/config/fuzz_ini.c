/* SPDX-License-Identifier: ISC */
/*
 * A configuration file. What the reader makes of it must agree with a much simpler reading of the
 * same lines, an accepted configuration must keep its promises, and one that is refused must say
 * why.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include "config/load.h"

/*
 * Every entry stands on a line of the file, in order, and its value is on that line: nothing of a
 * line becomes part of another.
 */
static void check_entries(const char *text, size_t n)
{
	struct config_entries entries = { .items = NULL };
	struct config_problems problems = { .items = NULL };
	const char *line = text, *end = text + n;
	unsigned number = 1;

	reader_load_text("f.ini", text, n, &entries, &problems);
	for (size_t i = 0; i < entries.n; i++) {
		const struct config_entry *entry = &entries.items[i];
		const char *stop;

		FUZZ_CHECK(entry->line >= number);
		FUZZ_CHECK(i == 0 || entry->line > entries.items[i - 1].line);
		for (; number < entry->line; number++) {
			line = memchr(line, '\n', (size_t)(end - line));
			FUZZ_CHECK(line != NULL);
			line++;
		}
		stop = memchr(line, '\n', (size_t)(end - line));
		stop = stop ? stop : end;
		FUZZ_CHECK(entry->section != NULL && entry->file != NULL);
		FUZZ_CHECK((entry->kind == ENTRY_PAIR) == (entry->key != NULL));
		FUZZ_CHECK((entry->kind == ENTRY_SECTION) == (entry->value == NULL));
		if (entry->value && *entry->value)
			FUZZ_CHECK(memmem(line, (size_t)(stop - line), entry->value,
					   strlen(entry->value)) != NULL);
	}
	config_entries_release(&entries);
	config_problems_release(&problems);
}

static void check_lanes(const struct config *config)
{
	uint64_t sum = 0;
	uint32_t classes = 0;

	FUZZ_CHECK(config->n_lanes >= 1 && config->n_lanes <= CONFIG_LANES_MAX);
	for (unsigned i = 0; i < config->n_lanes; i++) {
		const struct config_lane *lane = &config->lanes[i];

		FUZZ_CHECK(lane->name[0] && !(classes & lane->class_mask));
		FUZZ_CHECK(lane->urgent == ((int)i == config->urgent_lane));
		sum += lane->permits;
		classes |= lane->class_mask;
		for (unsigned class = 0; value_class_names[class]; class ++)
			FUZZ_CHECK(!(lane->class_mask & 1u << class) ||
				   config->lane_of_class[class] == i);
	}
	FUZZ_CHECK(sum == config->budget);
	FUZZ_CHECK(classes == 0x1f);
}

static void check_names(const struct config *config)
{
	for (unsigned i = 0; i < config->n_databases; i++)
		FUZZ_CHECK(config_find_database(config, config->databases[i].name) ==
			   &config->databases[i]);
	for (unsigned i = 0; i < config->n_users; i++)
		FUZZ_CHECK(config_find_user(config, config->users[i].name) == &config->users[i]);
	FUZZ_CHECK(config->rules[config->n_rules] == NULL &&
		   config->rule_places[config->n_rules] == NULL);
}

/* Checks of files that are named but not there would refuse any SET. */
static bool names_files(const struct config *config)
{
	return config->client_tls.mode != TLS_DISABLE || config->server_tls.ca_file ||
	       config->server_tls.cert_file || config->auth_file;
}

/*
 * What SHOW CONFIG shows can be given to SET, and changes nothing. Each input tries some of the
 * keys: all would be most of the time.
 */
static void check_values(const struct config *config, size_t seed)
{
	char error[256];

	for (unsigned i = (unsigned)(seed % 16); i < config_n_rows(); i += 16) {
		const struct config_row *row = config_row(i);
		struct strbuf before = STRBUF_INIT, after = STRBUF_INIT;
		struct config *copy;

		config_row_value(config, i, &before);
		if (row->changeable && strcmp(before.data, "****")) {
			copy = config_with(config, row->key, before.data, error);
			FUZZ_CHECK(copy != NULL);
			config_row_value(copy, i, &after);
			FUZZ_CHECK(strcmp(before.data, after.data) == 0);
			config_unref(&copy);
		}
		strbuf_release(&before);
		strbuf_release(&after);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct config_problems problems;
	struct config *config;

	check_entries((const char *)data, n);
	config = config_load_text("f.ini", (const char *)data, n, &problems);
	FUZZ_CHECK((config == NULL) == (problems.n > problems.n_warnings));
	for (unsigned i = 0; i < problems.n; i++)
		FUZZ_CHECK(problems.items[i].text[0] && !strchr(problems.items[i].text, '\n'));
	if (config) {
		check_lanes(config);
		check_names(config);
		if (!names_files(config))
			check_values(config, n);
	}
	config_problems_release(&problems);
	config_unref(&config);
	return 0;
}
