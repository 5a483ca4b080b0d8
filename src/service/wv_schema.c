/* SPDX-License-Identifier: ISC */
/* A key that is absent means the server's default, on both sides. */
#include "service/wv_schema.h"

#include "base/mem.h"

/* Two classes, or two properties, side by side, and where their differences go. */
struct pair {
	const struct wv_class *class;
	const char *where; /* "Class" or "Class.property" */
	const cJSON *wanted, *found;
	struct wv_differences *out;
};

static void add(struct wv_differences *out, struct wv_difference difference)
{
	out->items = mem_realloc(out->items, (out->n + 1) * sizeof(out->items[0]));
	out->items[out->n++] = difference;
}

static void PRINTF_LIKE(3, 4)
	differ(const struct pair *pair, bool stops, const char *fmt, ...)
{
	struct strbuf text = STRBUF_INIT;
	va_list ap;

	strbuf_addf(&text, "%s: ", pair->where);
	va_start(ap, fmt);
	strbuf_vaddf(&text, fmt, ap);
	va_end(ap);
	add(pair->out, (struct wv_difference){WV_UNCHANGEABLE, pair->class, NULL, stops, strbuf_detach(&text)});
}

static const cJSON *get(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *string_of(const cJSON *object, const char *key, const char *fallback)
{
	const char *value = cJSON_GetStringValue(get(object, key));
	return value != NULL ? value : fallback;
}

static bool bool_of(const cJSON *object, const char *key, bool fallback)
{
	const cJSON *item = get(object, key);
	return cJSON_IsBool(item) ? cJSON_IsTrue(item) : fallback;
}

static void compare_string(const struct pair *pair, bool stops, const char *key, const char *fallback)
{
	const char *wanted = string_of(pair->wanted, key, fallback);
	const char *found = string_of(pair->found, key, fallback);

	if (strcmp(wanted, found) != 0)
		differ(pair, stops, "%s is %s, wanted is %s", key, found, wanted);
}

/* An index that the server has and nobody wants is no fault. */
static void compare_index(const struct pair *pair, const char *key, bool fallback)
{
	if (bool_of(pair->wanted, key, fallback) && !bool_of(pair->found, key, fallback))
		differ(pair, false, "%s is false, wanted is true", key);
}

/* Every setting of a module that the file names. */
static void compare_module(const struct pair *pair, bool stops, const char *module)
{
	const cJSON *wanted = get(get(pair->wanted, "moduleConfig"), module);
	const cJSON *found = get(get(pair->found, "moduleConfig"), module);

	for (const cJSON *item = cJSON_IsObject(wanted) ? wanted->child : NULL; item != NULL; item = item->next) {
		const cJSON *other = get(found, item->string);
		if (cJSON_Compare(item, other, true))
			continue;
		char *want = cJSON_PrintUnformatted(item);
		char *is = other != NULL ? cJSON_PrintUnformatted(other) : NULL;
		differ(pair, stops, "%s of %s is %s, wanted is %s", item->string, module, is ? is : "not set", want);
		cJSON_free(want);
		cJSON_free(is);
	}
}

static const char *data_type(const cJSON *property)
{
	const char *type = cJSON_GetStringValue(cJSON_GetArrayItem(get(property, "dataType"), 0));
	return type != NULL ? type : "unknown";
}

static const cJSON *find_property(const cJSON *list, const char *name)
{
	const cJSON *property;

	cJSON_ArrayForEach(property, list)
		if (strcmp(string_of(property, "name", ""), name) == 0)
			return property;
	return NULL;
}

static void compare_properties(const struct pair *pair, const char *key, bool nested);

static void compare_property(const struct pair *pair, const char *module, bool nested)
{
	const char *wanted = data_type(pair->wanted), *found = data_type(pair->found);

	if (strcmp(wanted, found) != 0) {
		differ(pair, true, "the type is %s, wanted is %s", found, wanted);
		return; /* all else follows from it */
	}
	if (strncmp(wanted, "text", 4) == 0) {
		compare_string(pair, false, "tokenization", "word");
		compare_index(pair, "indexSearchable", true);
	}
	compare_index(pair, "indexFilterable", true);
	compare_index(pair, "indexRangeFilters", false);
	if (!nested)
		compare_module(pair, false, module);
	compare_properties(pair, "nestedProperties", true);
}

static void compare_properties(const struct pair *pair, const char *key, bool nested)
{
	const char *module = string_of(pair->class->json, "vectorizer", "none");
	const cJSON *wanted;

	cJSON_ArrayForEach(wanted, get(pair->wanted, key)) {
		const char *name = string_of(wanted, "name", "");
		const cJSON *found = find_property(get(pair->found, key), name);
		char *where = mem_printf("%s.%s", pair->where, name);
		struct pair property = {pair->class, where, wanted, found, pair->out};

		if (found != NULL)
			compare_property(&property, module, nested);
		else if (nested)
			differ(&property, true, "it is missing, and an object cannot be given more");
		else
			add(pair->out, (struct wv_difference){WV_PROPERTY_MISSING, pair->class, wanted, true,
					       mem_printf("%s: the property is missing", where)});
		mem_free(where);
	}
}

static void compare_vectors(const struct pair *pair)
{
	bool wants_named = get(pair->wanted, "vectorConfig") != NULL;
	bool has_named = cJSON_GetArraySize(get(pair->found, "vectorConfig")) > 0;

	if (wants_named != has_named) {
		differ(pair, true, "it has %s, wanted is %s", has_named ? "named vectors" : "one vector",
			wants_named ? "named vectors" : "one vector");
		return;
	}
	if (!wants_named) {
		compare_string(pair, true, "vectorizer", "none");
		compare_module(pair, true, string_of(pair->wanted, "vectorizer", "none"));
	}
}

static void compare_index_of_vectors(const struct pair *pair)
{
	struct pair config = {pair->class, pair->where, get(pair->wanted, "vectorIndexConfig"),
		get(pair->found, "vectorIndexConfig"), pair->out};

	compare_string(pair, false, "vectorIndexType", "hnsw");
	compare_string(&config, true, "distance", "cosine");
}

/* Each named vector: the one key of "vectorizer" is the module, with its settings below. */
static void compare_named_vectors(const struct pair *pair)
{
	const cJSON *wanted;

	cJSON_ArrayForEach(wanted, get(pair->wanted, "vectorConfig")) {
		const cJSON *found = get(get(pair->found, "vectorConfig"), wanted->string);
		char *where = mem_printf("%s, vector %s", pair->where, wanted->string);
		struct pair vector = {pair->class, where, wanted, found, pair->out};

		if (found == NULL) {
			differ(&vector, true, "it is missing");
		} else {
			compare_index_of_vectors(&vector);
			if (!cJSON_Compare(get(wanted, "vectorizer"), get(found, "vectorizer"), true))
				differ(&vector, true, "its vectorizer or the settings of it are others");
		}
		mem_free(where);
	}
}

static void compare_tenancy(const struct pair *pair)
{
	bool wanted = bool_of(get(pair->wanted, "multiTenancyConfig"), "enabled", false);
	bool found = bool_of(get(pair->found, "multiTenancyConfig"), "enabled", false);

	if (wanted != found)
		differ(pair, true, "it is made %s tenants, wanted is %s", found ? "for" : "without",
			wanted ? "for tenants" : "without");
}

void wv_schema_compare(
	const struct wv_class *wanted, const cJSON *found, struct wv_differences *differences)
{
	struct pair pair = {wanted, wanted->name, wanted->json, found, differences};

	if (found == NULL) {
		add(differences, (struct wv_difference){WV_CLASS_MISSING, wanted, NULL, true,
					 mem_printf("%s: the class is missing", wanted->name)});
		return;
	}
	compare_vectors(&pair);
	if (get(wanted->json, "vectorConfig") == NULL)
		compare_index_of_vectors(&pair);
	else
		compare_named_vectors(&pair);
	compare_tenancy(&pair);
	compare_properties(&pair, "properties", false);
}

static const cJSON *find_class(const cJSON *list, const char *name)
{
	const cJSON *class;

	cJSON_ArrayForEach(class, list)
		if (strcmp(string_of(class, "class", ""), name) == 0)
			return class;
	return NULL;
}

bool wv_schema_compare_all(const struct wv_classes *wanted, const char *answer, size_t n,
	struct wv_differences *differences)
{
	cJSON *schema = cJSON_ParseWithLength(answer, n);
	const cJSON *list = get(schema, "classes");
	bool ok = cJSON_IsArray(list) || (cJSON_IsObject(schema) && cJSON_IsNull(list));

	for (unsigned i = 0; ok && i < wanted->n; i++)
		wv_schema_compare(&wanted->items[i], find_class(list, wanted->items[i].name), differences);
	cJSON_Delete(schema);
	return ok;
}

unsigned wv_schema_dimensions(const cJSON *class)
{
	const cJSON *module = get(get(class, "moduleConfig"), string_of(class, "vectorizer", "none"));
	const cJSON *dimensions = get(module, "dimensions");

	return cJSON_IsNumber(dimensions) && dimensions->valueint > 0 ? (unsigned)dimensions->valueint : 0;
}

const char *wv_difference_advice(enum wv_difference_kind kind)
{
	switch (kind) {
	case WV_CLASS_MISSING:
	case WV_PROPERTY_MISSING:
		return "pglane-weaviate init makes it";
	case WV_UNCHANGEABLE:
		return "a class cannot change this: adapt its file, or make it anew with pglane-weaviate drop, init "
		       "and reconcile --repair";
	}
	UNREACHABLE("kind of difference");
}

void wv_differences_release(struct wv_differences *differences)
{
	for (unsigned i = 0; i < differences->n; i++)
		mem_free(differences->items[i].text);
	mem_free(differences->items);
	*differences = (struct wv_differences){0};
}
