/* SPDX-License-Identifier: ISC */
/*
 * The databases whose catalogs are read: what is known of each, when it is to be read next, and what
 * was wrong the last time. Pure but for the log: time comes in (mono_us), and nothing is connected.
 * Owner: catalog_reader.c.
 */
#ifndef SERVICE_CATALOG_TARGETS_H
#define SERVICE_CATALOG_TARGETS_H

#include "base/list.h"
#include "classify/catalog.h"

#define CATALOG_RETRY_MIN_US 1000000u
#define CATALOG_RETRY_MAX_US 60000000u /* or a period, if that is longer */

struct catalog_target {
	TAILQ_ENTRY(catalog_target) link;
	char *database;
	char *user;	     /* one whose clients are there, and who can log in; NULL: nobody */
	bool is_listed;	     /* it was there at the last look */
	bool failed;	     /* the last reading */
	uint64_t due_us;
	uint64_t asked_us;   /* a reading that began before does not do */
	uint64_t began_us;   /* of the last reading; 0: there was none */
	unsigned n_failures; /* in a row */
	uint64_t n_attempts;
	struct catalog *catalog; /* NULL: not read yet */
	uint64_t refreshed_wall_us;
	char *problem;	     /* NULL: none */
	char *complaint;     /* in the log, until a reading went well */
	uint64_t complained_us;
};

struct catalog_targets {
	TAILQ_HEAD(, catalog_target) list;
	unsigned n; /* at most CATALOG_DATABASES_MAX */
};

void catalog_targets_init(struct catalog_targets *targets);
void catalog_targets_release(struct catalog_targets *targets);
/* The one of that name, which is listed now; made when it is not there. NULL: there are too many. */
struct catalog_target *catalog_targets_list(struct catalog_targets *targets, const char *database);
/* Nobody is listed, until catalog_targets_list(). */
void catalog_targets_unlist(struct catalog_targets *targets);
/* Frees those that are not listed, but for one (may be NULL). Returns how many. */
unsigned catalog_targets_drop(struct catalog_targets *targets, const struct catalog_target *but);
/* What is known. One reference. */
struct catalogs *catalog_targets_known(const struct catalog_targets *targets) WARN_UNUSED;

/* To be read at once, and anew if it is being read. */
void catalog_target_wanted(struct catalog_target *target, uint64_t now_us);
/* The reading failed; the next one is put off, longer each time up to a period. is_final: by a
 * period at once. */
void catalog_target_failed(struct catalog_target *target, const char *text, bool is_final,
	uint64_t period_us, uint64_t now_us);
/* Nobody is there who could ask: not a thing that another attempt would change before due_us. */
void catalog_target_unreadable(struct catalog_target *target, const char *text, uint64_t due_us);
/* Takes over the reference to fresh. */
void catalog_target_read(struct catalog_target *target, struct catalog *fresh, bool is_cut,
	uint64_t due_us);

#endif
