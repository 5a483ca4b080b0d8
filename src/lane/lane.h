/* SPDX-License-Identifier: ISC */
/*
 * The ledger: permits of lanes and slots of the budget, the wait queues, and the registry of idle
 * servers. It is the only thing that all workers share, and it does no I/O: time comes in, sockets
 * never do. One mutex guards everything in it; each call locks it once, calls nobody while it holds
 * it, and costs O(1) (a slot search over pools apart). Invariants: src/lane/README.md.
 *
 * Words. A permit is the right to hold one server connection. A slot is one open server connection
 * as Postgres counts it: taken before connect(2), given back when the server's end of file was
 * read. A ticket is a client's (or service's) claim: it waits for a permit, then holds it. An idle
 * entry is embedded in an idle server and is in the registry or claimed by exactly one.
 *
 * Threads: any. Each worker (and the control thread) has a port, numbered from 0: what is granted
 * to a ticket that waited is delivered there. When a port's list goes from empty to filled,
 * wake(arg, port) is called after unlocking; the port's thread then calls lane_collect().
 */
#ifndef LANE_LANE_H
#define LANE_LANE_H

#include "base/base.h"
#include "base/list.h"

#define LANE_MAX 32	  /* lanes */
#define LANE_PORTS_MAX 64 /* workers and control */
#define LANE_PRIORITY_MIN 1
#define LANE_PRIORITY_MAX 10
#define LANE_PRIORITY_DEFAULT 5
#define LANE_PRIORITY_URGENT 8 /* from here the urgent lane may be used */
#define LANE_AGING_MAX_US UINT64_C(10000000000000000) /* three centuries */

struct lane_spec {
	char name[64];
	uint32_t size;	      /* permits */
	uint32_t max_waiting; /* queue bound; 0: unbounded by this lane */
	/*
	 * When this lane is full its statements take permits of spill_lane, as long as fewer than
	 * spill_below of those are in use and none of its own statements waits. 0: never.
	 */
	uint32_t spill_below;
	uint8_t spill_lane; /* another one, not the urgent lane */
	/* The lane `priority`, at most one: none of its own, serves 8..10 of full lanes. */
	bool urgent;
};

struct lane_pool; /* the account of one (database, user, endpoint): its idle servers, per port */
struct lane_ledger;

enum lane_ticket_state {
	LANE_TICKET_NONE,	  /* holds nothing */
	LANE_TICKET_WAITS_PERMIT, /* in its lane's queue */
	LANE_TICKET_WAITS_SLOT,	  /* holds the permit, queued for a slot */
	LANE_TICKET_DELIVERED,	  /* granted while waiting; lies in the port until lane_collect() */
	LANE_TICKET_HOLDS,	  /* holds the permit; its owner acts, or has acted, on it */
	LANE_TICKET_WAITS_SWAP,	  /* holds a permit of `lane`, queued for one of `wanted_lane` */
	LANE_TICKET_WAITS_LOGIN,  /* holds permit and slot, and opens no connection yet */
};

/* How the holder of a permit comes to its server. */
enum lane_source {
	/* The ticket already had a server (swap). */
	LANE_SOURCE_NONE,
	/* `idle`: of this pool, on this port; out of the registry, yours. */
	LANE_SOURCE_OWN_IDLE,
	/* `idle`: of this pool, on port idle->port; claimed: ask that worker to hand it over. */
	LANE_SOURCE_FOREIGN_IDLE,
	/* A slot was taken for you: open a connection. */
	LANE_SOURCE_SLOT,
	/*
	 * `idle`: claimed: have its worker close it; of a lane with more servers than permits, if
	 * there is one (README.md). You are queued for a slot (state WAITS_SLOT); it arrives at the
	 * port. So may, before that, another one to evict.
	 */
	LANE_SOURCE_EVICT,
	/* A server is closing already; you are queued for its slot (state WAITS_SLOT). */
	LANE_SOURCE_AWAIT_SLOT,
};

enum lane_idle_state { LANE_IDLE_OUT, LANE_IDLE_REGISTERED, LANE_IDLE_CLAIMED };

/*
 * Embedded in a server, zeroed with it. Owner: the server's worker while OUT; the ledger while
 * REGISTERED; the claimer's message while CLAIMED. The owner's worker sets pool and port, once; the
 * ledger has the rest.
 */
