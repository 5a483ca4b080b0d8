/* SPDX-License-Identifier: ISC */
/* What the console asks of the control thread, each by a mail. */
#include "base/mem.h"
#include "base/strbuf.h"
#include "daemon/daemon_priv.h"

struct order {
	struct mail mail;
	struct daemon *daemon;
	/* SET; NULL: RELOAD. key: the argument of an order for the outbox; value: REFRESH CATALOG's database, NULL: all */
	char *key, *value;
	enum outbox_order outbox;
	outbox_done *outbox_done;
	void (*done)(void *arg, bool ok, const char *text);
	void *arg;
};

static void free_order(struct order *order)
{
	mem_free(order->key);
	mem_free(order->value);
	mem_free(order);
}

static void on_reload_order(struct mail *mail, void *owner)
{
	struct order *order = CONTAINER_OF(mail, struct order, mail);
	struct strbuf text = STRBUF_INIT;
	bool ok = daemon_reload(order->daemon, &text);

	order->done(order->arg, ok, text.data);
	strbuf_release(&text);
	free_order(order);
}

static void order_reload(
	void *arg, void (*done)(void *done_arg, bool ok, const char *text), void *done_arg)
{
	struct daemon *daemon = arg;
	struct order *order = mem_zalloc(sizeof(*order));

	order->daemon = daemon;
	order->done = done;
	order->arg = done_arg;
	mailbox_post(&daemon->mailbox, &order->mail, on_reload_order);
}

static void on_set_order(struct mail *mail, void *owner)
{
	struct order *order = CONTAINER_OF(mail, struct order, mail);
	struct daemon *daemon = order->daemon;
	struct strbuf text = STRBUF_INIT;
	struct settings *fresh = NULL;
	char error[256] = "";
	struct config *config =
		config_with(daemon->settings->config, order->key, order->value, error);

	if (config)
		fresh = settings_new(config, &text);
	else
		strbuf_adds(&text, error);
	order->done(order->arg, fresh && daemon_apply(daemon, fresh, &text), text.data);
	strbuf_release(&text);
	free_order(order);
}

static void order_set(void *arg, const char *key, const char *value,
	void (*done)(void *done_arg, bool ok, const char *text), void *done_arg)
{
	struct daemon *daemon = arg;
	struct order *order = mem_zalloc(sizeof(*order));

	order->daemon = daemon;
	order->key = mem_strdup(key);
	order->value = mem_strdup(value);
	order->done = done;
	order->arg = done_arg;
	mailbox_post(&daemon->mailbox, &order->mail, on_set_order);
}

static void on_outbox_order(struct mail *mail, void *owner)
{
	struct order *order = CONTAINER_OF(mail, struct order, mail);

	forwarding_order(order->daemon->forwarding, order->outbox, order->key, order->outbox_done, order->arg);
	free_order(order);
}

static void order_outbox(void *arg, enum outbox_order what, const char *argument, outbox_done *done,
	void *done_arg)
{
	struct daemon *daemon = arg;
	struct order *order = mem_zalloc(sizeof(*order));

	order->daemon = daemon;
	order->key = mem_strdup(argument);
	order->outbox = what;
	order->outbox_done = done;
	order->arg = done_arg;
	mailbox_post(&daemon->mailbox, &order->mail, on_outbox_order);
}

static void on_refresh_order(struct mail *mail, void *owner)
{
	struct order *order = CONTAINER_OF(mail, struct order, mail);

	catalogs_refresh(order->daemon->catalogs, order->value, order->done, order->arg);
	free_order(order);
}

static void order_refresh(void *arg, const char *database,
	void (*done)(void *done_arg, bool ok, const char *text), void *done_arg)
{
	struct daemon *daemon = arg;
	struct order *order = mem_zalloc(sizeof(*order));

	order->daemon = daemon;
	order->value = database ? mem_strdup(database) : NULL;
	order->done = done;
	order->arg = done_arg;
	mailbox_post(&daemon->mailbox, &order->mail, on_refresh_order);
}

void daemon_take_orders(struct daemon *daemon)
{
	struct cluster *cluster = &daemon->cluster;

	cluster->reload = order_reload;
	cluster->set = order_set;
	cluster->refresh_catalog = order_refresh;
	cluster->outbox = order_outbox;
}
