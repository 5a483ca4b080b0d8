/* SPDX-License-Identifier: ISC */
#include "service/breaker.h"

bool breaker_allows(struct breaker *breaker, uint32_t failures, uint64_t now_us)
{
	if (failures == 0 || breaker->open_until_us == 0)
		return true;
	if (now_us < breaker->open_until_us || breaker->is_trying)
		return false;
	breaker->is_trying = true;
	return true;
}

void breaker_succeeded(struct breaker *breaker)
{
	breaker->n_failures = 0;
	breaker->open_until_us = 0;
	breaker->is_trying = false;
}

void breaker_failed(struct breaker *breaker, uint32_t failures, uint64_t pause_us, uint64_t now_us)
{
	bool was_open = breaker->open_until_us != 0;

	if (was_open && !breaker->is_trying)
		return; /* it began before it opened: that is known already */
	breaker->is_trying = false;
	if (breaker->n_failures < UINT32_MAX)
		breaker->n_failures++;
	if (failures == 0 || (!was_open && breaker->n_failures < failures))
		return;
	breaker->open_until_us = now_us + pause_us;
	breaker->n_opened++;
}

void breaker_abstained(struct breaker *breaker)
{
	breaker->is_trying = false;
}

const char *breaker_state(const struct breaker *breaker, uint64_t now_us)
{
	if (breaker->open_until_us == 0)
		return "closed";
	return now_us < breaker->open_until_us ? "open" : "half-open";
}
