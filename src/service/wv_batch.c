/* SPDX-License-Identifier: ISC */
#include "service/wv_batch.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void wv_add_string(struct strbuf *out, const char *text)
{
	strbuf_addc(out, '"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			strbuf_addf(out, "\\%c", c);
		else if (c < 0x20)
			strbuf_addf(out, "\\u%04x", c);
		else
			strbuf_addc(out, (char)c);
	}
	strbuf_addc(out, '"');
}

void wv_batch_init(struct wv_batch *batch, unsigned max_objects, size_t max_bytes)
{
	memset(batch, 0, sizeof(*batch));
	strbuf_init(&batch->body);
	strbuf_adds(&batch->body, "{\"objects\":[");
	batch->max_objects = max_objects;
	batch->max_bytes = max_bytes;
}

void wv_batch_release(struct wv_batch *batch)
{
	strbuf_release(&batch->body);
}

static void add_object(struct strbuf *out, const struct wv_object *object)
{
	strbuf_adds(out, "{\"class\":");
	wv_add_string(out, object->collection);
	strbuf_addf(out, ",\"id\":\"%s\"", object->id);
	if (object->tenant) {
		strbuf_adds(out, ",\"tenant\":");
		wv_add_string(out, object->tenant);
	}
	strbuf_adds(out, ",\"properties\":");
	strbuf_adds(out, object->properties);
	if (object->vector) {
		strbuf_adds(out, ",\"vector\":");
		strbuf_adds(out, object->vector);
	}
	strbuf_addc(out, '}');
}

#define FINISH "]}"

bool wv_batch_add(struct wv_batch *batch, const struct wv_object *object)
{
	struct strbuf text = STRBUF_INIT;
	bool fits;

	if (batch->n == batch->max_objects)
		return false;
	if (batch->n > 0)
		strbuf_addc(&text, ',');
	add_object(&text, object);
	fits = batch->body.len + text.len + strlen(FINISH) <= batch->max_bytes;
	if (fits) {
		strbuf_add(&batch->body, text.data, text.len);
		batch->n++;
	}
	strbuf_release(&text);
	return fits;
}

void wv_batch_finish(struct wv_batch *batch)
{
	strbuf_adds(&batch->body, FINISH);
}

void wv_deletion(struct strbuf *out, const char *collection, unsigned n, const char *const *ids)
{
	strbuf_adds(out, "{\"match\":{\"class\":");
	wv_add_string(out, collection);
	strbuf_adds(out, ",\"where\":{\"path\":[\"id\"],\"operator\":\"ContainsAny\",\"valueTextArray\":[");
	for (unsigned i = 0; i < n; i++)
		strbuf_addf(out, "%s\"%s\"", i ? "," : "", ids[i]);
	strbuf_adds(out, "]}},\"dryRun\":false,\"output\":\"verbose\"}");
}

/* ---- vectors ---- */

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

static const char *skip_digits(const char *at)
{
	return at + strspn(at, "0123456789");
}

/* The end of a JSON number at `at`; NULL: there is none. */
static const char *number_end(const char *at)
{
	const char *digits;

	at += *at == '-';
	digits = at;
	at = skip_digits(at);
	if (at == digits || (*digits == '0' && at > digits + 1))
		return NULL;
	if (*at == '.') {
		digits = ++at;
		at = skip_digits(at);
		if (at == digits)
			return NULL;
	}
	if (*at == 'e' || *at == 'E') {
		at++;
		at += *at == '-' || *at == '+';
		digits = at;
		at = skip_digits(at);
		if (at == digits)
			return NULL;
	}
	return at;
}

static unsigned not_a_vector(const char **why_r, const char *why)
{
	*why_r = why;
	return 0;
}

unsigned wv_vector_dimensions(const char *text, const char **why_r)
{
	const char *at = skip_blanks(text), *end;
	unsigned n = 0;

	if (*at != '[')
		return not_a_vector(why_r, "it is no array of numbers");
	do {
		at = skip_blanks(at + 1);
		end = number_end(at);
		if (end == NULL)
			return not_a_vector(why_r, "it is no array of numbers");
		if (!(fabs(strtod(at, NULL)) <= (double)FLT_MAX))
			return not_a_vector(why_r, "a number in it is too large");
		if (++n > WV_DIMENSIONS_MAX)
			return not_a_vector(why_r, "it has too many dimensions");
		at = skip_blanks(end);
	} while (*at == ',');
	if (*at != ']' || *skip_blanks(at + 1) != '\0')
		return not_a_vector(why_r, "it is no array of numbers");
	return n;
}
