/* SPDX-License-Identifier: ISC */
/*
 * Between client_feed.c (the walk over a client's bytes), feed_simple.c and feed_extended.c (what
 * each message means). A step function is called with a frame at feed->at and either uses it up
 * (STEP_NEXT), or leaves it where it is.
 */
#ifndef SESSION_FEED_H
#define SESSION_FEED_H

#include "classify/only_reads.h"
#include "pgw/frame.h"
#include "pgw/messages.h"
#include "session/client.h"
#include "session/expect.h"

enum step {
	STEP_NEXT, /* used up; go on */
	STEP_MORE, /* the message is not here as far as it is needed */
	STEP_WAIT, /* it must wait: for a permit, a server, ReadyForQuery */
	STEP_GONE, /* the client is */
};

struct feed {
	struct client *client;
	struct worker *worker;
	const uint8_t *at, *end;
};

enum step feed_query(struct feed *feed, const struct pgw_frame *frame); /* feed_simple.c */
enum step feed_parse(struct feed *feed, const struct pgw_frame *frame); /* feed_extended.c */
enum step feed_bind(struct feed *feed, const struct pgw_frame *frame);	/* feed_bind.c */
/* feed_portal.c: Describe and Close, Execute */
enum step feed_target(struct feed *feed, const struct pgw_frame *frame);
enum step feed_execute(struct feed *feed, const struct pgw_frame *frame);

enum step feed_skip_message(struct feed *feed,
	const struct pgw_frame *frame); /* drops it, also what has not come yet */
enum step feed_forward(struct feed *feed, const struct pgw_frame *frame);
enum step feed_violation(struct feed *feed, enum pgw_err err);
/* Between feed_extended.c, feed_bind.c and feed_portal.c. */
/* A BEGIN alone in its batch is answered here, as the simple protocol's is, and travels with the first statement; so is the end of a transaction
 * that failed here, which needs neither permit nor server. `at` is where its Bind must be; parsed: its Parse is answered, too. false: it is none. */
bool feed_answer_lone(
	struct feed *feed, const struct statement *statement, const uint8_t *at, bool parsed);
/* A server for the batch, in the lane of this statement. STEP_NEXT: there is one. */
enum step feed_want_server(
	struct feed *feed, const struct pgw_frame *frame, const struct statement_route *given);
/* A transaction that failed here hears only its end, statement pooling has no BEGIN, and a rule may
 * deny. true: the batch was refused. */
bool feed_refused(struct feed *feed, const struct pgw_frame *frame,
	const struct statement *statement, enum step *step_r); /* NULL: not known */
bool feed_route_refused(struct feed *feed, const struct pgw_frame *frame,
	const struct statement_route *route, const char *sql, size_t n, enum step *step_r);
/* Session pooling: what a rule denies the whole session. */
bool feed_session_refused(struct feed *feed, const struct pgw_frame *frame, enum step *step_r);
/* An error made here, because no server is linked: the batch is dropped up to its Sync. */
enum step feed_fail_batch(
	struct feed *feed, const struct pgw_frame *frame, const struct pgw_fault *fault);
enum step feed_unknown_statement(
	struct feed *feed, const struct pgw_frame *frame, const char *name);
/* The statement that `name` means to this client; NULL: none. */
struct statement *feed_find_statement(struct client *client, const char *name, size_t n_name);
/* May the client keep one statement more? Else *fault says why not. */
bool feed_within_memory(
	struct feed *feed, const struct pgw_parse *parse, struct pgw_fault *fault);
/* The Query is sent, with what goes ahead of it. */
enum step feed_send_query(
	struct feed *feed, const struct pgw_frame *frame, const struct statement_route *route);
/* What a Query that was sent to the server means to its client. */
void feed_query_sent(struct client *client, struct expect expect);
void feed_reply_complete(struct client *client, const char *tag); /* and ReadyForQuery */

/* feed_deallocate.c */
/* true: it is an unnamed DEALLOCATE of one of the client's statements of the protocol. */
bool feed_find_deallocated(struct client *client, const struct pgw_parse *parse,
	char name_r[static CLASSIFY_NAME_BYTES]);
