/* SPDX-License-Identifier: ISC */
/*
 * Messages to a loop from any thread. A mail is an owned value: who posts it gives it away;
 * `deliver` runs on the receiving loop and frees it or posts it on. Order is kept between two
 * threads. One eventfd wakes the loop; a post to a mailbox that is already filled makes no system
 * call.
 */
#ifndef IO_MAILBOX_H
#define IO_MAILBOX_H

#include <pthread.h>

#include "io/loop.h"

struct mail {
	STAILQ_ENTRY(mail) link;
	void (*deliver)(struct mail *mail, void *owner); /* owner: what mailbox_open() was given */
};

struct mailbox {
	pthread_mutex_t mutex; /* guards mails and woken */
	STAILQ_HEAD(, mail) mails;
	bool woken;
	int event_fd;
	struct event *ready;
	void *owner;
};

void mailbox_open(struct mailbox *box, struct loop *loop, void *owner);
void mailbox_close(struct mailbox *box); /* mails that are left are delivered first: by the loop's
					    thread, after its end */
void mailbox_deliver(struct mailbox *box); /* what is there, now: by the owner's thread */
void mailbox_post(struct mailbox *box, struct mail *mail,
	void (*deliver)(struct mail *mail, void *owner)); /* any thread */
void mailbox_wake(struct mailbox *box); /* any thread: a turn of the loop, without a mail */

#endif
