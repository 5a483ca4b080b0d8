/* SPDX-License-Identifier: ISC */
/*
 * A circuit breaker. Closed: everything passes. After `failures` failures in a row it opens: for
 * `pause` nothing passes, so that nobody waits for what is down. Then it is half open: one attempt
 * passes, and its outcome closes it, or opens it again. Pure: the present time comes in. One thread.
 */
#ifndef SERVICE_BREAKER_H
#define SERVICE_BREAKER_H

#include "base/base.h"

struct breaker {
	uint32_t n_failures; /* in a row */
	uint64_t open_until_us; /* mono; 0: closed */
	bool is_trying;		/* half open, the attempt is under way */
	uint64_t n_opened;
};

/* May an attempt be made? Who gets true says how it went: breaker_succeeded(), breaker_failed(), or
 * breaker_abstained() when it tells nothing. failures 0: always. */
bool breaker_allows(struct breaker *breaker, uint32_t failures, uint64_t now_us) WARN_UNUSED;
void breaker_succeeded(struct breaker *breaker);
void breaker_failed(
	struct breaker *breaker, uint32_t failures, uint64_t pause_us, uint64_t now_us);
void breaker_abstained(struct breaker *breaker);
/* "closed", "open" or "half-open" */
const char *breaker_state(const struct breaker *breaker, uint64_t now_us);

#endif
