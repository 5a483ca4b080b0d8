/* SPDX-License-Identifier: ISC */
/*
 * Two passes over each class. The first reads the server's objects by its cursor, page by page, and
 * asks Postgres for the entities of each page; who was met is kept in a set. The second reads the
 * ids of the entities in their order and asks the set. So the orders of the two sides need not
 * agree, and memory is bounded whatever their sizes: a page, and the set's.
 */
#include "base/mem.h"
#include "service/wv_id.h"
#include "service/wv_seen.h"
#include "tools/compare.h"
#include "tools/counts.h"
#include "tools/progress.h"
#include "tools/repair.h"
#include "tools/tenants.h"

#include <ctype.h>
#include <inttypes.h>

#define PAGE_OBJECTS 1000u
#define PAGE_OBJECTS_WITH_VECTORS 200u
#define SEEN_BYTES ((size_t)32 << 20) /* for each type: two million ids */
#define N_TOLD_MAX 100		      /* differences of a class that are told one by one */

struct reconcile {
	struct tool *tool;
	const struct wv_class *class;
	const struct tool_type *types; /* those of the class */
	unsigned n_types;
	struct wv_seen **seen; /* one for each type */
	const char *tenant;
	bool with_vectors;
	char *since; /* the database's clock, before the present page was read */
	struct progress progress;
	struct repair repair;
	uint64_t n_objects, n_pending, n_missing, n_different, n_extra, n_unknown, n_unrecorded;
};

static uint64_t n_differences(const struct reconcile *r)
{
	return r->n_missing + r->n_different + r->n_extra + r->n_unknown + r->n_unrecorded;
}

static bool read_uuid(const char *text, uint8_t bytes_r[static WV_SEEN_BYTES])
{
	size_t n = 0;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '-')
			continue;
		if (!isxdigit((unsigned char)*p) || n == 2 * WV_SEEN_BYTES)
			return false;
		unsigned digit = isdigit((unsigned char)*p) ? (unsigned)(*p - '0')
							    : (unsigned)(tolower((unsigned char)*p) - 'a' + 10);
		bytes_r[n / 2] = (uint8_t)(n % 2 == 0 ? digit << 4 : bytes_r[n / 2] | digit);
		n++;
	}
	return n == 2 * WV_SEEN_BYTES;
}

/* ---- what is told, counted and repaired ---- */

static void PRINTF_LIKE(2, 3) tell(struct reconcile *r, const char *fmt, ...)
{
	va_list ap;

	if (n_differences(r) > N_TOLD_MAX)
		return;
	progress_clear(&r->progress);
	if (n_differences(r) == N_TOLD_MAX) {
		printf("%s: more differences are counted, not told\n", r->class->name);
		return;
	}
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static bool repairs(const struct reconcile *r)
{
	return r->tool->options->repair && !r->tool->options->dry_run;
}

static const char *word_for(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_MISSING:
		return "is missing";
	case VERDICT_DIFFERENT:
		return "differs";
	case VERDICT_EXTRA:
		return "should not be there";
	case VERDICT_UNRECORDED:
		return "is not recorded";
	case VERDICT_SAME:
	case VERDICT_PENDING:
	case VERDICT_UNSETTLED:
		break;
	}
	UNREACHABLE("no difference");
}

static bool on_difference(struct reconcile *r, const struct tool_type *type, const char *key,
	const struct lookup_row *row, enum verdict verdict, const char *why)
{
	char id[WV_ID_BYTES];
	struct repair_wish wish = {.class = r->class,
		.id = id,
		.type = type->name,
		.key = key,
		.organization = row->organization ? row->organization : r->tenant,
		.tenant = r->tenant,
		.is_there = verdict == VERDICT_DIFFERENT || verdict == VERDICT_EXTRA};

	wv_id(r->class->name, key, id);
	tell(r, "%s %s %s%s%s", type->name, key, word_for(verdict), why[0] != '\0' ? ": " : "", why);
	r->n_missing += verdict == VERDICT_MISSING;
	r->n_extra += verdict == VERDICT_EXTRA;
	r->n_different += verdict == VERDICT_DIFFERENT;
	r->n_unrecorded += verdict == VERDICT_UNRECORDED;
	return !repairs(r) || repair_add(&r->repair, r->tool, &wish);
}

