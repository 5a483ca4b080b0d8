/* SPDX-License-Identifier: ISC */
/*
 * A configuration made ready for use: the snapshot with what is compiled from it (rules, TLS
 * contexts). Immutable, reference-counted; a reload makes a new one and every worker changes over
 * at a turn of its loop.
 */
#ifndef SESSION_SETTINGS_H
#define SESSION_SETTINGS_H

#include "classify/classify.h"
#include "config/config.h"
#include "io/tls.h"

struct settings {
	int refs; /* atomic */
	uint64_t serial; /* no other has had it: an address may come again */
	struct config *config;
	struct classifier *classifier;
	struct tls_context *client_tls; /* NULL: client_tls_sslmode = disable */
	struct tls_context *server_tls; /* NULL: server_tls_sslmode = disable */
};

/* Takes over the reference to config. NULL: problems has a line for each thing that is wrong,
 * config is released. */
struct settings *settings_new(struct config *config, struct strbuf *problems) WARN_UNUSED;
struct settings *settings_ref(struct settings *settings);
void settings_unref(struct settings **settings); /* NULL is fine; nulls */

#endif
