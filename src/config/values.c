/* SPDX-License-Identifier: ISC */
#include "config/values.h"

#include <ctype.h>

#include "base/mem.h"

#define QUOTED_MAX 60 /* bytes of a wrong value that an error repeats */

const char *const value_class_names[] = { "default", "serving", "vector", "hybrid", "training",
	NULL };

struct unit {
	const char *name;
	uint64_t factor;
};

/* PgBouncer's times have no unit and are seconds. */
static const struct unit time_units[] = {
	{ "", 1000000 },
	{ "us", 1 },
	{ "ms", 1000 },
	{ "s", 1000000 },
	{ "sec", 1000000 },
	{ "min", 60ull * 1000000 },
	{ "h", 3600ull * 1000000 },
	{ "d", 86400ull * 1000000 },
};

static const struct unit ratio_units[] = { { "", 1000 } };

static const struct unit size_units[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "kB", 1ull << 10 },
	{ "MB", 1ull << 20 },
	{ "GB", 1ull << 30 },
};

size_t value_bytes(const struct value_type *type)
{
	switch (type->kind) {
	case VALUE_TEXT:
	case VALUE_QUERY:
	case VALUE_UUID:
		return sizeof(char *);
	case VALUE_LIST:
		return sizeof(char **);
	case VALUE_BOOL:
		return sizeof(bool);
	case VALUE_PORT:
		return sizeof(uint16_t);
	case VALUE_RANK:
		return sizeof(uint8_t);
	case VALUE_TIME:
	case VALUE_SIZE:
		return sizeof(uint64_t);
	case VALUE_CLASSES:
	case VALUE_COUNT:
	case VALUE_AUTO:
	case VALUE_MODE:
	case VALUE_SECONDS:
	case VALUE_MILLIS:
	case VALUE_RATIO:
	case VALUE_WORD:
		return sizeof(uint32_t);
	}
	UNREACHABLE("value kind");
}

const char *value_unit(const struct value_type *type)
{
	switch (type->kind) {
	case VALUE_TEXT:
	case VALUE_QUERY:
		return type->words ? "one of the names" : "text";
	case VALUE_UUID:
		return "uuid";
	case VALUE_LIST:
		return "comma-separated names";
	case VALUE_CLASSES:
		return "comma-separated classes";
	case VALUE_BOOL:
		return "0 or 1";
	case VALUE_PORT:
		return "port";
	case VALUE_RANK:
	case VALUE_COUNT:
		return "number";
	case VALUE_AUTO:
		return "number or auto";
	case VALUE_MODE:
		return "octal mode";
	case VALUE_TIME:
	case VALUE_SECONDS:
		return "s";
	case VALUE_MILLIS:
		return "ms";
	case VALUE_SIZE:
		return "bytes";
	case VALUE_RATIO:
		return "fraction";
	case VALUE_WORD:
		return "one of the names";
	}
	UNREACHABLE("value kind");
}

/* Unsigned fields of every width, by one pair of functions. */
static uint64_t number_get(const struct value_type *type, const void *field)
{
	switch (value_bytes(type)) {
	case sizeof(uint8_t):
		return *(const uint8_t *)field;
	case sizeof(uint16_t):
		return *(const uint16_t *)field;
	case sizeof(uint32_t):
		return *(const uint32_t *)field;
	case sizeof(uint64_t):
		return *(const uint64_t *)field;
	}
	UNREACHABLE("width of a number");
}

static void number_put(const struct value_type *type, void *field, uint64_t number)
{
	switch (value_bytes(type)) {
	case sizeof(uint8_t):
		*(uint8_t *)field = (uint8_t)number;
		return;
	case sizeof(uint16_t):
		*(uint16_t *)field = (uint16_t)number;
		return;
	case sizeof(uint32_t):
		*(uint32_t *)field = (uint32_t)number;
		return;
	case sizeof(uint64_t):
		*(uint64_t *)field = number;
		return;
	}
	UNREACHABLE("width of a number");
}

static bool refuse(struct strbuf *why, const char *text, const char *expected)
{
	if (strlen(text) > QUOTED_MAX)
		strbuf_addf(why, "\"%.*s…\" is not valid; ", QUOTED_MAX, text);
	else if (*text)
		strbuf_addf(why, "\"%s\" is not valid; ", text);
	else
		strbuf_adds(why, "no value is given; ");
	strbuf_adds(why, expected);
	return false;
}

