/* SPDX-License-Identifier: ISC */
#include "config/problems.h"

#include <stdlib.h>

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
	if (place->section && *place->section) {
		strbuf_addc(out, '[');
		add_visible(out, place->section);
		strbuf_adds(out, place->key ? "] " : "]: ");
	}
	if (place->key) {
		add_visible(out, place->key);
		strbuf_adds(out, ": ");
	}
}

static void add_item(
	struct config_problems *problems, const struct config_place *place, struct strbuf *text)
{
	struct config_problem *problem;

	problems->items =
		mem_realloc(problems->items, (problems->n + 1) * sizeof(problems->items[0]));
	problem = &problems->items[problems->n++];
	*problem = (struct config_problem){
		.file = mem_strdup(place->file),
		.line = place->line,
		.section = mem_strdup(place->section),
		.key = mem_strdup(place->key),
		.text = strbuf_detach(text),
	};
}

static void PRINTF_LIKE(4, 0)
	add_formatted(struct config_problems *problems, const struct config_place *place,
		const char *kind, const char *fmt, va_list ap)
{
	struct strbuf text = STRBUF_INIT, what = STRBUF_INIT;

	strbuf_vaddf(&what, fmt, ap);
	add_place(&text, place);
	strbuf_adds(&text, kind);
	add_visible(&text, what.data);
	strbuf_release(&what);
	add_item(problems, place, &text);
}

void config_problem_add(
	struct config_problems *problems, const struct config_place *place, const char *fmt, ...)
{
	static const struct config_place nowhere = { .file = NULL };
	struct strbuf text = STRBUF_INIT;
	va_list ap;

	if (problems->n > CONFIG_PROBLEMS_MAX)
		return;
	if (problems->n == CONFIG_PROBLEMS_MAX) {
		strbuf_adds(&text, "more mistakes follow; they are not listed");
		add_item(problems, &nowhere, &text);
		return;
	}
	va_start(ap, fmt);
	add_formatted(problems, place, "", fmt, ap);
	va_end(ap);
}

void config_problem_warn(
	struct config_problems *problems, const struct config_place *place, const char *fmt, ...)
{
	va_list ap;

	if (problems->n >= CONFIG_PROBLEMS_MAX)
		return;
	va_start(ap, fmt);
	add_formatted(problems, place, "warning: ", fmt, ap);
	va_end(ap);
	problems->n_warnings++;
}

/* A problem and where it goes. */
struct ranked {
	struct config_problem problem;
	unsigned file_rank, index;
};

static unsigned rank_of_file(const struct config_problems *problems, const char *file)
{
	unsigned rank = 0;

	while (problems->items[rank].file == NULL || strcmp(problems->items[rank].file, file))
		rank++;
	return rank;
}

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->file_rank != y->file_rank)
		return x->file_rank < y->file_rank ? -1 : 1;
	if (x->problem.line != y->problem.line)
		return x->problem.line < y->problem.line ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

void config_problems_sort(struct config_problems *problems)
{
	struct ranked *ranked;

	if (problems->n == 0)
		return;
	ranked = mem_alloc(problems->n * sizeof(*ranked));
	for (unsigned i = 0; i < problems->n; i++) {
		const char *file = problems->items[i].file;

		ranked[i] = (struct ranked){ problems->items[i],
			file ? rank_of_file(problems, file) : UINT32_MAX, i };
	}
	qsort(ranked, problems->n, sizeof(*ranked), compare_ranked);
	for (unsigned i = 0; i < problems->n; i++)
		problems->items[i] = ranked[i].problem;
	mem_free(ranked);
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
