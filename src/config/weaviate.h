/* SPDX-License-Identifier: ISC */
/*
 * The [entity:TYPE] and [collection:NAME] sections, and what belongs together among the keys of
 * Weaviate and the outbox.
 */
#ifndef CONFIG_WEAVIATE_H
#define CONFIG_WEAVIATE_H

#include "config/problems.h"
#include "config/reader.h"

bool weaviate_has_section(const char *section); /* is it one of the two kinds? */

/* Fills config's entities and collections from all entries. */
void weaviate_load(struct config *config, const struct config_entries *entries,
	struct config_problems *problems);

/*
 * Brings weaviate_url into its one form and sets weaviate_key. Again is harmless: it is called after
 * each SET, too. entries: as of load_check(). The key's file is read where may_read_files.
 */
void weaviate_settle(struct config *config, const struct config_entries *entries,
	bool may_read_files, struct config_problems *problems);

/* What no key can say alone; databases, lanes and classes are settled. */
void weaviate_check(const struct config *config, const struct config_entries *entries,
	struct config_problems *problems);

#endif
