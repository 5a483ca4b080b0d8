/* SPDX-License-Identifier: ISC */
#include "config/duplicates.h"

#include <stdlib.h>

#include "base/mem.h"

static const char *section_of(const struct config_entry *entry)
{
	return strcmp(entry->section, "pgbouncer") ? entry->section : "pglane";
}

static int compare_names(const struct config_entry *x, const struct config_entry *y)
{
	int order = strcmp(section_of(x), section_of(y));

	return order ? order : strcmp(x->key, y->key);
}

/* By name, then in the order of the files. */
static int compare(const void *a, const void *b)
{
	const struct config_entry *x = *(const struct config_entry *const *)a,
				  *y = *(const struct config_entry *const *)b;
	int order = compare_names(x, y);

	return order ? order : (x > y) - (x < y);
}

static void warn(const struct config_entry *again, const struct config_entry *first,
	struct config_problems *problems)
{
	struct config_place place = { again->file, again->line, again->section, again->key };

	config_problem_warn(problems, &place, "given twice: what stands at %s:%u does not count",
		first->file, first->line);
}

void duplicates_warn(const struct config_entries *entries, struct config_problems *problems)
{
	const struct config_entry **pairs = mem_alloc((entries->n + 1) * sizeof(struct config_entry *));
	size_t n = 0;

	for (size_t i = 0; i < entries->n; i++)
		if (entries->items[i].kind == ENTRY_PAIR)
			pairs[n++] = &entries->items[i];
	if (n > 1)
		qsort(pairs, n, sizeof(struct config_entry *), compare);
	for (size_t i = 1; i < n; i++)
		if (compare_names(pairs[i - 1], pairs[i]) == 0)
			warn(pairs[i], pairs[i - 1], problems);
	mem_free(pairs);
}
