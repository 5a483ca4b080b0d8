/* SPDX-License-Identifier: ISC */
/*
 * Who a client is: trust, plain, md5, SCRAM, a certificate. An unknown user, or one whose secret
 * does not fit the method, runs the same exchange to the same end as a wrong password. Secrets are
 * compared in constant time and wiped.
 */
#include <openssl/crypto.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/tls.h"
#include "session/login.h"

void login_fail(struct client *client)
{
	char what[160];

	(void)snprintf(what, sizeof(what), "user \"%.128s\"", client->login->user);
	login_refuse(client, PGW_FAULT_LOGIN_FAILED, what, NULL);
}

static void send_auth(struct client *client, enum pgw_auth_code code, const void *data, size_t n)
{
	uint8_t message[PGW_SCRAM_MAX_MESSAGE_BYTES + 16];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));

	pgw_build_auth(&writer, code, data, n);
	MUST(writer.err == PGW_OK);
	client_reply(client, message, writer.len);
}

static bool make_secret(const struct config *config, struct login *login, struct pgw_scram_secret *out_r)
{
	uint8_t salt[16];

	login->has_scram_secret = pgw_scram_secret_parse(login->secret, out_r);
	if (login->has_scram_secret)
		return true;
	rng_bytes(salt, sizeof(salt));
	return pgw_scram_secret_derive(
		       login->secret, salt, sizeof(salt), config->scram_iterations, out_r) == PGW_OK;
}

/* What the auth_file has for a user, read or derived once, and kept with the user. */
static bool find_secret(const struct config *config, struct login *login, struct pgw_scram_secret *out_r)
{
	struct shared_user *user = registry_user(login->user);
	bool ok;

	registry_lock();
	ok = user->secret && strcmp(user->secret, login->secret) == 0 &&
	     (user->has_scram_secret || user->scram.iterations == config->scram_iterations);
	if (ok) {
		*out_r = user->scram;
		login->has_scram_secret = user->has_scram_secret;
	}
	registry_unlock();
	if (!ok && make_secret(config, login, out_r)) {
		ok = true;
		registry_lock();
		if (user->secret)
			OPENSSL_cleanse(user->secret, strlen(user->secret));
		mem_free(user->secret);
		user->secret = mem_strdup(login->secret);
		user->scram = *out_r;
		user->has_scram_secret = login->has_scram_secret;
		registry_unlock();
	}
	shared_user_unref(&user);
	return ok;
}

static void begin_scram(struct client *client)
{
	struct login *login = client->login;
	const struct config *config = worker_config(client->worker);
	uint8_t cb_data[PGW_SCRAM_MAX_CB_BYTES], message[128];
	size_t n_cb_data =
		client->stream.ssl ? tls_server_end_point(client->stream.ssl, true, cb_data) : 0;
	static const char *const mechanisms[] = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"};
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));
	struct pgw_scram_secret secret;

	if (login->secret == NULL || pgw_is_md5_secret(login->secret))
		login->doomed = true;
	if (!login->doomed && !find_secret(config, login, &secret))
		login->doomed = true;
	if (login->doomed)
		pgw_scram_secret_mock(login->user, client->worker->cluster->mock_key,
			config->scram_iterations, &secret);
	pgw_scram_server_init(&login->scram, &secret, login->doomed, cb_data, n_cb_data);
	OPENSSL_cleanse(&secret, sizeof(secret));
	pgw_build_auth_sasl(&writer, mechanisms + (n_cb_data ? 0 : 1), n_cb_data ? 2 : 1);
	client_reply(client, message, writer.len);
}

static bool is_scram_secret(const char *secret)
{
	struct pgw_scram_secret parsed;

	return secret && pgw_scram_secret_parse(secret, &parsed);
}

void login_begin_auth(struct client *client)
{
	struct login *login = client->login;

	switch (login->method) {
	case METHOD_TRUST:
		login_authenticated(client);
		return;
	case METHOD_PLAIN:
		send_auth(client, PGW_AUTH_CLEARTEXT, NULL, 0);
		break;
	case METHOD_MD5:
		rng_bytes(login->salt, sizeof(login->salt));
		send_auth(client, PGW_AUTH_MD5, login->salt, sizeof(login->salt));
		break;
	case METHOD_SCRAM:
	default:
		begin_scram(client);
		break;
	}
	client_to(client, CLIENT_EXPECT_PASSWORD);
}

static bool plain_matches(const struct login *login, const char *password)
{
	char md5[PGW_MD5_TEXT_BYTES];
	struct pgw_scram_secret stored, derived;

	if (login->secret == NULL)
		return false;
	if (pgw_is_md5_secret(login->secret)) {
		pgw_md5_secret(password, login->user, md5);
		return pgw_equal_secret(login->secret, md5);
	}
	if (!pgw_scram_secret_parse(login->secret, &stored))
		return pgw_equal_secret(login->secret, password);
	return pgw_scram_secret_derive(password, stored.salt, stored.n_salt_bytes,
		       stored.iterations, &derived) == PGW_OK &&
	       CRYPTO_memcmp(stored.stored_key, derived.stored_key, sizeof(stored.stored_key)) == 0;
}

