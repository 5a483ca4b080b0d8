/* SPDX-License-Identifier: ISC */
/*
 * A snapshot's life: made empty, filled by load.c, frozen, copied for SET, freed with its last
 * reference.
 */
#ifndef CONFIG_SNAPSHOT_H
#define CONFIG_SNAPSHOT_H

#include "config/config.h"

struct config *snapshot_new(
	bool pgbouncer) WARN_UNUSED; /* every key at its default; one reference */
struct config *snapshot_copy(const struct config *config) WARN_UNUSED; /* deep; one reference */
void snapshot_release_secrets(struct config *config);
void snapshot_release_weaviate_key(struct config *config);
void snapshot_release_lanes(struct config *config);
void snapshot_copy_lanes(struct config *to,
	const struct config *from); /* lanes, what points at them, and the budget; `to` has none */

/* Sorts entries by name and keeps the last of each. */
void snapshot_sort_databases(struct config *config);
void snapshot_sort_users(struct config *config);
void snapshot_sort_secrets(struct config *config);
void snapshot_sort_entities(struct config *config); /* and collections */

#endif
