/* SPDX-License-Identifier: ISC */
/*
 * One object of the server against one entity of Postgres, while both may change.
 *
 * A difference is one only if it cannot be a delivery that is under way. A note that waits says that
 * it is. Without a note, all that the server was told is delivered; if something was delivered since
 * the object was read (its metadata changed since), the object has to be read again.
 */
#ifndef TOOLS_COMPARE_H
#define TOOLS_COMPARE_H

#include "tools/lookup.h"

enum verdict {
	VERDICT_SAME,
	VERDICT_PENDING,
	VERDICT_UNSETTLED, /* read the object again */
	VERDICT_MISSING,
	VERDICT_DIFFERENT,
	VERDICT_EXTRA,
	VERDICT_UNRECORDED, /* as it should be, and ml_vector_metadata does not say so */
};

/* key: of the entity. found: the server's object, NULL: none. tenant: whose shard was looked at; NULL: the class has none. why: gets what differs. */
enum verdict compare_object(const struct tool_type *type, const char *tenant, const char *key, const cJSON *found,
	const struct lookup_row *row, struct strbuf *why);

/* Reads both until they hold still. false: told. */
bool compare_settle(struct tool *tool, const struct tool_type *type, const char *tenant, const char *key,
	struct strbuf *why, enum verdict *verdict_r) WARN_UNUSED;

bool compare_needs_vectors(const struct tool_type *type);

#endif
