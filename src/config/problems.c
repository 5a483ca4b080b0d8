/* SPDX-License-Identifier: ISC */
#include "config/problems.h"

#include "base/mem.h"

/* A file may hold anything; what is quoted from it must not drive the operator's terminal. */
static void add_visible(struct strbuf *out, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c == 0x7f)
			strbuf_addf(out, "\\x%02x", c);
		else
			strbuf_addc(out, *s);
	}
}

static void add_place(struct strbuf *out, const struct config_place *place)
{
	if (place->file) {
		add_visible(out, place->file);
		if (place->line)
			strbuf_addf(out, ":%u", place->line);
		strbuf_adds(out, ": ");
	}
	if (place->section) {
		strbuf_addc(out, '[');
		add_visible(out, place->section);
		strbuf_adds(out, place->key ? "] " : "]: ");
	}
	if (place->key) {
		add_visible(out, place->key);
		strbuf_adds(out, ": ");
	}
}

void config_problem_add(struct config_problems *problems, const struct config_place *place, const char *fmt, ...)
{
	static const struct config_place nowhere = { .file = NULL };
	struct config_problem *problem;
	struct strbuf text = STRBUF_INIT, what = STRBUF_INIT;
	va_list ap;

	if (problems->n > CONFIG_PROBLEMS_MAX)
		return;
	if (problems->n == CONFIG_PROBLEMS_MAX) {
		strbuf_adds(&text, "more mistakes follow; they are not listed");
		place = &nowhere;
	} else {
		va_start(ap, fmt);
		strbuf_vaddf(&what, fmt, ap);
		va_end(ap);
		add_place(&text, place);
		add_visible(&text, what.data);
		strbuf_release(&what);
	}
	problems->items = mem_realloc(problems->items, (problems->n + 1) * sizeof(problems->items[0]));
	problem = &problems->items[problems->n++];
	*problem = (struct config_problem){
		.file = mem_strdup(place->file),
		.line = place->line,
		.section = mem_strdup(place->section),
		.key = mem_strdup(place->key),
		.text = strbuf_detach(&text),
	};
}

void config_problems_release(struct config_problems *problems)
{
	for (unsigned i = 0; i < problems->n; i++) {
		mem_free(problems->items[i].file);
		mem_free(problems->items[i].section);
		mem_free(problems->items[i].key);
		mem_free(problems->items[i].text);
	}
	mem_free(problems->items);
	*problems = (struct config_problems){ .items = NULL };
}

void config_problems_print(const struct config_problems *problems, struct strbuf *out)
{
	for (unsigned i = 0; i < problems->n; i++) {
		strbuf_adds(out, problems->items[i].text);
		strbuf_addc(out, '\n');
	}
}
