/* SPDX-License-Identifier: ISC */
#include "service/catalog_reader.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "service/catalog_rows.h"
#include "service/catalog_targets.h"
#include "service/pgconn.h"
#include "service/pgtarget.h"

#define READER_MAGIC 0x43415452u

/* The server gives the statement up before we do; nothing of the database's own is called. */
#define STATEMENT_OPTIONS "-c statement_timeout=10000 -c search_path=pg_catalog"
#define STATEMENT_TIMEOUT_US 15000000u
/* Others wait behind a host that does not answer. */
#define CONNECT_TIMEOUT_MAX_US 5000000u

enum reader_state {
	READER_RESTS,
	READER_EXPECT_PERMIT,
	READER_EXPECT_LOGIN,
	READER_EXPECT_ROWS,
	READER_EXPECT_CLOSED,
};

/* Who waits for readings. */
struct question {
	TAILQ_ENTRY(question) link;
	char *database; /* NULL: all */
	uint64_t asked_us;
	void (*done)(void *arg, bool ok, const char *text);
	void *arg;
};

struct catalog_reader {
	uint32_t magic;
	enum reader_state state;
	struct loop *loop;
	struct resolver *resolver;
	struct config *config;
	const struct permit_ops *permits;
	void *permit;
	const struct catalog_reader_ops *ops;
	void *arg;
	struct catalog_targets targets;
	TAILQ_HEAD(, question) questions;
	struct catalog_target *current; /* being read */
	struct pgconn *conn;
	struct strbuf statement;
	struct timer look;
	bool is_full; /* there are more databases than are read: the log knows */
};

static void begin(struct catalog_reader *reader);

static bool is_on(const struct catalog_reader *reader)
{
	return reader->config->catalog_period_us > 0;
}

/* ---- the databases ---- */

static bool can_log_in(const struct catalog_reader *reader, const char *database, const char *user)
{
	struct pgtarget where;
	bool can;

	if (pgtarget_init(&where, reader->config, database, user, NULL, 0) != NULL)
		return false;
	can = where.password != NULL;
	pgtarget_release(&where);
	return can;
}

void catalog_reader_add(struct catalog_reader *reader, const char *database, const char *user)
{
	struct catalog_target *target = catalog_targets_list(&reader->targets, database);

	if (target == NULL && !reader->is_full) {
		reader->is_full = true;
		log_warning("there are more than %u databases: vector columns of %s and others "
			    "are not read",
			CATALOG_DATABASES_MAX, database);
	}
	if (target == NULL || user == NULL || target->user || reader->config->catalog_user ||
		reader->config->metrics_user || !can_log_in(reader, database, user))
		return; /* nobody, or nobody new, or others go before */
	target->user = mem_strdup(user);
	if (target->failed)
		target->due_us = 0; /* perhaps that one may */
}

static void publish(struct catalog_reader *reader)
{
	struct catalogs *catalogs = catalog_targets_known(&reader->targets);

	reader->ops->learned(reader->arg, catalogs);
	catalogs_unref(&catalogs);
}

/* What is there now. */
static void look(struct catalog_reader *reader)
{
	unsigned n_before = reader->targets.n, n_new;

	catalog_targets_unlist(&reader->targets);
	if (is_on(reader))
		reader->ops->databases(reader->arg, reader);
	n_new = reader->targets.n - n_before;
	if (catalog_targets_drop(&reader->targets, reader->current) > 0 || n_new > 0)
		publish(reader);
}

static bool may_read(const struct catalog_reader *reader, const struct catalog_target *target)
{
	return reader->ops->may_read(reader->arg, target->database);
}

/* The one that has been due for longest; NULL: none is. */
static struct catalog_target *next_due(const struct catalog_reader *reader, uint64_t now_us)
{
	struct catalog_target *target, *first = NULL;

	TAILQ_FOREACH(target, &reader->targets.list, link)
		if (target->is_listed && target->due_us <= now_us && may_read(reader, target) &&
			(first == NULL || target->due_us < first->due_us))
			first = target;
	return first;
}

/* ---- who asked ---- */

