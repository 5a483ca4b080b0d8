/* SPDX-License-Identifier: ISC */
/*
 * The ledger said again, naively: plain arrays, every count recounted and every choice searched for
 * by its definition, and after every operation everything is served that can be. What prop_ledger.c
 * compares src/lane with.
 *
 * Unlike the ledger it knows each server by name, so it can also say who holds a permit without a
 * server.
 */
#ifndef TESTS_LANE_MODEL_H
#define TESTS_LANE_MODEL_H

#include "lane/lane.h"

#define MODEL_TICKETS 24
#define MODEL_SERVERS 20
#define MODEL_POOLS 4
#define MODEL_PORTS 3
#define MODEL_LANES 6

enum model_where {
	WHERE_NOWHERE, /* does not exist */
	WHERE_HELD,    /* owner -1: its ticket is gone, or has asked for another already */
	WHERE_ORPHAN,
	WHERE_IDLE,
	WHERE_MOVING,	/* claimed for owner; owner -1: the claimer went away */
	WHERE_EVICTING, /* claimed to close; owner: who has not been told yet */
	WHERE_CLOSING,
	WHERE_LOOSE, /* within one operation: between two accounts */
};

struct model_server {
	enum model_where where;
	int pool, port;
	int owner;
	bool must_close; /* was refused as idle */
	int share;	 /* the lane that it is counted for; -1: it has served none */
	uint64_t used;
};

struct model_ticket {
	enum lane_ticket_state state; /* as the owner knows it */
	bool is_delivered;
	bool in_slot_queue;
	bool was_swapped;
	int pool, port;
	int lane, home, wanted, priority;
	uint64_t arrival, slot_arrival, login_arrival, delivery; /* orders */
	enum lane_source source, coming;
	int server, coming_server; /* of source and coming; -1 */
	uint64_t enqueued_us, granted_us;
};

struct model_lane {
	struct lane_spec spec;
	uint64_t n_granted, n_queued, n_refused, n_abandoned, total_wait_us, max_wait_us;
	uint64_t n_spilled_out, n_spilled_in, n_hopped_out, n_hopped_in;
	uint64_t held_us, n_held;
};

struct model {
	int n_lanes, n_ports, n_pools, urgent;
	uint32_t budget;
	uint32_t max_servers[MODEL_POOLS];
	bool is_held[MODEL_POOLS];
	uint32_t n_promised;
	uint64_t clock, now_us, aging_us;
	uint32_t woken; /* ports, since the harness last cleared it */
	struct model_lane lanes[MODEL_LANES];
	struct model_ticket tickets[MODEL_TICKETS];
	struct model_server servers[MODEL_SERVERS];
};

void model_init(struct model *m, const struct lane_spec *specs, int n_lanes, uint32_t budget,
	int n_ports, int n_pools);

enum lane_verdict model_acquire(struct model *m, int t, int pool, int lane, int priority, int port);
enum lane_verdict model_swap(struct model *m, int t, int lane, int priority);
bool model_hop(struct model *m, int t, int lane);
enum lane_verdict model_again(struct model *m, int t);
void model_abandon(struct model *m, int t);
bool model_release(struct model *m, int t, int server); /* -1: without one */
int model_collect(struct model *m, int port); /* the next ticket delivered there, told; or -1 */
void model_resize(struct model *m, const struct lane_spec *specs, uint32_t budget);
void model_hold(struct model *m, int pool, bool is_held);
void model_limit(struct model *m, int pool, uint32_t max_servers);
void model_aging(struct model *m, uint64_t step_us);
int model_excess_idle(struct model *m); /* the server, or -1 */
int model_surplus_idle(struct model *m, uint32_t keep);
void model_requeue(struct model *m, int t);
void model_login_wait(struct model *m, int t);
enum lane_verdict model_login_begin(struct model *m, int t);

bool model_slot_try(struct model *m, int pool, int port, int *server_r);
bool model_orphan_idle(struct model *m, int server);
void model_closing(struct model *m, int server); /* from held or orphan */
void model_eof(struct model *m, int server);
bool model_idle_remove(struct model *m, int server);
void model_claim_closing(struct model *m, int server);
void model_claim_moved(struct model *m, int server);
bool model_claim_undo(struct model *m, int server);

int model_server_of(const struct model *m, int t); /* held by it, or moving to it; or -1 */
bool model_holds_permit(const struct model_ticket *t);
bool model_waits_in_lane(const struct model_ticket *t);
int model_queue_lane(const struct model_ticket *t);
uint32_t model_in_use(const struct model *m, int lane); /* -1: all */
uint32_t model_count(const struct model *m, enum model_where where);
uint32_t model_slots(const struct model *m);
uint32_t model_slot_waiters(const struct model *m);
uint32_t model_servers(const struct model *m, int lane); /* permits in use, and idle servers counted for it */

#endif
