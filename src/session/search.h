/* SPDX-License-Identifier: ISC */
/*
 * A statement whose annotation asks for a search in Weaviate waits for it here, before it asks for a
 * permit: CLIENT_SEARCHING. The request travels to the control thread and back as a mail. Its hits
 * are then placed ahead of the statement, in its transaction, where ml_vector_hits() finds them.
 *
 * One search belongs to one message: the Query, or the Bind with its values. That message stays at
 * the front of the client's input until the answer is there, is then fed again, and passes
 * search_holds(). Whatever ends the statement ends its search: the answer of one that is nobody's any
 * more is dropped. Owner: the client's worker.
 */
#ifndef SESSION_SEARCH_H
#define SESSION_SEARCH_H

#include "io/mailbox.h"
#include "pgw/fault.h"
#include "pgw/messages.h"
#include "record/search.h"
#include "session/feed.h"

struct search {
	struct mail mail;	       /* back */
	uint64_t id;		       /* no other search has it */
	struct mailbox *home;	       /* the worker's */
	struct search_request request; /* the control thread reads it while it flies … */
	struct search_answer answer;   /* … and writes this */
	/* The worker's alone. */
	bool flies;
	bool placed;	       /* its hits are on their way to the server */
	struct client *client; /* NULL: nobody waits for it any more */
	struct pgw_fault *fault;
	struct pgw_hash128 asked_by; /* the message */
	uint64_t began_us, took_us;
};

/* What a Bind that was found for a statement brings. */
struct search_bind {
	const uint8_t *body;
	size_t n_body;
	const struct pgw_bind *view;
};

/*
 * The statement of route is at the front and asks for a search. bind NULL: a Query. false: the hits
 * are there. true: it waits (STEP_WAIT, the client is CLIENT_SEARCHING) or was refused, and *step_r
 * says what became of it.
 */
bool search_holds(struct feed *feed, const struct pgw_frame *frame,
	const struct statement_route *route, const char *sql, size_t n_sql,
	const struct search_bind *bind, enum step *step_r);
/* The same for a Bind, which is needed whole, for its values. */
bool search_holds_bind(struct feed *feed, const struct pgw_frame *frame,
	const struct statement *statement, const struct pgw_bind *view, enum step *step_r);
/* true: the statement asks for a search and has no use for hits; refused. */
bool search_is_misplaced(struct feed *feed, const struct pgw_frame *frame,
	enum statement_kind kind, enum step *step_r);
/*
 * The same for a Parse of such a statement while no server is linked: none shall be held while the
 * search goes on, so the Bind that follows in its batch asks now. STEP_MORE: that must come first.
 */
bool search_holds_parse(struct feed *feed, const struct pgw_frame *frame,
	const struct statement *statement, const char *name, enum step *step_r);
/* The server is linked, the statement follows: its search's hits go ahead of it. MUST have one. */
void search_place(struct client *client);
/* An Execute: what comes now may have hits of its own. MUST have a search. */
void search_executed(struct client *client);
void search_drop(struct client *client); /* nothing without one */
void search_again(struct client *client); /* what was sent is fed again: so are its hits. Nothing without one */
void search_cancel(struct client *client); /* by its own cancel request */
/* Session pooling: a text with a comment, which may ask for a search, is refused if it does. */
bool search_refused_in_session(struct feed *feed, const struct pgw_frame *frame, const char *sql,
	size_t n_sql, enum step *step_r);

/* Any thread, once for each search that cluster->search was given: the answer is in it. */
void search_answered(struct search *search);

/* search_request.c: what the annotation of the statement asks for. false: the fault says why it cannot be. */
bool search_request_make(const struct client *client, const char *sql, size_t n_sql,
	const struct search_bind *bind, struct search_request *request_r,
	struct pgw_fault *fault_r);

#endif
