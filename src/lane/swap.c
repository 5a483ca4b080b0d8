/* SPDX-License-Identifier: ISC */
/*
 * Swaps that wait for each other. A ticket that waits for a permit of lane X keeps one of lane H;
 * were there a chain of such tickets from X back to H, none of them would ever be served. The last
 * one to come closes such a ring, so it is found at its arrival, and all of the ring exchange their
 * permits at once: no lane's count changes, and nobody outside loses anything.
 */
#include "lane/lane_priv.h"

/* Breadth first over lanes: came_from[i] is the lane before i on the way from `from`. */
static bool find_way(
	const struct lane_ledger *l, unsigned from, unsigned to, uint8_t came_from[LANE_MAX])
{
	uint8_t todo[LANE_MAX];
	unsigned head = 0, tail = 0;
	uint32_t seen = UINT32_C(1) << from;

	todo[tail++] = (uint8_t)from;
	while (head < tail) {
		unsigned here = todo[head++];

		if (here == to)
			return true;
		for (unsigned i = 0; i < l->n_lanes; i++) {
			if (l->swaps[here][i] == 0 || (seen & UINT32_C(1) << i))
				continue;
			seen |= UINT32_C(1) << i;
			came_from[i] = (uint8_t)here;
			todo[tail++] = (uint8_t)i;
		}
	}
	return false;
}

static void exchange(struct lane_ledger *l, struct lane_ticket *t, unsigned to)
{
	t->lane = t->home_lane = (uint8_t)to;
	t->granted_us = l->now_us;
	lane__count_grant(l, t);
}

bool lane__swap_round(struct lane_ledger *l, struct lane_ticket *t, unsigned lane)
{
	uint8_t came_from[LANE_MAX];

	if (!find_way(l, lane, t->lane, came_from))
		return false;
	for (unsigned to = t->lane; to != lane; to = came_from[to]) {
		struct lane_ticket *other = lane__first_swap(
			l, &l->lanes[to], LANE_PRIORITY_MIN, came_from[to]);

		MUST(other != NULL); /* a swap is counted that is not queued */
		lane__dequeue(l, other);
		exchange(l, other, to);
		other->coming = LANE_SOURCE_NONE;
		other->coming_idle = NULL;
		lane__deliver(l, other);
	}
	exchange(l, t, lane);
	return true;
}
