/* SPDX-License-Identifier: ISC */
/* Mail between threads: nothing lost, nothing twice, the order of each sender kept, one wake for
 * many. */
#include "io/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <unistd.h>

#include "base/mem.h"

#define N_SENDERS 4u
#define N_MAILS 20000u /* of each sender */
#define HANG_S 50

struct receiver {
	struct loop loop;
	struct mailbox box;
	unsigned n_got;
	unsigned n_expected; /* stops the loop */
	unsigned next[N_SENDERS];
};

struct letter {
	struct mail mail;
	unsigned sender;
	unsigned number;
};

static void receiver_open(struct receiver *receiver)
{
	memset(receiver, 0, sizeof(*receiver));
	loop_init(&receiver->loop);
	mailbox_open(&receiver->box, &receiver->loop, receiver);
}

/* Sleeps until something is there, and one look at it. */
static void turn(struct receiver *receiver)
{
	assert_int_equal(event_base_loop(receiver->loop.base, EVLOOP_ONCE), 0);
}

static void receiver_close(struct receiver *receiver)
{
	mailbox_close(&receiver->box);
	loop_release(&receiver->loop);
}

static void deliver(struct mail *mail, void *owner)
{
	struct letter *letter = CONTAINER_OF(mail, struct letter, mail);
	struct receiver *receiver = owner;

	assert_int_equal(letter->number, receiver->next[letter->sender]);
	receiver->next[letter->sender]++;
	if (++receiver->n_got == receiver->n_expected)
		loop_stop(&receiver->loop);
	mem_free(letter);
}

static void post(struct receiver *receiver, unsigned sender, unsigned number)
{
	struct letter *letter = mem_zalloc(sizeof(*letter));

	letter->sender = sender;
	letter->number = number;
	mailbox_post(&receiver->box, &letter->mail, deliver);
}

struct sender {
	pthread_t thread;
	struct receiver *receiver;
	unsigned index;
};

static void *send_all(void *arg)
{
	struct sender *sender = arg;

	for (unsigned i = 0; i < N_MAILS; i++) {
		post(sender->receiver, sender->index, i);
		if (i % 64 == 0)
			mailbox_wake(&sender->receiver->box);
		if (i % 1000 == 0)
			sched_yield();
	}
	return NULL;
}

static void four_senders_keep_their_order(void **state)
{
	struct sender senders[N_SENDERS];
	struct receiver receiver;

	receiver_open(&receiver);
	receiver.n_expected = N_SENDERS * N_MAILS;
	for (unsigned i = 0; i < N_SENDERS; i++) {
		senders[i] = (struct sender){.receiver = &receiver, .index = i};
		assert_int_equal(
			pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
	}
	loop_run(&receiver.loop);
	for (unsigned i = 0; i < N_SENDERS; i++) {
		assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
		assert_int_equal(receiver.next[i], N_MAILS);
	}
	receiver_close(&receiver);
	assert_int_equal(receiver.n_got, N_SENDERS * N_MAILS);
}

/* A turn takes all that lies there: the letters of one wake come in one turn. */
static void many_posts_wake_once(void **state)
{
	struct receiver receiver;
	uint64_t n_wakes = 0;

	receiver_open(&receiver);
	for (unsigned i = 0; i < 100; i++)
		post(&receiver, 0, i);
	mailbox_wake(&receiver.box);
	assert_int_equal(read(receiver.box.event_fd, &n_wakes, sizeof(n_wakes)), sizeof(n_wakes));
	assert_int_equal(n_wakes, 1);
	assert_int_equal(write(receiver.box.event_fd, &n_wakes, sizeof(n_wakes)), sizeof(n_wakes));

	turn(&receiver);
	assert_int_equal(receiver.n_got, 100);
	assert_int_equal(
		read(receiver.box.event_fd, &n_wakes, sizeof(n_wakes)), -1); /* not left set */

	/* The next one wakes again. */
	post(&receiver, 0, 100);
	turn(&receiver);
	assert_int_equal(receiver.n_got, 101);
	receiver_close(&receiver);
}

static void a_wake_without_mail_is_a_turn(void **state)
{
	struct receiver receiver;

	receiver_open(&receiver);
	for (unsigned i = 0; i < 3; i++) {
		mailbox_wake(&receiver.box);
		mailbox_wake(&receiver.box);
		turn(&receiver);
	}
	assert_int_equal(receiver.n_got, 0);
	receiver_close(&receiver);
}

/* A mail that is posted on is given away: another thread's loop may free it at once. */
static void post_on(struct mail *mail, void *owner)
{
	struct receiver *receiver = owner;

	receiver->n_got++;
	mailbox_post(&receiver->box, mail, deliver);
}

static void a_mail_may_be_posted_on(void **state)
{
	struct letter *letter = mem_zalloc(sizeof(*letter));
	struct receiver receiver;

	receiver_open(&receiver);
	mailbox_post(&receiver.box, &letter->mail, post_on);
	turn(&receiver);
	assert_int_equal(receiver.n_got, 1);
	turn(&receiver);
	assert_int_equal(receiver.next[0], 1);
	receiver_close(&receiver);
}

static void closing_delivers_what_is_left(void **state)
{
	struct receiver receiver;

	receiver_open(&receiver);
	for (unsigned i = 0; i < 10; i++)
		post(&receiver, 1, i);
	receiver_close(&receiver);
	assert_int_equal(receiver.n_got, 10);
}

static void closing_delivers_what_is_posted_on_meanwhile(void **state)
{
	struct letter *letter = mem_zalloc(sizeof(*letter));
	struct receiver receiver;

	receiver_open(&receiver);
	mailbox_post(&receiver.box, &letter->mail, post_on);
	receiver_close(&receiver);
	assert_int_equal(receiver.next[0], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_senders_keep_their_order),
		cmocka_unit_test(many_posts_wake_once),
		cmocka_unit_test(a_wake_without_mail_is_a_turn),
		cmocka_unit_test(a_mail_may_be_posted_on),
		cmocka_unit_test(closing_delivers_what_is_left),
		cmocka_unit_test(closing_delivers_what_is_posted_on_meanwhile),
	};

	alarm(HANG_S);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