/* found: as the page has it. */
static bool judge(struct reconcile *r, const struct tool_type *type, const char *key, const cJSON *found,
	const struct lookup_row *row)
{
	struct strbuf why = STRBUF_INIT;
	enum verdict verdict = compare_object(type, r->tenant, key, found, row, &why);
	bool ok = verdict != VERDICT_UNSETTLED || compare_settle(r->tool, type, r->tenant, key, &why, &verdict);

	if (ok && verdict == VERDICT_PENDING)
		r->n_pending++;
	else if (ok && verdict != VERDICT_SAME)
		ok = on_difference(r, type, key, row, verdict, why.data);
	strbuf_release(&why);
	return ok;
}

static bool on_unknown(struct reconcile *r, const char *id, const char *why)
{
	struct repair_wish wish = {.class = r->class, .id = id, .tenant = r->tenant, .is_there = true};

	tell(r, "%s %s is no entity's: %s", r->class->name, id, why);
	r->n_unknown++;
	return !repairs(r) || !r->tool->options->unknown || repair_add(&r->repair, r->tool, &wish);
}

/* ---- the first pass: objects of the server ---- */

/* A page, and those of its objects that have the id which their key gives them. */
struct page {
	cJSON *answer;
	const cJSON **objects;
	const char **keys;
	unsigned n, n_all;
	const char *last_id; /* of the page; NULL: it is empty */
};

static void page_release(struct page *page)
{
	cJSON_Delete(page->answer);
	mem_free(page->objects);
	mem_free(page->keys);
	*page = (struct page){0};
}

static bool sort_out(struct reconcile *r, struct page *page, const cJSON *object)
{
	const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "id"));
	const char *key = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(object, "properties"), "postgresqlId"));
	char wanted[WV_ID_BYTES] = "";

	if (id == NULL || !wv_is_id(id))
		return tool_complain("%s: the server gives an object without an id", r->class->name);
	page->last_id = id;
	if (key == NULL || !wv_is_id(key))
		return on_unknown(r, id, "it has no postgresqlId");
	wv_id(r->class->name, key, wanted);
	if (strcmp(wanted, id) != 0)
		return on_unknown(r, id, "its postgresqlId would have another id");
	page->objects[page->n] = object;
	page->keys[page->n++] = key;
	return true;
}

static bool read_page(struct reconcile *r, const char *after, struct page *page)
{
	char *path = mem_printf("/v1/objects?class=%s&limit=%u%s&after=%s%s%s", r->class->name,
		r->with_vectors ? PAGE_OBJECTS_WITH_VECTORS : PAGE_OBJECTS, r->with_vectors ? "&include=vector" : "", after,
		r->tenant ? "&tenant=" : "", r->tenant ? r->tenant : "");
	const cJSON *object;
	bool ok = true;

	*page = (struct page){.answer = rest_get(r->tool->rest, path, NULL)};
	mem_free(path);
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(page->answer, "objects");
	if (!cJSON_IsArray(list))
		return tool_complain("%s", rest_why(r->tool->rest));
	page->n_all = (unsigned)cJSON_GetArraySize(list);
	page->objects = mem_zalloc((page->n_all + 1) * sizeof(page->objects[0]));
	page->keys = mem_zalloc((page->n_all + 1) * sizeof(page->keys[0]));
	cJSON_ArrayForEach(object, list)
		ok = ok && sort_out(r, page, object);
	if (ok && page->last_id != NULL && strcmp(page->last_id, after) <= 0)
		ok = tool_complain("%s: the server's cursor does not move on from %s", r->class->name, after);
	return ok;
}

/* Whose the i-th object is: of the type that has the entity; else of one that was told of it; else of the first. */
static unsigned type_of(const struct reconcile *r, const struct lookup *lookups, unsigned i)
{
	for (unsigned t = 0; t < r->n_types; t++)
		if (lookups[t].rows[i].exists)
			return t;
	for (unsigned t = 0; t < r->n_types; t++)
		if (lookups[t].rows[i].is_pending || lookups[t].rows[i].is_touched)
			return t;
	return 0;
}

