/* SPDX-License-Identifier: ISC */
#include "session/expect.h"

#include "base/mem.h"

void expect_init(struct expect_queue *queue)
{
	queue->head = queue->n = queue->n_of_batch = 0;
	queue->cap = EXPECT_INLINE;
	queue->ring = queue->first;
}

void expect_release(struct expect_queue *queue)
{
	if (queue->ring != queue->first)
		mem_free(queue->ring);
	expect_init(queue);
}

void expect_clear(struct expect_queue *queue)
{
	expect_release(queue);
}

static void grow(struct expect_queue *queue)
{
	struct expect *ring = mem_alloc(2u * queue->cap * sizeof(*ring));
	uint32_t i;

	for (i = 0; i < queue->n; i++)
		ring[i] = *expect_at(queue, i);
	if (queue->ring != queue->first)
		mem_free(queue->ring);
	queue->ring = ring;
	queue->cap *= 2;
	queue->head = 0;
}

void expect_push(struct expect_queue *queue, struct expect expect)
{
	MUST(queue->n < EXPECT_MAX);
	if (queue->n == queue->cap)
		grow(queue);
	queue->n++;
	queue->n_of_batch += !(expect.flags & EXPECT_SWALLOW);
	*expect_at(queue, queue->n - 1) = expect;
}

void expect_batch_over(struct expect_queue *queue)
{
	uint32_t i;

	queue->n_of_batch = 0;
	for (i = 0; UNLIKELY(i < queue->n); i++)
		queue->n_of_batch += !(expect_at(queue, i)->flags & EXPECT_SWALLOW);
}
