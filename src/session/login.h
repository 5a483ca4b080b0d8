/* SPDX-License-Identifier: ISC */
/*
 * A login under way, between client_startup.c (packets, TLS), client_auth.c (who it is) and
 * client_login.c (what it is welcomed with). Lives in client->login from the first packet until the
 * client is a client.
 */
#ifndef SESSION_LOGIN_H
#define SESSION_LOGIN_H

#include "pgw/frame.h"
#include "pgw/scram.h"
#include "session/client.h"

enum method { METHOD_TRUST, METHOD_PLAIN, METHOD_MD5, METHOD_SCRAM };

/* PostgreSQL's own words about the parameters, and what fault.sqlstate points to. */
struct startup_refusal {
	struct pgw_fault fault;
	char sqlstate[6];
};

struct login {
	bool ssl_asked, gss_asked, started;
	bool console, admin_by_socket;
	enum method method;
	bool doomed; /* unknown user: fails at the end, whatever it proves */
	bool sasl_begun;
	bool has_scram_secret; /* of the auth_file, not derived from a password */
	uint8_t salt[4];
	char *user, *database;
	char *secret;
	struct startup_refusal *refusal; /* NULL: none */
	/* Not zeroed: */
	struct param_list asked;
	struct pgw_scram_server scram;
};

/* FATAL, with `what` behind the row's message and a DETAIL; either may be NULL. */
void login_refuse(
	struct client *client, enum pgw_fault_id id, const char *what, const char *detail);
/* One more on an atomic counter: is it over the limit? 0 is no limit. The one stays counted:
 * CLIENT_COUNTED takes it back. */
bool login_over_limit(uint32_t *counter, uint32_t limit);
void login_authenticated(
	struct client *client);		      /* client_login.c: on to its pool, or the console */
void login_begin_auth(struct client *client); /* client_auth.c: method, first message */
void login_choose_method(struct client *client);
bool login_cert_matches(struct client *client);
void login_fail(struct client *client); /* wrong password, or as good as */
void login_on_auth_message(struct client *client, const struct pgw_frame *frame);

#endif