static void add_time(struct strbuf *out, uint64_t us)
{
	strbuf_addf(out, "%llu", (unsigned long long)(us / 1000000));
	if (us % 1000000) {
		strbuf_addf(out, ".%06llu", (unsigned long long)(us % 1000000));
		while (out->data[out->len - 1] == '0')
			out->data[--out->len] = '\0';
	}
}

static void add_number(const struct value_type *type, uint64_t number, struct strbuf *out)
{
	if (type->kind == VALUE_TIME)
		add_time(out, number);
	else if (type->kind == VALUE_RATIO)
		add_time(out, number * 1000); /* the same form, of thousandths */
	else if (type->kind == VALUE_MODE)
		strbuf_addf(out, "%04llo", (unsigned long long)number);
	else
		strbuf_addf(out, "%llu", (unsigned long long)number);
}

static bool refuse_number(
	const struct value_type *type, const char *text, const char *form, struct strbuf *why)
{
	struct strbuf expected = STRBUF_INIT;

	strbuf_addf(&expected, "%s from ", form);
	add_number(type, type->min, &expected);
	strbuf_adds(&expected, " to ");
	add_number(type, type->max, &expected);
	refuse(why, text, expected.data);
	strbuf_release(&expected);
	return false;
}

/* The digits at *p in the base; false on none or on more than 64 bits. */
static bool read_digits(const char **p, unsigned base, uint64_t *number_r)
{
	const char *s = *p;
	uint64_t n = 0;

	for (; *s >= '0' && *s < (char)('0' + base); s++) {
		if (n > (UINT64_MAX - (uint64_t)(*s - '0')) / base)
			return false;
		n = n * base + (uint64_t)(*s - '0');
	}
	if (s == *p)
		return false;
	*p = s;
	*number_r = n;
	return true;
}

static const struct unit *find_unit(const struct unit *units, size_t n_units, const char *name)
{
	for (size_t i = 0; i < n_units; i++)
		if (strcasecmp(units[i].name, name) == 0)
			return &units[i];
	return NULL;
}

/* A number with an optional fraction of six digits and an optional unit, in the smallest unit. */
static bool read_scaled(
	const char *text, const struct unit *units, size_t n_units, uint64_t *number_r)
{
	const struct unit *unit;
	uint64_t whole, fraction = 0, scale = 1;

	if (!read_digits(&text, 10, &whole))
		return false;
	if (*text == '.') {
		for (text++; isdigit((unsigned char)*text); text++) {
			if (scale == 1000000)
				continue; /* finer than anything we keep */
			fraction = fraction * 10 + (uint64_t)(*text - '0');
			scale *= 10;
		}
	}
	while (*text == ' ')
		text++;
	unit = find_unit(units, n_units, text);
	if (unit == NULL || whole > UINT64_MAX / unit->factor - 1)
		return false;
	*number_r = whole * unit->factor + fraction * unit->factor / scale;
	return true;
}

static bool read_count(const char *text, uint64_t *number_r)
{
	if (text[0] == '0' && text[1] != '\0')
		return false;
	return read_digits(&text, 10, number_r) && *text == '\0';
}

static bool read_mode(const char *text, uint64_t *number_r)
{
	return read_digits(&text, 8, number_r) && *text == '\0';
}

static bool set_number(
	const struct value_type *type, void *field, const char *text, struct strbuf *why)
{
	const char *form;
	uint64_t number = 0;
	bool ok;

	switch ((int)type->kind) {
	case VALUE_TIME:
		form = "expected seconds, or a number with us, ms, s, min, h or d,";
		ok = read_scaled(text, time_units, N_ELEMENTS(time_units), &number);
		break;
	case VALUE_RATIO:
		form = "expected a fraction";
		ok = read_scaled(text, ratio_units, N_ELEMENTS(ratio_units), &number);
		break;
	case VALUE_SECONDS:
		form = "expected whole seconds";
		ok = read_scaled(text, time_units, N_ELEMENTS(time_units), &number) &&
		     number % 1000000 == 0;
		number /= 1000000;
		break;
	case VALUE_SIZE:
		form = "expected bytes, or a number with kB, MB or GB,";
		ok = read_scaled(text, size_units, N_ELEMENTS(size_units), &number);
		break;
	case VALUE_MODE:
		form = "expected an octal mode";
		ok = read_mode(text, &number);
		break;
	case VALUE_AUTO:
		form = "expected auto or a number";
		if (strcasecmp(text, "auto") == 0) {
			number_put(type, field, 0);
			return true;
		}
		ok = read_count(text, &number);
		break;
	default:
		form = text[0] == '0' && text[1] ? "expected a number without leading zeros,"
						 : "expected a number";
		ok = read_count(text, &number);
		break;
	}
	/* PgBouncer's -1 in [databases] and [users]: as if the key were not there. */
	if (type->inherits && strcmp(text, "-1") == 0) {
		value_set_inherited(type, field);
		return true;
	}
	if (!ok || number < type->min || number > type->max)
		return refuse_number(type, text, form, why);
	number_put(type, field, number);
	return true;
}

