/* SPDX-License-Identifier: ISC */
/*
 * Order of a start: configuration and what is compiled from it (every mistake reported, no socket
 * yet), what is asked of the system, listeners, privileges, pid file, threads. Signals are blocked in all threads and read by
 * the control loop, as PgBouncer has them: HUP reload, TERM wait for clients (again: at once), INT
 * wait for servers, QUIT at once, USR1 pause, USR2 resume.
 */
#include "daemon/daemon_priv.h"

#include <signal.h>
#include <unistd.h>

#include "admin/console.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "daemon/process.h"
#include "io/netaddr.h"
#include "service/wv_class.h"
#include "session/client.h"

#define QUIT_PATIENCE_US 15000000u /* an immediate shutdown that takes longer is cut off */

/* ---- configuration ---- */

static struct settings *load_settings(const char *file, struct strbuf *problems_text)
{
	struct config_problems problems = {0};
	struct config *config = config_load_checked(file, classify_rule_check, &problems);
	struct settings *settings = NULL;

	config_problems_print(&problems, problems_text);
	config_problems_release(&problems);
	if (config)
		settings = settings_new(config, problems_text);
	return settings;
}

/* Files that the forwarder will read. Where they came with pglane nobody has changed them. */
static bool check_classes(const struct config *config, struct strbuf *faults)
{
	struct wv_classes classes = {0};
	bool ok = config->weaviate_url == NULL || config->weaviate_classes == NULL ||
		wv_classes_load(config->weaviate_classes, &classes, faults);

	wv_classes_release(&classes);
	return ok;
}

int daemon_check(const char *config_file)
{
	struct strbuf problems = STRBUF_INIT;
	struct settings *settings = load_settings(config_file, &problems);

	if (settings && !check_classes(settings->config, &problems))
		settings_unref(&settings);
	fputs(problems.data, settings ? stdout : stderr);
	if (settings)
		printf("%s: ok\n", config_file);
	strbuf_release(&problems);
	if (settings == NULL)
		return 1;
	settings_unref(&settings);
	return 0;
}

static unsigned lane_specs(const struct config *config, struct lane_spec specs[LANE_MAX])
{
	unsigned i;

	MUST(config->n_lanes <= LANE_MAX);
	for (i = 0; i < config->n_lanes; i++) {
		memset(&specs[i], 0, sizeof(specs[i]));
		(void)snprintf(specs[i].name, sizeof(specs[i].name), "%s", config->lanes[i].name);
		specs[i].size = config->lanes[i].permits;
		specs[i].max_waiting = config->lanes[i].max_waiting;
		specs[i].urgent = config->lanes[i].urgent;
		specs[i].spill_lane = config->lanes[i].spill_lane;
		specs[i].spill_below = config->lanes[i].spill_below;
	}
	return config->n_lanes;
}

/* Lanes may change their sizes while we run, not their names. */
static bool same_lanes(const struct config *a, const struct config *b)
{
	unsigned i;

	if (a->n_lanes != b->n_lanes)
		return false;
	for (i = 0; i < a->n_lanes; i++)
		if (strcmp(a->lanes[i].name, b->lanes[i].name) != 0 ||
			a->lanes[i].urgent != b->lanes[i].urgent)
			return false;
	return true;
}

static void change_settings(struct daemon *daemon, struct settings *fresh)
{
	struct lane_spec specs[LANE_MAX];
	unsigned i;

	lane_resize(daemon->cluster.ledger, specs, lane_specs(fresh->config, specs),
		fresh->config->budget);
	lane_set_aging(daemon->cluster.ledger, fresh->config->priority_aging_us);
	for (i = 0; i < daemon->cluster.n_workers; i++)
		worker_change_settings(&daemon->cluster.workers[i], fresh);
	permits_change(&daemon->permits, fresh->config);
	metrics_change(daemon->metrics, fresh);
	forwarding_change(daemon->forwarding, fresh->config);
	searches_change(daemon->searches, fresh->config);
	catalogs_change(daemon->catalogs, fresh);
	replica_watch_change(daemon->replicas, fresh);
	/* Where the new log cannot be had, the old one is told so. */
	(void)!process_open_log(daemon->options, fresh->config);
	settings_unref(&daemon->settings);
	daemon->settings = fresh;
}