static bool is_about(const struct question *question, const struct catalog_target *target)
{
	return question->database == NULL || strcmp(question->database, target->database) == 0;
}

static void answer(struct catalog_reader *reader, struct question *question, bool ok,
	const char *text)
{
	TAILQ_REMOVE(&reader->questions, question, link);
	question->done(question->arg, ok, text);
	mem_free(question->database);
	mem_free(question);
}

static void answer_all(struct catalog_reader *reader, const char *text)
{
	struct question *question;

	while ((question = TAILQ_FIRST(&reader->questions)) != NULL)
		answer(reader, question, false, text);
}

/* What could not be read is added to text. false: something is still to be read. */
static bool is_read(const struct catalog_reader *reader, const struct question *question,
	struct strbuf *text)
{
	const struct catalog_target *target;
	bool found = false;

	TAILQ_FOREACH(target, &reader->targets.list, link) {
		const char *why = NULL;

		if (!is_about(question, target) || !target->is_listed)
			continue;
		found = true;
		if (!may_read(reader, target))
			why = "it is paused";
		else if (target == reader->current || target->began_us < question->asked_us)
			return false;
		else if (target->failed)
			why = target->problem;
		if (why)
			strbuf_addf(text, "%s%s: %s", text->len ? "; " : "", target->database, why);
	}
	if (!found && question->database)
		strbuf_addf(text, "%s: no client has come for it, and it is not in [databases]",
			question->database);
	return true;
}

static void answer_questions(struct catalog_reader *reader)
{
	struct question *question, *next;

	TAILQ_FOREACH_SAFE(question, &reader->questions, link, next) {
		struct strbuf text = STRBUF_INIT;

		if (is_read(reader, question, &text))
			answer(reader, question, text.len == 0, text.data);
		strbuf_release(&text);
	}
}

void catalog_reader_ask(struct catalog_reader *reader, const char *database,
	void (*done)(void *done_arg, bool ok, const char *text), void *done_arg)
{
	struct question *question;
	struct catalog_target *target;

	CHECK_MAGIC(reader, READER_MAGIC);
	if (!is_on(reader)) {
		done(done_arg, false, "catalog_period is 0");
		return;
	}
	question = mem_zalloc(sizeof(*question));
	question->database = database ? mem_strdup(database) : NULL;
	question->asked_us = clock_mono_us();
	question->done = done;
	question->arg = done_arg;
	TAILQ_INSERT_TAIL(&reader->questions, question, link);
	look(reader);
	TAILQ_FOREACH(target, &reader->targets.list, link)
		if (is_about(question, target))
			catalog_target_wanted(target, question->asked_us);
	begin(reader);
	answer_questions(reader);
}

/* The reading of the current one is over, its connection too. */
static void end_reading(struct catalog_reader *reader)
{
	struct catalog_target *target = reader->current;

	reader->state = READER_RESTS;
	reader->current = NULL;
	if (target->asked_us > target->began_us)
		target->due_us = 0; /* asked meanwhile: what was read may be older */
	look(reader);
	publish(reader);
	begin(reader);
	answer_questions(reader);
}

/* ---- one connection ---- */

static void close_connection(struct catalog_reader *reader)
{
	reader->state = READER_EXPECT_CLOSED;
	reader->permits->closing(reader->permit);
	pgconn_close(reader->conn);
}

static void on_connected(void *arg)
{
	struct catalog_reader *reader = arg;

	CHECK_MAGIC(reader, READER_MAGIC);
	reader->state = READER_EXPECT_ROWS;
	pgconn_query(reader->conn, reader->statement.data, 0, NULL, STATEMENT_TIMEOUT_US);
}

static void take_rows(struct catalog_reader *reader, const PGresult *result)
{
	bool is_cut;
	struct catalog *fresh = catalog_rows_read(result, &is_cut);

	catalog_target_read(reader->current, fresh, is_cut,
		clock_mono_us() + reader->config->catalog_period_us);
}

static void on_answered(void *arg, const PGresult *result)
{
	struct catalog_reader *reader = arg;

	CHECK_MAGIC(reader, READER_MAGIC);
	take_rows(reader, result);
	close_connection(reader);
}

