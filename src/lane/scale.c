/* SPDX-License-Identifier: ISC */
#include "lane/scale.h"

#include <stdio.h>
#include <string.h>

void scale_init(struct scale *scale)
{
	memset(scale, 0, sizeof(*scale));
	scale->effective = scale->stuck_at = SCALE_WHOLE;
}

const char *scale_event_name(enum scale_event event)
{
	static const char *const names[] = {
		[SCALE_WARM] = "warm",
		[SCALE_UP] = "up",
		[SCALE_DOWN] = "down",
		[SCALE_SHRINK] = "shrink",
		[SCALE_PROBE] = "probe",
		[SCALE_RECOVER] = "recover",
	};

	return names[event];
}

/* ---- opening and closing ---- */

static uint32_t ceiling_of(const struct scale *scale, const struct scale_settings *settings)
{
	return MIN_OF(settings->budget, scale->effective);
}

static bool is_at_threshold(const struct scale_settings *settings, const struct scale_reading *now)
{
	return (uint64_t)now->in_use * 1000 >= (uint64_t)now->open * settings->threshold_permille;
}

static void aim_at(struct scale *scale, uint32_t aim, bool is_warm, const struct scale_reading *now)
{
	scale->aim = aim;
	scale->aim_is_warm = is_warm;
	scale->aim_until_us = now->now_us + SCALE_PATIENCE_US;
}

static bool decide_warm(struct scale *scale, const struct scale_settings *settings,
	const struct scale_reading *now, struct scale_decision *out)
{
	uint32_t warm = MIN_OF(settings->warm_min, ceiling_of(scale, settings));

	if (now->n_clients == 0 || now->open >= warm || now->open == scale->stuck_at)
		return false;
	aim_at(scale, warm, true, now);
	out->event = SCALE_WARM;
	out->n = warm - now->open;
	(void)snprintf(out->why, sizeof(out->why), "%u open, warm_min %u", now->open,
		settings->warm_min);
	return true;
}

static bool decide_up(struct scale *scale, const struct scale_settings *settings,
	const struct scale_reading *now, struct scale_decision *out)
{
	uint32_t ceiling = ceiling_of(scale, settings);

	if (settings->step == 0 || now->in_use == 0 || now->open == 0 || now->open >= ceiling ||
		now->open == scale->stuck_at)
		return false;
	aim_at(scale, MIN_OF(now->open + settings->step, ceiling), false, now);
	out->event = SCALE_UP;
	out->n = scale->aim - now->open;
	(void)snprintf(out->why, sizeof(out->why), "%u of %u open in use, threshold %u.%03u",
		now->in_use, now->open, settings->threshold_permille / 1000,
		settings->threshold_permille % 1000);
	return true;
}

/* What stays open: enough that the rest is below the threshold still, or it would open them again. */
static uint32_t keep_of(const struct scale_settings *settings, const struct scale_reading *now)
{
	uint64_t needed = (uint64_t)now->in_use * 1000 / settings->threshold_permille + 1;

	return (uint32_t)MAX_OF(MAX_OF(needed, (uint64_t)settings->warm_min), (uint64_t)now->kept);
}

static bool decide_down(struct scale *scale, const struct scale_settings *settings,
	const struct scale_reading *now, struct scale_decision *out)
{
	uint32_t keep = keep_of(settings, now);

	if (scale->below_since_us == 0)
		scale->below_since_us = now->now_us;
	if (settings->down_delay_us == 0 || settings->step == 0 || now->open <= keep ||
		now->now_us - scale->below_since_us < settings->down_delay_us)
		return false;
	scale->below_since_us = now->now_us;
	out->event = SCALE_DOWN;
	out->n = MIN_OF(settings->step, now->open - keep);
	(void)snprintf(out->why, sizeof(out->why), "%u of %u open in use, for %llu s", now->in_use,
		now->open, (unsigned long long)(settings->down_delay_us / 1000000));
	return true;
}

