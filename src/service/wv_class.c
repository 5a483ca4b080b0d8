/* SPDX-License-Identifier: ISC */
/*
 * The server ignores keys it does not know, makes up properties from typing errors and takes the
 * type "string" for something that splits a uuid into words. So a file is held against what the
 * server knows, name by name, before anything is sent.
 */
#include "service/wv_class.h"

#include "base/mem.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define NAME_BYTES_MAX 230 /* the server's bound for names of properties; classes may have 255 */

static const char *const class_keys[] = {"class", "description", "invertedIndexConfig",
	"moduleConfig", "multiTenancyConfig", "objectTtlConfig", "properties", "replicationConfig",
	"shardingConfig", "vectorConfig", "vectorIndexConfig", "vectorIndexType", "vectorizer", NULL};
static const char *const property_keys[] = {"dataType", "description", "indexFilterable",
	"indexRangeFilters", "indexSearchable", "moduleConfig", "name", "nestedProperties",
	"tokenization", NULL};
static const char *const data_types[] = {"blob", "boolean", "boolean[]", "date", "date[]",
	"geoCoordinates", "int", "int[]", "number", "number[]", "object", "object[]", "phoneNumber",
	"text", "text[]", "uuid", "uuid[]", NULL};
static const char *const tokenizations[] = {"field", "gse", "gse_ch", "kagome_ja", "kagome_kr",
	"lowercase", "trigram", "whitespace", "word", NULL};
static const char *const distances[] = {
	"cosine", "dot", "hamming", "l2-squared", "manhattan", NULL};
static const char *const reserved[] = {"_additional", "_id", "id", NULL};

/* Where faults of a file go, and which. */
struct check {
	const char *file, *text;
	struct strbuf *faults;
};

static unsigned line_of(const char *text, const char *at)
{
	unsigned line = 1;
	for (const char *p = text; p < at; p++)
		line += *p == '\n';
	return line;
}

/* word: the fault is on the first line that has it between quotes; NULL: the whole file's. */
static void PRINTF_LIKE(3, 4) fault(const struct check *check, const char *word, const char *fmt, ...)
{
	char *quoted = mem_printf("\"%s\"", word ? word : "");
	const char *at = word ? strstr(check->text, quoted) : NULL;
	va_list ap;

	mem_free(quoted);
	strbuf_addf(check->faults, "%s:%u: ", check->file, at ? line_of(check->text, at) : 1);
	va_start(ap, fmt);
	strbuf_vaddf(check->faults, fmt, ap);
	va_end(ap);
	strbuf_addc(check->faults, '\n');
}

static bool is_word_of(const char *const *words, const char *word)
{
	while (*words != NULL && strcmp(*words, word) != 0)
		words++;
	return *words != NULL;
}

static void check_keys(const struct check *check, const cJSON *object, const char *const *keys,
	const char *what)
{
	for (const cJSON *item = object->child; item != NULL; item = item->next)
		if (!is_word_of(keys, item->string))
			fault(check, item->string, "%s has no key \"%s\"; the server would ignore it", what,
				item->string);
}

/* Readers of JSON do not agree on which of the two counts. */
static void check_no_key_twice(const struct check *check, const cJSON *json)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, json) {
		if (cJSON_IsObject(json) && cJSON_GetObjectItemCaseSensitive(json, item->string) != item)
			fault(check, item->string, "the key \"%s\" is there twice in one object", item->string);
		check_no_key_twice(check, item);
	}
}

static bool is_name(const char *name)
{
	size_t n = 0;
	if (!isalpha((unsigned char)name[0]) && name[0] != '_')
		return false;
	while (isalnum((unsigned char)name[n]) || name[n] == '_')
		n++;
	return name[n] == '\0' && n <= NAME_BYTES_MAX;
}