/* Takes fresh in, or says why not. text_r gets what the operator should know. */
bool daemon_apply(struct daemon *daemon, struct settings *fresh, struct strbuf *text)
{
	if (!same_lanes(fresh->config, daemon->settings->config)) {
		strbuf_adds(text, "lanes cannot be added, removed or renamed while pglane runs: "
				  "restart it\n");
		settings_unref(&fresh);
		return false;
	}
	config_keep_boot_values(fresh->config, daemon->settings->config, text);
	change_settings(daemon, fresh);
	return true;
}

/* Each line of a text behind `what`. */
static void log_lines(enum log_level level, const char *what, const struct strbuf *text)
{
	const char *line = text->len ? text->data : "";

	for (size_t n; line[0]; line += n + (line[n] == '\n')) {
		n = strcspn(line, "\n");
		log_write(level, "%s%.*s", what, (int)n, line);
	}
}

bool daemon_reload(struct daemon *daemon, struct strbuf *text)
{
	struct settings *fresh = load_settings(daemon->config_file, text);
	bool ok = fresh && daemon_apply(daemon, fresh, text);

	log_reopen();
	log_lines(ok ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "RELOAD: ", text);
	if (ok)
		log_info("RELOAD: configuration loaded");
	else
		log_error("RELOAD failed, the old configuration stays");
	return ok;
}

/* ---- the end ---- */

static void on_deadline(struct timer *timer)
{
	log_fatal("shutdown took too long: what is left is cut off");
	_exit(1);
}

static void shut_down(struct daemon *daemon, enum shutdown_mode mode)
{
	static const char *const names[] = {
		"", "waiting for servers", "waiting for clients", "at once"};
	enum shutdown_mode now = (enum shutdown_mode)daemon->cluster.shutdown_mode;
	unsigned i;

	if (now == SHUTDOWN_IMMEDIATE || now == mode)
		return;
	log_info("shutting down, %s", names[mode]);
	__atomic_store_n(&daemon->cluster.shutdown_mode, (int)mode, __ATOMIC_RELAXED);
	if (mode == SHUTDOWN_IMMEDIATE)
		loop_timer(&daemon->loop, &daemon->deadline, QUIT_PATIENCE_US, on_deadline);
	metrics_close(&daemon->metrics);
	catalogs_close(&daemon->catalogs);
	if (mode == SHUTDOWN_IMMEDIATE) /* else who is still served still writes */
		forwarding_drain(daemon->forwarding);
	for (i = 0; i < daemon->cluster.n_workers; i++)
		worker_drain(&daemon->cluster.workers[i]);
}

struct shutdown_order {
	struct mail mail;
	struct daemon *daemon;
	enum shutdown_mode mode;
};

static void on_shutdown_order(struct mail *mail, void *owner)
{
	struct shutdown_order *order = CONTAINER_OF(mail, struct shutdown_order, mail);

	shut_down(order->daemon, order->mode);
	mem_free(order);
}

static void order_shutdown(void *arg, enum shutdown_mode mode)
{
	struct daemon *daemon = arg;
	struct shutdown_order *order = mem_zalloc(sizeof(*order));

	order->daemon = daemon;
	order->mode = mode;
	mailbox_post(&daemon->mailbox, &order->mail, on_shutdown_order);
}

static void end_loop(void *arg)
{
	struct daemon *daemon = arg;

	loop_stop(&daemon->loop);
}

static void on_quiet(struct mail *mail, void *owner)
{
	struct daemon *daemon = owner;

	mem_free(mail);
	if (++daemon->n_quiet < daemon->cluster.n_workers)
		return;
	forwarding_drain(daemon->forwarding);
	forwarding_await(daemon->forwarding, end_loop, daemon);
}

static void worker_is_quiet(void *arg, unsigned worker)
{
	struct daemon *daemon = arg;
	struct mail *mail = mem_zalloc(sizeof(*mail));

	mailbox_post(&daemon->mailbox, mail, on_quiet);
}

static void ask_search(void *arg, struct search *search)
{
	struct daemon *daemon = arg;

	searches_ask(daemon->searches, search);
}

static void abandon_search(void *arg, uint64_t id)
{
	struct daemon *daemon = arg;

	searches_abandon(daemon->searches, id);
}

/* ---- signals and turns ---- */

