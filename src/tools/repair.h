/* SPDX-License-Identifier: ISC */
/*
 * What differs is deleted from the server and noted in the outbox, from where the forwarder sends it
 * anew: one writer for each object, and an object that is stored anew is indexed anew, which a mere
 * overwriting does not always do. The note is made before the deletion, so that nothing is lost when
 * the program ends between the two, and after it, so that no delivery in between counts.
 */
#ifndef TOOLS_REPAIR_H
#define TOOLS_REPAIR_H

#include "tools/tool.h"

#define REPAIR_BATCH 100

struct repair_wish {
	const struct wv_class *class;
	const char *id;
	const char *type, *key, *organization; /* type NULL: nothing is noted; organization may be NULL */
	const char *tenant;		       /* NULL: none */
	bool is_there;			       /* on the server */
};

struct repair_item {
	const struct wv_class *class;
	char *id, *type, *key, *organization, *tenant;
	bool is_there;
};

struct repair {
	struct repair_item items[REPAIR_BATCH];
	unsigned n;
	uint64_t n_done;
};

/* false: told; what was not done yet is not. */
bool repair_add(struct repair *repair, struct tool *tool, const struct repair_wish *wish) WARN_UNUSED;
bool repair_flush(struct repair *repair, struct tool *tool) WARN_UNUSED;
void repair_release(struct repair *repair);

#endif
