/* SPDX-License-Identifier: ISC */
/*
 * Watches the replicas of the configuration, while a lane has target = replica: each of them, and
 * each primary that has some, is asked once a replica_check_period whether it is in recovery, how far
 * its log is, and which cluster it is of. What comes of it is reported for each replica, after every
 * answer of its own and every failure.
 *
 * Owner: the control thread; everything on its loop.
 */
#ifndef SERVICE_REPLICAS_H
#define SERVICE_REPLICAS_H

#include "record/replica.h"
#include "service/probe.h"

struct replicas_ops {
	void (*report)(void *arg, const char *replica, const struct replica_report *report);
	/* It is watched no more. */
	void (*forget)(void *arg, const char *replica);
};

struct replicas;

struct replicas *replicas_new(struct loop *loop, struct config *config,
	const struct probe_permits *permits, const struct replicas_ops *ops, void *arg);
void replicas_change(struct replicas *replicas, struct config *config); /* RELOAD, SET */
/* The end: permits and slots are given back, after waiting at most patience_us for each server.
 * Nothing is reported. Nulls; NULL is fine. */
void replicas_free(struct replicas **replicas, uint64_t patience_us);

#endif