enum step feed_parse_deallocate(
	struct feed *feed, const struct pgw_frame *frame, const char *name);
void feed_bind_deallocate(struct client *client, const struct statement *statement,
	const struct pgw_bind *bind); /* statement may be NULL */
enum step feed_execute_deallocate(struct feed *feed, const struct pgw_frame *frame);
/* true: it was one, and *step_r says what became of it. */
bool feed_query_deallocate(struct feed *feed, const struct pgw_frame *frame, const char *name,
	enum step *step_r);
/* feed_pass.c: session pooling, the message passes as it is */
enum step feed_pass(struct feed *feed, const struct pgw_frame *frame, enum expect_kind kind);
/* Its comments, if it has any, ask neither for notes nor for a search. true is sure. */
bool feed_acts_on_nothing(const char *sql, size_t n);
enum step feed_pass_query(struct feed *feed, const struct pgw_frame *frame);
enum step feed_pass_parse(struct feed *feed, const struct pgw_frame *frame);
enum step feed_pass_bind(struct feed *feed, const struct pgw_frame *frame);
enum step feed_pass_target(struct feed *feed, const struct pgw_frame *frame);

/* The route of a whole session, from its facts alone: in session pooling, and where there is no text. */
struct statement_route feed_session_route(const struct client *client);
struct statement_route feed_route(const struct client *client, const struct classify_result *result);
/* With workload_detection: the statement is counted, too, and what was learned of such ones decides
 * where nothing else does. */
struct statement_route feed_decide_counted(struct client *client,
	const struct classify_session *session, const char *sql, size_t n,
	struct classify_result *result_r);
/* Of a text. */
static inline struct statement_route feed_decide(struct client *client,
	const struct classify_session *session, const char *sql, size_t n,
	struct classify_result *result_r)
{
	if (UNLIKELY(client->worker->detects))
		return feed_decide_counted(client, session, sql, n, result_r);
	classify(client->worker->settings->classifier, session, sql, n, result_r);
	return feed_route(client, result_r);
}
/* Of a statement that is kept: decided anew only when something it hangs on is another. */
void feed_route_statement(struct client *client, struct statement *statement);
/* A rule denies it: the error comes in its turn. */
enum step feed_deny(struct feed *feed, const struct pgw_frame *frame,
	const struct statement_route *route, const char *sql, size_t n);
/* The statement is sent: a rule may want it logged. */
void feed_log(const struct client *client, const struct statement_route *route, const char *sql,
	size_t n);
/* In its turn, when a batch is open: behind what the server still owes. */
enum step feed_refuse_query(
	struct feed *feed, const struct pgw_frame *frame, const struct pgw_fault *fault);
/* The session's facts for classify(). */
struct classify_session feed_session(const struct client *client);

/* feed_reads.c: for lanes with target = replica */
bool feed_targets_replica(const struct client *client, const struct statement_route *route);
enum reads feed_reads(const struct client *client, const struct statement_route *route,
	const char *sql, size_t n); /* READS_NOT in other lanes */
/* The end of the batch that begins at feed->at, if it is here and only reads; else NULL. */
const uint8_t *feed_batch_reads(const struct feed *feed);
/* A replica refused the batch because it writes: its statements go to the primary from now on. */
void feed_batch_writes(struct client *client, const struct input *batch);

/* Keeps a BEGIN for the first statement; the caller answers it. false: too long to keep. */
bool feed_defer_begin(struct client *client, const char *sql, size_t n, bool class_fixed,
	enum query_class class, unsigned priority);
const char *feed_begin_tag(const char *sql, size_t n);
bool feed_is_neutral(const struct statement_route *route); /* does not decide a class */

/* Elsewhere in session/, for these files only. */
void client_feed_kept(struct client *client);
void client_on_hangup(struct client *client);
void link_maybe_release(struct client *client);
void server_emit_locals(struct server *server);

#endif
