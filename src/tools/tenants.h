/* SPDX-License-Identifier: ISC */
/* The tenants that a class has on the server; a class without any has one that has no name. */
#ifndef TOOLS_TENANTS_H
#define TOOLS_TENANTS_H

#include "tools/tool.h"

struct tenants {
	cJSON *json;
	const char **names; /* NULL is the name of the one */
	int n;
};

/* false: the server does not say, or some of them are not active and cannot be read; it was told. */
bool tenants_read(struct tenants *tenants, struct tool *tool, const struct wv_class *class) WARN_UNUSED;
void tenants_release(struct tenants *tenants);

#endif
