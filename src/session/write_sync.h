/* SPDX-License-Identifier: ISC */
/*
 * Write sync: an annotated write (classify/entity.h) is noted in the outbox by the transaction that makes it, so that both are committed or neither.
 *
 * Entities that the annotation names, and the table of a COPY, are noted ahead of the statement (ahead.h). Ids that come back in rows are
 * collected while the rows pass, and noted ahead of whatever the client says next; until the statement is answered nothing of that is sent. A simple
 * query outside of a transaction has no "next": it gets a BEGIN ahead, and its CommandComplete is kept until the COMMIT behind its notes
 * has succeeded.
 *
 * struct write_sync is there from the first annotated statement to the end of its transaction. Owner: its client, on its worker.
 */
#ifndef SESSION_WRITE_SYNC_H
#define SESSION_WRITE_SYNC_H

#include "classify/entity.h"
#include "pgw/codes.h"
#include "session/client.h"
#include "session/feed.h"

struct walk;

/* A type whose ids are in rows. */
struct returned {
	uint32_t statement; /* of the string */
	int column;	    /* -1: not seen (yet) */
	bool binary;
	char type[ENTITY_TYPE_BYTES];
};

/* What is looked for in the rows of a portal, or of a simple query. */
struct watched {
	LIST_ENTRY(watched) link; /* of sync->portals */
	char *portal;		  /* NULL: a simple query */
	unsigned n;
	struct returned items[];
};

struct noted {
	uint8_t type; /* index in sync->types */
	uint8_t id[ENTITY_UUID_BYTES];
};

struct write_sync {
	LIST_HEAD(, watched) portals;
	unsigned n_portals;
	struct watched *watching; /* whose rows are coming; NULL: nobody's */
	struct watched *query;	  /* a simple query's: owned */
	uint32_t statement;	  /* of the string, whose reply comes next */
	bool is_busy;	/* nothing more of the client is sent until what runs is answered: */
	bool in_query;	/* a simple query, by its ReadyForQuery */
	bool wraps;	/* BEGIN and COMMIT around it are ours */
	bool is_write;	/* the text that was read last is one INSERT, UPDATE, DELETE, MERGE or COPY: it ends no transaction and no savepoint */
	bool is_broken; /* its rows cannot be noted: client->fault says why, and it is to fail */
	bool has_put_down; /* notes that the end of the transaction takes */
	bool has_organization;
	uint8_t organization[ENTITY_UUID_BYTES];
	unsigned n_types;
	unsigned n_checked;
	struct noted *ids; /* to be noted */
	uint32_t n_ids, cap_ids;
	struct strbuf held; /* messages to the client, kept until it is known that they are true */
	struct entity_marks marks; /* of the text that was read last */
	char types[ENTITY_MARKS_MAX][ENTITY_TYPE_BYTES];
	char checked[KNOWN_TYPES][ENTITY_TYPE_BYTES]; /* in this transaction, without an error since */
};

void write_sync_free(struct write_sync **sync); /* NULL is fine; nulls */
const char *write_sync_key(const struct client *client, const char *type); /* the key column of a type */
void write_sync_note(struct write_sync *sync, const char *type, const uint8_t *id);

/* ---- what the client says ---- */

/* The text under way asks for no note. */
static inline void write_sync_no_marks(struct write_sync *sync)
{
	sync->marks.n = 0;
	sync->marks.has_returned = sync->marks.has_parameter = false;
}

/* Reads the annotations of the text into client->sync, if they ask for notes. true: the statement
 * is not sent, *step_r says what became of it. */
bool write_sync_refused(struct feed *feed, const struct pgw_frame *frame,
	const struct statement_route *route, const char *sql, size_t n, enum step *step_r);
/* The text of a session in session pooling, which nobody has classed. */
bool write_sync_text_refused(struct feed *feed, const struct pgw_frame *frame, const char *sql,
	size_t n, enum step *step_r);
/* Bind of a statement that was not refused: gathers its parameters. true: as above. */
bool write_sync_bind_refused(struct feed *feed, const struct pgw_frame *frame,
	const struct pgw_bind *bind, enum step *step_r);
/* Ahead of a Bind: its server is linked. noted: it is of the statement that was read last. */
void write_sync_bind(struct client *client, const struct pgw_bind *bind, bool noted);
/* Ahead of a Query; flags for what is expected of it. */
uint16_t write_sync_query_ahead(struct client *client);
/* It is closed. */
void write_sync_forget_portal(struct client *client, const char *portal);
/* true: the Execute is of a portal whose rows are looked at, and *step_r says what became of it. */
bool write_sync_execute(struct feed *feed, const struct pgw_frame *frame, enum step *step_r);
/* Notes what the marks of the text under way name, and checks the rest. waits: that is noted behind the statement, too, and checked now. */
void write_sync_send_marks(struct client *client, bool waits);
/* The transaction has ended well: what was checked in it need not be for a while. */
void write_sync_types_known(struct client *client);
/* Notes what is still to be noted. ends: nothing follows but the COMMIT. */
void write_sync_flush(struct client *client, bool ends);
/* The client's next message: what is to be noted goes ahead of it. false: it waits until what runs is answered. */
bool write_sync_lets(struct client *client, const struct pgw_frame *frame);

/* ---- what the server says ---- */

/* A message of a reply that is looked at. true: it does not go to the client (yet). */
bool write_sync_keeps(struct walk *walk, const struct pgw_frame *frame, struct expect *front);
/* Behind it, when the reply was over. */
void write_sync_reply_over(struct walk *walk);
/* An error; ahead of what is done about it. */
void write_sync_error(struct walk *walk, const struct expect *front);
/* ReadyForQuery. true: it is not the client's, or was given to it here. */
bool write_sync_ready(struct walk *walk, const struct pgw_frame *frame, const struct expect *expect,
	enum pgw_xact xact, bool failed);
/* ParameterStatus behind what is held. true: it is held, too. */
bool write_sync_holds(struct walk *walk, const struct pgw_frame *frame);

#endif
