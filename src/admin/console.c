/* SPDX-License-Identifier: ISC */
/*
 * The console's side of the protocol. Replies are gathered and leave with ReadyForQuery, a Flush, or when a command has to wait. While a command runs
 * its client is not read, so that answers keep their order without a queue.
 *
 * BEGIN, COMMIT and ROLLBACK are accepted, because drivers send them unasked; they change nothing but the status in ReadyForQuery: commands
 * act at once.
 */
#include "admin/console.h"

#include "admin/portal.h"
#include "admin/run.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgw/frame.h"

#define MESSAGE_ROOM (4u * PGW_FAULT_TEXT_BYTES) /* of a fault; anything else but rows is smaller */
#define OUT_MAX_BYTES 32768u		 /* replies that wait for their Sync */

struct console {
	struct client *client;
	struct run *run;       /* under way */
	struct portal *portal; /* it is this one's Execute; NULL: it answers a Query */
	uint32_t max_rows;     /* of that Execute; 0: all */
	bool in_message;       /* replies leave when it is over */
	bool discards;	       /* an extended batch failed: up to its Sync */
	bool in_transaction;   /* as the client was told */
	struct names names;
	struct strbuf out;
};

static struct console *console_of(struct client *client)
{
	struct console *console = client->console;

	if (console == NULL) {
		console = mem_zalloc(sizeof(*console));
		console->client = client;
		names_init(&console->names);
		strbuf_init(&console->out);
		client->console = console;
	}
	return console;
}

/* ---- what is said ---- */

static struct pgw_writer room_for_message(struct console *console, size_t n)
{
	strbuf_reserve(&console->out, n);
	return pgw_writer_on(console->out.data + console->out.len, n);
}

static void put(struct console *console, const struct pgw_writer *writer)
{
	MUST(writer->err == PGW_OK);
	console->out.len += writer->len;
}

static void say_empty(struct console *console, uint8_t type)
{
	struct pgw_writer writer = room_for_message(console, PGW_HEADER_BYTES);

	pgw_build_empty(&writer, type);
	put(console, &writer);
}

static void say_fault_with(struct console *console, const struct pgw_fault *fault, const char *detail)
{
	struct pgw_writer writer = room_for_message(console, MESSAGE_ROOM + strlen(detail));

	pgw_build_fault_with(&writer, fault, detail);
	put(console, &writer);
	if (worker_config(console->client->worker)->log_pooler_errors)
		log_rated(LOG_LEVEL_WARNING, "C-%llu: console: %s: %s", (unsigned long long)console->client->id, fault->sqlstate, fault->message);
}

static void say_fault(struct console *console, const struct pgw_fault *fault)
{
	say_fault_with(console, fault, fault->detail);
}

static void say_failed(struct console *console, const struct run *run)
{
	say_fault_with(console, &run->fault, run->fault_detail ? run->fault_detail : run->fault.detail);
}

static void say_complete(struct console *console, const char *tag)
{
	struct pgw_writer writer = room_for_message(console, PGW_HEADER_BYTES + strlen(tag) + 1);

	pgw_build_command_complete(&writer, tag);
	put(console, &writer);
}

static void say_ready(struct console *console)
{
	struct pgw_writer writer = room_for_message(console, PGW_HEADER_BYTES + 1);

	pgw_build_ready(&writer, console->in_transaction ? PGW_XACT_OPEN : PGW_XACT_IDLE);
	put(console, &writer);
}

static void flush(struct console *console)
{
	if (console->out.len == 0)
		return;
	client_reply(console->client, console->out.data, console->out.len);
	strbuf_release(&console->out); /* an idle client owns no buffer */
}

/* An error in an extended batch: what follows is not done, up to Sync. */
static void fail_batch(struct console *console, const struct pgw_fault *fault)
{
	say_fault(console, fault);
	console->discards = true;
}

static void fail_batch_with(struct console *console, enum pgw_fault_id id, const char *what)
{
	struct pgw_fault fault;

	pgw_fault_set(&fault, id, what, NULL);
	fail_batch(console, &fault);
}

/* ---- results ---- */

