/* SPDX-License-Identifier: ISC */
/*
 * Inside the ledger: its account books and the helpers that its files share. Everything here is
 * called with the ledger's mutex held and calls nobody outside src/lane. The words are those of
 * lane.h; the formulas that tie the counts together are in README.md and asserted in check.c.
 */
#ifndef LANE_PRIV_H
#define LANE_PRIV_H

#include <pthread.h>

#include "lane/lane.h"

TAILQ_HEAD(lane_ticket_list, lane_ticket);
TAILQ_HEAD(lane_idle_list, lane_idle);

/* When so many holds are in a lane's mean they count half: those of long ago fade. */
#define LANE_HOLDS_REMEMBERED 256

/* Tickets by priority, within one priority by arrival. */
struct lane_waitq {
	struct lane_ticket_list by_priority[LANE_PRIORITY_MAX + 1];
	uint32_t n_by_priority[LANE_PRIORITY_MAX + 1];
	uint32_t filled; /* bit p: by_priority[p] is not empty */
};

/*
 * The waiters in one lane of one pool with a limit of its own: apart, so that they hold up nobody
 * else.
 */
struct lane_group {
	TAILQ_ENTRY(lane_group) of_lane; /* while filled */
	struct lane_waitq q;
	struct lane_pool *pool;
};

struct lane {
	struct lane_spec spec; /* size: its share of the effective budget */
	uint32_t full_size;    /* as configured */
	uint32_t in_use;
	uint32_t n_waiting; /* in q and in all groups */
	uint32_t n_swaps;   /* those of them in WAITS_SWAP; always in q */
	struct lane_waitq q;
	TAILQ_HEAD(, lane_group) groups;
	uint64_t n_granted, n_queued, n_refused, n_abandoned;
	uint64_t total_wait_us, max_wait_us;
	uint64_t n_spilled_out, n_spilled_in;
	uint64_t n_hopped_out, n_hopped_in;
	uint32_t spillers; /* bit i: lane i may spill into this one */
	uint64_t held_us; /* how long the last n_held permits that came back had been held, in sum */
	uint32_t n_held;  /* below LANE_HOLDS_REMEMBERED */
};

struct lane_pool {
	TAILQ_ENTRY(lane_pool) of_ledger;
	uint32_t max_servers;	      /* 0: no limit of its own */
	uint32_t limit;		      /* the same as configured: a held pool without has UINT32_MAX above */
	bool is_held;		      /* lane_pool_hold() */
	uint32_t n_permits;	      /* held by tickets of this pool */
	uint32_t n_waiting;	      /* tickets in lane queues, swaps apart */
	uint32_t n_slot_waiters;      /* tickets in the slot queue */
	uint32_t n_login_waiters;
	struct lane_ticket_list login_waiters; /* they have slots, and open no connection yet */
	uint32_t n_idle;	      /* registered */
	uint32_t n_claimed;	      /* claimed, for a move or to close */
	struct lane_group *groups;    /* [n_lanes]; NULL until the pool is first limited */
	uint64_t ports_filled;	      /* bit i: idle[i] is not empty */
	struct lane_idle_list idle[]; /* [n_ports], most recently used first */
};

/* The idle servers that are counted for one lane. */
struct lane_share {
	struct lane_idle_list idle; /* least recently used first */
	uint32_t n_idle;
};

struct lane_port {
	struct lane_ticket_list delivered;
};

struct lane_ledger {
	pthread_mutex_t lock;
	unsigned n_lanes, n_ports;
	int urgent; /* index of the urgent lane, or -1 */
	void (*wake)(void *arg, unsigned port);
	void *wake_arg;
	uint64_t ports_to_wake;	     /* bit i: port i was filled in this locked section */
	uint64_t ports_watching;     /* bit i: port i is to hear of who begins to wait */
	uint32_t lanes_to_serve;     /* bit i: a waiter of lane i may have become runnable in it */
	uint64_t now_us;	     /* the latest time any caller brought */
	uint64_t n_arrivals, n_uses; /* give out lane_ticket.arrival and lane_idle.used */
	uint64_t aging_us;	     /* of waiting that weigh as much as one step of priority; 0: none do */

	/* Permits. */
	uint32_t in_use; /* sum of lane.in_use */
	uint32_t n_permits; /* sum of lane.spec.size: the budget, or one each for more lanes than that */
	uint32_t n_owed; /* sum of max(0, in_use - size): what a shrink left to be paid */
	struct lane lanes[LANE_MAX];
	uint32_t swaps[LANE_MAX][LANE_MAX]; /* [held][wanted]: tickets in WAITS_SWAP */

	/* Slots. slots == n_idle + n_moving + n_evicting + n_held + n_orphans + n_closing */
	uint32_t budget, slots;	   /* the effective budget */
	uint32_t full_budget;	   /* as configured */
	uint32_t limit;		   /* lane_limit_budget(); UINT32_MAX: none */
	uint32_t n_idle;     /* registered */
	uint32_t n_moving;   /* claimed for a holder of a permit */
	uint32_t n_evicting; /* claimed to be closed */
	uint32_t n_held;     /* of holders of permits; connecting ones too */
	uint32_t n_orphans;
	uint32_t n_closing;
	uint32_t n_promised; /* held or orphan, refused as idle: lane_slot_closing() must follow */
	/* The registry, by lane_idle.share. */
	struct lane_share shares[LANE_MAX + 1];
	struct lane_ticket_list slot_waiters;
	uint32_t n_slot_waiters;
	uint32_t n_login_waiters; /* over all pools; their slots are among the held */

