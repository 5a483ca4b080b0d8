/* SPDX-License-Identifier: ISC */
/*
 * Writes samples into db_connection_pool_metrics of metrics_database. They wait in a bounded
 * backlog; a connection is opened when there are some, all are written, it is closed again: between
 * samples pglane holds nothing. Writing is a batch in one INSERT, and a sample leaves the backlog
 * only when that is committed. While the database is away, or refuses, the next attempt is put off,
 * twice as long each time up to SAMPLER_RETRY_MAX_US, with jitter.
 *
 * Once a maintenance_period, behind the samples, it calls ml_maintain() where the database has it
 * (sql/README.md): new partitions, retention, seals. Samples that come meanwhile wait in the backlog.
 *
 * The connection is one of the budget's: see permit.h.
 *
 * Owner: the control thread; everything on its loop.
 */
#ifndef SERVICE_SAMPLER_H
#define SERVICE_SAMPLER_H

#include "config/config.h"
#include "io/netaddr.h"
#include "record/sample.h"
#include "service/permit.h"

#define SAMPLER_RETRY_MIN_US 500000u
#define SAMPLER_RETRY_MAX_US 30000000u
#define SAMPLER_BATCH 500u

struct sampler;

struct sampler *sampler_new(struct loop *loop, struct config *config,
	const struct permit_ops *permits, void *permit); /* references config */
void sampler_change(struct sampler *sampler, struct config *config);
/* Is metrics_database set? Without it samples are kept, but not written. */
bool sampler_is_on(const struct sampler *sampler);
void sampler_add(struct sampler *sampler, const struct sample *sample); /* copied */
void sampler_granted(struct sampler *sampler); /* after PERMIT_WAITS */
/*
 * The end: what was not written is lost. Permit and slot are given back before it returns, after
 * waiting at most patience_us for the server. Nulls; NULL is fine.
 */
void sampler_free(struct sampler **sampler, uint64_t patience_us);

#endif
