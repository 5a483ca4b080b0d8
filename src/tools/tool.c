/* SPDX-License-Identifier: ISC */
#include "tools/tool.h"

#include "base/mem.h"
#include "service/outbox_sql.h"

static void PRINTF_LIKE(1, 0) print_error(const char *fmt, va_list ap)
{
	(void)fflush(stdout);
	fputs("pglane-weaviate: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int tool_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_error(fmt, ap);
	va_end(ap);
	return EXIT_TROUBLE;
}

bool tool_complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_error(fmt, ap);
	va_end(ap);
	return false;
}

void tool_say(const struct tool *tool, const char *fmt, ...)
{
	va_list ap;

	if (tool->options->quiet)
		return;
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	(void)fflush(stdout);
}

static bool load_config(struct tool *tool)
{
	struct config_problems problems = {0};
	struct strbuf text = STRBUF_INIT;

	tool->config = config_load(tool->options->config_file, &problems);
	if (tool->config == NULL) {
		config_problems_print(&problems, &text);
		fputs(text.data, stderr);
	}
	strbuf_release(&text);
	config_problems_release(&problems);
	return tool->config != NULL;
}

/* The sections [collection:NAME] say who has tenants; of those without a file others take care. */
static bool load_classes(struct tool *tool)
{
	struct strbuf faults = STRBUF_INIT;
	bool ok = wv_classes_load(config_weaviate_classes(tool->config), &tool->classes, &faults);

	fputs(faults.data, stderr);
	strbuf_release(&faults);
	for (unsigned i = 0; ok && i < tool->config->n_collections; i++) {
		const struct config_collection *collection = &tool->config->collections[i];
		struct wv_class *class = wv_classes_find(&tool->classes, collection->name);
		if (class != NULL)
			wv_class_set_tenants(class, collection->organization == ORGANIZATION_TENANT);
	}
	return ok;
}

bool tool_open(struct tool *tool, const struct tool_options *options)
{
	*tool = (struct tool){.options = options};
	if (!load_config(tool))
		return false;
	if (tool->config->weaviate_url == NULL) {
		(void)tool_complain("%s: weaviate_url is not set: http://HOST:PORT of Weaviate", options->config_file);
		return false;
	}
	if (!load_classes(tool))
		return false;
	tool->rest = rest_new(tool->config);
	return true;
}

bool tool_open_db(struct tool *tool)
{
	struct strbuf why = STRBUF_INIT;

	if (tool->db == NULL)
		tool->db = db_open(tool->config, &why);
	if (tool->db == NULL)
		(void)tool_complain("%s", why.data);
	strbuf_release(&why);
	return tool->db != NULL;
}

void tool_release(struct tool *tool)
{
	db_close(&tool->db);
	rest_free(&tool->rest);
	wv_classes_release(&tool->classes);
	if (tool->config != NULL)
		config_unref(&tool->config);
}

static bool is_named(const struct tool *tool, const char *name)
{
	for (int i = 0; i < tool->options->n_names; i++)
		if (strcmp(tool->options->names[i], name) == 0)
			return true;
	return false;
}

bool tool_wants_class(const struct tool *tool, const char *name)
{
	return tool->options->n_names == 0 || is_named(tool, name);
}

bool tool_check_class_names(const struct tool *tool)
{
	for (int i = 0; i < tool->options->n_names; i++) {
		if (wv_classes_find(&tool->classes, tool->options->names[i]) != NULL)
			continue;
		(void)tool_complain("%s has no class %s", config_weaviate_classes(tool->config), tool->options->names[i]);
		return false;
	}
	return true;
}

static const char types_sql[] =
	"SELECT type, EXISTS (SELECT FROM pg_trigger WHERE tgname = 'ml_track_' || type || '_insert' AND NOT tgisinternal)"
	" OR EXISTS (SELECT FROM public.ml_vector_metadata WHERE entity_type = type AND deleted_at IS NULL)"
	" FROM (SELECT substr(relname, 11) AS type FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')"
	" AND relname LIKE 'ml\\_source\\__%') found ORDER BY type";

static int by_class(const void *a, const void *b)
{
	const struct tool_type *x = a, *y = b;
	int order = strcmp(x->class->name, y->class->name);
	return order != 0 ? order : strcmp(x->name, y->name);
}

char *tool_class_name(const struct config *config, const char *type)
{
	const struct config_entity *entity = config_find_entity(config, type);

	return entity != NULL && entity->collection != NULL ? mem_strdup(entity->collection) : outbox_collection_of(type);
}

static bool add_type(struct tool *tool, struct tool_types *types, const char *name, bool is_in_use)
{
	const struct config_entity *entity = config_find_entity(tool->config, name);
	char *class_name = tool_class_name(tool->config, name);
	const struct wv_class *class = wv_classes_find(&tool->classes, class_name);
	bool is_wanted = tool->options->n_names == 0 ? entity != NULL || is_in_use
						     : is_named(tool, name) || is_named(tool, class_name);

	if (is_wanted && class == NULL)
		(void)tool_complain("entity type %s: %s has no class %s; make its file, or name another in [entity:%s]", name,
			config_weaviate_classes(tool->config), class_name, name);
	mem_free(class_name);
	if (!is_wanted || class == NULL)
		return !is_wanted;
	types->items = mem_realloc(types->items, (types->n + 1) * sizeof(types->items[0]));
	types->items[types->n++] = (struct tool_type){mem_strdup(name), class, entity};
	return true;
}

/* Every name of the options must have led to a type. */
static bool check_names(const struct tool *tool, const struct tool_types *types)
{
	for (int i = 0; i < tool->options->n_names; i++) {
		const char *name = tool->options->names[i];
		bool found = false;
		for (unsigned j = 0; j < types->n && !found; j++)
			found = strcmp(types->items[j].name, name) == 0 ||
				strcmp(types->items[j].class->name, name) == 0;
		if (found)
			continue;
		(void)tool_complain("%s is neither an entity type with a view ml_source_%s nor the class of one", name, name);
		return false;
	}
	if (types->n == 0)
		(void)tool_complain("no entity type is in use: none has a section [entity:TYPE], triggers of ml_vector_track() or "
				"vectors; name one");
	return types->n > 0;
}

bool tool_find_types(struct tool *tool, struct tool_types *types)
{
	PGresult *result = db_query(tool->db, types_sql, 0, NULL);
	bool ok = result != NULL;

	*types = (struct tool_types){0};
	if (!ok)
		(void)tool_complain("%s", db_why(tool->db));
	for (int i = 0; ok && i < PQntuples(result); i++)
		ok = add_type(tool, types, db_text(result, i, 0), db_is_true(result, i, 1));
	PQclear(result);
	if (!ok || !check_names(tool, types))
		return false;
	qsort(types->items, types->n, sizeof(types->items[0]), by_class);
	return true;
}

void tool_types_release(struct tool_types *types)
{
	for (unsigned i = 0; i < types->n; i++)
		mem_free(types->items[i].name);
	mem_free(types->items);
	*types = (struct tool_types){0};
}
