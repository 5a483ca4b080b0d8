/* SPDX-License-Identifier: ISC */
/*
 * Offline routing. A line that is no question is answered with an error that has its number, so that
 * one bad line of an export does not hide the rest and the answers still pair with the lines; the
 * exit code tells. The lane and the timeout are those
 * of a quiet system: what a full lane changes (spill, the urgent lane) is not known here.
 */
#include "daemon/route.h"

#include "base/base.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "classify/catalog.h"
#include "classify/classify.h"
#include "config/config.h"
#include "config/load.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <getopt.h>
#include <time.h>

static const char usage[] = "usage: pglane route [-0] [CONFIG.ini]\n"
			    "  Reads JSON lines with the key \"sql\" from standard input and "
			    "prints class, lane, priority, timeout (ms) and rule of each,\n"
			    "  or {\"error\": \"line N: …\"} for a line that is not one; other keys are ignored.\n"
			    "  Keys \"user\", \"database\" and \"application_name\" are what "
			    "[users] and [rules] are asked about,\n"
			    "  \"time\" (2026-03-31T22:15, local) when; now without it; \"columns\" what the\n"
			    "  database's catalog says: {\"[schema.]table.column\": \"vector(384)\", …}.\n"
			    "  -0  statements are plain text, separated by NUL\n"
			    "  CONFIG.ini  lanes, users and rules; the built-in lanes without it\n";

struct route {
	struct config *config;
	struct classifier *classifier;
};

/* What a line says about its statement; strings belong to the line. */
struct question {
	const char *sql;
	size_t n;
	const char *user, *database, *application_name;
	time_t time;
	struct catalog *catalog; /* NULL: nothing is known */
};

static struct config *load_config(const char *file)
{
	static const char none[] = "[pglane]\n";
	struct config_problems problems = {0};
	struct config *config =
		file != NULL ? config_load_checked(file, classify_rule_check, &problems)
			     : config_load_text("built-in", none, sizeof(none) - 1, &problems);
	if (config == NULL) {
		struct strbuf text = STRBUF_INIT;
		config_problems_print(&problems, &text);
		fputs(text.data, stderr);
		strbuf_release(&text);
	}
	config_problems_release(&problems);
	return config;
}

static bool route_init(struct route *route, const char *file)
{
	unsigned bad_line; /* rules are checked as they are loaded */
	char error[256];
	*route = (struct route){.config = load_config(file)};
	if (route->config == NULL)
		return false;
	const char **lanes = config_lane_names(route->config);
	route->classifier = classifier_new((const char *const *)route->config->rules,
		route->config->n_rules,
		(struct classifier_lanes){lanes, route->config->n_lanes}, &bad_line, error);
	mem_free(lanes);
	MUST(route->classifier != NULL);
	return true;
}

static void route_release(struct route *route)
{
	classifier_free(&route->classifier);
	config_unref(&route->config);
}

/* Without an entry in [users], and without a user, a question may annotate: it asks what would be,
 * not whether it may. */
static struct classify_session session_of(
	const struct route *route, const struct question *question)
{
	struct classify_session session = {
		.user = question->user,
		.database = question->database,
		.application_name = question->application_name,
		.may_annotate = true,
		.max_priority = 10,
		.catalog = question->catalog,
		.now_s = question->time,
	};
	struct tm local;
	if (localtime_r(&question->time, &local) != NULL)
		session.utc_offset_s = (int32_t)local.tm_gmtoff;
	const struct config_user *user =
		question->user[0] != '\0' ? config_find_user(route->config, question->user) : NULL;
	if (user != NULL) {
		session.may_annotate = user->annotations != ANNOTATIONS_NONE;
		session.max_priority = user->max_priority;
	}
	return session;
}

static void print(cJSON *json)
{
	char *text = cJSON_PrintUnformatted(json);
	MUST(text != NULL);
	puts(text);
	cJSON_free(text);
	cJSON_Delete(json);
}