static bool take_object(struct reconcile *r, const struct page *page, const struct lookup *lookups, unsigned i)
{
	unsigned t = type_of(r, lookups, i);
	const struct lookup_row *row = &lookups[t].rows[i];
	bool is_its_place = r->tenant == NULL || (row->organization != NULL && strcmp(row->organization, r->tenant) == 0);
	uint8_t id[WV_SEEN_BYTES];

	MUST(read_uuid(page->keys[i], id));
	int error = row->exists && is_its_place ? wv_seen_add(r->seen[t], id) : 0;
	if (error != 0)
		return tool_complain("temporary file: %s; TMPDIR needs 16 bytes for each object", strerrordesc_np(-error));
	return judge(r, &r->types[t], page->keys[i], page->objects[i], row);
}

static bool compare_page(struct reconcile *r, const struct page *page)
{
	struct lookup *lookups = mem_zalloc(r->n_types * sizeof(lookups[0]));
	bool ok = true;

	for (unsigned t = 0; ok && t < r->n_types; t++)
		ok = lookup_read(&lookups[t], r->tool, &r->types[t], page->n, page->keys, r->since);
	for (unsigned i = 0; ok && i < page->n; i++)
		ok = take_object(r, page, lookups, i);
	for (unsigned t = 0; t < r->n_types; t++)
		lookup_release(&lookups[t]);
	mem_free(lookups);
	return ok;
}

static bool start_page(struct reconcile *r)
{
	mem_free(r->since);
	r->since = lookup_clock(r->tool);
	return r->since != NULL;
}

static bool pass_over_objects(struct reconcile *r)
{
	char after[WV_ID_BYTES] = "";
	bool ok = true, more = true;

	while (ok && more) {
		struct page page = {0};
		ok = start_page(r) && read_page(r, after, &page) && compare_page(r, &page);
		more = ok && page.last_id != NULL;
		if (more)
			(void)snprintf(after, sizeof(after), "%s", page.last_id);
		r->n_objects += page.n_all;
		progress_add(&r->progress, page.n_all);
		page_release(&page);
	}
	return ok;
}

static bool pass_over_tenants(struct reconcile *r)
{
	struct tenants tenants;
	struct counts counts;
	uint64_t n_total;

	if (!tenants_read(&tenants, r->tool, r->class))
		return false;
	counts_read(&counts, r->tool->rest);
	(void)counts_of(&counts, r->class->name, &n_total);
	counts_release(&counts);
	progress_start(&r->progress, !r->tool->options->quiet, r->class->name, n_total);
	bool ok = true;
	for (int i = 0; ok && i < tenants.n; i++) {
		r->tenant = tenants.names[i];
		ok = pass_over_objects(r);
	}
	progress_end(&r->progress);
	r->tenant = NULL;
	tenants_release(&tenants);
	return ok;
}

/* ---- the second pass: entities of Postgres ---- */

/* Entities that no object was met of. In a class for tenants each is missed in the shard of its organization. */
static bool judge_unseen(struct reconcile *r, const struct tool_type *type, unsigned n, const char *const *keys)
{
	struct lookup lookup;
	bool has_tenants = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(r->class->json, "multiTenancyConfig"), "enabled"));
	bool ok = n == 0 || lookup_read(&lookup, r->tool, type, n, keys, r->since);

	for (unsigned i = 0; ok && i < n; i++) {
		r->tenant = has_tenants ? lookup.rows[i].organization : NULL;
		ok = judge(r, type, keys[i], NULL, &lookup.rows[i]);
	}
	r->tenant = NULL;
	if (n > 0)
		lookup_release(&lookup);
	return ok;
}

static bool take_keys(struct reconcile *r, unsigned t, const PGresult *result)
{
	const char *unseen[PAGE_OBJECTS];
	unsigned n = 0;

	for (int i = 0; i < PQntuples(result); i++) {
		uint8_t id[WV_SEEN_BYTES];
		MUST(read_uuid(db_text(result, i, 0), id));
		int has = wv_seen_has(r->seen[t], id);
		if (has < 0)
			return tool_complain("temporary file: %s", strerrordesc_np(-has));
		if (has == 0)
			unseen[n++] = db_text(result, i, 0);
	}
	return judge_unseen(r, &r->types[t], n, unseen);
}