struct lane_idle {
	TAILQ_ENTRY(lane_idle) of_pool;
	TAILQ_ENTRY(lane_idle) of_lane; /* those counted for the same lane, least recently used first */
	struct lane_pool *pool;
	enum lane_idle_state state;
	uint8_t port;	       /* whose worker owns the server; moved by lane_claim_moved() */
	bool claimed_to_close; /* CLAIMED by an eviction, not by a move */
	uint8_t share;	       /* 1 + the lane that it is counted for; 0: it has served none yet */
	uint64_t used;	       /* order of the last use, over all idle */
};

/*
 * Embedded in a client. All fields belong to the ledger. `state`, `source` and `idle` change only
 * within calls of the owner's thread, which may read them at any time (so `state` is never
 * DELIVERED: what another thread granted shows after lane_collect()); lane and times while it does
 * not wait for a permit.
 */
struct lane_ticket {
	TAILQ_ENTRY(lane_ticket) queued; /* lane queue or port */
	struct lane_pool *pool;
	enum lane_ticket_state state;
	uint8_t lane;	     /* whose permit is held (not its own: urgent overflow, or spilled) */
	uint8_t home_lane;   /* whose queue it waits in, whose statement it is */
	uint8_t wanted_lane; /* WAITS_SWAP */
	uint8_t priority;    /* 1..10, 10 first */
	uint8_t port;
	enum lane_source source;
	bool is_of_listener; /* the owner's own: what it is embedded in (session/worker.c) */
	struct lane_idle *idle;
	uint64_t enqueued_us; /* mono_us of the arrival in the queue; 0 when it never waited */
	uint64_t granted_us;

	/* Not for the owner: the ticket as it stands, ahead of what its owner has been told. */
	TAILQ_ENTRY(lane_ticket) slot_queued;
	enum lane_ticket_state standing;
	enum lane_source coming;
	struct lane_idle *coming_idle;
	uint64_t arrival; /* order in which permits were asked for, over all lanes */
};

enum lane_verdict {
	/* State HOLDS (or WAITS_SLOT for EVICT and AWAIT_SLOT): act on ticket->source. */
	LANE_GRANTED,
	/* Wait: it will be delivered at the port, unless lane_abandon(). */
	LANE_QUEUED,
	/* max_waiting of the lane is reached; the ticket holds nothing (a swap: its old permit). */
	LANE_REFUSED,
};

/* The specs must sum to the budget: MUST. */
struct lane_ledger *lane_ledger_new(const struct lane_spec *specs, unsigned n_lanes,
	uint32_t budget, unsigned n_ports, void (*wake)(void *arg, unsigned port), void *arg);
/* MUST hold: nothing is held, queued or idle, and all pools are freed. */
void lane_ledger_free(struct lane_ledger **ledger);

/*
 * RELOAD: new sizes, bounds and budget at once; names and count of lanes stay. Growing serves
 * waiters now; where in_use > size the excess is paid as permits return (in_use <= max(size, in_use
 * at the change), falling); idle servers above the new budget are not handed out:
 * lane_excess_idle() gives them, claimed, one by one, to be closed, then NULL. Call it after a
 * resize or a lowered limit, and now and then later: what was handed out may come back.
 */
void lane_resize(struct lane_ledger *ledger, const struct lane_spec *specs, unsigned n_lanes,
	uint32_t budget);
struct lane_idle *lane_excess_idle(struct lane_ledger *ledger);
/*
 * How much waiting weighs as much as one step of priority, from now on and for those who wait
 * already: a waiter is overtaken only by those who come at most (their priority - its own) * step_us
 * after it. 0, as at first: by all of a higher priority. At most LANE_AGING_MAX_US.
 */
void lane_set_aging(struct lane_ledger *ledger, uint64_t step_us);
/*
 * The effective budget: no more slots than `limit`, whatever is configured (UINT32_MAX: no limit),
 * until the next call; resizes keep it. The lanes share it in proportion to their sizes, one permit
 * at least for each ordinary lane that has any; below that number the sum of permits that are in
 * use is what is limited. Takes effect as lane_resize(). A limit below what is open is paid like any
 * shrink, but then who holds a permit may have to wait for another holder to end (README.md).
 */
void lane_limit_budget(struct lane_ledger *ledger, uint32_t limit);
/*
 * While more than `keep` servers are open (closing ones apart) and nobody waits for a slot: the
 * least recently used idle one, claimed, to be closed. NULL: none.
 */
struct lane_idle *lane_surplus_idle(struct lane_ledger *ledger, uint32_t keep);

struct lane_pool *lane_pool_new(struct lane_ledger *ledger);
/* MUST: no idle entries, no tickets. */
void lane_pool_free(struct lane_ledger *ledger, struct lane_pool **pool);
/*
 * At most max_servers servers for the pool (0: no limit of its own), counted as permits held for it
 * plus idle. Its tickets beyond that wait in their place in the lane's order without holding up
 * other pools'. Lowering it makes lane_excess_idle() give the idle servers above it. Connecting
 * orphans count once they are idle.
 */