/* Up to max_rows more of a portal's rows, and how it stands then. */
static void say_portal(struct console *console, struct portal *portal, uint32_t max_rows)
{
	unsigned n = portal->rows.n - portal->n_sent;

	if (max_rows > 0 && n > max_rows)
		n = max_rows;
	rows_render(&portal->rows, portal->n_sent, n, portal->binary, &console->out);
	portal->n_sent += n;
	if (portal->n_sent < portal->rows.n) {
		say_empty(console, PGW_PORTAL_SUSPENDED);
		return;
	}
	rows_release(&portal->rows);
	portal->n_sent = 0;
	say_complete(console, portal->tag);
}

static void change_session(struct console *console, const struct run *run)
{
	const char *argument = run->request.argument;

	switch (run->request.command->role) {
	case ROLE_BEGINS:
		console->in_transaction = true;
		break;
	case ROLE_ENDS:
		console->in_transaction = false;
		break;
	case ROLE_FORGETS:
		if (strcasecmp(argument, "all") == 0)
			names_drop_all_prepared(&console->names);
		else
			names_drop_prepared(&console->names, argument);
		break;
	case ROLE_PLAIN:
	default:
		break;
	}
}

static void answer_query(struct console *console, struct run *run)
{
	if (run->failed) {
		say_failed(console, run);
	} else {
		if (run->rows.columns.n > 0)
			columns_describe(run->rows.columns, 0, &console->out);
		rows_render(&run->rows, 0, run->rows.n, 0, &console->out);
		say_complete(console, run->tag ? run->tag : run->request.command->tag);
	}
	say_ready(console);
}

static void answer_execute(struct console *console, struct run *run, struct portal *portal)
{
	if (run->failed) {
		say_failed(console, run);
		console->discards = true;
		return;
	}
	rows_release(&portal->rows);
	portal->rows = run->rows;
	rows_init(&run->rows, run->request.command->columns);
	portal->tag = mem_strdup(run->tag ? run->tag : run->request.command->tag);
	portal->executed = true;
	say_portal(console, portal, console->max_rows);
}

static void on_finished(struct run *run)
{
	struct client *client = run->client;
	struct console *console = client->console;
	struct portal *portal = console->portal;

	MUST(console->run == run);
	console->run = NULL;
	console->portal = NULL;
	strbuf_add(&console->out, run->notices.data, run->notices.len);
	if (!run->failed)
		change_session(console, run);
	if (portal)
		answer_execute(console, run, portal);
	else
		answer_query(console, run);
	run_free(&run);
	if (console->in_message)
		return;
	flush(console);
	client_console_resume(client);
}

static void start_run(struct console *console, struct request *request, struct portal *portal)
{
	const struct command *command = request->command;

	if (command->admin)
		log_info("C-%llu: console: %s%s%s by %s", (unsigned long long)console->client->id, command->verb, request->argument[0] ? " " : "",
			request->argument, console->client->pool->shared->user->name);
	console->portal = portal;
	console->run = run_new(console->client, request, on_finished);
	run_start(console->run);
}

/* ---- messages ---- */

/* A body that does not hold what its type says. */
static void garbled(struct console *console, const char *what)
{
	struct pgw_fault fault;

	pgw_fault_set(&fault, PGW_FAULT_PROTOCOL_VIOLATION, what, NULL);
	client_fatal(console->client, &fault);
}

static void on_query(struct console *console, const uint8_t *body, size_t n_body)
{
	struct request request;
	struct pgw_fault fault;
	const char *text;
	size_t n_text;

	if (pgw_view_query(body, n_body, &text, &n_text) != PGW_OK) {
		garbled(console, "malformed Query");
		return;
	}
	names_drop_prepared(&console->names, "");
	names_drop_portal(&console->names, "");
	if (!request_parse(&request, text, n_text, &fault)) {
		say_fault(console, &fault);
		say_ready(console);
	} else if (request.command == NULL) {
		say_empty(console, PGW_EMPTY_QUERY_RESPONSE);
		say_ready(console);
	} else {
		start_run(console, &request, NULL);
	}
}

static void on_parse(struct console *console, const uint8_t *body, size_t n_body)
{
	struct pgw_parse parse;
	struct request request;
	struct pgw_fault fault;

	if (pgw_view_parse(body, n_body, &parse) != PGW_OK) {
		garbled(console, "malformed Parse");
		return;
	}
	if (parse.name[0] && names_find_prepared(&console->names, parse.name)) {
		fail_batch_with(console, PGW_FAULT_STATEMENT_EXISTS, parse.name);
		return;
	}
	if (!request_parse(&request, parse.query, parse.n_query_bytes, &fault)) {
		fail_batch(console, &fault);
		return;
	}
	request_release(&request);
	if (names_prepare(&console->names, parse.name, parse.query))
		say_empty(console, PGW_PARSE_COMPLETE);
	else
		fail_batch_with(console, PGW_FAULT_CONSOLE_MEMORY, NULL);
}

