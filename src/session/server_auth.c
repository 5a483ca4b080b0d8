/* SPDX-License-Identifier: ISC */
/*
 * How pglane proves to a server who it is: cleartext, md5, SCRAM with a password or with the keys
 * of a client's own login. The server proves itself too where SCRAM is used: without its signature
 * there is no login.
 */
#include <openssl/crypto.h>

#include "base/rng.h"
#include "io/tls.h"
#include "session/server_login.h"

/* What we prove who we are with: the entry's password, the auth_file's, or the keys of a client's
 * own SCRAM login. */
static void find_identity(struct server *server, struct pgw_scram_identity *identity)
{
	const struct config_database *entry = pool_entry(server->pool);
	struct shared_user *user = server->pool->shared->user;
	const char *secret =
		config_find_secret(worker_config(server->worker), server_login_user(server));
	struct pgw_scram_secret parsed;

	memset(identity, 0, sizeof(*identity));
	if (entry && entry->password) {
		identity->password = entry->password;
		return;
	}
	if (secret && !pgw_scram_secret_parse(secret, &parsed)) {
		identity->password = secret;
		return;
	}
	if (secret == NULL || strcmp(server_login_user(server), user->name) != 0)
		return;
	registry_lock();
	if (user->has_keys) {
		identity->has_keys = true;
		memcpy(identity->client_key, user->client_key, sizeof(identity->client_key));
		memcpy(identity->server_key, parsed.server_key, sizeof(identity->server_key));
	}
	registry_unlock();
}

static bool send_password(struct server *server, const char *password)
{
	uint8_t message[2048];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));

	pgw_build_password(&writer, password);
	if (writer.err != PGW_OK)
		return server_login_refuse(server, "the password is too long");
	server_login_send(server, &writer);
	OPENSSL_cleanse(message, sizeof(message));
	return true;
}

static bool answer_md5(struct server *server, const struct pgw_auth_request *request,
	const struct pgw_scram_identity *identity)
{
	char secret[PGW_MD5_TEXT_BYTES], response[PGW_MD5_TEXT_BYTES];

	if (request->n_data < 4)
		return server_login_refuse(server, "malformed md5 request");
	if (identity->password == NULL)
		return server_login_refuse(server,
			"no password for an md5 login: give one in [databases] or auth_file");
	if (pgw_is_md5_secret(identity->password))
		(void)snprintf(secret, sizeof(secret), "%s", identity->password);
	else
		pgw_md5_secret(identity->password, server_login_user(server), secret);
	pgw_md5_response(secret, request->data, response);
	return send_password(server, response);
}

static bool answer_sasl(struct server *server, const struct pgw_auth_request *request)
{
	struct server_login *login = server->login;
	uint8_t cb_data[PGW_SCRAM_MAX_CB_BYTES], message[PGW_SCRAM_MAX_MESSAGE_BYTES + 64],
		nonce[PGW_SCRAM_NONCE_RAW_BYTES];
	size_t n_cb_data =
		server->stream.ssl ? tls_server_end_point(server->stream.ssl, false, cb_data) : 0;
	char first[PGW_SCRAM_MAX_MESSAGE_BYTES];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));
	const char *mechanism;

	rng_bytes(nonce, sizeof(nonce));
	if (pgw_scram_client_init(&login->scram, request->data, request->n_data, cb_data, n_cb_data,
		    &mechanism) != PGW_OK ||
		pgw_scram_client_first(&login->scram, nonce, first) != PGW_OK)
		return server_login_refuse(
			server, "the server offers no SASL mechanism that pglane has");
	login->sasl_asked = true;
	pgw_build_sasl_initial(&writer, mechanism, first, strlen(first));
	server_login_send(server, &writer);
	return true;
}

static bool answer_sasl_continue(struct server *server, const struct pgw_auth_request *request,
	const struct pgw_scram_identity *identity)
{
	struct shared_user *user = server->pool->shared->user;
	char final[PGW_SCRAM_MAX_MESSAGE_BYTES];
	uint8_t message[PGW_SCRAM_MAX_MESSAGE_BYTES + 64];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));
	struct pgw_scram_cache cache;
	enum pgw_err err;

	if (!server->login->sasl_asked)
		return server_login_refuse(server, "SASL message out of order");
	if (identity->password == NULL && !identity->has_keys)
		return server_login_refuse(server,
			"no password or SCRAM keys for this user: give one in "
			"[databases] or auth_file");
	registry_lock();
	cache = user->server_cache;
	registry_unlock();
	err = pgw_scram_client_final(
		&server->login->scram, request->data, request->n_data, identity, &cache, final);
	if (err != PGW_OK)
		return server_login_refuse(server, pgw_err_text(err));
	registry_lock();
	user->server_cache = cache;
	registry_unlock();
	OPENSSL_cleanse(&cache, sizeof(cache));
	pgw_build_sasl_response(&writer, final, strlen(final));
	server_login_send(server, &writer);
	return true;
}

bool server_login_on_auth(struct server *server, const struct pgw_frame *frame)
{
	struct server_login *login = server->login;
	struct pgw_scram_identity identity;
	struct pgw_auth_request request;
	bool ok;

	if (login->phase != PHASE_EXPECT_AUTH ||
		pgw_view_auth(frame->body, frame->n_body_bytes, &request) != PGW_OK)
		return server_login_refuse(server, "malformed authentication request");
	find_identity(server, &identity);
	switch (request.code) {
	case PGW_AUTH_OK:
		if (login->sasl_asked && !login->scram_verified)
			return server_login_refuse(
				server, "the server did not prove that it knows the password");
		login->phase = PHASE_EXPECT_READY;
		ok = true;
		break;
	case PGW_AUTH_CLEARTEXT:
		ok = identity.password && !pgw_is_md5_secret(identity.password)
			     ? send_password(server, identity.password)
			     : server_login_refuse(server, "no plain password for this user");
		break;
	case PGW_AUTH_MD5:
		ok = answer_md5(server, &request, &identity);
		break;
	case PGW_AUTH_SASL:
		ok = answer_sasl(server, &request);
		break;
	case PGW_AUTH_SASL_CONTINUE:
		ok = answer_sasl_continue(server, &request, &identity);
		break;
	case PGW_AUTH_SASL_FINAL:
		login->scram_verified =
			login->sasl_asked && pgw_scram_client_verify(&login->scram, request.data,
						     request.n_data) == PGW_OK;
		ok = login->scram_verified ||
		     server_login_refuse(
			     server, "the server did not prove that it knows the password");
		break;
	default:
		ok = server_login_refuse(server,
			"the server asks for an authentication method that pglane does not have");
		break;
	}
	OPENSSL_cleanse(&identity, sizeof(identity));
	return ok;
}
