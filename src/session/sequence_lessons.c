/* SPDX-License-Identifier: ISC */
#include "session/sequence_lessons.h"

#define WAYS 4u /* a key has its place in one of so many slots */

/* A slot: the key, whose lowest eight bits are 0; how often in turn less came than was expected; how much is. */
#define READS_MASK UINT64_C(7)
#define VAIN_SHIFT 3
#define VAIN_MASK UINT64_C(31)

_Static_assert(SEQUENCE_READS_MAX <= READS_MASK && SEQUENCE_VAIN_TIMES <= VAIN_MASK, "they share eight bits");
_Static_assert((SEQUENCE_LESSONS_MAX & (SEQUENCE_LESSONS_MAX - 1)) == 0 && SEQUENCE_LESSONS_MAX % WAYS == 0, "masked");

uint64_t sequence_key(struct pgw_hash128 print)
{
	uint64_t key = print.hi & ~(uint64_t)(SEQUENCE_KEY_MIN - 1);

	return key ? key : SEQUENCE_KEY_MIN;
}

static uint64_t key_of(uint64_t slot)
{
	return slot & ~(uint64_t)(SEQUENCE_KEY_MIN - 1);
}

static unsigned reads_of(uint64_t slot)
{
	return (unsigned)(slot & READS_MASK);
}

static unsigned vain_of(uint64_t slot)
{
	return (unsigned)(slot >> VAIN_SHIFT & VAIN_MASK);
}

static uint64_t slot_of(uint64_t key, unsigned n_reads, unsigned n_vain)
{
	return key | (uint64_t)n_vain << VAIN_SHIFT | n_reads;
}

static uint64_t load(const uint64_t *slot)
{
	return __atomic_load_n(slot, __ATOMIC_RELAXED);
}

static void store(uint64_t *slot, uint64_t value)
{
	__atomic_store_n(slot, value, __ATOMIC_RELAXED);
}

/* The first of the slots where it may be. */
static unsigned set_of(uint64_t key)
{
	return (unsigned)(key >> 8) & (SEQUENCE_LESSONS_MAX - 1) & ~(WAYS - 1);
}

/* -1: it has none. */
static int find(const struct sequence_lessons *lessons, uint64_t key)
{
	unsigned set = set_of(key);

	for (unsigned i = set; i < set + WAYS; i++)
		if (key_of(load(&lessons->slots[i])) == key)
			return (int)i;
	return -1;
}

/* Where it may come: a free slot, else that of what was in vain most often. */
static unsigned room_for(const struct sequence_lessons *lessons, uint64_t key)
{
	unsigned set = set_of(key), best = set;

	for (unsigned i = set; i < set + WAYS; i++) {
		uint64_t slot = load(&lessons->slots[i]);

		if (slot == 0)
			return i;
		if (vain_of(slot) > vain_of(load(&lessons->slots[best])))
			best = i;
	}
	return best;
}

unsigned sequence_lessons_reads(const struct sequence_lessons *lessons, uint64_t key)
{
	int i = lessons ? find(lessons, key) : -1;

	return i < 0 ? 0 : reads_of(load(&lessons->slots[i]));
}

void sequence_lessons_add(struct sequence_lessons *lessons, uint64_t key, unsigned n_reads)
{
	int found = find(lessons, key);
	unsigned i = found < 0 ? room_for(lessons, key) : (unsigned)found, known = found < 0 ? 0 : reads_of(load(&lessons->slots[i]));

	store(&lessons->slots[i], slot_of(key, MIN_OF(MAX_OF(known, n_reads), SEQUENCE_READS_MAX), 0));
}

void sequence_lessons_kept(struct sequence_lessons *lessons, uint64_t key, unsigned n_reads)
{
	int i = find(lessons, key);
	uint64_t slot;
	unsigned n_vain;

	if (i < 0)
		return;
	slot = load(&lessons->slots[i]);
	n_vain = vain_of(slot) + 1;
	if (n_reads >= reads_of(slot))
		store(&lessons->slots[i], slot_of(key, reads_of(slot), 0));
	else if (n_vain < SEQUENCE_VAIN_TIMES)
		store(&lessons->slots[i], slot_of(key, reads_of(slot), n_vain));
	else
		store(&lessons->slots[i], n_reads > 0 ? slot_of(key, n_reads, 0) : 0);
}
