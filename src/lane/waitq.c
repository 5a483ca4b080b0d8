/* SPDX-License-Identifier: ISC */
/*
 * Who waits for a permit, and in which order. Each lane has one queue, plus one group for each pool
 * with a limit of its own that has waiters there: such a pool may be unable to use a permit that
 * others could.
 */
#include "lane/lane_priv.h"

#include "base/mem.h"

void lane__waitq_init(struct lane_waitq *q)
{
	q->filled = 0;
	for (unsigned p = 0; p <= LANE_PRIORITY_MAX; p++) {
		TAILQ_INIT(&q->by_priority[p]);
		q->n_by_priority[p] = 0;
	}
}

/* Bits of priority `from` and above. */
static uint32_t filled_from(const struct lane_waitq *q, unsigned from)
{
	return q->filled >> from << from;
}

/* Within a priority the order is that of arrival, so the first of each, ten at most, will do. */
struct lane_ticket *lane__waitq_first(
	const struct lane_ledger *l, const struct lane_waitq *q, unsigned from)
{
	struct lane_ticket *best = NULL;

	for (uint32_t left = filled_from(q, from); left; left &= left - 1) {
		struct lane_ticket *t = TAILQ_FIRST(&q->by_priority[__builtin_ctz(left)]);

		if (best == NULL || lane__is_before(l, t, best))
			best = t;
	}
	return best;
}

/*
 * Walks back from the end: at once for a new arrival, longer only when lane__regroup() merges
 * queues.
 */
static void waitq_insert(struct lane_waitq *q, struct lane_ticket *t)
{
	struct lane_ticket_list *list = &q->by_priority[t->priority];
	struct lane_ticket *after = TAILQ_LAST(list, lane_ticket_list);

	while (after && after->arrival > t->arrival)
		after = TAILQ_PREV(after, lane_ticket_list, queued);
	if (after)
		TAILQ_INSERT_AFTER(list, after, t, queued);
	else
		TAILQ_INSERT_HEAD(list, t, queued);
	q->n_by_priority[t->priority]++;
	q->filled |= UINT32_C(1) << t->priority;
}

static void waitq_remove(struct lane_waitq *q, struct lane_ticket *t)
{
	TAILQ_REMOVE(&q->by_priority[t->priority], t, queued);
	if (--q->n_by_priority[t->priority] == 0)
		q->filled &= ~(UINT32_C(1) << t->priority);
}

/*
 * All that wait age alike, so what decides between two is when they came and what their priorities
 * are worth: it can be said once for all.
 */
static uint64_t due_us(const struct lane_ledger *l, const struct lane_ticket *t)
{
	return t->enqueued_us + (LANE_PRIORITY_MAX - t->priority) * l->aging_us;
}

bool lane__is_before(
	const struct lane_ledger *l, const struct lane_ticket *a, const struct lane_ticket *b)
{
	if (a->priority == b->priority)
		return a->arrival < b->arrival;
	if (l->aging_us && due_us(l, a) != due_us(l, b))
		return due_us(l, a) < due_us(l, b);
	return a->priority > b->priority;
}

/*
 * The group the ticket waits in, or NULL for the lane's own queue. A swap keeps its server, so no
 * limit concerns it.
 */
static struct lane_group *group_of(const struct lane_ticket *t)
{
	if (t->standing == LANE_TICKET_WAITS_SWAP || t->pool->max_servers == 0)
		return NULL;
	return &t->pool->groups[t->home_lane];
}

static void insert(struct lane_ledger *l, struct lane_ticket *t)
{
	struct lane *lane = lane__queue_lane(l, t);
	struct lane_group *group = group_of(t);

	if (group == NULL) {
		waitq_insert(&lane->q, t);
		return;
	}
	if (group->q.filled == 0)
		TAILQ_INSERT_TAIL(&lane->groups, group, of_lane);
	waitq_insert(&group->q, t);
}

static void take_out(struct lane_ledger *l, struct lane_ticket *t)
{
	struct lane *lane = lane__queue_lane(l, t);
	struct lane_group *group = group_of(t);

	if (group == NULL) {
		waitq_remove(&lane->q, t);
		return;
	}
	waitq_remove(&group->q, t);
	if (group->q.filled == 0)
		TAILQ_REMOVE(&lane->groups, group, of_lane);
}