/* What the names of a Bind are followed by: no parameters, and the formats of the results. false: it was answered. */
static bool read_bind_rest(struct console *console, struct pgw_reader reader, unsigned n_columns, uint64_t *binary_r)
{
	unsigned n_parameter_formats = pgw_read_u16(&reader), n_parameters, n_formats;

	(void)pgw_read_bytes(&reader, 2 * (size_t)n_parameter_formats);
	n_parameters = pgw_read_u16(&reader);
	if (reader.err == PGW_OK && n_parameters > 0) {
		fail_batch_with(console, PGW_FAULT_CONSOLE_PROTOCOL, "commands have no parameters");
		return false;
	}
	n_formats = pgw_read_u16(&reader);
	if (reader.err == PGW_OK && n_formats > 1 && n_formats != n_columns) {
		fail_batch_with(console, PGW_FAULT_CONSOLE_PROTOCOL, "as many result formats as there are columns are needed");
		return false;
	}
	*binary_r = 0;
	for (unsigned i = 0; i < n_formats; i++)
		if (pgw_read_u16(&reader))
			*binary_r |= n_formats == 1 ? UINT64_MAX : (uint64_t)1 << i;
	if (pgw_read_end(&reader) == PGW_OK)
		return true;
	garbled(console, "malformed Bind");
	return false;
}

static struct columns columns_of(const char *text)
{
	struct columns columns = { NULL, 0 };
	struct request request;
	struct pgw_fault fault;

	if (!request_parse(&request, text, strlen(text), &fault))
		UNREACHABLE("it was parsed before");
	if (request.command)
		columns = request.command->columns;
	request_release(&request);
	return columns;
}

static void on_bind(struct console *console, const uint8_t *body, size_t n_body)
{
	struct pgw_bind bind;
	struct prepared *prepared;
	struct portal *portal;
	uint64_t binary;

	if (pgw_view_bind(body, n_body, n_body, &bind) != PGW_OK) {
		garbled(console, "malformed Bind");
		return;
	}
	prepared = names_find_prepared(&console->names, bind.statement);
	if (prepared == NULL) {
		fail_batch_with(console, PGW_FAULT_STATEMENT_UNKNOWN, bind.statement);
		return;
	}
	if (!read_bind_rest(console, pgw_reader_on(body + bind.n_prefix_bytes, n_body - bind.n_prefix_bytes), columns_of(prepared->text).n, &binary))
		return;
	portal = names_bind(&console->names, bind.portal, prepared->text);
	if (portal == NULL) {
		fail_batch_with(console, PGW_FAULT_CONSOLE_MEMORY, NULL);
		return;
	}
	portal->binary = binary;
	say_empty(console, PGW_BIND_COMPLETE);
}

static void say_columns(struct console *console, struct columns columns, uint64_t binary)
{
	if (columns.n > 0)
		columns_describe(columns, binary, &console->out);
	else
		say_empty(console, PGW_NO_DATA);
}

static void say_no_parameters(struct console *console)
{
	struct pgw_writer writer = room_for_message(console, PGW_HEADER_BYTES + 2);

	pgw_write_begin(&writer, PGW_PARAMETER_DESCRIPTION);
	pgw_write_u16(&writer, 0);
	pgw_write_end(&writer);
	put(console, &writer);
}

static void on_describe(struct console *console, const uint8_t *body, size_t n_body)
{
	struct pgw_target target;
	struct prepared *prepared;
	struct portal *portal;

	if (pgw_view_target(body, n_body, &target) != PGW_OK) {
		garbled(console, "malformed Describe");
	} else if (target.kind == 'S') {
		prepared = names_find_prepared(&console->names, target.name);
		if (prepared == NULL) {
			fail_batch_with(console, PGW_FAULT_STATEMENT_UNKNOWN, target.name);
			return;
		}
		say_no_parameters(console);
		say_columns(console, columns_of(prepared->text), 0);
	} else {
		portal = names_find_portal(&console->names, target.name);
		if (portal)
			say_columns(console, columns_of(portal->text), portal->binary);
		else
			fail_batch_with(console, PGW_FAULT_PORTAL_UNKNOWN, target.name);
	}
}

