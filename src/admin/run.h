/* SPDX-License-Identifier: ISC */
/*
 * One command being carried out. It belongs to the worker of the client that gave it; what other workers know is gathered by visits, one worker
 * after the other, so that nothing in it needs a lock. A client may leave meanwhile: the run then ends by itself and tells nobody.
 */
#ifndef ADMIN_RUN_H
#define ADMIN_RUN_H

#include "admin/command.h"
#include "session/client.h"

struct run {
	uint32_t magic;
	struct request request;
	struct client *client; /* NULL: it is gone */
	struct worker *worker; /* whose thread it belongs to */
	struct cluster *cluster;
	/* The result. */
	struct rows rows;
	struct strbuf notices; /* whole messages */
	char *tag;	       /* NULL: the command's */
	bool failed;
	struct pgw_fault fault;
	const char *fault_detail; /* if failed: in place of the fault's own, of any length; NULL: that one. The run's */
	/* Being gathered: the command's own, by visits. */
	void *gathered;			      /* freed with the run */
	void (*release)(void *gathered);      /* what it holds besides itself; may be NULL */
	uint64_t n_left;		      /* of a poll: what is still awaited */
	/* Private to run.c. */
	bool visiting, asking, polling, canceled;
	void (*visit)(struct run *run, struct worker *worker);
	void (*then)(struct run *run);
	void (*undo)(struct run *run);
	void (*finished)(struct run *run);
	struct timer timer;
	struct mail mail;
	bool answer_ok;
	char *answer;
};

#define RUN_MAGIC 0x52554e21u

/* Takes over the request. finished is called once, from here or later, unless run_abandon() came first; it must free the run. */
struct run *run_new(struct client *client, struct request *request, void (*finished)(struct run *run));
void run_start(struct run *run);
void run_free(struct run **run);
void run_abandon(struct run *run); /* its client is gone: frees it, now or when what is under way comes back */
void run_cancel(struct run *run);  /* its client asked for that: a wait ends, anything else goes on */

/* For commands. */
void run_done(struct run *run); /* the run may be gone after it */
void run_fail(struct run *run, enum pgw_fault_id id, const char *what);
void run_notice(struct run *run, const struct pgw_fault *notice);
/* The same with a DETAIL of any length. */
void run_notice_with(struct run *run, const struct pgw_fault *notice, const char *detail);
/* visit on each worker's thread, then `then` on the run's own. visit touches of the run only its results and n_left. */
void run_visit(struct run *run, void (*visit)(struct run *run, struct worker *worker), void (*then)(struct run *run));
/* Visits again and again until a round leaves n_left at 0. A cancel request ends it: undo (NULL: nothing) must end in run_done(). */
void run_poll(struct run *run, void (*visit)(struct run *run, struct worker *worker), void (*then)(struct run *run), void (*undo)(struct run *run));
/* For what the daemon does: then finds answer_ok and answer. run_answer is the callback, on any thread. */
void run_ask(struct run *run, void (*then)(struct run *run));
void run_answer(void *run, bool ok, const char *text);

#endif