/* The statement itself failed, perhaps by its time limit: nothing that is gone in a moment. */
static bool is_final(const struct catalog_reader *reader, const struct pgconn_error *error)
{
	return reader->state == READER_EXPECT_ROWS && error->sqlstate[0] != '\0' &&
	       strncmp(error->sqlstate, "57P", 3) != 0; /* PostgreSQL goes down */
}

static void on_failed(void *arg, const struct pgconn_error *error)
{
	struct catalog_reader *reader = arg;

	CHECK_MAGIC(reader, READER_MAGIC);
	catalog_target_failed(reader->current, error->text, is_final(reader, error),
		reader->config->catalog_period_us, clock_mono_us());
	close_connection(reader);
}

static void on_closed(void *arg)
{
	struct catalog_reader *reader = arg;

	CHECK_MAGIC(reader, READER_MAGIC);
	reader->conn = NULL;
	reader->permits->closed(reader->permit);
	reader->ops->ended(reader->arg);
	end_reading(reader);
}

static const struct pgconn_ops conn_ops = {
	.connected = on_connected,
	.answered = on_answered,
	.failed = on_failed,
	.closed = on_closed,
};

/* Who asks. NULL, or why nobody can. */
static const char *choose_user(const struct catalog_reader *reader, struct catalog_target *target,
	struct pgtarget *where_r)
{
	const struct config *config = reader->config;
	const struct config_database *entry = config_find_database(config, target->database);
	const char *user = target->user, *password = NULL;

	if (config->catalog_user) {
		user = config->catalog_user;
		password = config->catalog_password;
	} else if (entry && entry->user) {
		user = NULL;
	} else if (config->metrics_user) {
		user = config->metrics_user;
		password = config->metrics_password;
	} else if (user == NULL) {
		return "nobody is known who could ask, see catalog_user";
	}
	return pgtarget_init(where_r, config, target->database, user, password,
		target->n_attempts++);
}

static void give_permit_back(struct catalog_reader *reader)
{
	reader->permits->closing(reader->permit);
	reader->permits->closed(reader->permit);
}

/* A permit and a slot are held. */
static void connect_now(struct catalog_reader *reader, const struct pgtarget *where)
{
	const struct config *config = reader->config;
	struct pgconn_params params = {
		.host = where->host,
		.port = where->port,
		.dbname = where->dbname,
		.user = where->user,
		.password = where->password,
		.application_name = "pglane catalog",
		.options = STATEMENT_OPTIONS,
		.tls = where->tls,
		.connect_timeout_us = CONNECT_TIMEOUT_MAX_US,
	};

	if (config->server_connect_timeout_us > 0)
		params.connect_timeout_us =
			MIN_OF(params.connect_timeout_us, config->server_connect_timeout_us);
	reader->state = READER_EXPECT_LOGIN;
	reader->conn = pgconn_open(reader->loop, reader->resolver, &params, &conn_ops, reader);
}

/* The next one that is due and that somebody can read, and where it is. NULL: there is none. */
static struct catalog_target *choose(struct catalog_reader *reader, struct pgtarget *where_r)
{
	struct catalog_target *target;
	uint64_t now_us = clock_mono_us();

	while ((target = is_on(reader) ? next_due(reader, now_us) : NULL) != NULL) {
		const char *trouble = choose_user(reader, target, where_r);

		if (trouble == NULL)
			break;
		target->began_us = now_us;
		catalog_target_unreadable(
			target, trouble, now_us + reader->config->catalog_period_us);
		publish(reader);
	}
	return target;
}

/* With a permit. */
static void read_next(struct catalog_reader *reader)
{
	struct pgtarget where;
	struct catalog_target *target = choose(reader, &where);

	if (target != NULL && !reader->ops->begins(reader->arg, target->database)) {
		pgtarget_release(&where);
		target = NULL; /* the next look will tell */
	}
	if (target == NULL) {
		reader->state = READER_RESTS;
		give_permit_back(reader);
		return;
	}
	target->began_us = clock_mono_us();
	reader->current = target;
	connect_now(reader, &where);
	pgtarget_release(&where);
}