static bool pass_over_entities(struct reconcile *r, unsigned t)
{
	PGresult *result = NULL;
	uint64_t n_total;
	bool ok = wv_seen_sort(r->seen[t]) == 0 && lookup_count(r->tool, &r->types[t], &n_total), more = ok;

	progress_start(&r->progress, ok && !r->tool->options->quiet, r->types[t].name, ok ? n_total : 0);
	while (ok && more) {
		int n = PQntuples(result);
		char *after = result != NULL ? mem_strdup(db_text(result, n - 1, 0)) : NULL;
		PQclear(result);
		result = lookup_keys(r->tool, &r->types[t], after, PAGE_OBJECTS);
		mem_free(after);
		more = PQntuples(result) > 0;
		ok = result != NULL && take_keys(r, t, result);
		progress_add(&r->progress, (uint64_t)PQntuples(result));
	}
	PQclear(result);
	progress_end(&r->progress);
	return ok;
}

/* ---- a class ---- */

/* Since when what was delivered counts as news in the second pass: the time before the first. */
static bool pass_over_class(struct reconcile *r)
{
	char *begin = lookup_clock(r->tool);
	bool ok = begin != NULL && pass_over_tenants(r);

	mem_free(r->since);
	r->since = begin;
	for (unsigned t = 0; ok && t < r->n_types; t++)
		ok = pass_over_entities(r, t);
	return repair_flush(&r->repair, r->tool) && ok;
}

/* A class that differs would make every object differ. */
static bool verify_class(struct tool *tool, const struct wv_class *class)
{
	struct wv_differences differences = {0};
	char path[300];
	int status;

	(void)snprintf(path, sizeof(path), "/v1/schema/%s", class->name);
	cJSON *found = rest_get(tool->rest, path, &status);
	bool ok = found != NULL || status == 404 || tool_complain("%s", rest_why(tool->rest));
	if (ok)
		wv_schema_compare(class, found, &differences);
	for (unsigned i = 0; i < differences.n; i++)
		(void)tool_complain("%s; %s", differences.items[i].text, wv_difference_advice(differences.items[i].kind));
	ok = ok && differences.n == 0;
	wv_differences_release(&differences);
	cJSON_Delete(found);
	return ok;
}

static void say_counts(const struct reconcile *r)
{
	tool_say(r->tool,
		"%s: %" PRIu64 " objects, %" PRIu64 " missing, %" PRIu64 " differ, %" PRIu64 " should not be there, %" PRIu64
		" of no entity, %" PRIu64 " not recorded, %" PRIu64 " pending, %" PRIu64 " repaired",
		r->class->name, r->n_objects, r->n_missing, r->n_different, r->n_extra, r->n_unknown, r->n_unrecorded, r->n_pending,
		r->repair.n_done);
}

/* Adds what differs and is left to n_left. */
static bool reconcile_class(struct tool *tool, const struct tool_type *types, unsigned n_types, uint64_t *n_left)
{
	struct reconcile *r = mem_zalloc(sizeof(*r));

	r->tool = tool;
	r->class = types->class;
	r->types = types;
	r->n_types = n_types;
	r->seen = mem_zalloc(n_types * sizeof(r->seen[0]));
	for (unsigned t = 0; t < n_types; t++) {
		r->seen[t] = wv_seen_new(SEEN_BYTES);
		r->with_vectors |= compare_needs_vectors(&types[t]);
	}
	bool ok = verify_class(tool, r->class) && pass_over_class(r);
	if (ok)
		say_counts(r);
	*n_left += n_differences(r) - r->repair.n_done;
	for (unsigned t = 0; t < n_types; t++)
		wv_seen_free(&r->seen[t]);
	mem_free(r->seen);
	mem_free(r->since);
	repair_release(&r->repair);
	mem_free(r);
	return ok;
}

int command_reconcile(struct tool *tool)
{
	struct tool_types types = {0};
	uint64_t n_left = 0;
	bool ok = tool_open_db(tool) && tool_find_types(tool, &types);

	for (unsigned i = 0, n; ok && i < types.n; i += n) {
		for (n = 1; i + n < types.n && types.items[i + n].class == types.items[i].class; n++)
			continue;
		ok = reconcile_class(tool, &types.items[i], n, &n_left);
	}
	tool_types_release(&types);
	if (!ok)
		return EXIT_TROUBLE;
	printf("%" PRIu64 " differences\n", n_left);
	return n_left > 0 ? EXIT_DIFFERENCES : EXIT_FINE;
}
