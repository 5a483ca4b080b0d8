/* SPDX-License-Identifier: ISC */
#include "classify/learned.h"

#include <pthread.h>

#include "base/mem.h"
#include "base/strbuf.h"

#define BUCKETS 1024u
#define SHOWN_MAX 8u /* pools that EXPLAIN ROUTE names */

/* ---- evidence ---- */

enum run_weight run_weigh(const struct fingerprint_run *run, struct run_limits limits)
{
	if ((limits.long_us > 0 && run->took_us >= limits.long_us) ||
		(limits.bulk_rows > 0 && run->n_returned > limits.bulk_rows))
		return RUN_HEAVY;
	if ((limits.long_us > 0 && run->took_us >= limits.long_us / 2) ||
		(limits.bulk_rows > 0 && run->n_returned > limits.bulk_rows / 2))
		return RUN_BETWEEN;
	return RUN_LIGHT;
}

static void remember(struct evidence *evidence, bool heavy)
{
	evidence->heavy = (evidence->heavy << 1 | heavy) & ((1u << LEARN_RUNS) - 1);
}

enum lesson evidence_add(struct evidence *evidence, uint64_t began_us, uint64_t ended_us,
	enum run_weight weight)
{
	if (weight == RUN_HEAVY) {
		evidence->n_light = 0;
		if (began_us >= evidence->heavy_until_us) {
			remember(evidence, true);
			evidence->heavy_until_us = ended_us;
		}
	} else if (weight == RUN_LIGHT) {
		remember(evidence, false);
		evidence->n_light = (uint8_t)MIN_OF(evidence->n_light + 1u, FORGET_LIGHT);
	}
	if ((unsigned)__builtin_popcount(evidence->heavy) >= LEARN_HEAVY)
		evidence->training = true;
	else if (evidence->n_light >= FORGET_LIGHT)
		evidence->training = false;
	if (evidence->training)
		return LESSON_TRAINING;
	return evidence->heavy != 0 ? LESSON_WATCHED : LESSON_NONE;
}

/* ---- the lessons of all statements ---- */

struct lesson_entry {
	struct lesson_entry *next; /* in its bucket */
	TAILQ_ENTRY(lesson_entry) link; /* most recently run first */
	struct pgw_hash128 key, print;
	struct evidence evidence;
	char pool[]; /* "database/user" */
};

TAILQ_HEAD(lesson_list, lesson_entry);

struct lessons {
	uint64_t epoch; /* atomic; written under the mutex */
	pthread_mutex_t mutex;
	/* guarded: */
	struct lesson_entry *buckets[BUCKETS];
	struct lesson_list watched, training;
	unsigned n;
};

struct lessons *lessons_new(void)
{
	struct lessons *lessons = mem_zalloc(sizeof(*lessons));

	MUST(pthread_mutex_init(&lessons->mutex, NULL) == 0);
	lessons->epoch = 1;
	TAILQ_INIT(&lessons->watched);
	TAILQ_INIT(&lessons->training);
	return lessons;
}

static void lock(struct lessons *lessons)
{
	MUST(pthread_mutex_lock(&lessons->mutex) == 0);
}

static void unlock(struct lessons *lessons)
{
	MUST(pthread_mutex_unlock(&lessons->mutex) == 0);
}

static void changed(struct lessons *lessons)
{
	__atomic_add_fetch(&lessons->epoch, 1, __ATOMIC_RELEASE);
}

uint64_t lessons_epoch(const struct lessons *lessons)
{
	return __atomic_load_n(&lessons->epoch, __ATOMIC_ACQUIRE);
}

/* Its place in its bucket. At worst all are in one: there are no more than LESSONS_MAX. */
static struct lesson_entry **place_of(struct lessons *lessons, struct pgw_hash128 key)
{
	struct lesson_entry **at = &lessons->buckets[(key.lo ^ key.hi) % BUCKETS];

	while (*at && ((*at)->key.lo != key.lo || (*at)->key.hi != key.hi))
		at = &(*at)->next;
	return at;
}

static struct lesson_list *list_of(struct lessons *lessons, const struct lesson_entry *entry)
{
	return entry->evidence.training ? &lessons->training : &lessons->watched;
}

static void drop(struct lessons *lessons, struct lesson_entry *entry)
{
	struct lesson_entry **at = place_of(lessons, entry->key);

	*at = entry->next;
	TAILQ_REMOVE(list_of(lessons, entry), entry, link);
	lessons->n--;
	mem_free(entry);
	changed(lessons);
}

