/* SPDX-License-Identifier: ISC */
/*
 * A ledger, its model, and the tickets and servers of some imagined workers. A step is one
 * operation with small operands; it is done to both, and everything that can be seen is compared. A
 * step that makes no sense as things stand does nothing, so any part of a history is a history.
 */
#ifndef TESTS_LANE_WORLD_H
#define TESTS_LANE_WORLD_H

#include "model.h"

struct step {
	uint8_t op, a, b, c, d;
};

struct world {
	struct lane_ledger *ledger;
	struct lane_pool *pools[MODEL_POOLS];
	struct lane_ticket tickets[MODEL_TICKETS];
	struct lane_idle idle[MODEL_SERVERS];
	struct model model;
	struct lane_spec specs[MODEL_LANES];
	int n_tickets;
	uint64_t now_us, n_applied;
	uint32_t woken;
	uint32_t last_in_use[MODEL_LANES], last_slots;
	uint32_t budget, limit; /* as configured; of the effective budget */
};

/* Lanes, pools and ports follow from the seed. */
struct world *world_new(uint64_t seed);
/* false: not applicable. A difference aborts. */
bool world_apply(struct world *w, struct step step);
/* Holders finish, servers close, and everybody must get served; then frees. */
void world_drain(struct world *w);

unsigned world_n_ops(void);
const char *world_op_name(unsigned op);
unsigned world_op_weight(unsigned op);

static inline uint64_t mix64(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

#endif
