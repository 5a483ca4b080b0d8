/* SPDX-License-Identifier: ISC */
/* Options only. */
#include <getopt.h>

#include "daemon/daemon.h"
#include "daemon/route.h"
#include "session/worker.h"

static const char usage[] =
	"pglane - a connection-pooling query router for PostgreSQL\n"
	"\n"
	"Usage: pglane [OPTION]... CONFIG.ini\n"
	"       pglane --check CONFIG.ini\n"
	"       pglane route [-0] [CONFIG.ini] < statements\n"
	"\n"
	"  -d, --daemon      run in the background (needs logfile or syslog)\n"
	"  -q, --quiet       log nothing to stderr\n"
	"  -v, --verbose     log more; twice for even more\n"
	"  -u, --user=NAME   change to this user\n"
	"      --check       load the configuration, report every mistake, exit\n"
	"  -V, --version     show the version, exit\n"
	"  -h, --help        show this, exit\n"
	"\n"
	"route reads statements from standard input (JSON lines with a key \"sql\", or text\n"
	"separated by NUL with -0) and prints class, lane, priority, timeout and rule of each.\n";

enum { OPTION_CHECK = 256 };

static const struct option long_options[] = {
	{"daemon", no_argument, NULL, 'd'},
	{"quiet", no_argument, NULL, 'q'},
	{"verbose", no_argument, NULL, 'v'},
	{"user", required_argument, NULL, 'u'},
	{"check", no_argument, NULL, OPTION_CHECK},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static int complain(const char *what, const char *which)
{
	fprintf(stderr, "pglane: %s%s\nTry 'pglane --help'.\n", what, which);
	return 1;
}

/* What getopt_long() stopped at. text: room for a letter among others. */
static const char *last_option(char **argv, char text[static 3])
{
	if (optopt <= 0 || optopt >= OPTION_CHECK || strncmp(argv[optind - 1], "--", 2) == 0)
		return argv[optind - 1];
	(void)snprintf(text, 3, "-%c", optopt);
	return text;
}

int main(int argc, char **argv)
{
	struct daemon_options options = {0};
	char letter[3];
	bool check = false;
	int c;

	if (argc > 1 && strcmp(argv[1], "route") == 0)
		return route_main(argc - 1, argv + 1);
	opterr = 0; /* complain() says it, once */
	while ((c = getopt_long(argc, argv, ":dqvu:Vh", long_options, NULL)) != -1) {
		switch (c) {
		case 'd':
			options.background = true;
			break;
		case 'q':
			options.quiet = true;
			break;
		case 'v':
			options.verbose++;
			break;
		case 'u':
			options.user = optarg;
			break;
		case OPTION_CHECK:
			check = true;
			break;
		case 'V':
			printf("PgBouncer %s\npglane %s\n", PGLANE_COMPAT_VERSION, PGLANE_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case ':':
			return complain("a value is missing behind ", last_option(argv, letter));
		default:
			return complain("unknown option: ", last_option(argv, letter));
		}
	}
	if (optind != argc - 1)
		return complain("exactly one configuration file is needed", "");
	options.config_file = argv[optind];
	return check ? daemon_check(options.config_file) : daemon_run(&options);
}
