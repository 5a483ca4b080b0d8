/* SPDX-License-Identifier: ISC */
/* Options only. */
#include "tools/tool.h"

#include <curl/curl.h>

#include <ctype.h>
#include <getopt.h>
#include <signal.h>

static const char usage[] =
	"pglane-weaviate - what pglane needs in Weaviate: made, looked at, compared, repaired\n"
	"\n"
	"Usage: pglane-weaviate [OPTION]... COMMAND CONFIG.ini [NAME]...\n"
	"\n"
	"CONFIG.ini is pglane's. Its keys weaviate_* say where Weaviate is and where the files\n"
	"of the classes are (weaviate_classes), outbox_* in which database the outbox is. A NAME\n"
	"is a class or an entity type; without any, all that are in use are meant.\n"
	"\n"
	"Commands:\n"
	"  init       waits until Weaviate is ready, makes classes and properties that are\n"
	"             missing, and verifies all others; again is harmless\n"
	"  status     versions, classes and their objects, the outbox, what could not be\n"
	"             delivered and why\n"
	"  reconcile  compares every object with what Postgres has, both ways. What waits in\n"
	"             the outbox is pending and no difference. The last line is \"N differences\".\n"
	"             With --repair it deletes what is wrong and notes the entity, and pglane\n"
	"             sends it anew\n"
	"  retry      tries again what could not be delivered: all, an entity TYPE, or a TYPE\n"
	"             and an ID\n"
	"  drop       deletes classes with all their objects; needs --yes\n"
	"\n"
	"Options:\n"
	"  -n, --dry-run   change nothing, say what would be\n"
	"  -q, --quiet     no progress, no tables: errors, differences and last lines only\n"
	"      --repair    (reconcile) repair what differs\n"
	"      --unknown   (reconcile --repair) delete also objects that no entity can have\n"
	"      --wait=S    (init) wait at most S seconds for Weaviate; 60 without it\n"
	"      --yes       (drop) do it\n"
	"  -V, --version   show the version, exit\n"
	"  -h, --help      show this, exit\n"
	"\n"
	"Exit status: 0 all is as it should be; 1 there are differences; 2 it could not be done,\n"
	"and standard error says why.\n";

enum { OPTION_REPAIR = 256, OPTION_UNKNOWN, OPTION_WAIT, OPTION_YES };
#define WAIT_S_MAX 86400

static const struct option long_options[] = {
	{"dry-run", no_argument, NULL, 'n'},
	{"quiet", no_argument, NULL, 'q'},
	{"repair", no_argument, NULL, OPTION_REPAIR},
	{"unknown", no_argument, NULL, OPTION_UNKNOWN},
	{"wait", required_argument, NULL, OPTION_WAIT},
	{"yes", no_argument, NULL, OPTION_YES},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct command {
	const char *name;
	int (*run)(struct tool *tool);
	int max_names;
	const char *options; /* those that only some commands have */
} commands[] = {
	{"init", command_init, INT32_MAX, "w"},
	{"status", command_status, 0, ""},
	{"reconcile", command_reconcile, INT32_MAX, "ru"},
	{"retry", command_retry, 2, ""},
	{"drop", command_drop, INT32_MAX, "y"},
};

static int complain(const char *what)
{
	fprintf(stderr, "pglane-weaviate: %s\nTry 'pglane-weaviate --help'.\n", what);
	return EXIT_TROUBLE;
}

static bool read_seconds(const char *text, unsigned *seconds_r)
{
	char *end;
	unsigned long seconds = strtoul(text, &end, 10);

	*seconds_r = (unsigned)MIN_OF(seconds, WAIT_S_MAX);
	return isdigit((unsigned char)text[0]) && *end == '\0' && seconds <= WAIT_S_MAX;
}

/* NULL, or what is wrong. given: the letters of options that only some commands have. */
static const char *take_option(int c, struct tool_options *options, char *given)
{
	given += strlen(given);
	switch (c) {
	case 'n':
		options->dry_run = true;
		return NULL;
	case 'q':
		options->quiet = true;
		return NULL;
	case OPTION_REPAIR:
		options->repair = true;
		*given = 'r';
		return NULL;
	case OPTION_UNKNOWN:
		options->unknown = true;
		*given = 'u';
		return NULL;
	case OPTION_WAIT:
		*given = 'w';
		return read_seconds(optarg, &options->wait_s) ? NULL : "--wait needs seconds, at most 86400";
	case OPTION_YES:
		options->yes = true;
		*given = 'y';
		return NULL;
	default:
		return "unknown option";
	}
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int run(const struct command *command, const struct tool_options *options)
{
	struct tool tool;
	int status = EXIT_TROUBLE;

	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	if (tool_open(&tool, options))
		status = command->run(&tool);
	tool_release(&tool);
	curl_global_cleanup();
	return fflush(stdout) == 0 ? status : tool_fail("standard output cannot be written");
}

int main(int argc, char **argv)
{
	struct tool_options options = {.wait_s = 60};
	char given[64] = "";
	int c;

	(void)signal(SIGPIPE, SIG_IGN);
	while ((c = getopt_long(argc, argv, "nqVh", long_options, NULL)) != -1) {
		if (c == 'V') {
			printf("pglane-weaviate %s\n", PGLANE_VERSION);
			return EXIT_FINE;
		}
		if (c == 'h') {
			fputs(usage, stdout);
			return EXIT_FINE;
		}
		const char *wrong = strlen(given) < sizeof(given) - 1 ? take_option(c, &options, given)
								      : "too many options";
		if (wrong != NULL)
			return complain(wrong);
	}
	if (argc - optind < 2)
		return complain("a command and a configuration file are needed");
	const struct command *command = find_command(argv[optind]);
	if (command == NULL)
		return complain("unknown command; there are init, status, reconcile, retry and drop");
	if (given[strspn(given, command->options)] != '\0')
		return complain("an option does not go with this command");
	if (options.unknown && !options.repair)
		return complain("--unknown goes with --repair");
	options.config_file = argv[optind + 1];
	options.names = argv + optind + 2;
	options.n_names = argc - optind - 2;
	if (options.n_names > command->max_names)
		return complain("too many names for this command");
	return run(command, &options);
}