static void begin(struct catalog_reader *reader)
{
	struct catalog_target *target;
	struct pgtarget where;

	if (reader->state != READER_RESTS)
		return;
	target = choose(reader, &where);
	if (target == NULL)
		return;
	pgtarget_release(&where);
	switch (reader->permits->acquire(reader->permit)) {
	case PERMIT_GRANTED:
		read_next(reader);
		break;
	case PERMIT_WAITS:
		reader->state = READER_EXPECT_PERMIT;
		break;
	case PERMIT_REFUSED:
		target->began_us = clock_mono_us();
		catalog_target_failed(target, "the queue of its lane is full", false,
			reader->config->catalog_period_us, target->began_us);
		publish(reader);
		break;
	}
}

void catalog_reader_granted(struct catalog_reader *reader)
{
	CHECK_MAGIC(reader, READER_MAGIC);
	MUST(reader->state == READER_EXPECT_PERMIT);
	read_next(reader);
	answer_questions(reader);
}

/* ---- life ---- */

static void on_look(struct timer *timer)
{
	struct catalog_reader *reader = CONTAINER_OF(timer, struct catalog_reader, look);

	CHECK_MAGIC(reader, READER_MAGIC);
	loop_timer(reader->loop, &reader->look, CATALOG_LOOK_US, on_look);
	look(reader);
	begin(reader);
	answer_questions(reader);
}

static void start_or_stop(struct catalog_reader *reader)
{
	struct catalog_target *target;
	uint64_t now_us = clock_mono_us();

	timer_stop(&reader->look);
	reader->is_full = false;
	if (!is_on(reader)) {
		look(reader);
		answer_all(reader, "catalog_period is 0");
		return;
	}
	TAILQ_FOREACH(target, &reader->targets.list, link) {
		mem_free(target->user); /* its password may be another one */
		target->user = NULL;
	}
	look(reader);
	TAILQ_FOREACH(target, &reader->targets.list, link)
		catalog_target_wanted(target, now_us);
	loop_timer(reader->loop, &reader->look, CATALOG_LOOK_US, on_look);
	begin(reader);
}

struct catalog_reader *catalog_reader_new(struct loop *loop, struct config *config,
	const struct permit_ops *permits, void *permit, const struct catalog_reader_ops *ops,
	void *arg)
{
	struct catalog_reader *reader = mem_zalloc(sizeof(*reader));

	reader->magic = READER_MAGIC;
	reader->loop = loop;
	reader->resolver = resolver_new(loop);
	reader->config = config_ref(config);
	reader->permits = permits;
	reader->permit = permit;
	reader->ops = ops;
	reader->arg = arg;
	catalog_targets_init(&reader->targets);
	TAILQ_INIT(&reader->questions);
	strbuf_init(&reader->statement);
	catalog_rows_statement(&reader->statement);
	start_or_stop(reader);
	return reader;
}

/* What is under way with the old values ends by itself, at its deadline at the latest. */
void catalog_reader_change(struct catalog_reader *reader, struct config *config)
{
	CHECK_MAGIC(reader, READER_MAGIC);
	config_unref(&reader->config);
	reader->config = config_ref(config);
	start_or_stop(reader);
}

void catalog_reader_free(struct catalog_reader **reader_p, uint64_t patience_us)
{
	struct catalog_reader *reader = *reader_p;

	*reader_p = NULL;
	if (reader == NULL)
		return;
	CHECK_MAGIC(reader, READER_MAGIC);
	timer_stop(&reader->look);
	answer_all(reader, "pglane is shutting down");
	if (reader->state == READER_EXPECT_PERMIT)
		reader->permits->cancel(reader->permit);
	if (reader->conn) {
		if (reader->state != READER_EXPECT_CLOSED)
			reader->permits->closing(reader->permit);
		pgconn_end(&reader->conn, patience_us);
		reader->permits->closed(reader->permit);
		reader->ops->ended(reader->arg);
	}
	catalog_targets_release(&reader->targets);
	resolver_free(&reader->resolver);
	config_unref(&reader->config);
	strbuf_release(&reader->statement);
	reader->magic = 0;
	mem_free(reader);
}