static void pause_all(struct daemon *daemon, bool paused)
{
	log_info(paused ? "PAUSE by signal" : "RESUME by signal");
	if (paused)
		console_pause_all(&daemon->cluster);
	else
		console_resume_all(&daemon->cluster);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct daemon *daemon = arg;
	struct strbuf text = STRBUF_INIT;

	switch (number) {
	case SIGHUP:
		(void)daemon_reload(daemon, &text);
		break;
	case SIGTERM:
		shut_down(daemon, daemon->cluster.shutdown_mode == SHUTDOWN_NONE
					  ? SHUTDOWN_WAIT_FOR_CLIENTS
					  : SHUTDOWN_IMMEDIATE);
		break;
	case SIGINT:
		shut_down(daemon, daemon->cluster.shutdown_mode == SHUTDOWN_WAIT_FOR_SERVERS
					  ? SHUTDOWN_IMMEDIATE
					  : SHUTDOWN_WAIT_FOR_SERVERS);
		break;
	case SIGQUIT:
		shut_down(daemon, SHUTDOWN_IMMEDIATE);
		break;
	case SIGUSR1:
	case SIGUSR2:
	default:
		pause_all(daemon, number == SIGUSR1);
		break;
	}
	strbuf_release(&text);
}

static void wake_control(void *arg)
{
	struct daemon *daemon = arg;

	__atomic_store_n(&daemon->delivery, true, __ATOMIC_RELEASE);
	mailbox_wake(&daemon->mailbox);
}

static void on_turn_end(void *arg)
{
	struct daemon *daemon = arg;

	if (__atomic_exchange_n(&daemon->delivery, false, __ATOMIC_ACQ_REL))
		permits_on_delivery(&daemon->permits);
}

static void watch_signals(struct daemon *daemon)
{
	static const int numbers[] = {SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};
	unsigned i;

	(void)signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < N_ELEMENTS(numbers); i++) {
		daemon->signals[i] = evsignal_new(daemon->loop.base, numbers[i], on_signal, daemon);
		MUST(daemon->signals[i] != NULL && event_add(daemon->signals[i], NULL) == 0);
		daemon->n_signals++;
	}
}

/* ---- the start ---- */

static void open_cluster(struct daemon *daemon)
{
	struct cluster *cluster = &daemon->cluster;
	const struct config *config = daemon->settings->config;
	struct lane_spec specs[LANE_MAX];
	unsigned i, n_lanes = lane_specs(config, specs);

	cluster->n_workers = config->workers;
	cluster->control_port = config->workers;
	cluster->console = &console_ops;
	cluster->started_wall_us = clock_wall_us();
	cluster->next_key = (uint32_t)rng_u64();
	rng_bytes(cluster->mock_key, sizeof(cluster->mock_key));
	cluster->hash_seed = rng_u64();
	cluster->lessons = lessons_new();
	daemon_take_orders(daemon);
	cluster->shutdown = order_shutdown;
	cluster->search = ask_search;
	cluster->search_abandon = abandon_search;
	cluster->wake_control = wake_control;
	cluster->quiet = worker_is_quiet;
	cluster->daemon_arg = daemon;
	cluster->ledger = lane_ledger_new(
		specs, n_lanes, config->budget, config->workers + 1, worker_wake_port, cluster);
	lane_set_aging(cluster->ledger, config->priority_aging_us);
	scaling_init(&cluster->scaling);
	registry_open(cluster->ledger);
	loop_init(&daemon->loop);
	daemon->loop.turn_end = on_turn_end;
	daemon->loop.turn_end_arg = daemon;
	mailbox_open(&daemon->mailbox, &daemon->loop, daemon);
	watch_signals(daemon);
	cluster->workers = mem_zalloc(cluster->n_workers * sizeof(struct worker));
	for (i = 0; i < cluster->n_workers; i++)
		worker_init(&cluster->workers[i], cluster, i, daemon->settings);
	permits_open(&daemon->permits, cluster, config);
	daemon->forwarding = forwarding_open(&daemon->loop, &daemon->permits, daemon->settings->config);
	daemon->metrics = metrics_open(cluster, &daemon->loop, &daemon->mailbox, &daemon->permits,
		daemon->forwarding, daemon->settings);
	daemon->searches = searches_open(cluster, &daemon->loop, &daemon->mailbox,
		&daemon->permits, daemon->settings->config);
	daemon->catalogs = catalogs_open(
		cluster, &daemon->loop, &daemon->permits, daemon->settings);
	daemon->replicas = replica_watch_open(
		cluster, &daemon->loop, &daemon->permits, daemon->settings);
}