void lane__enqueue(struct lane_ledger *l, struct lane_ticket *t)
{
	struct lane *lane = lane__queue_lane(l, t);

	lane->n_waiting++;
	l->ports_to_wake |= l->ports_watching;
	if (t->standing == LANE_TICKET_WAITS_SWAP) {
		lane->n_swaps++;
		l->swaps[t->lane][t->wanted_lane]++;
	} else {
		t->pool->n_waiting++;
	}
	insert(l, t);
}

void lane__dequeue(struct lane_ledger *l, struct lane_ticket *t)
{
	struct lane *lane = lane__queue_lane(l, t);

	take_out(l, t);
	lane->n_waiting--;
	if (t->standing == LANE_TICKET_WAITS_SWAP) {
		lane->n_swaps--;
		l->swaps[t->lane][t->wanted_lane]--;
	} else {
		t->pool->n_waiting--;
	}
}

struct lane_ticket *lane__first_swap(
	const struct lane_ledger *l, const struct lane *lane, unsigned from, int held)
{
	struct lane_ticket *t, *best = NULL;

	for (uint32_t left = filled_from(&lane->q, from); left; left &= left - 1) {
		TAILQ_FOREACH(t, &lane->q.by_priority[__builtin_ctz(left)], queued) {
			if (t->standing == LANE_TICKET_WAITS_SWAP && (held < 0 || t->lane == held))
				break;
		}
		if (t && (best == NULL || lane__is_before(l, t, best)))
			best = t;
	}
	return best;
}

/*
 * While a shrink is being paid the sum of permits may be at the budget although this lane has one
 * free: then only a swap, which adds nothing to the sum, can be served.
 */
struct lane_ticket *lane__first_runnable(
	struct lane_ledger *l, const struct lane *lane, unsigned from)
{
	struct lane_ticket *best;
	struct lane_group *group;

	if (lane->n_waiting == 0)
		return NULL;
	if (UNLIKELY(l->in_use >= l->budget))
		return lane->n_swaps ? lane__first_swap(l, lane, from, -1) : NULL;
	best = lane__waitq_first(l, &lane->q, from);
	TAILQ_FOREACH(group, &lane->groups, of_lane) {
		struct lane_ticket *t = lane__waitq_first(l, &group->q, from);

		if (t && lane__pool_has_room(group->pool) &&
			(best == NULL || lane__is_before(l, t, best)))
			best = t;
	}
	return best;
}

/* Takes the pool's tickets out of one lane's queue, in order. */
static void extract(struct lane_ledger *l, struct lane *lane, struct lane_pool *pool,
	struct lane_ticket_list *out)
{
	unsigned index = (unsigned)(lane - l->lanes);
	struct lane_waitq *q = pool->max_servers ? &pool->groups[index].q : &lane->q;
	struct lane_ticket *t, *next;

	for (unsigned p = LANE_PRIORITY_MIN; p <= LANE_PRIORITY_MAX; p++) {
		TAILQ_FOREACH_SAFE(t, &q->by_priority[p], queued, next) {
			if (t->pool != pool)
				continue;
			take_out(l, t);
			TAILQ_INSERT_TAIL(out, t, queued);
		}
	}
}

/* Sets the limit and moves the pool's waiters to where it makes them wait. */
void lane__regroup(struct lane_ledger *l, struct lane_pool *pool, uint32_t max_servers)
{
	struct lane_ticket_list moved = TAILQ_HEAD_INITIALIZER(moved);
	struct lane_ticket *t;

	if (max_servers && pool->groups == NULL) {
		pool->groups = mem_zalloc(l->n_lanes * sizeof(*pool->groups));
		for (unsigned i = 0; i < l->n_lanes; i++) {
			pool->groups[i].pool = pool;
			lane__waitq_init(&pool->groups[i].q);
		}
	}
	if ((max_servers == 0) != (pool->max_servers == 0)) {
		for (unsigned i = 0; i < l->n_lanes; i++)
			extract(l, &l->lanes[i], pool, &moved);
	}
	pool->max_servers = max_servers;
	while ((t = TAILQ_FIRST(&moved)) != NULL) {
		TAILQ_REMOVE(&moved, t, queued);
		insert(l, t);
	}
}
