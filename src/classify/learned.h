/* SPDX-License-Identifier: ISC */
/*
 * What runs teach about statements whose text says nothing: those that keep running long or keep returning many rows belong to `training`. The
 * decisions are shared by all workers; this is the one place where they are.
 *
 * Evidence is of runs that ended well. A heavy one counts only if it began after the last one that counted had ended: what a lock or a slow disk holds
 * up all at once is one event, however many runs it befell. So a statement is learned when LEARN_HEAVY of its last LEARN_RUNS runs were heavy, one after
 * the other, and forgotten after FORGET_LIGHT light ones without a heavy one between them. What is watched and proves light is not kept.
 */
#ifndef CLASSIFY_LEARNED_H
#define CLASSIFY_LEARNED_H

#include "classify/fingerprints.h"

#define LEARN_RUNS 5u
#define LEARN_HEAVY 4u
#define FORGET_LIGHT 8u
#define LESSONS_MAX 1024u /* what is watched goes before what is learned */

enum run_weight {
	RUN_LIGHT,
	RUN_BETWEEN, /* more than half of what is heavy: says nothing */
	RUN_HEAVY,
};

/* What makes a run heavy. */
struct run_limits {
	uint64_t long_us; /* hop_after of the lane that it had without the lesson; 0: no time does */
	uint64_t bulk_rows; /* returning more than that; 0: no number does */
};
enum run_weight run_weigh(const struct fingerprint_run *run, struct run_limits limits);

enum lesson {
	LESSON_NONE,	 /* nothing is known against it */
	LESSON_WATCHED,	 /* there was a heavy run */
	LESSON_TRAINING, /* learned */
};

/* Pure: what is remembered of one statement's runs. Zero: nothing. */
struct evidence {
	uint32_t heavy; /* bit 0: the last run */
	uint8_t n_light; /* in a row */
	bool training;
	uint64_t heavy_until_us;
};
enum lesson evidence_add(struct evidence *evidence, uint64_t began_us, uint64_t ended_us, enum run_weight weight);

/* Guarded by a mutex inside, but for the epoch. Any thread. */
struct lessons;
struct lessons *lessons_new(void);
void lessons_free(struct lessons **lessons);
/* Rises whenever a lesson of any statement may be another: until then what was read of one holds. Cheap. */
uint64_t lessons_epoch(const struct lessons *lessons);
enum lesson lessons_of(struct lessons *lessons, struct pgw_hash128 key);
/* A run of the statement; key, print and names are the entry's. turned: with this run it was learned, or forgotten. */
enum lesson lessons_run(struct lessons *lessons, const struct fingerprint *statement, const struct fingerprint_run *run, enum run_weight weight,
	bool *turned_r);
/* By the id of the console; false: there is none. */
bool lessons_forget(struct lessons *lessons, uint64_t id);
void lessons_forget_all(struct lessons *lessons);
/* "database/user, …" of those for whom the statement is learned: appended; false: for nobody. */
bool lessons_learned_for(struct lessons *lessons, struct pgw_hash128 print, struct strbuf *out);

/* What is learned decides where nothing else did: the class is training then, and the rule `learned`. */
void classify_learned(struct classify_result *result);

#endif