static bool set_bool(bool *field, const char *text, struct strbuf *why)
{
	static const char *const on[] = { "on", "yes", "true", "y", "t", NULL };
	static const char *const off[] = { "off", "no", "false", "n", "f", NULL };
	uint64_t number;

	/* PgBouncer's switches are integers, and any but 0 is on. */
	if (read_count(text, &number)) {
		*field = number != 0;
		return true;
	}
	for (unsigned i = 0; on[i]; i++) {
		if (strcasecmp(text, on[i]) && strcasecmp(text, off[i]))
			continue;
		*field = strcasecmp(text, on[i]) == 0;
		return true;
	}
	return refuse(why, text, "expected 0 or 1");
}

static int find_word(const char *const *words, const char *text, size_t n)
{
	for (int i = 0; words[i]; i++)
		if (strlen(words[i]) == n && strncasecmp(words[i], text, n) == 0)
			return i;
	return -1;
}

static bool refuse_word(const char *const *words, const char *text, struct strbuf *why)
{
	struct strbuf expected = STRBUF_INIT;

	strbuf_adds(&expected, "expected one of ");
	for (unsigned i = 0; words[i]; i++)
		strbuf_addf(&expected, "%s%s", i ? ", " : "", words[i]);
	refuse(why, text, expected.data);
	strbuf_release(&expected);
	return false;
}

static bool is_uuid(const char *text)
{
	static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	size_t i = 0;

	while (shape[i] && (shape[i] == '-' ? text[i] == '-' : isxdigit((unsigned char)text[i])))
		i++;
	return shape[i] == '\0' && text[i] == '\0';
}

static bool set_text(
	const struct value_type *type, char **field, const char *text, struct strbuf *why)
{
	char *fresh;

	if (type->words && *text && find_word(type->words, text, strlen(text)) < 0)
		return refuse_word(type->words, text, why);
	if (type->kind == VALUE_UUID && *text && !is_uuid(text)) {
		refuse(why, text, "expected a uuid");
		return false;
	}
	if (type->kind == VALUE_QUERY && strcmp(text, "<empty>") == 0)
		fresh = mem_strdup("");
	else
		fresh = *text ? mem_strdup(text) : NULL;
	for (char *p = fresh; p && type->kind == VALUE_UUID && *p; p++)
		*p = (char)tolower((unsigned char)*p);
	mem_free(*field);
	*field = fresh;
	return true;
}

/* The next item of a comma list, without the blanks around it. False at the end. */
static bool next_item(const char **p, const char **item_r, size_t *n_r)
{
	const char *s = *p, *end;

	while (*s == ',' || isspace((unsigned char)*s))
		s++;
	if (*s == '\0')
		return false;
	end = s + strcspn(s, ",");
	*p = end;
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*item_r = s;
	*n_r = (size_t)(end - s);
	return true;
}

static void list_release(char **list)
{
	for (char **item = list; item && *item; item++)
		mem_free(*item);
	mem_free(list);
}

static void set_list(char ***field, const char *text)
{
	char **list = mem_zalloc(sizeof(char *));
	const char *item;
	size_t n_bytes, n = 0;

	while (next_item(&text, &item, &n_bytes)) {
		list = mem_realloc(list, (n + 2) * sizeof(char *));
		list[n++] = mem_strndup(item, n_bytes);
		list[n] = NULL;
	}
	list_release(*field);
	*field = list;
}

static bool set_classes(uint32_t *field, const char *text, struct strbuf *why)
{
	const char *item;
	size_t n;
	uint32_t mask = 0;

	while (next_item(&text, &item, &n)) {
		int class = find_word(value_class_names, item, n);

		if (class < 0) {
			char *wrong = mem_strndup(item, n);

			refuse_word(value_class_names, wrong, why);
			mem_free(wrong);
			return false;
		}
		mask |= 1u << class;
	}
	*field = mask;
	return true;
}

static bool set_word(
	const struct value_type *type, uint32_t *field, const char *text, struct strbuf *why)
{
	int i = find_word(type->words, text, strlen(text));

	if (i < 0)
		return refuse_word(type->words, text, why);
	*field = (uint32_t)i;
	return true;
}

