/* SPDX-License-Identifier: ISC */
/*
 * Behind which statements a pool calls currval() or lastval(), once their transaction is over (sequence.h): how often it did so at most. Small and of one size:
 * what is new takes the place of what was in vain most often. Statements are known by 56 bits of their fingerprint; two that share them
 * share what was learned, which costs a server that is kept for nothing. Any thread, without locks: two that write at once may lose a count.
 */
#ifndef SESSION_SEQUENCE_LESSONS_H
#define SESSION_SEQUENCE_LESSONS_H

#include "base/base.h"
#include "pgw/fingerprint.h"

#define SEQUENCE_LESSONS_MAX 64u
#define SEQUENCE_READS_MAX 7u  /* more are not counted */
#define SEQUENCE_VAIN_TIMES 16u /* in turn: what was expected is forgotten */

struct sequence_lessons {
	uint64_t slots[SEQUENCE_LESSONS_MAX]; /* atomic; 0: free */
};

/* Never 0, nor any other number below SEQUENCE_KEY_MIN. */
#define SEQUENCE_KEY_MIN 256u
uint64_t sequence_key(struct pgw_hash128 print);
/* How many reads are to be expected behind it. 0: none. lessons: NULL is fine. */
unsigned sequence_lessons_reads(const struct sequence_lessons *lessons, uint64_t key);
/* So many were seen, or would have been. */
void sequence_lessons_add(struct sequence_lessons *lessons, uint64_t key, unsigned n_reads);
/* A server was kept behind it, and so many came. Of less than is expected SEQUENCE_VAIN_TIMES in turn, that is expected from now on. */
void sequence_lessons_kept(struct sequence_lessons *lessons, uint64_t key, unsigned n_reads);

#endif
