/* SPDX-License-Identifier: ISC */
/* What the files of the naive ledger share. */
#ifndef TESTS_LANE_MODEL_PRIV_H
#define TESTS_LANE_MODEL_PRIV_H

#include "model.h"

#define FOR_TICKETS(m, i) for (int i = 0; i < MODEL_TICKETS; i++)
#define FOR_SERVERS(m, i) for (int i = 0; i < MODEL_SERVERS; i++)

int64_t model__shortage(const struct model *m);
bool model__has_permit(const struct model *m, int lane);
int model__free_lane(const struct model *m, int lane, int priority);
bool model__pool_has_room(const struct model *m, int pool);
void model__deliver(struct model *m, struct model_ticket *t);
int model__oldest_idle(const struct model *m, bool above_limit_only);
int model__oldest_beyond_share(const struct model *m);
void model__count_idle_for(struct model *m, int server, int lane);
int model__new_server(struct model *m, enum model_where where, int pool, int port, int owner);
void model__idle_returns(struct model *m, int server);
void model__offer_idle(struct model *m, int pool, int port); /* to who waits in the pool, if it has one */
void model__give_up_login(struct model *m, int t);
bool model__place_idle(struct model *m, int server);
void model__find_server(struct model *m, int t);
void model__tell(struct model *m, int t);
bool model__is_before(
	const struct model *m, const struct model_ticket *a, const struct model_ticket *b);
void model__hold(struct model *m, struct model_ticket *t, int lane);
void model__settle(struct model *m);

#endif
