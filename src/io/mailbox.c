/* SPDX-License-Identifier: ISC */
#include "io/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

static void deliver_all(struct mailbox *box)
{
	STAILQ_HEAD(, mail) taken = STAILQ_HEAD_INITIALIZER(taken);
	struct mail *mail;

	pthread_mutex_lock(&box->mutex);
	box->woken = false;
	STAILQ_CONCAT(&taken, &box->mails);
	pthread_mutex_unlock(&box->mutex);
	while ((mail = STAILQ_FIRST(&taken)) != NULL) {
		STAILQ_REMOVE_HEAD(&taken, link);
		mail->deliver(mail, box->owner);
	}
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct mailbox *box = arg;
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
	deliver_all(box);
}

void mailbox_open(struct mailbox *box, struct loop *loop, void *owner)
{
	MUST(pthread_mutex_init(&box->mutex, NULL) == 0);
	STAILQ_INIT(&box->mails);
	box->woken = false;
	box->owner = owner;
	box->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	MUST(box->event_fd >= 0);
	box->ready = event_new(loop->base, box->event_fd, EV_READ | EV_PERSIST, on_ready, box);
	MUST(box->ready != NULL && event_add(box->ready, NULL) == 0);
}

/* What is delivered may post on to this very box. */
void mailbox_deliver(struct mailbox *box)
{
	while (!STAILQ_EMPTY(&box->mails))
		deliver_all(box);
}

void mailbox_close(struct mailbox *box)
{
	mailbox_deliver(box); /* nobody else can post any more */
	event_free(box->ready);
	close(box->event_fd);
	pthread_mutex_destroy(&box->mutex);
}

static void wake(struct mailbox *box)
{
	static const uint64_t one = 1;

	MUST(write(box->event_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

void mailbox_post(
	struct mailbox *box, struct mail *mail, void (*deliver)(struct mail *mail, void *owner))
{
	bool must_wake;

	mail->deliver = deliver;
	pthread_mutex_lock(&box->mutex);
	STAILQ_INSERT_TAIL(&box->mails, mail, link);
	must_wake = !box->woken;
	box->woken = true;
	pthread_mutex_unlock(&box->mutex);
	if (must_wake)
		wake(box);
}

void mailbox_wake(struct mailbox *box)
{
	bool must_wake;

	pthread_mutex_lock(&box->mutex);
	must_wake = !box->woken;
	box->woken = true;
	pthread_mutex_unlock(&box->mutex);
	if (must_wake)
		wake(box);
}
