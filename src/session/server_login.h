/* SPDX-License-Identifier: ISC */
/*
 * A server's login under way, between server_login.c (connection, TLS, messages) and server_auth.c
 * (how we prove who we are). Lives in server->login.
 */
#ifndef SESSION_SERVER_LOGIN_H
#define SESSION_SERVER_LOGIN_H

#include "pgw/frame.h"
#include "pgw/scram.h"
#include "session/server.h"

enum login_phase {
	PHASE_RESOLVE,
	PHASE_CONNECT,
	PHASE_EXPECT_TLS_ANSWER,
	PHASE_TLS,
	PHASE_EXPECT_AUTH,
	PHASE_EXPECT_READY,
	PHASE_EXPECT_SETUP,
	PHASE_READY /* what has come with the ReadyForQuery is read to its end */
};

struct server_login {
	enum login_phase phase;
	struct resolve *resolve;
	struct pgw_scram_client scram;
	bool scram_verified;
	bool sasl_asked;
	struct param_list facts, params;
	struct pgw_fault error; /* of connect_query */
	bool setup_failed;
};

/* It cannot be had: tells who waits, closes it. */
void server_login_fail(struct server *server, enum pgw_fault_id id, const char *what);
bool server_login_refuse(
	struct server *server, const char *what); /* the login went wrong: always false */
void server_login_send(struct server *server, const struct pgw_writer *writer);
const char *server_login_user(const struct server *server);
/* An Authentication message. true: go on with the next message. */
bool server_login_on_auth(struct server *server, const struct pgw_frame *frame);

#endif