/* Pools have limits of their own, and servers may be away: an aim may be out of reach. */
static void follow_aim(struct scale *scale, const struct scale_reading *now)
{
	if (now->open != scale->stuck_at)
		scale->stuck_at = SCALE_WHOLE;
	if (scale->aim == 0)
		return;
	if (now->open < scale->aim && now->now_us >= scale->aim_until_us)
		scale->stuck_at = now->open;
	if (now->open >= scale->aim || now->n_clients == 0 || now->now_us >= scale->aim_until_us)
		scale->aim = 0;
}

bool scale_open_or_close(struct scale *scale, const struct scale_settings *settings,
	const struct scale_reading *now, struct scale_decision *out)
{
	bool is_opening;

	follow_aim(scale, now);
	scale->aim = MIN_OF(scale->aim, ceiling_of(scale, settings));
	is_opening = scale->aim > now->open;
	if (now->in_use > 0 && is_at_threshold(settings, now)) {
		scale->below_since_us = 0;
		if (is_opening && !scale->aim_is_warm)
			return false;
		return (!is_opening && decide_warm(scale, settings, now, out)) ||
		       (now->open >= settings->warm_min && decide_up(scale, settings, now, out));
	}
	if (!is_opening && decide_warm(scale, settings, now, out))
		return true;
	return decide_down(scale, settings, now, out);
}

uint32_t scale_logins(const struct scale *scale, const struct scale_reading *now)
{
	return scale->aim > now->open ? MIN_OF(scale->aim - now->open, SCALE_LOGINS_PER_S) : 0;
}

/* ---- the effective budget ---- */

bool scale_refused(struct scale *scale, const struct scale_settings *settings, uint32_t n_open,
	uint64_t now_us, struct scale_decision *out)
{
	bool was_whole = scale->effective == SCALE_WHOLE;
	bool was_probe = scale->is_probing && now_us < scale->probe_us + SCALE_BACKOFF_MAX_US;
	uint32_t before = scale->effective;

	if (was_probe)
		scale->backoff_us = MIN_OF(2 * scale->backoff_us, (uint64_t)SCALE_BACKOFF_MAX_US);
	else if (was_whole)
		scale->backoff_us = SCALE_BACKOFF_MIN_US;
	scale->is_probing = false;
	scale->effective = MIN_OF(ceiling_of(scale, settings), n_open);
	scale->refused_at = n_open;
	scale->probe_step = 1;
	scale->probe_us = now_us + scale->backoff_us;
	out->event = SCALE_SHRINK;
	out->n = scale->effective;
	(void)snprintf(out->why, sizeof(out->why), "PostgreSQL refused one beside %u; next try in %llu s",
		n_open, (unsigned long long)(scale->backoff_us / 1000000));
	return was_probe || scale->effective != before;
}

/* Never below what is open; and one more than at the last refusal shows that there is room again. */
bool scale_logged_in(struct scale *scale, uint32_t n_open, uint64_t now_us)
{
	if (scale->effective == SCALE_WHOLE)
		return false;
	if (n_open > scale->refused_at) {
		scale->refused_at = n_open;
		scale->is_probing = false;
		scale->backoff_us = SCALE_BACKOFF_MIN_US;
		scale->probe_us = MIN_OF(scale->probe_us, now_us + scale->backoff_us);
	}
	if (n_open <= scale->effective)
		return false;
	scale->effective = n_open;
	return true;
}

bool scale_probe(struct scale *scale, const struct scale_settings *settings, uint64_t now_us,
	struct scale_decision *out)
{
	uint32_t raised;

	if (scale->effective == SCALE_WHOLE)
		return false;
	if (now_us < scale->probe_us && scale->effective < settings->budget)
		return false;
	raised = scale->effective + scale->probe_step;
	(void)snprintf(out->why, sizeof(out->why), "%llu s without a refusal",
		(unsigned long long)(scale->backoff_us / 1000000));
	scale->probe_us = now_us + scale->backoff_us;
	scale->is_probing = true;
	if (raised >= settings->budget) {
		scale->effective = SCALE_WHOLE;
		out->event = SCALE_RECOVER;
		out->n = settings->budget;
		return true;
	}
	scale->effective = raised;
	scale->probe_step = MIN_OF(2 * scale->probe_step, SCALE_PROBE_MAX);
	out->event = SCALE_PROBE;
	out->n = raised;
	return true;
}