static bool md5_matches(const struct login *login, const char *response)
{
	char secret[PGW_MD5_TEXT_BYTES], expected[PGW_MD5_TEXT_BYTES];

	if (login->secret == NULL)
		return false;
	if (pgw_is_md5_secret(login->secret))
		(void)snprintf(secret, sizeof(secret), "%s", login->secret);
	else
		pgw_md5_secret(login->secret, login->user, secret);
	pgw_md5_response(secret, login->salt, expected);
	return pgw_equal_secret(expected, response);
}

static void on_password(struct client *client, const struct pgw_frame *frame)
{
	struct login *login = client->login;
	const char *password;
	bool ok;

	if (pgw_view_password(frame->body, frame->n_body_bytes, &password) != PGW_OK) {
		login_refuse(
			client, PGW_FAULT_PROTOCOL_VIOLATION, NULL, "Malformed password message.");
		return;
	}
	ok = login->method == METHOD_PLAIN ? plain_matches(login, password)
					   : md5_matches(login, password);
	if (ok && !login->doomed)
		login_authenticated(client);
	else
		login_fail(client);
}

static void keep_client_key(struct login *login)
{
	struct shared_user *user = registry_user(login->user);

	registry_lock();
	memcpy(user->client_key, login->scram.client_key, sizeof(user->client_key));
	user->has_keys = true;
	registry_unlock();
	shared_user_unref(&user);
}

static void on_sasl(struct client *client, const struct pgw_frame *frame)
{
	struct login *login = client->login;
	uint8_t nonce[PGW_SCRAM_NONCE_RAW_BYTES];
	char out[PGW_SCRAM_MAX_MESSAGE_BYTES];
	struct pgw_sasl_initial view = {
		.mechanism = NULL, .data = frame->body, .n_data = frame->n_body_bytes};
	enum pgw_err err = PGW_OK;

	if (!login->sasl_begun)
		err = pgw_view_sasl_initial(frame->body, frame->n_body_bytes, &view);
	if (err == PGW_OK && view.data == NULL)
		err = PGW_E_SASL;
	login->sasl_begun = true;
	rng_bytes(nonce, sizeof(nonce));
	if (err == PGW_OK)
		err = pgw_scram_server_step(
			&login->scram, view.mechanism, view.data, view.n_data, nonce, out);
	if (err == PGW_E_AUTH) {
		login_fail(client);
	} else if (err != PGW_OK) {
		login_refuse(client, PGW_FAULT_PROTOCOL_VIOLATION, NULL, "Malformed SASL message.");
	} else if (login->scram.state == PGW_SCRAM_SERVER_DONE) {
		send_auth(client, PGW_AUTH_SASL_FINAL, out, strlen(out));
		if (login->has_scram_secret)
			keep_client_key(login);
		login_authenticated(client);
	} else {
		send_auth(client, PGW_AUTH_SASL_CONTINUE, out, strlen(out));
	}
}

void login_on_auth_message(struct client *client, const struct pgw_frame *frame)
{
	if (frame->type != PGW_PASSWORD)
		login_refuse(
			client, PGW_FAULT_PROTOCOL_VIOLATION, NULL, "Expected a password message.");
	else if (client->login->method == METHOD_SCRAM)
		on_sasl(client, frame);
	else
		on_password(client, frame);
}

bool login_cert_matches(struct client *client)
{
	char name[256];

	return client->stream.ssl && tls_client_cert_cn(client->stream.ssl, name, sizeof(name)) &&
	       strcmp(name, client->login->user) == 0;
}

void login_choose_method(struct client *client)
{
	static const enum method methods[] = {[AUTH_TRUST] = METHOD_TRUST,
		[AUTH_ANY] = METHOD_TRUST,
		[AUTH_PLAIN] = METHOD_PLAIN,
		[AUTH_MD5] = METHOD_MD5,
		[AUTH_SCRAM] = METHOD_SCRAM,
		[AUTH_CERT] = METHOD_TRUST};
	const struct config *config = worker_config(client->worker);
	struct login *login = client->login;
	const char *secret = config_find_secret(config, login->user);

	login->secret = mem_strdup(secret);
	login->doomed = secret == NULL;
	login->method = methods[config->auth_type];
	/* auth_type = md5 means SCRAM for users whose secret is a SCRAM one, as in PgBouncer. */
	if (login->method == METHOD_MD5 && is_scram_secret(secret))
		login->method = METHOD_SCRAM;
	if (login->admin_by_socket)
		login->method = METHOD_TRUST;
}