void lane_pool_limit(struct lane_ledger *ledger, struct lane_pool *pool, uint32_t max_servers);

/*
 * Its servers cannot be had at the moment, but it has some: its tickets get a permit only when an
 * idle server of the pool is there, and wait in their place until then, or until it is held no more.
 */
void lane_pool_hold(struct lane_ledger *ledger, struct lane_pool *pool, bool is_held);

/*
 * Asks for a permit and the way to a server of `pool`, for the ticket's first statement.
 * ticket->state must be NONE.
 */
enum lane_verdict lane_acquire(struct lane_ledger *ledger, struct lane_ticket *ticket,
	struct lane_pool *pool, unsigned lane, unsigned priority, unsigned port,
	uint64_t mono_us) WARN_UNUSED;
/*
 * A holder wants its permit to be of another lane, keeping its server: at once (GRANTED), later at
 * the port (QUEUED, source NONE), or REFUSED.
 */
enum lane_verdict lane_swap(struct lane_ledger *ledger, struct lane_ticket *ticket, unsigned lane,
	unsigned priority, uint64_t mono_us) WARN_UNUSED;
/*
 * A holder's statement has run too long for its lane: from here on it is one of lane `to`, with a
 * permit of that lane (not the urgent one), if one is free; the permit it had goes back at once.
 * false: none is free, and nothing happened. Never queues.
 */
bool lane_hop(struct lane_ledger *ledger, struct lane_ticket *ticket, unsigned to,
	uint64_t mono_us) WARN_UNUSED;
/*
 * Takes all that was delivered to the port, in order of delivery: calls take(arg, ticket) for each,
 * after unlocking; take may call the ledger. state is HOLDS or WAITS_SLOT by then. Returns the
 * number taken.
 */
unsigned lane_collect(struct lane_ledger *ledger, unsigned port,
	void (*take)(void *arg, struct lane_ticket *ticket), void *arg);
/*
 * The owner of a ticket gives up, in whatever state it waits (WAITS_*, DELIVERED): all that was
 * granted goes back (a claimed idle entry into the registry, a slot to the next). A swap falls back
 * to HOLDS: its old permit, or the new one when that was delivered already. No-op for NONE; MUST
 * not be HOLDS.
 */
void lane_abandon(struct lane_ledger *ledger, struct lane_ticket *ticket, uint64_t mono_us);
/*
 * Gives the permit back. `idle` (may be NULL) is the server that becomes idle with it: registered,
 * or handed at once to who waits. State becomes NONE. Returns false when the server must not stay
 * (budget or its pool's limit exceeded, or its slot is wanted by others with nothing else to
 * close): it was not registered, close it at once, beginning with lane_slot_closing().
 */
bool lane_release(struct lane_ledger *ledger, struct lane_ticket *ticket, struct lane_idle *idle,
	uint64_t mono_us) WARN_UNUSED;

/*
 * The server could not be had, because PostgreSQL takes no more (its slot is closing already): the
 * holder gives its permit back and waits for another one in its old place, as if it had not been
 * granted. It may be delivered before this returns. MUST: its source is SLOT, and it has neither
 * been swapped nor hopped since it asked. One in WAITS_LOGIN gives its slot back, too, unless a
 * server is on its way to it: then nothing happens.
 */
void lane_requeue(struct lane_ledger *ledger, struct lane_ticket *ticket, uint64_t mono_us);

/*
 * A holder with source SLOT does not connect yet (its worker has logins enough under way): state
 * WAITS_LOGIN. An idle server of its pool that comes first is delivered at the port, and the slot is
 * free for others; so may be one that is there already. MUST: it opened no connection.
 */
void lane_login_wait(struct lane_ledger *ledger, struct lane_ticket *ticket, uint64_t mono_us);
/*
 * The ticket's turn to log in. GRANTED: HOLDS with source SLOT, connect. QUEUED: not any more: a
 * server is on its way (lane_collect()), or a shrink took the slot, and it waits for a permit in its
 * old place as after lane_requeue().
 */
enum lane_verdict lane_login_begin(
	struct lane_ledger *ledger, struct lane_ticket *ticket, uint64_t mono_us) WARN_UNUSED;

/*
 * Slots. Every server's life: taken (by a grant or lane_slot_try) -> [orphan] -> idle and held in
 * turn -> closing -> released.
 */

