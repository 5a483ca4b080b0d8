/* SPDX-License-Identifier: ISC */
/*
 * Which lane an idle server is counted for, and which idle server goes first when one has to. The
 * rule and its proof: README.md, "Whose server is evicted".
 */
#include "lane/lane_priv.h"

/*
 * A server came back from a statement of this lane. It is counted for the lane, unless that has as
 * many servers as permits already, and the one it was counted for has not: who only borrowed it
 * takes it from nobody.
 */
void lane__count_idle_for(struct lane_ledger *l, struct lane_idle *idle, unsigned lane)
{
	unsigned before = idle->share;

	if (UNLIKELY(lane__servers(l, lane) >= l->lanes[lane].spec.size) && before > 0 &&
		lane__servers(l, before - 1) < l->lanes[before - 1].spec.size)
		return;
	idle->share = (uint8_t)(lane + 1);
}

/* More servers are counted for it than it has permits. */
static bool is_beyond_share(const struct lane_ledger *l, unsigned share)
{
	return share == 0 || lane__servers(l, share - 1) > l->lanes[share - 1].spec.size;
}

/* The least recently used of all, or of those that are beyond their lane's share. */
struct lane_idle *lane__oldest_idle(struct lane_ledger *l, bool beyond_share_only)
{
	struct lane_idle *best = NULL;

	for (unsigned i = 0; i <= l->n_lanes; i++) {
		struct lane_idle *idle = TAILQ_FIRST(&l->shares[i].idle);

		if (idle == NULL || (beyond_share_only && !is_beyond_share(l, i)))
			continue;
		if (best == NULL || idle->used < best->used)
			best = idle;
	}
	return best;
}

/*
 * Which is closed for a ticket of this lane: no other lane loses one that it has a permit for, while
 * there is any choice (README.md: there is, but for orphans and shrinks).
 */
struct lane_idle *lane__victim_for(struct lane_ledger *l, unsigned lane)
{
	struct lane_idle *idle = lane__oldest_idle(l, true);

	if (idle == NULL)
		idle = TAILQ_FIRST(&l->shares[lane + 1].idle);
	return idle ? idle : lane__oldest_idle(l, false);
}

/*
 * The least recently used server of a pool above its own limit, which is searched for over all
 * pools.
 */
struct lane_idle *lane__idle_above_limit(struct lane_ledger *l)
{
	struct lane_idle *idle, *best = NULL;

	for (unsigned i = 0; i <= l->n_lanes; i++) {
		TAILQ_FOREACH(idle, &l->shares[i].idle, of_lane) {
			const struct lane_pool *pool = idle->pool;

			if (pool->max_servers &&
				pool->n_permits + pool->n_idle > pool->max_servers)
				break;
		}
		if (idle && (best == NULL || idle->used < best->used))
			best = idle;
	}
	return best;
}