/* The one data type of a property; NULL, and a fault, when there is not exactly one. */
static const char *data_type_of(const struct check *check, const cJSON *property, const char *name)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(property, "dataType");
	const cJSON *only = cJSON_IsArray(list) ? list->child : NULL;

	if (only == NULL || only->next != NULL || !cJSON_IsString(only)) {
		fault(check, name, "property %s needs \"dataType\": [\"TYPE\"] with one type", name);
		return NULL;
	}
	return only->valuestring;
}

static void check_data_type(
	const struct check *check, const char *name, const char *type, bool nested)
{
	if (strcmp(type, "string") == 0 || strcmp(type, "string[]") == 0)
		fault(check, name,
			"property %s: type string is split into words when it is filtered on; use uuid, or text with a "
			"tokenization",
			name);
	else if (strcmp(type, "geoCoordinates[]") == 0)
		fault(check, name,
			"property %s: there are no lists of geoCoordinates; use object[] with lat and lon, and one "
			"geoCoordinates to filter on",
			name);
	else if (!is_word_of(data_types, type))
		fault(check, name, "property %s: unknown data type %s", name, type);
	else if (nested && strcmp(type, "geoCoordinates") == 0)
		fault(check, name, "property %s: geoCoordinates cannot be inside an object", name);
}

static void check_properties(const struct check *check, const cJSON *list, bool nested);

static void check_nested(const struct check *check, const cJSON *property, const char *name,
	const char *type)
{
	const cJSON *nested = cJSON_GetObjectItemCaseSensitive(property, "nestedProperties");
	bool is_object = strncmp(type, "object", 6) == 0;

	if (is_object && (!cJSON_IsArray(nested) || nested->child == NULL))
		fault(check, name,
			"property %s: an object needs nestedProperties, each with name and dataType", name);
	else if (!is_object && nested != NULL)
		fault(check, name, "property %s: only an object has nestedProperties, not %s", name, type);
	else if (is_object)
		check_properties(check, nested, true);
}

static void check_tokenization(const struct check *check, const cJSON *property, const char *name,
	const char *type)
{
	const cJSON *tokenization = cJSON_GetObjectItemCaseSensitive(property, "tokenization");

	if (tokenization == NULL)
		return;
	if (strncmp(type, "text", 4) != 0)
		fault(check, name, "property %s: only text has a tokenization, not %s", name, type);
	else if (!cJSON_IsString(tokenization) || !is_word_of(tokenizations, tokenization->valuestring))
		fault(check, name, "property %s: unknown tokenization; word, lowercase, whitespace, field "
			"and trigram are known", name);
}

static void check_property(const struct check *check, const cJSON *property, bool nested)
{
	const char *name =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(property, "name"));

	if (name == NULL) {
		fault(check, "properties", "a property needs \"name\": \"NAME\"");
		return;
	}
	if (!is_name(name) || is_word_of(reserved, name))
		fault(check, name,
			"property %s: a name is made of letters, digits and _, and is not id, _id or _additional", name);
	check_keys(check, property, property_keys, "a property");
	const char *type = data_type_of(check, property, name);
	if (type == NULL)
		return;
	check_data_type(check, name, type, nested);
	check_nested(check, property, name, type);
	check_tokenization(check, property, name, type);
}

static void check_properties(const struct check *check, const cJSON *list, bool nested)
{
	for (const cJSON *property = list->child; property != NULL; property = property->next) {
		check_property(check, property, nested);
		const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(property, "name"));
		for (const cJSON *other = property->next; name != NULL && other != NULL; other = other->next) {
			const char *again = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(other, "name"));
			if (again != NULL && strcasecmp(again, name) == 0)
				fault(check, again, "property %s is there twice", again);
		}
	}
}

static void check_named_vectors(const struct check *check, const cJSON *named)
{
	const cJSON *vector;

	if (!cJSON_IsObject(named)) {
		fault(check, "vectorConfig", "vectorConfig is no JSON object: {\"NAME\": {...}}");
		return;
	}
	if (named->child == NULL)
		fault(check, "vectorConfig", "vectorConfig names no vector: {\"NAME\": {...}}, or leave it out");
	cJSON_ArrayForEach(vector, named)
		if (!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(vector, "vectorizer")))
			fault(check, vector->string, "vector %s needs \"vectorizer\": {\"MODULE\": {...}}", vector->string);
}

