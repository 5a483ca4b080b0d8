/* SPDX-License-Identifier: ISC */
/* Holders that can do without their permit: whether somebody waits for it, and how they hear of that. */
#include "lane/lane_priv.h"

static bool has_urgent(const struct lane *lane)
{
	const struct lane_group *group;

	if (lane->q.filled >> LANE_PRIORITY_URGENT)
		return true;
	TAILQ_FOREACH(group, &lane->groups, of_lane)
		if (group->q.filled >> LANE_PRIORITY_URGENT)
			return true;
	return false;
}

static bool is_wanted_in(const struct lane_ledger *l, const struct lane_ticket *t, unsigned i)
{
	const struct lane *lane = &l->lanes[i];

	if (lane->n_waiting == 0)
		return false;
	/* The lane has a permit, so the sum of permits stands in the way, or the pools of those who wait. */
	if (lane__has_permit(lane))
		return l->in_use >= l->budget || (t->pool->max_servers && t->pool->groups[i].q.filled);
	if (t->lane == i || ((int)t->lane == l->urgent && has_urgent(lane)))
		return true; /* if not yet, with one that comes behind it: of the pool of who waits */
	return t->lane == lane->spec.spill_lane && l->lanes[t->lane].in_use <= lane->spec.spill_below;
}

bool lane_is_wanted(struct lane_ledger *l, const struct lane_ticket *t)
{
	bool wanted = false;

	MUST(t->state == LANE_TICKET_HOLDS);
	lane__lock(l, 0);
	for (unsigned i = 0; i < l->n_lanes && !wanted; i++)
		wanted = is_wanted_in(l, t, i);
	lane__finish(l);
	return wanted;
}

void lane_watch(struct lane_ledger *l, unsigned port, bool watches)
{
	uint64_t bit = UINT64_C(1) << port;

	MUST(port < l->n_ports);
	lane__lock(l, 0);
	l->ports_watching = watches ? l->ports_watching | bit : l->ports_watching & ~bit;
	lane__finish(l);
}
