/* SPDX-License-Identifier: ISC */
/* Prepared statements and portals of a console client that speaks the extended protocol. Bounded; owner: its console. */
#ifndef ADMIN_PORTAL_H
#define ADMIN_PORTAL_H

#include "admin/rows.h"
#include "base/list.h"

#define NAMES_MAX 1000u
#define PORTALS_MAX 16u	/* each may hold a whole result */
#define NAMES_MAX_BYTES (1u << 20)

struct prepared {
	LIST_ENTRY(prepared) link;
	char *name; /* "": the unnamed one */
	char *text;
};

struct portal {
	LIST_ENTRY(portal) link;
	char *name;
	char *text;	 /* of its statement, which may be closed before it */
	uint64_t binary; /* columns to send in binary */
	bool executed;
	struct rows rows; /* its result, once executed */
	unsigned n_sent;
	char *tag;
};

struct names {
	LIST_HEAD(, prepared) prepared;
	LIST_HEAD(, portal) portals;
	unsigned n, n_portals;
	size_t n_bytes; /* of texts */
};

void names_init(struct names *names);
void names_release(struct names *names);
struct prepared *names_find_prepared(struct names *names, const char *name);
struct portal *names_find_portal(struct names *names, const char *name);
/* NULL: no room. One of the same name goes first. */
struct prepared *names_prepare(struct names *names, const char *name, const char *text);
struct portal *names_bind(struct names *names, const char *name, const char *text);
void names_drop_prepared(struct names *names, const char *name); /* nothing when there is none */
void names_drop_portal(struct names *names, const char *name);
void names_drop_all_prepared(struct names *names);
void names_drop_all_portals(struct names *names); /* the end of a transaction */

#endif
