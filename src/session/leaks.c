/* SPDX-License-Identifier: ISC */
#include "session/leaks.h"

#include "base/mem.h"

#define SEEN_SLOTS 2048u /* each of one hash: what comes to the same slot takes the place */
#define SEEN_TIMES_MASK UINT64_C(7)

_Static_assert(LEAK_FIRST_TIMES <= SEEN_TIMES_MASK, "they are counted in the lowest bits");

void leaks_init(struct leaks *leaks)
{
	memset(leaks, 0, sizeof(*leaks));
	TAILQ_INIT(&leaks->list);
}

static void drop(struct leaks *leaks, struct leak *leak)
{
	TAILQ_REMOVE(&leaks->list, leak, link);
	leaks->n--;
	mem_free(leak);
}

void leaks_release(struct leaks *leaks)
{
	while (!TAILQ_EMPTY(&leaks->list))
		drop(leaks, TAILQ_FIRST(&leaks->list));
	mem_free(leaks->seen);
	leaks_init(leaks);
}

struct leak *leaks_find(const struct leaks *leaks, struct pgw_hash128 key)
{
	struct leak *leak;

	TAILQ_FOREACH(leak, &leaks->list, link)
		if (leak->key.lo == key.lo && leak->key.hi == key.hi)
			return leak;
	return NULL;
}

static const char *put(char **at, const char *text)
{
	const char *copy = *at;
	size_t n = strlen(text) + 1;

	memcpy(*at, text, n);
	*at += n;
	return copy;
}

static struct leak *add(struct leaks *leaks, const struct leak *like)
{
	struct leak *leak = mem_zalloc(sizeof(*leak) + strlen(like->database) + strlen(like->user) + strlen(like->text) + 3);
	char *at = leak->texts;

	leak->key = like->key;
	leak->print = like->print;
	leak->database = put(&at, like->database);
	leak->user = put(&at, like->user);
	leak->text = put(&at, like->text);
	TAILQ_INSERT_HEAD(&leaks->list, leak, link);
	leaks->n++;
	return leak;
}

struct leak *leaks_found(struct leaks *leaks, const struct leak *like, const char *what)
{
	struct leak *leak = leaks_find(leaks, like->key);

	if (leak == NULL) {
		while (leaks->n >= LEAKS_MAX)
			drop(leaks, TAILQ_LAST(&leaks->list, leak_list));
		leak = add(leaks, like);
	} else {
		TAILQ_REMOVE(&leaks->list, leak, link);
		TAILQ_INSERT_HEAD(&leaks->list, leak, link);
	}
	leak->n_found++;
	leak->n_clean = 0;
	leak->last_us = like->last_us;
	leak->is_certain |= like->is_certain;
	(void)snprintf(leak->what, sizeof(leak->what), "%s", what);
	return leak;
}

void leaks_merge(struct leaks *leaks, const struct leak *from)
{
	struct leak *leak = leaks_find(leaks, from->key);

	if (leak == NULL)
		leak = add(leaks, from);
	leak->n_found += from->n_found;
	leak->is_certain |= from->is_certain;
	if (from->last_us < leak->last_us)
		return;
	leak->last_us = from->last_us;
	memcpy(leak->what, from->what, sizeof(leak->what));
}

bool leaks_is_new(struct leaks *leaks, struct pgw_hash128 key)
{
	uint64_t *slot;

	if (leaks->seen == NULL)
		leaks->seen = mem_zalloc(SEEN_SLOTS * sizeof(*leaks->seen));
	slot = &leaks->seen[key.lo & (SEEN_SLOTS - 1)];
	if ((*slot ^ key.hi) & ~SEEN_TIMES_MASK)
		*slot = key.hi & ~SEEN_TIMES_MASK;
	if ((*slot & SEEN_TIMES_MASK) >= LEAK_FIRST_TIMES)
		return false;
	++*slot;
	return true;
}
