/* SPDX-License-Identifier: ISC */
#include "admin/run.h"

#include "base/mem.h"

#define POLL_US 50000u

struct run *run_new(struct client *client, struct request *request, void (*finished)(struct run *run))
{
	struct run *run = mem_zalloc(sizeof(*run));

	run->magic = RUN_MAGIC;
	run->request = *request;
	memset(request, 0, sizeof(*request));
	run->client = client;
	run->worker = client->worker;
	run->cluster = client->worker->cluster;
	run->finished = finished;
	strbuf_init(&run->notices);
	rows_init(&run->rows, run->request.command->columns);
	return run;
}

void run_start(struct run *run)
{
	if (run->request.command->admin && !client_is(run->client, CLIENT_ADMIN)) {
		run_fail(run, PGW_FAULT_CONSOLE_DENIED, NULL);
		run_done(run);
		return;
	}
	run->request.command->start(run);
}

void run_free(struct run **run_p)
{
	struct run *run = *run_p;

	*run_p = NULL;
	if (run == NULL)
		return;
	CHECK_MAGIC(run, RUN_MAGIC);
	MUST(!run->visiting && !run->asking);
	timer_stop(&run->timer);
	if (run->release)
		run->release(run->gathered);
	mem_free(run->gathered);
	rows_release(&run->rows);
	strbuf_release(&run->notices);
	request_release(&run->request);
	mem_free(run->tag);
	mem_free(run->answer);
	run->magic = 0;
	mem_free(run);
}

void run_abandon(struct run *run)
{
	run->client = NULL;
	if (!run->visiting && !run->asking)
		run_free(&run);
}

void run_done(struct run *run)
{
	run->finished(run);
}

void run_fail(struct run *run, enum pgw_fault_id id, const char *what)
{
	run->failed = true;
	pgw_fault_set(&run->fault, id, what, NULL);
}

void run_notice(struct run *run, const struct pgw_fault *notice)
{
	run_notice_with(run, notice, notice->detail);
}

void run_notice_with(struct run *run, const struct pgw_fault *notice, const char *detail)
{
	size_t room = 4 * PGW_FAULT_TEXT_BYTES + strlen(detail);
	struct pgw_writer writer;

	strbuf_reserve(&run->notices, room);
	writer = pgw_writer_on(run->notices.data + run->notices.len, room);
	pgw_build_fault_with(&writer, notice, detail);
	run->notices.len += writer.len;
}

/* ---- visits ---- */

static void on_visit(void *arg, struct worker *worker)
{
	struct run *run = arg;

	run->visit(run, worker);
}

static void visit_all(struct run *run);

static void on_poll_again(struct timer *timer)
{
	visit_all(CONTAINER_OF(timer, struct run, timer));
}

static void end_poll(struct run *run)
{
	run->polling = false;
	if (!run->canceled) {
		run->then(run);
		return;
	}
	run_fail(run, PGW_FAULT_CONSOLE_CANCELED, NULL);
	if (run->undo)
		run->undo(run);
	else
		run_done(run);
}

/* On the run's own thread again. */
static void on_visited(void *arg)
{
	struct run *run = arg;

	CHECK_MAGIC(run, RUN_MAGIC);
	run->visiting = false;
	if (run->client == NULL)
		run_free(&run);
	else if (!run->polling)
		run->then(run);
	else if (run->n_left == 0 || run->canceled)
		end_poll(run);
	else if (run->client->stream.flags & STREAM_PEER_CLOSED) /* before the wait began: no event says it again */
		client_disconnect(run->client, "client close request");
	else
		loop_timer(&run->worker->loop, &run->timer, POLL_US, on_poll_again);
}

static void visit_all(struct run *run)
{
	run->visiting = true;
	run->n_left = 0;
	cluster_visit(run->cluster, &run->worker->mailbox, on_visit, on_visited, run);
}

void run_visit(struct run *run, void (*visit)(struct run *run, struct worker *worker), void (*then)(struct run *run))
{
	run->visit = visit;
	run->then = then;
	run->polling = false;
	visit_all(run);
}

void run_poll(struct run *run, void (*visit)(struct run *run, struct worker *worker), void (*then)(struct run *run), void (*undo)(struct run *run))
{
	run->visit = visit;
	run->then = then;
	run->undo = undo;
	run->polling = true;
	visit_all(run);
}

void run_cancel(struct run *run)
{
	if (!run->polling || run->canceled)
		return;
	run->canceled = true;
	if (run->visiting)
		return;
	timer_stop(&run->timer);
	end_poll(run);
}

/* ---- the daemon's answer ---- */

static void on_answer(struct mail *mail, void *owner)
{
	struct run *run = CONTAINER_OF(mail, struct run, mail);

	CHECK_MAGIC(run, RUN_MAGIC);
	run->asking = false;
	if (run->client == NULL)
		run_free(&run);
	else
		run->then(run);
}

void run_ask(struct run *run, void (*then)(struct run *run))
{
	run->asking = true;
	run->then = then;
}

void run_answer(void *arg, bool ok, const char *text)
{
	struct run *run = arg;

	run->answer_ok = ok;
	run->answer = mem_strdup(text ? text : "");
	mailbox_post(&run->worker->mailbox, &run->mail, on_answer);
}