/*
 * A slot without a permit, to open a connection ahead of demand: counts as orphan; never when
 * somebody waits for a slot.
 */
bool lane_slot_try(struct lane_ledger *ledger) WARN_UNUSED;
/* A connecting server's client went away (its permit too, just before or after). */
void lane_slot_orphan(struct lane_ledger *ledger);
/* A holder of a permit takes a connecting orphan as its own. */
void lane_slot_adopt(struct lane_ledger *ledger);
/* The orphan is logged in; as lane_release(). false: it is still an orphan, close it. */
bool lane_orphan_idle(
	struct lane_ledger *ledger, struct lane_idle *idle, uint64_t mono_us) WARN_UNUSED;
/* A slot's server begins to close (from held, or from orphan). */
void lane_slot_closing(struct lane_ledger *ledger, bool was_orphan);
/* Its end of file was read: only after lane_slot_closing() or lane_claim_closing(). */
void lane_slot_release(struct lane_ledger *ledger, uint64_t mono_us);

/*
 * The owner's worker takes its own idle server out (to close it: dead, too old); it counts as held
 * until lane_slot_closing(). false: it is claimed; the claimer's message is on its way to you.
 */
bool lane_idle_remove(struct lane_ledger *ledger, struct lane_idle *idle) WARN_UNUSED;
/* A claimed idle entry is closed: its slot is `closing` from here. */
void lane_claim_closing(struct lane_ledger *ledger, struct lane_idle *idle);
/* A claimed idle entry is handed over: now OUT, held by the claimer. */
void lane_claim_moved(struct lane_ledger *ledger, struct lane_idle *idle, unsigned new_port);
/*
 * The claimer of a FOREIGN_IDLE went away (its permit is back already) before the server was handed
 * over. As lane_release(); false: lane_claim_closing() it.
 */
bool lane_claim_undo(
	struct lane_ledger *ledger, struct lane_idle *idle, uint64_t mono_us) WARN_UNUSED;
/*
 * The promised server turned out dead (its slot is given back by its owner as closing/released,
 * just before or after): the holder needs another. As lane_acquire() for its source, GRANTED.
 */
enum lane_verdict lane_again(
	struct lane_ledger *ledger, struct lane_ticket *ticket, uint64_t mono_us) WARN_UNUSED;

/*
 * For holders that can do without their permit, and keep it while nobody needs it. Would it be of use to somebody who waits, if it came back now? May say so
 * for a few more than it would serve. MUST be HOLDS.
 */
bool lane_is_wanted(struct lane_ledger *ledger, const struct lane_ticket *ticket) WARN_UNUSED;
/* From now on the port is woken when anybody begins to wait for a permit, in whatever lane: it asks lane_is_wanted() of the holders that it knows. Once
 * before that too, as somebody may wait already. Or not any more. */
void lane_watch(struct lane_ledger *ledger, unsigned port, bool watches);

/* For the console and the sampler; a consistent copy. */
struct lane_reading {
	struct lane_spec spec; /* size: of the effective budget */
	uint32_t in_use, waiting;
	uint32_t waiting_by_priority[LANE_PRIORITY_MAX + 1];
	uint64_t oldest_enqueued_us; /* 0: nobody waits */
	/* By the lane whose statement it is; the urgent lane counts what it granted as well. */
	uint64_t n_granted, n_queued, n_refused, n_abandoned;
	uint64_t total_wait_us, max_wait_us; /* of the granted */
	/* Grants to this lane's statements from the lane it spills to; of its permits to others'. */
	uint64_t n_spilled_out, n_spilled_in;
	uint64_t n_hopped_out, n_hopped_in; /* statements that left this lane, and came to it */
	uint64_t avg_hold_us; /* of released permits, old ones fading; 0: none was released */
};
struct lane_totals {
	uint32_t budget;    /* as configured */
	uint32_t effective; /* what of it may be used: lane_limit_budget() */
	uint32_t slots, n_idle, n_closing, n_orphans, n_slot_waiters;
};
/* Returns the number of lanes. */
unsigned lane_read(struct lane_ledger *ledger, struct lane_reading out[LANE_MAX],
	struct lane_totals *totals_r);
/*
 * How long a newcomer of this priority will wait in the lane as it was read: whom it would let pass,
 * at the rate at which the permits in use come back lately. 0: not known, none was released yet.
 */
uint64_t lane_estimate_wait_us(const struct lane_reading *reading, unsigned priority);
/* Asserts every invariant, O(everything): for tests, and after a reload. */
void lane_check(struct lane_ledger *ledger);

#endif