static void make_room(struct lessons *lessons)
{
	struct lesson_entry *oldest = TAILQ_LAST(&lessons->watched, lesson_list);

	if (lessons->n < LESSONS_MAX)
		return;
	drop(lessons, oldest ? oldest : TAILQ_LAST(&lessons->training, lesson_list));
}

static struct lesson_entry *add(struct lessons *lessons, const struct fingerprint *statement)
{
	size_t n_pool = strlen(statement->database) + strlen(statement->user) + 2;
	struct lesson_entry *entry, **at;

	make_room(lessons);
	entry = mem_alloc(sizeof(*entry) + n_pool);
	memset(entry, 0, sizeof(*entry));
	entry->key = statement->key;
	entry->print = statement->print;
	(void)snprintf(entry->pool, n_pool, "%s/%s", statement->database, statement->user);
	at = place_of(lessons, entry->key);
	*at = entry;
	TAILQ_INSERT_HEAD(&lessons->watched, entry, link);
	lessons->n++;
	changed(lessons);
	return entry;
}

enum lesson lessons_of(struct lessons *lessons, struct pgw_hash128 key)
{
	enum lesson lesson = LESSON_NONE;
	const struct lesson_entry *entry;

	lock(lessons);
	entry = *place_of(lessons, key);
	if (entry)
		lesson = entry->evidence.training ? LESSON_TRAINING : LESSON_WATCHED;
	unlock(lessons);
	return lesson;
}

enum lesson lessons_run(struct lessons *lessons, const struct fingerprint *statement,
	const struct fingerprint_run *run, enum run_weight weight, bool *turned_r)
{
	enum lesson lesson = LESSON_NONE;
	struct lesson_entry *entry;
	bool was_training;

	*turned_r = false;
	lock(lessons);
	entry = *place_of(lessons, statement->key);
	if (entry == NULL && weight == RUN_HEAVY)
		entry = add(lessons, statement);
	if (entry) {
		was_training = entry->evidence.training;
		TAILQ_REMOVE(list_of(lessons, entry), entry, link);
		lesson = evidence_add(&entry->evidence, run->began_us, run->began_us + run->took_us, weight);
		TAILQ_INSERT_HEAD(list_of(lessons, entry), entry, link);
		*turned_r = was_training != entry->evidence.training;
		if (lesson == LESSON_NONE)
			drop(lessons, entry);
		else if (*turned_r)
			changed(lessons);
	}
	unlock(lessons);
	return lesson;
}

bool lessons_forget(struct lessons *lessons, uint64_t id)
{
	struct lesson_list *lists[] = {&lessons->watched, &lessons->training};
	struct lesson_entry *entry, *next;
	bool found = false;

	lock(lessons);
	for (unsigned i = 0; i < N_ELEMENTS(lists); i++)
		TAILQ_FOREACH_SAFE(entry, lists[i], link, next)
		if (fingerprint_id(entry->print) == id) {
			drop(lessons, entry);
			found = true;
		}
	unlock(lessons);
	return found;
}

static void drop_all(struct lessons *lessons)
{
	while (!TAILQ_EMPTY(&lessons->watched))
		drop(lessons, TAILQ_FIRST(&lessons->watched));
	while (!TAILQ_EMPTY(&lessons->training))
		drop(lessons, TAILQ_FIRST(&lessons->training));
}

void lessons_forget_all(struct lessons *lessons)
{
	lock(lessons);
	drop_all(lessons);
	unlock(lessons);
}

void lessons_free(struct lessons **lessons_p)
{
	struct lessons *lessons = *lessons_p;

	*lessons_p = NULL;
	if (lessons == NULL)
		return;
	drop_all(lessons);
	MUST(pthread_mutex_destroy(&lessons->mutex) == 0);
	mem_free(lessons);
}

bool lessons_learned_for(struct lessons *lessons, struct pgw_hash128 print, struct strbuf *out)
{
	const struct lesson_entry *entry;
	unsigned n = 0;

	lock(lessons);
	TAILQ_FOREACH(entry, &lessons->training, link)
	{
		if (entry->print.lo != print.lo || entry->print.hi != print.hi)
			continue;
		if (n < SHOWN_MAX)
			strbuf_addf(out, "%s%s", n > 0 ? ", " : "", entry->pool);
		else if (n == SHOWN_MAX)
			strbuf_adds(out, ", ...");
		n++;
	}
	unlock(lessons);
	return n > 0;
}

void classify_learned(struct classify_result *result)
{
	if (result->source != SOURCE_DEFAULT)
		return;
	result->class = QUERY_TRAINING;
	result->source = SOURCE_LEARNED;
	result->rule = "learned";
}