/* Without a model and its size, an update of the server may choose another: old and new vectors would not be comparable. */
static void check_vectorizer(const struct check *check, const cJSON *json)
{
	const cJSON *vectorizer = cJSON_GetObjectItemCaseSensitive(json, "vectorizer");
	const cJSON *module_config = cJSON_GetObjectItemCaseSensitive(json, "moduleConfig");

	const cJSON *named = cJSON_GetObjectItemCaseSensitive(json, "vectorConfig");
	if (named != NULL) {
		check_named_vectors(check, named);
		if (vectorizer != NULL)
			fault(check, "vectorizer", "a class has vectorizer or vectorConfig, not both");
		return;
	}
	if (!cJSON_IsString(vectorizer)) {
		fault(check, "class", "\"vectorizer\": \"none\" or a module's name is needed: the server's default is "
			"not known here");
		return;
	}
	if (strcmp(vectorizer->valuestring, "none") != 0 &&
		!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(module_config, vectorizer->valuestring)))
		fault(check, "vectorizer",
			"vectorizer %s needs moduleConfig.%s with its model and dimensions: the server's default may "
			"change",
			vectorizer->valuestring, vectorizer->valuestring);
}

static void check_distance(const struct check *check, const cJSON *json)
{
	const cJSON *distance = cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(json, "vectorIndexConfig"), "distance");

	if (distance != NULL &&
		(!cJSON_IsString(distance) || !is_word_of(distances, distance->valuestring)))
		fault(check, "distance",
			"unknown distance; cosine, dot, l2-squared, hamming and manhattan are known");
}

static void check_class(const struct check *check, const cJSON *json)
{
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(json, "class");
	const cJSON *properties = cJSON_GetObjectItemCaseSensitive(json, "properties");

	if (cJSON_HasObjectItem(json, "classes")) {
		fault(check, NULL, "there is one class in each file, without \"%s\" around it",
			cJSON_GetObjectItem(json, "classes")->string);
		return;
	}
	if (!cJSON_IsString(name))
		fault(check, NULL, "\"class\": \"NAME\" is missing");
	else if (!is_name(name->valuestring) || !isupper((unsigned char)name->valuestring[0]))
		fault(check, "class",
			"class %s: a name begins with a capital and is made of letters, digits and _",
			name->valuestring);
	check_keys(check, json, class_keys, "a class");
	check_no_key_twice(check, json);
	check_vectorizer(check, json);
	check_distance(check, json);
	if (!cJSON_IsArray(properties) || properties->child == NULL)
		fault(check, "properties", "\"properties\": [...] is missing or empty");
	else
		check_properties(check, properties, false);
}

bool wv_class_parse(
	const char *file, const char *text, struct wv_class *class, struct strbuf *faults)
{
	struct check check = {file, text, faults};
	size_t n_before = faults->len;
	const char *end = NULL;

	*class = (struct wv_class){.json = cJSON_ParseWithOpts(text, &end, true)};
	if (class->json == NULL)
		strbuf_addf(faults, "%s:%u: not JSON from \"%.20s\" on; a class is one JSON object\n", file,
			line_of(text, end), end + strspn(end, " \t\r\n"));
	else if (!cJSON_IsObject(class->json))
		fault(&check, NULL, "not a JSON object; a class is one");
	else
		check_class(&check, class->json);
	if (faults->len > n_before) {
		wv_class_release(class);
		return false;
	}
	class->name =
		mem_strdup(cJSON_GetObjectItemCaseSensitive(class->json, "class")->valuestring);
	class->file = mem_strdup(file);
	return true;
}

