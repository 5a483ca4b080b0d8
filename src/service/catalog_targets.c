/* SPDX-License-Identifier: ISC */
#include "service/catalog_targets.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"

/* The same complaint again only after this; a new one at once. */
#define COMPLAINT_PERIOD_US 60000000u

/* ---- the list ---- */

void catalog_targets_init(struct catalog_targets *targets)
{
	TAILQ_INIT(&targets->list);
	targets->n = 0;
}

static void free_target(struct catalog_targets *targets, struct catalog_target *target)
{
	TAILQ_REMOVE(&targets->list, target, link);
	targets->n--;
	catalog_unref(&target->catalog);
	mem_free(target->database);
	mem_free(target->user);
	mem_free(target->problem);
	mem_free(target->complaint);
	mem_free(target);
}

void catalog_targets_release(struct catalog_targets *targets)
{
	while (!TAILQ_EMPTY(&targets->list))
		free_target(targets, TAILQ_FIRST(&targets->list));
}

struct catalog_target *catalog_targets_list(struct catalog_targets *targets, const char *database)
{
	struct catalog_target *target;

	TAILQ_FOREACH(target, &targets->list, link)
		if (strcmp(target->database, database) == 0)
			break;
	if (target == NULL && targets->n == CATALOG_DATABASES_MAX)
		return NULL;
	if (target == NULL) {
		target = mem_zalloc(sizeof(*target));
		target->database = mem_strdup(database);
		TAILQ_INSERT_TAIL(&targets->list, target, link);
		targets->n++;
	}
	target->is_listed = true;
	return target;
}

void catalog_targets_unlist(struct catalog_targets *targets)
{
	struct catalog_target *target;

	TAILQ_FOREACH(target, &targets->list, link)
		target->is_listed = false;
}

unsigned catalog_targets_drop(struct catalog_targets *targets, const struct catalog_target *but)
{
	struct catalog_target *target, *next;
	unsigned n = targets->n;

	TAILQ_FOREACH_SAFE(target, &targets->list, link, next)
		if (!target->is_listed && target != but)
			free_target(targets, target);
	return n - targets->n;
}

struct catalogs *catalog_targets_known(const struct catalog_targets *targets)
{
	struct catalogs_entry *entries = mem_zalloc(targets->n * sizeof(*entries));
	const struct catalog_target *target;
	struct catalogs *catalogs;
	unsigned n = 0;

	TAILQ_FOREACH(target, &targets->list, link)
		entries[n++] = (struct catalogs_entry){
			.database = target->database,
			.catalog = target->catalog,
			.refreshed_wall_us = target->refreshed_wall_us,
			.problem = target->problem,
		};
	catalogs = catalogs_new(entries, n);
	mem_free(entries);
	return catalogs;
}

/* ---- one of them ---- */

void catalog_target_wanted(struct catalog_target *target, uint64_t now_us)
{
	target->asked_us = now_us;
	target->due_us = 0;
	target->n_failures = 0;
}

static void note_problem(struct catalog_target *target, const char *problem)
{
	mem_free(target->problem);
	target->problem = problem ? mem_strdup(problem) : NULL;
}

static void complain(struct catalog_target *target, const char *text, uint64_t now_us)
{
	if (target->complaint && strcmp(target->complaint, text) == 0 &&
		now_us - target->complained_us < COMPLAINT_PERIOD_US)
		return;
	mem_free(target->complaint);
	target->complaint = mem_strdup(text);
	target->complained_us = now_us;
	log_warning("vector columns of %s cannot be read: %s (%s)", target->database, text,
		target->catalog ? "what was read before is kept" : "names are guessed");
}

/* Between half and all of a delay that doubles. */
static uint64_t next_delay_us(struct catalog_target *target, uint64_t period_us)
{
	uint64_t delay_us = (uint64_t)CATALOG_RETRY_MIN_US << MIN_OF(target->n_failures, 16u);

	target->n_failures++;
	delay_us = MIN_OF(delay_us, MAX_OF(period_us, (uint64_t)CATALOG_RETRY_MAX_US));
	return delay_us / 2 + rng_u64() % (delay_us / 2);
}

void catalog_target_failed(struct catalog_target *target, const char *text, bool is_final,
	uint64_t period_us, uint64_t now_us)
{
	uint64_t delay_us = next_delay_us(target, period_us);

	complain(target, text, now_us);
	note_problem(target, text);
	target->failed = true;
	target->due_us = now_us + (is_final ? period_us : delay_us);
}

void catalog_target_unreadable(struct catalog_target *target, const char *text, uint64_t due_us)
{
	if (target->problem == NULL || strcmp(target->problem, text) != 0)
		log_info("vector columns of %s are not read: %s", target->database, text);
	note_problem(target, text);
	target->failed = true;
	target->due_us = due_us;
}

static unsigned count_vectors(const struct catalog *catalog)
{
	unsigned n = 0;

	for (unsigned i = 0; i < catalog_n_columns(catalog); i++)
		n += catalog_column(catalog, i)->is_vector;
	return n;
}

/* Where nothing is new the old one stays: what workers decided by it holds on. */
static void take(struct catalog_target *target, struct catalog *fresh)
{
	bool is_first = target->catalog == NULL;

	if (!is_first && catalog_equal(fresh, target->catalog)) {
		catalog_unref(&fresh);
		return;
	}
	catalog_unref(&target->catalog);
	target->catalog = fresh;
	if (!is_first || catalog_n_columns(fresh) > 0)
		log_info("database %s: %u vector columns are known", target->database,
			count_vectors(fresh));
}

void catalog_target_read(struct catalog_target *target, struct catalog *fresh, bool is_cut,
	uint64_t due_us)
{
	take(target, fresh);
	if (target->complaint)
		log_info("vector columns of %s are read again", target->database);
	mem_free(target->complaint);
	target->complaint = NULL;
	note_problem(target, is_cut ? "it has more columns than are kept" : NULL);
	target->failed = false;
	target->n_failures = 0;
	target->refreshed_wall_us = clock_wall_us();
	target->due_us = due_us;
}
