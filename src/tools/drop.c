/* SPDX-License-Identifier: ISC */
/*
 * What is deleted is named first, with its objects; nothing is, before --yes. What Postgres knows
 * of vectors stays as it is: init and reconcile --repair bring all back.
 */
#include "tools/counts.h"
#include "tools/tool.h"

/* 1 it is there, 0 not, -1 that could not be found out and was told. */
static int is_there(struct tool *tool, const char *name)
{
	char path[300];
	int status;

	(void)snprintf(path, sizeof(path), "/v1/schema/%s", name);
	cJSON *class = rest_get(tool->rest, path, &status);
	cJSON_Delete(class);
	if (class == NULL && status != 404)
		(void)tool_complain("%s", rest_why(tool->rest));
	return class != NULL ? 1 : status == 404 ? 0 : -1;
}

/* 200 is also what a handler that crashed seems to say: it is looked whether the class is gone. */
static int drop_class(struct tool *tool, const char *name)
{
	char path[300];
	(void)snprintf(path, sizeof(path), "/v1/schema/%s", name);
	int status = rest_call(tool->rest, "DELETE", path, NULL, NULL);

	if (status != 200 && status != 204 && status != 404)
		return tool_fail("%s", rest_why(tool->rest));
	int there = is_there(tool, name);
	if (there > 0)
		return tool_fail("%s is still there, although the server said it was deleted", name);
	if (there == 0)
		printf("%s is deleted\n", name);
	return there == 0 ? EXIT_FINE : EXIT_TROUBLE;
}

int command_drop(struct tool *tool)
{
	struct counts counts;
	char text[COUNT_TEXT_BYTES];
	int status = EXIT_FINE;
	unsigned n_there = 0;
	bool does = tool->options->yes && !tool->options->dry_run;

	if (!tool_check_class_names(tool))
		return EXIT_TROUBLE;
	counts_read(&counts, tool->rest);
	for (unsigned i = 0; i < tool->classes.n && status == EXIT_FINE; i++) {
		const char *name = tool->classes.items[i].name;
		int there = tool_wants_class(tool, name) ? is_there(tool, name) : 0;
		if (there < 0)
			status = EXIT_TROUBLE;
		n_there += there > 0;
		if (there > 0 && does)
			status = drop_class(tool, name);
		else if (there > 0)
			printf("%s with %s objects would be deleted\n", name, counts_text(&counts, name, text));
	}
	counts_release(&counts);
	if (status == EXIT_FINE && n_there > 0 && !tool->options->yes)
		status = tool_fail("nothing was deleted; --yes does it");
	if (status == EXIT_FINE && n_there == 0)
		tool_say(tool, "there is nothing to delete");
	return status;
}