static void on_close(struct console *console, const uint8_t *body, size_t n_body)
{
	struct pgw_target target;

	if (pgw_view_target(body, n_body, &target) != PGW_OK) {
		garbled(console, "malformed Close");
		return;
	}
	if (target.kind == 'S')
		names_drop_prepared(&console->names, target.name);
	else
		names_drop_portal(&console->names, target.name);
	say_empty(console, PGW_CLOSE_COMPLETE);
}

static void on_execute(struct console *console, const uint8_t *body, size_t n_body)
{
	struct pgw_execute execute;
	struct portal *portal;
	struct request request;
	struct pgw_fault fault;

	if (pgw_view_execute(body, n_body, &execute) != PGW_OK) {
		garbled(console, "malformed Execute");
		return;
	}
	portal = names_find_portal(&console->names, execute.portal);
	if (portal == NULL) {
		fail_batch_with(console, PGW_FAULT_PORTAL_UNKNOWN, execute.portal);
	} else if (portal->executed) {
		say_portal(console, portal, execute.max_rows);
	} else if (!request_parse(&request, portal->text, strlen(portal->text), &fault)) {
		UNREACHABLE("it was parsed before");
	} else if (request.command == NULL) {
		say_empty(console, PGW_EMPTY_QUERY_RESPONSE);
	} else {
		console->max_rows = execute.max_rows;
		start_run(console, &request, portal);
	}
}

static void on_sync(struct console *console)
{
	console->discards = false;
	if (!console->in_transaction)
		names_drop_all_portals(&console->names);
	say_ready(console);
}

static void on_function_call(struct console *console)
{
	struct pgw_fault fault;

	pgw_fault_set(&fault, PGW_FAULT_CONSOLE_PROTOCOL, "function call", NULL);
	say_fault(console, &fault);
	say_ready(console);
}

static void dispatch(struct console *console, uint8_t type, const uint8_t *body, size_t n_body)
{
	switch (type) {
	case PGW_QUERY:
		on_query(console, body, n_body);
		break;
	case PGW_PARSE:
		on_parse(console, body, n_body);
		break;
	case PGW_BIND:
		on_bind(console, body, n_body);
		break;
	case PGW_DESCRIBE:
		on_describe(console, body, n_body);
		break;
	case PGW_EXECUTE:
		on_execute(console, body, n_body);
		break;
	case PGW_CLOSE:
		on_close(console, body, n_body);
		break;
	case PGW_SYNC:
		on_sync(console);
		break;
	case PGW_FUNCTION_CALL:
		on_function_call(console);
		break;
	case PGW_FLUSH:
	case PGW_COPY_DATA: /* outside of a COPY these three mean nothing, as in PostgreSQL */
	case PGW_COPY_DONE:
	case PGW_COPY_FAIL:
		break;
	default:
		garbled(console, "unexpected message type");
		break;
	}
}

static bool leaves_now(const struct console *console, uint8_t type)
{
	/* An error leaves at once, as PostgreSQL sends it: a client may wait for it behind a Flush that is discarded. */
	if (console->run || console->discards || console->out.len >= OUT_MAX_BYTES)
		return true;
	return type == PGW_QUERY || type == PGW_SYNC || type == PGW_FLUSH || type == PGW_FUNCTION_CALL;
}

static bool on_message(struct client *client, uint8_t type, const uint8_t *body, size_t n_body)
{
	struct console *console = console_of(client);

	if (console->discards && type != PGW_SYNC && pgw_is_frontend_type(type))
		return true;
	console->in_message = true;
	dispatch(console, type, body, n_body);
	if (client->state != CLIENT_CONSOLE)
		return true;
	console->in_message = false;
	if (console->run)
		client_console_pause(client);
	if (leaves_now(console, type))
		flush(console);
	return true;
}

static void on_gone(struct client *client)
{
	struct console *console = client->console;

	if (console == NULL)
		return;
	client->console = NULL;
	if (console->run)
		run_abandon(console->run);
	names_release(&console->names);
	strbuf_release(&console->out);
	mem_free(console);
}

static void on_cancel(struct client *client)
{
	struct console *console = client->console;

	if (console && console->run)
		run_cancel(console->run);
}

const struct console_ops console_ops = {
	.message = on_message,
	.gone = on_gone,
	.cancel = on_cancel,
};