void wv_class_release(struct wv_class *class)
{
	mem_free(class->name);
	mem_free(class->file);
	cJSON_Delete(class->json);
	memset(class, 0, sizeof(*class));
}

/* NULL and a fault when it cannot be read or is no text. The caller frees. */
static char *read_text(const char *file, struct strbuf *faults)
{
	FILE *in = fopen(file, "re");
	char *text = in != NULL ? mem_alloc(FILE_BYTES_MAX + 1) : NULL;
	size_t n = in != NULL ? fread(text, 1, FILE_BYTES_MAX + 1, in) : 0;
	const char *why = in == NULL || ferror(in) ? strerrordesc_np(errno) : NULL;

	if (why == NULL && n > FILE_BYTES_MAX)
		why = "over 1 MB, which no class is";
	else if (why == NULL && memchr(text, '\0', n) != NULL)
		why = "it has a zero byte, so it is no text";
	if (in != NULL)
		fclose(in);
	if (why != NULL) {
		strbuf_addf(faults, "%s:1: cannot be read: %s\n", file, why);
		mem_free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}

static void load_file(const char *file, struct wv_classes *classes, struct strbuf *faults)
{
	struct wv_class class;
	char *text = read_text(file, faults);

	if (text == NULL)
		return;
	if (wv_class_parse(file, text, &class, faults)) {
		const struct wv_class *other = wv_classes_find(classes, class.name);
		if (other != NULL)
			strbuf_addf(faults, "%s:1: class %s is in %s already\n", file, class.name, other->file);
		classes->items = mem_realloc(classes->items, (classes->n + 1) * sizeof(class));
		classes->items[classes->n++] = class;
	}
	mem_free(text);
}

static bool is_json_file(const char *name)
{
	size_t n = strlen(name);
	return name[0] != '.' && n > 5 && strcmp(name + n - 5, ".json") == 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct wv_class *)a)->name, ((const struct wv_class *)b)->name);
}

bool wv_classes_load(const char *directory, struct wv_classes *classes, struct strbuf *faults)
{
	size_t n_before = faults->len;
	DIR *dir = opendir(directory);
	const struct dirent *entry;

	*classes = (struct wv_classes){0};
	if (dir == NULL) {
		strbuf_addf(faults, "%s:1: cannot be read: %s; weaviate_classes is the directory with the classes\n",
			directory, strerrordesc_np(errno));
		return false;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (!is_json_file(entry->d_name))
			continue;
		char *file = mem_printf("%s/%s", directory, entry->d_name);
		load_file(file, classes, faults);
		mem_free(file);
	}
	closedir(dir);
	if (classes->n > 0)
		qsort(classes->items, classes->n, sizeof(classes->items[0]), by_name);
	else if (faults->len == n_before)
		strbuf_addf(faults, "%s:1: there is no *.json in it; each class is a file\n", directory);
	if (faults->len > n_before)
		wv_classes_release(classes);
	return faults->len == n_before;
}

void wv_classes_release(struct wv_classes *classes)
{
	for (unsigned i = 0; i < classes->n; i++)
		wv_class_release(&classes->items[i]);
	mem_free(classes->items);
	*classes = (struct wv_classes){0};
}

struct wv_class *wv_classes_find(const struct wv_classes *classes, const char *name)
{
	for (unsigned i = 0; i < classes->n; i++)
		if (strcmp(classes->items[i].name, name) == 0)
			return &classes->items[i];
	return NULL;
}

void wv_class_set_tenants(struct wv_class *class, bool enabled)
{
	cJSON *config = cJSON_CreateObject();

	cJSON_DeleteItemFromObjectCaseSensitive(class->json, "multiTenancyConfig");
	cJSON_AddBoolToObject(config, "enabled", enabled);
	if (enabled)
		cJSON_AddBoolToObject(config, "autoTenantCreation", true);
	cJSON_AddItemToObject(class->json, "multiTenancyConfig", config);
}