	struct lane_port ports[LANE_PORTS_MAX];
	TAILQ_HEAD(, lane_pool) pools;
};

/* ledger.c */
void lane__lock(struct lane_ledger *l, uint64_t mono_us);
/* Grants what has become free, unlocks, wakes the ports that were filled. */
void lane__finish(struct lane_ledger *l);
void lane__deliver(struct lane_ledger *l, struct lane_ticket *t);
void lane__count_grant(struct lane_ledger *l, struct lane_ticket *t);
/* A holder without a slot gives its permit back and waits in its old place. */
void lane__requeue(struct lane_ledger *l, struct lane_ticket *t);

/* waitq.c */
void lane__waitq_init(struct lane_waitq *q);
/* Of priority `from` or higher. */
struct lane_ticket *lane__waitq_first(
	const struct lane_ledger *l, const struct lane_waitq *q, unsigned from);
/* The order of service, which time does not change. Both have waited, or wait. */
bool lane__is_before(
	const struct lane_ledger *l, const struct lane_ticket *a, const struct lane_ticket *b);
/* standing is WAITS_PERMIT or WAITS_SWAP; its place is that of its arrival. */
void lane__enqueue(struct lane_ledger *l, struct lane_ticket *t);
void lane__dequeue(struct lane_ledger *l, struct lane_ticket *t);
/*
 * The first ticket of the lane's queue, of priority `from` or higher, that could use a permit of
 * the lane if there was one.
 */
struct lane_ticket *lane__first_runnable(
	struct lane_ledger *l, const struct lane *lane, unsigned from);
/* The first that waits here by a swap from lane `held`; -1: from any. */
struct lane_ticket *lane__first_swap(
	const struct lane_ledger *l, const struct lane *lane, unsigned from, int held);
void lane__regroup(struct lane_ledger *l, struct lane_pool *pool, uint32_t max_servers);

/* share.c */
void lane__count_idle_for(struct lane_ledger *l, struct lane_idle *idle, unsigned lane);
struct lane_idle *lane__oldest_idle(struct lane_ledger *l, bool beyond_share_only);
struct lane_idle *lane__victim_for(struct lane_ledger *l, unsigned lane);
struct lane_idle *lane__idle_above_limit(struct lane_ledger *l);

/* login.c */
void lane__leave_login_queue(struct lane_ledger *l, struct lane_ticket *t);
/* It opened no connection: nobody's slot any more. */
void lane__give_up_login(struct lane_ledger *l, struct lane_ticket *t);

/* swap.c */
bool lane__swap_round(struct lane_ledger *l, struct lane_ticket *t, unsigned lane);

/* slots.c */
void lane__find_server(struct lane_ledger *l, struct lane_ticket *t);
void lane__take_coming(struct lane_ledger *l, struct lane_ticket *t);
void lane__give_back_coming(struct lane_ledger *l, struct lane_ticket *t);
bool lane__place_idle(struct lane_ledger *l, struct lane_idle *idle) WARN_UNUSED;
/* The pool's best idle server for this port, if it has one, to who waits in the pool. */
void lane__offer_idle(struct lane_ledger *l, struct lane_pool *pool, unsigned port);
void lane__serve_slots(struct lane_ledger *l);
void lane__match_slot_waiters(struct lane_ledger *l);
void lane__leave_slot_queue(struct lane_ledger *l, struct lane_ticket *t);

static inline struct lane *lane__queue_lane(struct lane_ledger *l, const struct lane_ticket *t)
{
	return &l->lanes[t->standing == LANE_TICKET_WAITS_SWAP ? t->wanted_lane : t->home_lane];
}

/* A server of the pool is at hand, or its own limit allows one more. */
static inline bool lane__pool_has_room(const struct lane_pool *pool)
{
	return pool->max_servers == 0 || pool->n_idle > 0 ||
	       (!pool->is_held && pool->n_permits < pool->max_servers);
}

static inline bool lane__has_permit(const struct lane *lane)
{
	return lane->in_use < lane->spec.size;
}

/* Its permits in use and the idle servers that are counted for it. */
static inline uint32_t lane__servers(const struct lane_ledger *l, unsigned lane)
{
	return l->lanes[lane].in_use + l->shares[lane + 1].n_idle;
}

/* A statement of the lane may take a permit of the lane it spills to. */
static inline bool lane__may_spill(const struct lane_ledger *l, const struct lane *lane)
{
	const struct lane *to = &l->lanes[lane->spec.spill_lane];

	return to->in_use < lane->spec.spill_below && lane__has_permit(to);
}

static inline uint32_t lane__all(const struct lane_ledger *l)
{
	return l->n_lanes == 32 ? UINT32_MAX : (UINT32_C(1) << l->n_lanes) - 1;
}

/*
 * How many more servers must begin to close until everybody who waits for a slot will get one and
 * the budget is kept. Not above 0 in steady state; above 0 with idle servers left only after a
 * shrink.
 */
static inline int64_t lane__shortage(const struct lane_ledger *l)
{
	return (int64_t)l->slots + l->n_slot_waiters - l->budget -
	       ((int64_t)l->n_closing + l->n_evicting + l->n_promised);
}

/* Told nobody yet: the claim to close coming_idle can still be taken back. */
static inline bool lane__is_untold_eviction(const struct lane_ticket *t)
{
	return t->standing == LANE_TICKET_DELIVERED && t->coming == LANE_SOURCE_EVICT;
}

#endif