/* In the place of the answer, for who reads those; on stderr, for who looks. */
static void answer_wrong(unsigned long number, const char *wrong)
{
	struct strbuf text = STRBUF_INIT;
	cJSON *json = cJSON_CreateObject();
	strbuf_addf(&text, "line %lu: %s", number, wrong);
	cJSON_AddStringToObject(json, "error", text.data);
	print(json);
	fprintf(stderr, "%s\n", text.data);
	strbuf_release(&text);
}

static void answer(const struct route *route, const struct question *question)
{
	struct classify_session session = session_of(route, question);
	struct classify_result result;
	classify(route->classifier, &session, question->sql, question->n, &result);
	const struct config_lane *lane =
		&route->config->lanes[result.has_lane ? result.lane
						      : route->config->lane_of_class[result.class]];
	double timeout_ms = result.timeout_ms ? (double)result.timeout_ms
					      : (double)(lane->statement_timeout_us / 1000);

	cJSON *json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, "class", query_class_name(result.class));
	cJSON_AddStringToObject(json, "lane", lane->name);
	cJSON_AddNumberToObject(json, "priority", result.priority);
	cJSON_AddNumberToObject(json, "timeout", timeout_ms);
	cJSON_AddStringToObject(json, "rule", result.deny ? result.deny_rule : result.rule);
	if (result.deny != NULL)
		cJSON_AddStringToObject(json, "deny", result.deny);
	if (result.log_rule != NULL)
		cJSON_AddStringToObject(json, "log", result.log_rule);
	print(json);
}

/* "" when the key is absent; NULL when it is there and no string. */
static const char *string_of(const cJSON *row, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, key);
	if (item == NULL)
		return "";
	return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* Local time. False: it is none. */
static bool read_time(const char *text, time_t *time_r)
{
	struct tm local = {.tm_isdst = -1};
	if (text[0] == '\0') {
		*time_r = time(NULL);
		return true;
	}
	const char *end = strptime(text, "%Y-%m-%dT%H:%M", &local);
	if (end == NULL || *end != '\0')
		return false;
	*time_r = mktime(&local);
	return true;
}

/* ---- what is known of columns ---- */

/* vector(384), public.halfvec: the catalog goes by the type's name, too. */
static bool is_vector_type(const char *type)
{
	static const char *const types[] = {"vector", "halfvec", "sparsevec"};
	size_t n = strcspn(type, "([");
	const char *dot = memrchr(type, '.', n), *name = dot != NULL ? dot + 1 : type;
	n -= (size_t)(name - type);
	for (unsigned i = 0; i < N_ELEMENTS(types); i++)
		if (strlen(types[i]) == n && memcmp(types[i], name, n) == 0)
			return type[strcspn(type, "[")] == '\0'; /* an array of them is none */
	return false;
}

/* [schema.]table.column, cut apart in place. */
static bool read_column(char *text, const char *type, struct catalog_column *column_r)
{
	char *dot = strrchr(text, '.');
	if (dot == NULL)
		return false;
	*dot = '\0';
	*column_r = (struct catalog_column){.schema = "public",
		.table = text,
		.name = dot + 1,
		.type = type,
		.is_vector = is_vector_type(type)};
	dot = strchr(text, '.');
	if (dot != NULL) {
		*dot = '\0';
		column_r->schema = text;
		column_r->table = dot + 1;
	}
	return column_r->schema[0] != '\0' && column_r->table[0] != '\0' &&
	       column_r->name[0] != '\0' && strchr(column_r->table, '.') == NULL;
}

