/* SPDX-License-Identifier: ISC */
/*
 * Each class is asked for, mended, and asked for again: what is reported is what the server has in
 * the end, whoever made it.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "tools/tool.h"
#include "tools/vectors.h"

#define READY_PATH "/v1/.well-known/ready"
#define POLL_MS 250

/* What became of a class, for the table. */
struct outcome {
	struct strbuf done;
	struct wv_differences left;
};

static bool wait_until_ready(struct tool *tool)
{
	uint64_t end_us = clock_mono_us() + (uint64_t)tool->options->wait_s * 1000000;
	struct timespec pause = {0, POLL_MS * 1000000L};
	bool is_told = tool->options->quiet;

	while (rest_probe(tool->rest, READY_PATH) != 200) {
		if (clock_mono_us() >= end_us) {
			(void)tool_complain("Weaviate was not ready within %u s: %s", tool->options->wait_s, rest_why(tool->rest));
			return false;
		}
		if (!is_told)
			fprintf(stderr, "waiting for Weaviate: %s\n", rest_why(tool->rest));
		is_told = true;
		(void)nanosleep(&pause, NULL);
	}
	return true;
}

/* What differs now. false: the server did not say. */
static bool look(struct tool *tool, const struct wv_class *class, struct wv_differences *differences)
{
	char path[300];
	int status;

	wv_differences_release(differences);
	(void)snprintf(path, sizeof(path), "/v1/schema/%s", class->name);
	cJSON *found = rest_get(tool->rest, path, &status);
	if (found == NULL && status != 404) {
		(void)tool_complain("%s", rest_why(tool->rest));
		return false;
	}
	wv_schema_compare(class, found, differences);
	cJSON_Delete(found);
	return true;
}

static bool post(struct tool *tool, const char *path, const cJSON *json)
{
	char *body = cJSON_PrintUnformatted(json);
	int status = rest_call(tool->rest, "POST", path, body, NULL);

	cJSON_free(body);
	return status == 200;
}

/* Makes what is missing. false: told, unless somebody else has made it meanwhile. */
static bool mend(struct tool *tool, const struct wv_difference *difference, struct strbuf *done)
{
	const struct wv_class *class = difference->class;
	const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(difference->property, "name"));
	char *path = difference->kind == WV_CLASS_MISSING ? mem_strdup("/v1/schema")
							  : mem_printf("/v1/schema/%s/properties", class->name);
	bool ok = tool->options->dry_run || post(tool, path,
		difference->kind == WV_CLASS_MISSING ? class->json : difference->property);

	strbuf_addf(done, "%s%s%s%s", done->len > 0 ? ", " : "", tool->options->dry_run ? "would be " : "",
		name ? "given " : "made", name ? name : "");
	mem_free(path);
	return ok;
}

static bool settle_class(struct tool *tool, const struct wv_class *class, struct outcome *outcome)
{
	bool ok = look(tool, class, &outcome->left), posted = true;

	for (unsigned i = 0; ok && i < outcome->left.n; i++)
		if (outcome->left.items[i].kind != WV_UNCHANGEABLE && posted)
			posted = mend(tool, &outcome->left.items[i], &outcome->done);
	if (!ok || tool->options->dry_run || outcome->done.len == 0)
		return ok;
	char *why = mem_strdup(rest_why(tool->rest));
	ok = look(tool, class, &outcome->left);
	if (ok && !posted && outcome->left.n > 0)
		ok = tool_complain("%s: %s: %s", class->file, class->name, why);
	mem_free(why);
	return ok;
}

/* Returns how much is not as it should be. */
static unsigned report(struct tool *tool, const struct wv_class *class, const struct outcome *outcome)
{
	unsigned n = 0;

	for (unsigned i = 0; i < outcome->left.n; i++)
		n += outcome->left.items[i].kind == WV_UNCHANGEABLE;
	tool_say(tool, "%-30s %s", class->name,
		outcome->done.len > 0 ? outcome->done.data : n > 0 ? "differs" : "is as it should be");
	for (unsigned i = 0; i < outcome->left.n; i++) {
		const struct wv_difference *difference = &outcome->left.items[i];
		if (difference->kind == WV_UNCHANGEABLE)
			printf("%s; %s\n", difference->text, wv_difference_advice(difference->kind));
	}
	return n;
}

static bool init_class(struct tool *tool, const struct wv_class *class, unsigned *n_differences)
{
	struct outcome outcome = {STRBUF_INIT, {0}};
	bool ok = settle_class(tool, class, &outcome);

	if (ok) {
		*n_differences += report(tool, class, &outcome);
		bool is_there = outcome.left.n == 0 || outcome.left.items[0].kind != WV_CLASS_MISSING;
		ok = !is_there || vectors_verify(tool, class, n_differences);
	}
	strbuf_release(&outcome.done);
	wv_differences_release(&outcome.left);
	return ok;
}

int command_init(struct tool *tool)
{
	unsigned n_differences = 0;
	bool ok = tool_check_class_names(tool) && wait_until_ready(tool);

	for (unsigned i = 0; ok && i < tool->classes.n; i++)
		if (tool_wants_class(tool, tool->classes.items[i].name))
			ok = init_class(tool, &tool->classes.items[i], &n_differences);
	if (!ok)
		return EXIT_TROUBLE;
	return n_differences > 0 ? EXIT_DIFFERENCES : EXIT_FINE;
}
