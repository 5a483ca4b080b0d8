/* SPDX-License-Identifier: ISC */
/* How a replica stands, as the service that asks it tells the data path. A plain value. */
#ifndef RECORD_REPLICA_H
#define RECORD_REPLICA_H

#include "base/base.h"

#define REPLICA_REASON_BYTES 160

/* X(state, word, when) */
#define REPLICA_STATES(X)                                                                          \
	X(UNKNOWN, "unknown", "nobody has asked it yet")                                           \
	X(UP, "up", "it is a hot standby of its primary, and answers")                             \
	X(DOWN, "down", "it cannot be reached, refuses the login or does not answer")              \
	X(PROMOTED, "promoted", "it is no standby: pg_is_in_recovery() is false")                  \
	X(FOREIGN, "foreign", "it is a standby of another cluster")

enum replica_state {
#define REPLICA_STATE_ENUM(state, word, when) REPLICA_##state,
	REPLICA_STATES(REPLICA_STATE_ENUM)
#undef REPLICA_STATE_ENUM
		N_REPLICA_STATES
};

struct replica_report {
	enum replica_state state;
	uint64_t lag_us;    /* how old what it shows may be; if UP */
	uint64_t lag_bytes; /* of write-ahead log that the primary has and it has not replayed; if UP */
	char reason[REPLICA_REASON_BYTES]; /* why it is not UP; "" */
};

static inline const char *replica_state_name(enum replica_state state)
{
	static const char *const names[N_REPLICA_STATES] = {
#define REPLICA_STATE_NAME(state, word, when) [REPLICA_##state] = word,
		REPLICA_STATES(REPLICA_STATE_NAME)
#undef REPLICA_STATE_NAME
	};

	return names[state];
}

#endif
