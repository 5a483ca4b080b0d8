/* SPDX-License-Identifier: ISC */
/*
 * Searches between the workers that want them and the service that asks Weaviate: a search travels
 * to the control thread as a mail and back as the same mail. Owner: the control thread, but for
 * searches_ask().
 */
#ifndef DAEMON_SEARCHES_H
#define DAEMON_SEARCHES_H

#include "daemon/permits.h"
#include "session/search.h"

struct searches;

struct searches *searches_open(struct cluster *cluster, struct loop *loop, struct mailbox *mailbox,
	struct permits *permits, struct config *config);
void searches_change(struct searches *searches, struct config *config);
/* As cluster->search; any thread, from searches_open() to searches_free(). */
void searches_ask(struct searches *searches, struct search *search);
void searches_abandon(struct searches *searches, uint64_t id); /* as cluster->search_abandon */
/* Every search that is under way goes back to its worker, and so does what comes yet: failed. The
 * permit of what counts hits goes back, too. */
void searches_close(struct searches *searches);
/* Behind the last mail to the mailbox. Nulls. */
void searches_free(struct searches **searches);

#endif
