/* SPDX-License-Identifier: ISC */
/*
 * How many servers there should be: the one place that decides. Opening ahead of demand, closing
 * what has not been needed for long, and how much of the budget may be used after PostgreSQL has
 * refused a connection (SQLSTATE 53300). Pure: readings and the time come in, a decision with its
 * reason comes out; session/scaling.c acts on it. Owner: whoever holds the struct.
 */
#ifndef LANE_SCALE_H
#define LANE_SCALE_H

#include "base/base.h"

#define SCALE_WHOLE UINT32_MAX	      /* effective: the budget is not shrunk */
#define SCALE_BACKOFF_MIN_US 1000000u /* from a refusal to the first probe */
#define SCALE_BACKOFF_MAX_US 60000000u
#define SCALE_PROBE_MAX 10u	 /* connections by which one probe raises the effective budget */
#define SCALE_LOGINS_PER_S 10u	 /* begun ahead of demand, over all workers */
#define SCALE_LOGINS_PER_POOL 4u /* of them at the same time, for one pool of one worker */
#define SCALE_PATIENCE_US 30000000u /* then an aim that could not be reached is given up */

struct scale_settings {
	uint32_t budget;
	uint32_t warm_min, step, threshold_permille;
	uint64_t down_delay_us; /* 0: never */
};

struct scale_reading {
	uint64_t now_us;
	uint32_t open;	    /* slots, without those that are closing */
	uint32_t in_use;    /* permits held */
	uint32_t n_clients; /* of pools */
	uint32_t kept;	    /* what min_pool_size keeps open in any case */
};

enum scale_event {
	SCALE_WARM,    /* open up to warm_min */
	SCALE_UP,      /* open a step ahead of demand */
	SCALE_DOWN,    /* close a step */
	SCALE_SHRINK,  /* PostgreSQL refused a connection: use what it grants */
	SCALE_PROBE,   /* try whether it grants more by now */
	SCALE_RECOVER, /* the whole budget may be used again */
};

struct scale_decision {
	enum scale_event event;
	uint32_t n;   /* servers to open or close; the effective budget */
	char why[96]; /* for people */
};

struct scale {
	uint64_t below_since_us; /* fewer than the threshold in use; 0: not so */
	uint32_t aim;		 /* open ahead until that many are open; 0: nothing to open */
	bool aim_is_warm;	 /* for any pool with clients, not only for those in use */
	uint64_t aim_until_us;
	uint32_t stuck_at; /* open when an aim was given up: no new one before that changes; SCALE_WHOLE: none was */
	uint32_t effective; /* budget; SCALE_WHOLE */
	uint32_t refused_at; /* logged in when PostgreSQL last refused one more */
	uint32_t probe_step;
	uint64_t backoff_us, probe_us; /* the next probe */
	bool is_probing;	       /* raised, and not known yet whether that is right */
};

void scale_init(struct scale *scale);
const char *scale_event_name(enum scale_event event);

/* Once a second. Each returns true when there is something to do and to tell. */
bool scale_open_or_close(struct scale *scale, const struct scale_settings *settings,
	const struct scale_reading *reading, struct scale_decision *decision_r);
bool scale_probe(struct scale *scale, const struct scale_settings *settings, uint64_t now_us,
	struct scale_decision *decision_r);
/* How many logins may begin ahead of demand in this second. */
uint32_t scale_logins(const struct scale *scale, const struct scale_reading *reading);

/*
 * PostgreSQL refused a connection for want of room, with n_open logged in. true: that is news (not
 * one more of the logins that were under way at once).
 */
bool scale_refused(struct scale *scale, const struct scale_settings *settings, uint32_t n_open,
	uint64_t now_us, struct scale_decision *decision_r);
/* A login succeeded; n_open with it. true: the effective budget is another. */
bool scale_logged_in(struct scale *scale, uint32_t n_open, uint64_t now_us);

#endif
