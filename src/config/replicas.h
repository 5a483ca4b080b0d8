/* SPDX-License-Identifier: ISC */
/*
 * What `replicas` of [databases] and `target` of lanes mean together: names become entries that
 * exist and fit, and what cannot work is a problem.
 */
#ifndef CONFIG_REPLICAS_H
#define CONFIG_REPLICAS_H

#include "config/problems.h"
#include "config/reader.h"

/* Fills config->targets_replica. */
void replicas_resolve(struct config *config, const struct config_entries *entries,
	struct config_problems *problems);

#endif
