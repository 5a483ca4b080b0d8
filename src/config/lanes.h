/* SPDX-License-Identifier: ISC */
/*
 * The [lane:NAME] sections on top of the five default lanes: a section of a default name changes
 * only the keys it gives, another name adds a lane. A class that a section claims leaves the lane
 * that had it by default; two sections that claim it are a mistake.
 */
#ifndef CONFIG_LANES_H
#define CONFIG_LANES_H

#include "config/problems.h"
#include "config/reader.h"

#define LANES_SECTION_PREFIX "lane:"

/* Fills config's lanes, lane_of_class and urgent_lane from all entries. */
void lanes_load(struct config *config, const struct config_entries *entries,
	struct config_problems *problems);

/* sum(permits) == budget. place: what to name. */
void lanes_check_sum(const struct config *config, const struct config_place *place,
	struct config_problems *problems);

/* Each line of [rules] that check_rule does not like is a mistake. Behind the lanes: rules name them. */
void lanes_check_rules(const struct config *config, const struct config_entries *entries,
	config_rule_check *check_rule, struct config_problems *problems);

/* The default lanes as sections of an example, their keys commented out. */
void lanes_write_defaults(struct strbuf *out);

#endif