bool value_set(const struct value_type *type, void *field, const char *text, struct strbuf *why)
{
	switch (type->kind) {
	case VALUE_TEXT:
	case VALUE_QUERY:
	case VALUE_UUID:
		return set_text(type, field, text, why);
	case VALUE_LIST:
		set_list(field, text);
		return true;
	case VALUE_CLASSES:
		return set_classes(field, text, why);
	case VALUE_BOOL:
		return set_bool(field, text, why);
	case VALUE_WORD:
		return set_word(type, field, text, why);
	case VALUE_COUNT:
	case VALUE_PORT:
	case VALUE_RANK:
	case VALUE_AUTO:
	case VALUE_MODE:
	case VALUE_TIME:
	case VALUE_SECONDS:
	case VALUE_MILLIS:
	case VALUE_SIZE:
	case VALUE_RATIO:
		return set_number(type, field, text, why);
	}
	UNREACHABLE("value kind");
}

static uint64_t inherited(const struct value_type *type)
{
	uint64_t n_words = 0;

	if (type->kind == VALUE_WORD) {
		while (type->words[n_words])
			n_words++;
		return n_words;
	}
	return value_bytes(type) == sizeof(uint64_t) ? CONFIG_INHERIT_US : CONFIG_INHERIT;
}

void value_set_inherited(const struct value_type *type, void *field)
{
	MUST(type->inherits);
	number_put(type, field, inherited(type));
}

static void format_list(char *const *list, struct strbuf *out)
{
	for (unsigned i = 0; list && list[i]; i++)
		strbuf_addf(out, "%s%s", i ? ", " : "", list[i]);
}

static void format_classes(uint32_t mask, struct strbuf *out)
{
	const char *comma = "";

	for (unsigned i = 0; value_class_names[i]; i++) {
		if (!(mask & 1u << i))
			continue;
		strbuf_addf(out, "%s%s", comma, value_class_names[i]);
		comma = ", ";
	}
}

void value_format(const struct value_type *type, const void *field, struct strbuf *out)
{
	const char *text;

	switch (type->kind) {
	case VALUE_TEXT:
	case VALUE_QUERY:
	case VALUE_UUID:
		text = *(char *const *)field;
		if (text)
			strbuf_adds(out, type->kind == VALUE_QUERY && !*text ? "<empty>" : text);
		return;
	case VALUE_LIST:
		format_list(*(char **const *)field, out);
		return;
	case VALUE_CLASSES:
		format_classes(*(const uint32_t *)field, out);
		return;
	case VALUE_BOOL:
		strbuf_addc(out, *(const bool *)field ? '1' : '0');
		return;
	case VALUE_COUNT:
	case VALUE_PORT:
	case VALUE_RANK:
	case VALUE_AUTO:
	case VALUE_MODE:
	case VALUE_TIME:
	case VALUE_SECONDS:
	case VALUE_MILLIS:
	case VALUE_SIZE:
	case VALUE_RATIO:
	case VALUE_WORD:
		break;
	}
	if (type->inherits && number_get(type, field) == inherited(type))
		return;
	if (type->kind == VALUE_WORD)
		strbuf_adds(out, type->words[number_get(type, field)]);
	else if (type->kind == VALUE_AUTO && number_get(type, field) == 0)
		strbuf_adds(out, "auto");
	else
		add_number(type, number_get(type, field), out);
}

static bool is_string(const struct value_type *type)
{
	return type->kind == VALUE_TEXT || type->kind == VALUE_QUERY || type->kind == VALUE_UUID;
}

void value_copy(const struct value_type *type, void *to, const void *from)
{
	if (is_string(type)) {
		*(char **)to = mem_strdup(*(char *const *)from);
	} else if (type->kind == VALUE_LIST) {
		char **list = *(char **const *)from;
		size_t n = 0;

		while (list && list[n])
			n++;
		*(char ***)to = list ? mem_zalloc((n + 1) * sizeof(char *)) : NULL;
		for (size_t i = 0; i < n; i++)
			(*(char ***)to)[i] = mem_strdup(list[i]);
	} else {
		memcpy(to, from, value_bytes(type));
	}
}

void value_release(const struct value_type *type, void *field)
{
	if (is_string(type)) {
		mem_free(*(char **)field);
		*(char **)field = NULL;
	} else if (type->kind == VALUE_LIST) {
		list_release(*(char ***)field);
		*(char ***)field = NULL;
	}
}
