/* SPDX-License-Identifier: ISC */
/* Texts of different spelling and one meaning are all the server changes; anything else differs. */
#include "service/wv_content.h"

#define NS_PER_S 1000000000LL
#define TEXT_BYTES_MAX 60 /* of a value that is shown */

static bool values_equal(const char *type, const cJSON *nested, const cJSON *a, const cJSON *b);

static const char *name_of(const cJSON *property)
{
	const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(property, "name"));
	return name != NULL ? name : "";
}

static const char *type_of(const cJSON *property)
{
	const char *type = cJSON_GetStringValue(
		cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(property, "dataType"), 0));
	return type != NULL ? type : "";
}

/* The type as it is for one value of a list. */
static bool type_is(const char *type, const char *wanted)
{
	size_t n = strlen(wanted);
	return strncmp(type, wanted, n) == 0 && (type[n] == '\0' || strcmp(type + n, "[]") == 0);
}

/* What no search and no reader can tell from absent. */
static bool is_nothing(const cJSON *value)
{
	const cJSON *part = cJSON_IsObject(value) ? value->child : NULL;

	while (part != NULL && is_nothing(part))
		part = part->next;
	return value == NULL || cJSON_IsNull(value) || (cJSON_IsObject(value) && part == NULL) ||
		(cJSON_IsArray(value) && value->child == NULL);
}

static const cJSON *property_of(const cJSON *properties, const char *name)
{
	const cJSON *property;

	cJSON_ArrayForEach(property, properties)
		if (strcmp(name_of(property), name) == 0)
			return property;
	return NULL;
}

/* properties: the class's or the object type's list; what is not in it is compared by its JSON. */
static const cJSON *first_difference(const cJSON *properties, const cJSON *a, const cJSON *b)
{
	const cJSON *value;

	cJSON_ArrayForEach(value, a) {
		const cJSON *property = property_of(properties, value->string);
		if (!values_equal(type_of(property),
			    cJSON_GetObjectItemCaseSensitive(property, "nestedProperties"), value,
			    cJSON_GetObjectItemCaseSensitive(b, value->string)))
			return value;
	}
	cJSON_ArrayForEach(value, b)
		if (!is_nothing(value) && cJSON_GetObjectItemCaseSensitive(a, value->string) == NULL)
			return value;
	return NULL;
}

static bool lists_equal(const char *type, const cJSON *nested, const cJSON *a, const cJSON *b)
{
	const cJSON *x = a->child, *y = b->child;

	while (x != NULL && y != NULL && values_equal(type, nested, x, y)) {
		x = x->next;
		y = y->next;
	}
	return x == NULL && y == NULL;
}

static bool coordinate_equals(const cJSON *a, const cJSON *b, const char *key)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(a, key);
	const cJSON *y = cJSON_GetObjectItemCaseSensitive(b, key);

	return cJSON_IsNumber(x) && cJSON_IsNumber(y) && (float)x->valuedouble == (float)y->valuedouble;
}

static bool dates_equal(const char *a, const char *b)
{
	int64_t x, y;

	if (!wv_date_parse(a, &x) || !wv_date_parse(b, &y))
		return strcmp(a, b) == 0;
	return x == y;
}

static bool strings_equal(const char *type, const char *a, const char *b)
{
	if (type_is(type, "uuid"))
		return strcasecmp(a, b) == 0;
	if (type_is(type, "date"))
		return dates_equal(a, b);
	return strcmp(a, b) == 0;
}

static bool values_equal(const char *type, const cJSON *nested, const cJSON *a, const cJSON *b)
{
	if (is_nothing(a) || is_nothing(b))
		return is_nothing(a) && is_nothing(b);
	if (cJSON_IsArray(a) && cJSON_IsArray(b))
		return lists_equal(type, nested, a, b);
	if (type_is(type, "geoCoordinates"))
		return coordinate_equals(a, b, "latitude") && coordinate_equals(a, b, "longitude");
	if (cJSON_IsObject(a) && cJSON_IsObject(b))
		return first_difference(nested, a, b) == NULL;
	if (cJSON_IsNumber(a) && cJSON_IsNumber(b))
		return a->valuedouble == b->valuedouble;
	if (cJSON_IsString(a) && cJSON_IsString(b))
		return strings_equal(type, a->valuestring, b->valuestring);
	return cJSON_IsBool(a) && cJSON_IsBool(b) && cJSON_IsTrue(a) == cJSON_IsTrue(b);
}

