/* SPDX-License-Identifier: ISC */
/* Commands that the daemon carries out: RELOAD, SET, SHUTDOWN; and those that only the console's own session has to do with. */
#include "admin/show.h"

#include "base/log.h"
#include "base/mem.h"

/* The daemon's texts are lines of a log. */
static const char *without_newline(char *text)
{
	size_t n = strlen(text);

	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	return text;
}

static void reloaded(struct run *run)
{
	const char *text = without_newline(run->answer);
	struct pgw_fault notice;

	if (!run->answer_ok) {
		run->failed = true;
		run->fault = pgw_fault_make(PGW_FAULT_RELOAD_FAILED);
		run->fault_detail = text;
	} else if (text[0]) {
		notice = pgw_fault_make(PGW_FAULT_RELOAD_NOTICE);
		run_notice_with(run, &notice, text);
	}
	run_done(run);
}

void control_reload(struct run *run)
{
	run_ask(run, reloaded);
	run->cluster->reload(run->cluster->daemon_arg, run_answer, run);
}

static void was_set(struct run *run)
{
	if (run->answer_ok)
		run->tag = mem_printf("SET %s=%s", run->request.argument, run->request.value);
	else
		run_fail(run, PGW_FAULT_CONSOLE_SET_FAILED, without_newline(run->answer));
	run_done(run);
}

/* What drivers set unasked is accepted from everybody and ignored. */
void control_set(struct run *run)
{
	const char *key = run->request.argument;
	struct pgw_fault notice;

	if (fake_parameter(key)) {
		notice = pgw_fault_make(PGW_FAULT_SET_IGNORED);
		run_notice(run, &notice);
		run_done(run);
		return;
	}
	if (!client_is(run->client, CLIENT_ADMIN)) {
		run_fail(run, PGW_FAULT_CONSOLE_DENIED, NULL);
		run_done(run);
		return;
	}
	log_info("C-%llu: console: SET %s by %s", (unsigned long long)run->client->id, key, run->client->pool->shared->user->name);
	run_ask(run, was_set);
	run->cluster->set(run->cluster->daemon_arg, key, run->request.value, run_answer, run);
}

void control_shutdown(struct run *run)
{
	static const struct {
		const char *word;
		enum shutdown_mode mode;
	} modes[] = {
		{ "", SHUTDOWN_IMMEDIATE },
		{ "WAIT_FOR_SERVERS", SHUTDOWN_WAIT_FOR_SERVERS },
		{ "WAIT_FOR_CLIENTS", SHUTDOWN_WAIT_FOR_CLIENTS },
	};
	enum shutdown_mode mode = SHUTDOWN_NONE;

	for (unsigned i = 0; i < N_ELEMENTS(modes); i++)
		if (strcasecmp(modes[i].word, run->request.argument) == 0)
			mode = modes[i].mode;
	if (mode == SHUTDOWN_NONE) {
		run_fail(run, PGW_FAULT_CONSOLE_ARGUMENT, "WAIT_FOR_SERVERS, WAIT_FOR_CLIENTS or nothing");
		run_done(run);
		return;
	}
	run->cluster->shutdown(run->cluster->daemon_arg, mode);
	/* At once: the answer is the end of the connection. */
	if (mode != SHUTDOWN_IMMEDIATE)
		run_done(run);
}

void control_session(struct run *run)
{
	run_done(run);
}