static void close_cluster(struct daemon *daemon)
{
	struct cluster *cluster = &daemon->cluster;
	unsigned i;

	replica_watch_close(&daemon->replicas); /* it has told the workers, who run still */
	for (i = 0; i < cluster->n_workers; i++)
		worker_stop(&cluster->workers[i]);
	for (i = 0; i < cluster->n_workers; i++)
		worker_join(&cluster->workers[i]);
	metrics_close(&daemon->metrics);
	forwarding_close(&daemon->forwarding);
	/* What is on its way there goes back to where it came from, and is dropped there. */
	searches_close(daemon->searches);
	mailbox_deliver(&daemon->mailbox);
	catalogs_close(&daemon->catalogs);
	for (i = 0; i < cluster->n_workers; i++)
		worker_release(&cluster->workers[i]);
	mem_free(cluster->workers);
	for (i = 0; i < daemon->n_signals; i++)
		event_free(daemon->signals[i]);
	timer_stop(&daemon->deadline);
	mailbox_close(&daemon->mailbox);
	searches_free(&daemon->searches);
	loop_release(&daemon->loop);
	registry_close();
	lane_ledger_free(&cluster->ledger);
	lessons_free(&cluster->lessons);
	listeners_close(&cluster->listeners);
}

static void log_listener(const struct listener *listener)
{
	char text[NETADDR_TEXT_BYTES];
	struct netaddr addr;
	uint16_t port;

	if (listener->is_unix) {
		log_info("listening on unix:%s", listener->path[0] ? listener->path : "(abstract)");
	} else if (netaddr_of_local(listener->fd, &addr)) {
		(void)netaddr_format(&addr, text, &port);
		log_info("listening on %s:%u", text, port);
	}
}

static void log_start(const struct daemon *daemon)
{
	const struct config *config = daemon->settings->config;
	unsigned i;

	log_info("pglane %s: port %u, budget %u, %u worker%s, pool_mode %s", PGLANE_VERSION,
		config->listen_port, config->budget, config->workers,
		config->workers == 1 ? "" : "s",
		config->pool_mode == POOL_MODE_TRANSACTION ? "transaction"
		: config->pool_mode == POOL_MODE_SESSION   ? "session"
							   : "statement");
	for (i = 0; i < daemon->cluster.listeners.n; i++)
		log_listener(&daemon->cluster.listeners.items[i]);
	for (i = 0; i < config->n_lanes; i++)
		log_info("lane %s: %u permit%s", config->lanes[i].name, config->lanes[i].permits,
			config->lanes[i].permits == 1 ? "" : "s");
}

static int serve(struct daemon *daemon, const struct strbuf *warnings)
{
	char *pidfile =
		mem_strdup(daemon->settings->config->pidfile); /* a reload may drop the snapshot */
	unsigned i;

	open_cluster(daemon);
	log_start(daemon);
	log_lines(LOG_LEVEL_WARNING, "", warnings);
	for (i = 0; i < daemon->cluster.n_workers; i++)
		worker_start(&daemon->cluster.workers[i]);
	loop_run(&daemon->loop);
	close_cluster(daemon);
	if (pidfile && pidfile[0])
		(void)unlink(pidfile);
	mem_free(pidfile);
	log_info("pglane has ended");
	return 0;
}

int daemon_run(const struct daemon_options *options)
{
	struct daemon daemon = {.options = options};
	struct strbuf problems = STRBUF_INIT, faults = STRBUF_INIT;
	int exit_code = 1;

	daemon.settings = load_settings(options->config_file, &problems);
	if (daemon.settings == NULL)
		fputs(problems.data, stderr);
	else if (!process_check(options, daemon.settings->config))
		settings_unref(&daemon.settings);
	if (daemon.settings &&
		listeners_open(&daemon.cluster.listeners, daemon.settings->config, &faults)) {
		char *absolute = realpath(options->config_file, NULL);

		daemon.config_file = absolute ? absolute : mem_strdup(options->config_file);
		process_raise_file_limit(daemon.settings->config);
		if (process_drop_privileges(options, daemon.settings->config) &&
			process_open_log(options, daemon.settings->config) &&
			(!options->background || process_go_background()) &&
			process_write_pidfile(daemon.settings->config))
			exit_code = serve(&daemon, &problems);
		else
			listeners_close(&daemon.cluster.listeners);
	} else if (daemon.settings) {
		fputs(faults.data, stderr);
	}
	strbuf_release(&faults);
	strbuf_release(&problems);
	mem_free(daemon.config_file);
	settings_unref(&daemon.settings);
	return exit_code;
}