static void add_value(struct strbuf *why, const cJSON *value)
{
	char *text = is_nothing(value) ? NULL : cJSON_PrintUnformatted(value);

	strbuf_addf(why, "%.*s%s", TEXT_BYTES_MAX, text ? text : "nothing",
		text && strlen(text) > TEXT_BYTES_MAX ? "..." : "");
	cJSON_free(text);
}

bool wv_content_equals(
	const cJSON *class, const cJSON *sent, const cJSON *found, struct strbuf *why)
{
	const cJSON *value = first_difference(cJSON_GetObjectItemCaseSensitive(class, "properties"),
		cJSON_IsObject(sent) ? sent : NULL, cJSON_IsObject(found) ? found : NULL);

	if (value == NULL)
		return true;
	strbuf_addf(why, "%s is ", value->string);
	add_value(why, cJSON_GetObjectItemCaseSensitive(found, value->string));
	strbuf_adds(why, " there and ");
	add_value(why, cJSON_GetObjectItemCaseSensitive(sent, value->string));
	strbuf_adds(why, " here");
	return false;
}

bool wv_vector_equals(const cJSON *sent, const cJSON *found)
{
	const cJSON *x = sent ? sent->child : NULL, *y = found ? found->child : NULL;

	while (x != NULL && y != NULL && cJSON_IsNumber(x) && cJSON_IsNumber(y) &&
		(float)x->valuedouble == (float)y->valuedouble) {
		x = x->next;
		y = y->next;
	}
	return x == NULL && y == NULL;
}

/* Exactly n digits; the rest of the text, or NULL. */
static const char *digits(const char *text, int n, int *value_r)
{
	if (text == NULL)
		return NULL;
	*value_r = 0;
	for (; n > 0; n--, text++) {
		if (*text < '0' || *text > '9')
			return NULL;
		*value_r = *value_r * 10 + (*text - '0');
	}
	return text;
}

static const char *letter(const char *text, const char *any)
{
	return text != NULL && *text != '\0' && strchr(any, *text) != NULL ? text + 1 : NULL;
}

/* ".5": digits beyond the ninth are cut off, as the server does. */
static const char *fraction(const char *text, int64_t *ns_r)
{
	int64_t unit = NS_PER_S;

	*ns_r = 0;
	if (text == NULL || *text != '.')
		return text;
	for (text++; *text >= '0' && *text <= '9'; text++) {
		unit /= 10;
		*ns_r += (*text - '0') * unit;
	}
	return unit < NS_PER_S ? text : NULL;
}

/* "Z", "+01:00", "+01" or "-0530": seconds east. */
static const char *zone(const char *text, int *offset_s_r)
{
	int hours = 0, minutes = 0;

	*offset_s_r = 0;
	if (text == NULL || *text == 'Z' || *text == 'z')
		return letter(text, "Zz");
	const char *rest = digits(letter(text, "+-"), 2, &hours);
	if (rest != NULL && *rest != '\0')
		rest = digits(*rest == ':' ? rest + 1 : rest, 2, &minutes);
	*offset_s_r = (hours * 60 + minutes) * (*text == '-' ? -60 : 60);
	return rest;
}

bool wv_date_parse(const char *text, int64_t *ns_r)
{
	struct tm tm = {0};
	int64_t ns;
	int offset_s;

	text = letter(digits(text, 4, &tm.tm_year), "-");
	text = letter(digits(text, 2, &tm.tm_mon), "-");
	text = letter(digits(text, 2, &tm.tm_mday), "Tt ");
	text = letter(digits(text, 2, &tm.tm_hour), ":");
	text = letter(digits(text, 2, &tm.tm_min), ":");
	text = zone(fraction(digits(text, 2, &tm.tm_sec), &ns), &offset_s);
	if (text == NULL || *text != '\0' || tm.tm_mon < 1 || tm.tm_mon > 12)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return !__builtin_mul_overflow((int64_t)timegm(&tm) - offset_s, NS_PER_S, ns_r) &&
		!__builtin_add_overflow(*ns_r, ns, ns_r);
}
