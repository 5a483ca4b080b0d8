/* SPDX-License-Identifier: ISC */
#include "admin/portal.h"

#include "base/mem.h"

void names_init(struct names *names)
{
	memset(names, 0, sizeof(*names));
	LIST_INIT(&names->prepared);
	LIST_INIT(&names->portals);
}

static bool has_room(const struct names *names, const char *name, const char *text)
{
	return names->n < NAMES_MAX && names->n_bytes + strlen(name) + strlen(text) <= NAMES_MAX_BYTES;
}

static void count(struct names *names, const char *name, const char *text)
{
	names->n++;
	names->n_bytes += strlen(name) + strlen(text);
}

static void uncount(struct names *names, const char *name, const char *text)
{
	names->n--;
	names->n_bytes -= strlen(name) + strlen(text);
}

static void drop_prepared(struct names *names, struct prepared *prepared)
{
	uncount(names, prepared->name, prepared->text);
	LIST_REMOVE(prepared, link);
	mem_free(prepared->name);
	mem_free(prepared->text);
	mem_free(prepared);
}

static void drop_portal(struct names *names, struct portal *portal)
{
	uncount(names, portal->name, portal->text);
	LIST_REMOVE(portal, link);
	names->n_portals--;
	rows_release(&portal->rows);
	mem_free(portal->name);
	mem_free(portal->text);
	mem_free(portal->tag);
	mem_free(portal);
}

struct prepared *names_find_prepared(struct names *names, const char *name)
{
	struct prepared *prepared;

	LIST_FOREACH(prepared, &names->prepared, link)
		if (strcmp(prepared->name, name) == 0)
			return prepared;
	return NULL;
}

struct portal *names_find_portal(struct names *names, const char *name)
{
	struct portal *portal;

	LIST_FOREACH(portal, &names->portals, link)
		if (strcmp(portal->name, name) == 0)
			return portal;
	return NULL;
}

struct prepared *names_prepare(struct names *names, const char *name, const char *text)
{
	struct prepared *prepared;

	names_drop_prepared(names, name);
	if (!has_room(names, name, text))
		return NULL;
	prepared = mem_zalloc(sizeof(*prepared));
	prepared->name = mem_strdup(name);
	prepared->text = mem_strdup(text);
	LIST_INSERT_HEAD(&names->prepared, prepared, link);
	count(names, name, text);
	return prepared;
}

struct portal *names_bind(struct names *names, const char *name, const char *text)
{
	struct portal *portal;

	names_drop_portal(names, name);
	if (names->n_portals == PORTALS_MAX || !has_room(names, name, text))
		return NULL;
	portal = mem_zalloc(sizeof(*portal));
	portal->name = mem_strdup(name);
	portal->text = mem_strdup(text);
	rows_init(&portal->rows, (struct columns){ NULL, 0 });
	LIST_INSERT_HEAD(&names->portals, portal, link);
	names->n_portals++;
	count(names, name, text);
	return portal;
}

void names_drop_prepared(struct names *names, const char *name)
{
	struct prepared *prepared = names_find_prepared(names, name);

	if (prepared)
		drop_prepared(names, prepared);
}

void names_drop_portal(struct names *names, const char *name)
{
	struct portal *portal = names_find_portal(names, name);

	if (portal)
		drop_portal(names, portal);
}

void names_drop_all_prepared(struct names *names)
{
	while (!LIST_EMPTY(&names->prepared))
		drop_prepared(names, LIST_FIRST(&names->prepared));
}

void names_drop_all_portals(struct names *names)
{
	while (!LIST_EMPTY(&names->portals))
		drop_portal(names, LIST_FIRST(&names->portals));
}

void names_release(struct names *names)
{
	names_drop_all_prepared(names);
	names_drop_all_portals(names);
	MUST(names->n == 0 && names->n_bytes == 0);
}