/* false: they are not what they should be. */
static bool read_columns(const cJSON *row, struct catalog **catalog_r)
{
	const cJSON *object = cJSON_GetObjectItemCaseSensitive(row, "columns"), *item;
	struct catalog_column columns[CATALOG_COLUMNS_MAX];
	unsigned n = 0;
	if (object == NULL)
		return true;
	if (!cJSON_IsObject(object))
		return false;
	cJSON_ArrayForEach(item, object)
	{
		if (!cJSON_IsString(item) || (n < CATALOG_COLUMNS_MAX &&
			!read_column(item->string, item->valuestring, &columns[n])))
			return false;
		n += n < CATALOG_COLUMNS_MAX;
	}
	*catalog_r = catalog_new(columns, n);
	return true;
}

static const char *read_question(const cJSON *row, struct question *question_r)
{
	if (!cJSON_IsObject(row))
		return "not a JSON object";
	if (!cJSON_IsString(cJSON_GetObjectItemCaseSensitive(row, "sql")))
		return "no key \"sql\" with a string";
	*question_r = (struct question){
		.sql = string_of(row, "sql"),
		.user = string_of(row, "user"),
		.database = string_of(row, "database"),
		.application_name = string_of(row, "application_name"),
	};
	question_r->n = strlen(question_r->sql);
	if (question_r->user == NULL || question_r->database == NULL ||
		question_r->application_name == NULL)
		return "\"user\", \"database\" and \"application_name\" must be strings";
	const char *when = string_of(row, "time");
	if (when == NULL || !read_time(when, &question_r->time))
		return "\"time\" must be a string like 2026-03-31T22:15";
	if (!read_columns(row, &question_r->catalog))
		return "\"columns\" must be an object like {\"items.embedding\": \"vector(384)\"}";
	return NULL;
}

static bool is_blank(const char *line)
{
	return line[strspn(line, " \t\r\n")] == '\0';
}

static bool answer_json(const struct route *route, const char *line, size_t n, unsigned long number)
{
	if (is_blank(line) && strlen(line) == n)
		return true;
	struct question question = {0};
	const char *end = NULL;
	cJSON *row = strlen(line) == n ? cJSON_ParseWithOpts(line, &end, false) : NULL;
	const char *wrong =
		row == NULL || !is_blank(end) ? "not JSON" : read_question(row, &question);
	if (wrong == NULL)
		answer(route, &question);
	else
		answer_wrong(number, wrong);
	catalog_unref(&question.catalog);
	cJSON_Delete(row);
	return wrong == NULL;
}

static bool route_lines(const struct route *route, FILE *in)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	bool ok = true;
	for (unsigned long number = 1; (n = getline(&line, &cap, in)) >= 0; number++)
		ok &= answer_json(route, line, (size_t)n, number);
	free(line);
	return ok;
}

static bool route_texts(const struct route *route, FILE *in)
{
	char *text = NULL;
	size_t cap = 0;
	ssize_t n;
	while ((n = getdelim(&text, &cap, '\0', in)) >= 0) {
		if (text[n - 1] == '\0')
			n--;
		struct question question = {.sql = text,
			.n = (size_t)n,
			.user = "",
			.database = "",
			.application_name = "",
			.time = time(NULL)};
		answer(route, &question);
	}
	free(text);
	return true;
}

int route_main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	bool texts = false;
	int option;
	optind = 0; /* main() may have used getopt for its own options */
	opterr = 0; /* the usage says it */
	while ((option = getopt_long(argc, argv, "+0h", long_options, NULL)) != -1) {
		if (option == '0') {
			texts = true;
		} else {
			if (option != 'h')
				fprintf(stderr, "pglane route: unknown option: %s\n",
					argv[optind - 1]);
			fputs(usage, option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	}
	if (argc - optind > 1) {
		fputs(usage, stderr);
		return 2;
	}
	struct route route;
	if (!route_init(&route, optind < argc ? argv[optind] : NULL))
		return 1;
	bool ok = texts ? route_texts(&route, stdin) : route_lines(&route, stdin);
	if (ferror(stdin)) {
		fprintf(stderr, "standard input: %s\n", strerrordesc_np(errno));
		ok = false;
	}
	route_release(&route);
	return fflush(stdout) == 0 && ok ? 0 : 1;
}
