/* SPDX-License-Identifier: ISC */
/* Both roles against each other over a socketpair: who is believed, who is not and what is said about it. */
#include "io/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <openssl/err.h>
#include <signal.h>
#include <sys/socket.h>

#include "unit/io/certs.h"

#define MAX_TURNS 100 /* a handshake takes 3 */

static struct cert ca, other_ca, server, rsa, named, expired, client, stranger, sneaky;

/* One connection: both ends, and what became of each. */
struct pair {
	int fd[2]; /* server's, client's */
	SSL *ssl[2];
	enum tls_step step[2];
	char error[2][TLS_ERROR_BYTES];
};
enum { SERVER, CLIENT };

static struct config_tls server_cfg(void)
{
	return (struct config_tls){.mode = TLS_REQUIRE, .cert_file = server.cert_file, .key_file = server.key_file};
}

static struct config_tls client_cfg(enum tls_mode mode)
{
	return (struct config_tls){.mode = mode, .ca_file = mode >= TLS_VERIFY_CA ? ca.cert_file : NULL};
}

static struct tls_context *must_context(const struct config_tls *cfg, bool server_role)
{
	char error[TLS_ERROR_BYTES];
	struct tls_context *context = tls_context_new(cfg, server_role, error);

	if (context == NULL)
		fail_msg("no context: %s", error);
	assert_string_equal(error, "");
	return context;
}

static void open_sockets(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fd), 0);
}

/* Both ends in turns, until neither moves any more. */
static void shake(struct pair *p)
{
	p->step[SERVER] = p->step[CLIENT] = TLS_STEP_WANT_READ;
	for (int turn = 0; turn < MAX_TURNS; turn++) {
		bool moving = false;

		for (int side = 0; side < 2; side++) {
			if (p->step[side] == TLS_STEP_DONE || p->step[side] == TLS_STEP_FAILED)
				continue;
			p->step[side] = tls_handshake(p->ssl[side], p->error[side]);
			moving = true;
		}
		if (!moving)
			return;
		if (p->step[SERVER] == TLS_STEP_FAILED && p->step[CLIENT] == TLS_STEP_DONE)
			return;
	}
	/* One end waits for another that has failed and said nothing. */
	assert_true(p->step[SERVER] == TLS_STEP_FAILED || p->step[CLIENT] == TLS_STEP_FAILED);
}

static void shake_configs(struct pair *p, const struct config_tls *s, const struct config_tls *c, const char *host)
{
	struct tls_context *accepting = must_context(s, true), *connecting = must_context(c, false);

	open_sockets(p);
	p->ssl[SERVER] = tls_accept_new(accepting, p->fd[SERVER]);
	p->ssl[CLIENT] = tls_connect_new(connecting, p->fd[CLIENT], host);
	/* Sessions keep what they were made from. */
	tls_context_unref(&accepting);
	tls_context_unref(&connecting);
	assert_null(accepting);
	shake(p);
}

static void release(struct pair *p)
{
	for (int side = 0; side < 2; side++) {
		SSL_free(p->ssl[side]);
		if (p->fd[side] >= 0)
			close(p->fd[side]);
	}
	assert_int_equal(ERR_peek_error(), 0);
}

static void assert_done(const struct pair *p)
{
	if (p->step[SERVER] != TLS_STEP_DONE || p->step[CLIENT] != TLS_STEP_DONE)
		fail_msg("server: %s; client: %s", p->error[SERVER], p->error[CLIENT]);
}

/* A client may be done before it hears that its certificate was refused: then it hears at its first read. */
static void assert_failed(const struct pair *p, int side, const char *why)
{
	assert_int_equal(p->step[side], TLS_STEP_FAILED);
	if (strstr(p->error[side], why) == NULL)
		fail_msg("\"%s\" instead of \"%s\"", p->error[side], why);
}

static void carry(struct pair *p, int from)
{
	char got[16];

	assert_int_equal(SSL_write(p->ssl[from], "hello", 5), 5);
	assert_int_equal(SSL_read(p->ssl[!from], got, sizeof(got)), 5);
	assert_memory_equal(got, "hello", 5);
}

static void plain_success(void **state)
{
	struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
	char text[TLS_DESCRIPTION_BYTES], cn[64];
	struct pair p;

	shake_configs(&p, &s, &c, "db.example");
	assert_done(&p);
	carry(&p, SERVER);
	carry(&p, CLIENT);
	assert_string_equal(tls_describe(p.ssl[SERVER], text, sizeof(text)), "TLSv1.3/TLS_AES_256_GCM_SHA384");
	assert_true(tls_has_alpn(p.ssl[SERVER]));
	assert_true(tls_has_alpn(p.ssl[CLIENT]));
	assert_string_equal(SSL_get_servername(p.ssl[SERVER], TLSEXT_NAMETYPE_host_name), "db.example");
	assert_false(tls_client_cert_cn(p.ssl[SERVER], cn, sizeof(cn)));
	release(&p);
}

static void first_steps_wait(void **state)
{
	struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
	struct tls_context *accepting = must_context(&s, true), *connecting = must_context(&c, false);
	char error[TLS_ERROR_BYTES];
	struct pair p;

	open_sockets(&p);
	p.ssl[SERVER] = tls_accept_new(accepting, p.fd[SERVER]);
	p.ssl[CLIENT] = tls_connect_new(connecting, p.fd[CLIENT], NULL);
	assert_int_equal(tls_handshake(p.ssl[SERVER], error), TLS_STEP_WANT_READ);
	assert_int_equal(tls_handshake(p.ssl[CLIENT], error), TLS_STEP_WANT_READ);
	assert_string_equal(error, "");
	release(&p);
	tls_context_unref(&accepting);
	tls_context_unref(&connecting);
}

static void full_socket_wants_write(void **state)
{
	struct config_tls c = client_cfg(TLS_REQUIRE);
	struct tls_context *connecting = must_context(&c, false);
	char error[TLS_ERROR_BYTES], fill[4096] = {0};
	struct pair p;

	open_sockets(&p);
	while (write(p.fd[CLIENT], fill, sizeof(fill)) > 0)
		;
	p.ssl[CLIENT] = tls_connect_new(connecting, p.fd[CLIENT], NULL);
	assert_int_equal(tls_handshake(p.ssl[CLIENT], error), TLS_STEP_WANT_WRITE);
	release(&p);
	tls_context_unref(&connecting);
}

struct verify_case {
	enum tls_mode mode;
	struct cert *ca;
	struct cert *cert;
	const char *host;
	const char *why; /* NULL: success */
};

static const struct verify_case verify_cases[] = {
	{TLS_REQUIRE, NULL, &expired, "elsewhere.example", NULL},
	{TLS_REQUIRE, &other_ca, &server, "elsewhere.example", NULL},
	{TLS_PREFER, &other_ca, &server, "db.example", NULL},
	{TLS_VERIFY_CA, &ca, &server, "db.example", NULL},
	{TLS_VERIFY_CA, &ca, &server, "elsewhere.example", NULL},
	{TLS_VERIFY_CA, &ca, &server, NULL, NULL},
	{TLS_VERIFY_CA, &other_ca, &server, "db.example", "certificate verify failed: unable to get local issuer certificate"},
	{TLS_VERIFY_CA, NULL, &server, "db.example", "certificate verify failed: unable to get local issuer certificate"},
	{TLS_VERIFY_CA, &ca, &expired, "db.example", "certificate verify failed: certificate has expired"},
	{TLS_VERIFY_FULL, &ca, &server, "db.example", NULL},
	{TLS_VERIFY_FULL, &ca, &server, "DB.Example", NULL},
	{TLS_VERIFY_FULL, &ca, &server, "one.pool.example", NULL},
	{TLS_VERIFY_FULL, &ca, &server, "two.one.pool.example", "hostname mismatch"},
	{TLS_VERIFY_FULL, &ca, &server, "part1.db.example", "hostname mismatch"}, /* a wildcard is a whole label */
	{TLS_VERIFY_FULL, &ca, &server, "elsewhere.example", "certificate verify failed: hostname mismatch"},
	{TLS_VERIFY_FULL, &ca, &server, "127.0.0.1", NULL},
	{TLS_VERIFY_FULL, &ca, &server, "::1", NULL},
	{TLS_VERIFY_FULL, &ca, &server, "127.0.0.2", "certificate verify failed: IP address mismatch"},
	{TLS_VERIFY_FULL, &ca, &named, "db.example", NULL}, /* no alternative names: the common name counts */
	{TLS_VERIFY_FULL, &ca, &named, "server", "hostname mismatch"},
	{TLS_VERIFY_FULL, &ca, &server, "server", "hostname mismatch"}, /* there are: it does not */
	{TLS_VERIFY_FULL, &other_ca, &server, "db.example", "certificate verify failed: unable to get local issuer"},
	{TLS_VERIFY_FULL, &ca, &expired, "db.example", "certificate verify failed: certificate has expired"},
};

static void server_certificate_table(void **state)
{
	for (size_t i = 0; i < N_ELEMENTS(verify_cases); i++) {
		const struct verify_case *v = &verify_cases[i];
		struct config_tls s = server_cfg(), c = client_cfg(v->mode);
		struct pair p;

		s.cert_file = v->cert->cert_file;
		s.key_file = v->cert->key_file;
		c.ca_file = v->ca != NULL ? v->ca->cert_file : NULL;
		shake_configs(&p, &s, &c, v->host);
		print_message("# mode %d host %s\n", v->mode, v->host);
		if (v->why == NULL) {
			assert_done(&p);
		} else {
			assert_failed(&p, CLIENT, v->why);
			assert_int_equal(p.step[SERVER], TLS_STEP_FAILED);
			assert_non_null(strstr(p.error[SERVER], "alert"));
		}
		release(&p);
	}
}

static void addresses_are_not_indicated(void **state)
{
	struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
	struct pair p;

	shake_configs(&p, &s, &c, "127.0.0.1");
	assert_done(&p);
	assert_null(SSL_get_servername(p.ssl[SERVER], TLSEXT_NAMETYPE_host_name));
	release(&p);
}

struct client_cert_case {
	enum tls_mode mode;
	bool has_ca;
	struct cert *cert; /* NULL: the client has none */
	const char *cn;	   /* NULL: none to be had */
	const char *why;   /* NULL: success */
};

static const struct client_cert_case client_cert_cases[] = {
	{TLS_REQUIRE, false, NULL, NULL, NULL},
	{TLS_REQUIRE, false, &client, NULL, NULL}, /* not asked for, so not believed */
	{TLS_REQUIRE, true, NULL, NULL, NULL},
	{TLS_REQUIRE, true, &client, "alice", NULL},
	{TLS_ALLOW, true, &stranger, NULL, "certificate verify failed: unable to get local issuer certificate"},
	{TLS_VERIFY_CA, true, &client, "alice", NULL},
	{TLS_VERIFY_CA, true, NULL, NULL, "peer did not return a certificate"},
	{TLS_VERIFY_CA, false, &client, NULL, "certificate verify failed: unable to get local issuer certificate"},
	{TLS_VERIFY_FULL, true, &client, "alice", NULL},
	{TLS_VERIFY_FULL, true, NULL, NULL, "peer did not return a certificate"},
	{TLS_VERIFY_FULL, true, &stranger, NULL, "certificate verify failed: unable to get local issuer certificate"},
	{TLS_VERIFY_FULL, true, &sneaky, NULL, NULL}, /* its name is "alice\0.example" */
};

static void client_certificate_table(void **state)
{
	for (size_t i = 0; i < N_ELEMENTS(client_cert_cases); i++) {
		const struct client_cert_case *v = &client_cert_cases[i];
		struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
		char cn[64] = "unset";
		struct pair p;

		s.mode = v->mode;
		s.ca_file = v->has_ca ? ca.cert_file : NULL;
		if (v->cert != NULL) {
			c.cert_file = v->cert->cert_file;
			c.key_file = v->cert->key_file;
		}
		shake_configs(&p, &s, &c, "db.example");
		print_message("# mode %d ca %d cert %d\n", v->mode, v->has_ca, v->cert != NULL);
		if (v->why != NULL) {
			assert_failed(&p, SERVER, v->why);
		} else {
			assert_done(&p);
			assert_int_equal(tls_client_cert_cn(p.ssl[SERVER], cn, sizeof(cn)), v->cn != NULL);
			assert_string_equal(cn, v->cn != NULL ? v->cn : "");
		}
		release(&p);
	}
}

static void common_name_must_fit(void **state)
{
	struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
	char cn[6];
	struct pair p;

	s.ca_file = ca.cert_file;
	c.cert_file = client.cert_file;
	c.key_file = client.key_file;
	shake_configs(&p, &s, &c, NULL);
	assert_done(&p);
	assert_true(tls_client_cert_cn(p.ssl[SERVER], cn, 6));
	assert_false(tls_client_cert_cn(p.ssl[SERVER], cn, 5));
	assert_string_equal(cn, "");
	release(&p);
}

/* A client of another make: its ALPN list is wire, or none. */
static void shake_foreign(struct pair *p, const char *alpn)
{
	struct config_tls s = server_cfg();
	struct tls_context *accepting = must_context(&s, true);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	open_sockets(p);
	p->ssl[SERVER] = tls_accept_new(accepting, p->fd[SERVER]);
	p->ssl[CLIENT] = SSL_new(ctx);
	SSL_set_fd(p->ssl[CLIENT], p->fd[CLIENT]);
	SSL_set_connect_state(p->ssl[CLIENT]);
	if (alpn != NULL)
		assert_int_equal(SSL_set_alpn_protos(p->ssl[CLIENT], (const uint8_t *)alpn, (unsigned)strlen(alpn)), 0);
	SSL_CTX_free(ctx);
	tls_context_unref(&accepting);
	shake(p);
}

static void alpn_of_others(void **state)
{
	struct pair p;

	shake_foreign(&p, NULL);
	assert_done(&p);
	assert_false(tls_has_alpn(p.ssl[SERVER]));
	release(&p);
	shake_foreign(&p, "\x08http/1.1\x0apostgresql");
	assert_done(&p);
	assert_true(tls_has_alpn(p.ssl[SERVER]));
	release(&p);
	shake_foreign(&p, "\x08http/1.1\x02h2");
	assert_failed(&p, SERVER, "no application protocol");
	assert_failed(&p, CLIENT, "no application protocol");
	release(&p);
	shake_foreign(&p, "\x0bpostgresqlx");
	assert_failed(&p, SERVER, "no application protocol");
	release(&p);
}

struct end_point_case {
	struct cert_request request;
	size_t want;
	const char *hash;
};

static void end_points_agree(void **state)
{
	const struct end_point_case cases[] = {
		{{.name = "e1", .cn = "x", .digest = "SHA256"}, 32, "SHA256"},
		{{.name = "e2", .cn = "x", .digest = "SHA384"}, 48, "SHA384"},
		{{.name = "e3", .cn = "x", .digest = "SHA512"}, 64, "SHA512"},
		{{.name = "e4", .cn = "x", .digest = "SHA1"}, 32, "SHA256"},
		{{.name = "e5", .cn = "x", .digest = "MD5", .key_type = "RSA"}, 32, "SHA256"},
		{{.name = "e6", .cn = "x", .digest = "SHA384", .key_type = "RSA", .pss = true}, 48, "SHA384"},
		{{.name = "e7", .cn = "x", .key_type = "ED25519"}, 0, NULL},
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct cert cert = cert_make(cases[i].request, NULL);
		struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
		uint8_t ours[TLS_END_POINT_BYTES], theirs[TLS_END_POINT_BYTES], want[EVP_MAX_MD_SIZE];
		char ciphers[] = "ALL:@SECLEVEL=0"; /* old hashes are below the default level */
		struct pair p;

		s.ciphers = c.ciphers = ciphers;
		s.cert_file = cert.cert_file;
		s.key_file = cert.key_file;
		shake_configs(&p, &s, &c, NULL);
		assert_done(&p);
		assert_int_equal(tls_server_end_point(p.ssl[SERVER], true, ours), cases[i].want);
		assert_int_equal(tls_server_end_point(p.ssl[CLIENT], false, theirs), cases[i].want);
		assert_memory_equal(ours, theirs, cases[i].want);
		if (cases[i].hash != NULL) {
			X509_digest(cert.x509, EVP_get_digestbyname(cases[i].hash), want, NULL);
			assert_memory_equal(ours, want, cases[i].want);
		}
		release(&p);
		cert_free(&cert);
	}
}

struct protocol_case {
	const char *server;
	const char *client;
	const char *want; /* NULL: no common version */
};

static const struct protocol_case protocol_cases[] = {
	{NULL, NULL, "TLSv1.3"},
	{"secure", "tlsv1.2", "TLSv1.2"},
	{"tlsv1.2", "all", "TLSv1.2"},
	{"tlsv1.2,tlsv1.3", "secure", "TLSv1.3"},
	{"TLSv1.2 : TLSv1.3", "secure", "TLSv1.3"},
	{"all:!tlsv1.3", "secure", "TLSv1.2"},
	{"!tlsv1.3", "secure", "TLSv1.2"},
	{"tlsv1.1,tlsv1.3", "tlsv1.2", NULL}, /* a hole */
	{"tlsv1.3", "tlsv1.2", NULL},
	{"secure", "tlsv1.1", NULL},
	{"tlsv1.0", "tlsv1.0", "TLSv1"},
	{"legacy", "tlsv1.1", "TLSv1.1"},
};

static void protocol_table(void **state)
{
	for (size_t i = 0; i < N_ELEMENTS(protocol_cases); i++) {
		const struct protocol_case *v = &protocol_cases[i];
		struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
		char *protocols[2] = {v->server ? strdup(v->server) : NULL, v->client ? strdup(v->client) : NULL};
		char ciphers[] = "ALL:@SECLEVEL=0"; /* TLS 1.0 and 1.1 sign with SHA-1 */
		struct pair p;

		s.protocols = protocols[SERVER];
		c.protocols = protocols[CLIENT];
		s.ciphers = c.ciphers = ciphers;
		shake_configs(&p, &s, &c, NULL);
		print_message("# %s with %s\n", v->server, v->client);
		if (v->want != NULL) {
			assert_done(&p);
			assert_string_equal(SSL_get_version(p.ssl[SERVER]), v->want);
		} else {
			assert_int_equal(p.step[SERVER], TLS_STEP_FAILED);
			assert_string_not_equal(p.error[SERVER], "");
		}
		release(&p);
		free(protocols[SERVER]);
		free(protocols[CLIENT]);
	}
}

struct choice_case {
	const char *key; /* what of the server's configuration is set */
	const char *value;
	const char *cipher; /* what comes out, in TLS 1.2 unless it is a name of 1.3 */
};

static const struct choice_case choice_cases[] = {
	{"ciphers", "default", "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{"ciphers", "fast", "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{"ciphers", "compat", "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{"ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
	{"tls13_ciphers", "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"},
	{"ecdhcurve", "secp384r1", "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{"ecdhcurve", "none", NULL}, /* an ECDSA certificate has no other key exchange below 1.3 */
	{"dheparams", "none", "ECDHE-ECDSA-AES256-GCM-SHA384"},
};

static char **config_key(struct config_tls *cfg, const char *key)
{
	if (strcmp(key, "ciphers") == 0)
		return &cfg->ciphers;
	if (strcmp(key, "tls13_ciphers") == 0)
		return &cfg->tls13_ciphers;
	if (strcmp(key, "ecdhcurve") == 0)
		return &cfg->ecdhcurve;
	if (strcmp(key, "dheparams") == 0)
		return &cfg->dheparams;
	if (strcmp(key, "protocols") == 0)
		return &cfg->protocols;
	if (strcmp(key, "cert_file") == 0)
		return &cfg->cert_file;
	if (strcmp(key, "key_file") == 0)
		return &cfg->key_file;
	assert_string_equal(key, "ca_file");
	return &cfg->ca_file;
}

static void choice_table(void **state)
{
	for (size_t i = 0; i < N_ELEMENTS(choice_cases); i++) {
		const struct choice_case *v = &choice_cases[i];
		struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
		char *value = strdup(v->value), v12[] = "tlsv1.2";
		struct pair p;

		*config_key(&s, v->key) = value;
		if (strcmp(v->key, "tls13_ciphers") != 0)
			c.protocols = v12;
		shake_configs(&p, &s, &c, NULL);
		print_message("# %s = %s\n", v->key, v->value);
		if (v->cipher != NULL) {
			assert_done(&p);
			assert_string_equal(SSL_get_cipher_name(p.ssl[CLIENT]), v->cipher);
		} else {
			assert_failed(&p, SERVER, "no shared cipher");
		}
		release(&p);
		free(value);
	}
}

static void server_chooses_the_cipher(void **state)
{
	struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
	char ours[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384", v12[] = "tlsv1.2";
	char theirs[] = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256";
	struct pair p;

	s.ciphers = ours;
	c.ciphers = theirs;
	c.protocols = v12;
	shake_configs(&p, &s, &c, NULL);
	assert_done(&p);
	assert_string_equal(SSL_get_cipher_name(p.ssl[CLIENT]), "ECDHE-ECDSA-AES128-GCM-SHA256");
	release(&p);
}

/* Bits of the Diffie-Hellman group for each value of dheparams; 0: the cipher is not to be had. */
static void dhe_groups(void **state)
{
	static const struct {
		const char *value;
		int bits;
	} cases[] = {{"auto", 2048}, {NULL, 2048}, {"legacy", 1024}, {"none", 0}};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
		char *value = cases[i].value ? strdup(cases[i].value) : NULL;
		char ciphers[] = "DHE-RSA-AES256-GCM-SHA384:@SECLEVEL=0", v12[] = "tlsv1.2";
		EVP_PKEY *key = NULL;
		struct pair p;

		s.cert_file = rsa.cert_file;
		s.key_file = rsa.key_file;
		s.dheparams = value;
		s.ciphers = c.ciphers = ciphers;
		c.protocols = v12;
		shake_configs(&p, &s, &c, NULL);
		if (cases[i].bits > 0) {
			assert_done(&p);
			assert_int_equal(SSL_get_peer_tmp_key(p.ssl[CLIENT], &key), 1);
			assert_int_equal(EVP_PKEY_get_bits(key), cases[i].bits);
			EVP_PKEY_free(key);
		} else {
			assert_failed(&p, SERVER, "no shared cipher");
		}
		release(&p);
		free(value);
	}
}

static void clients_hear_which_authority(void **state)
{
	struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
	const STACK_OF(X509_NAME) *names;
	struct pair p;

	s.mode = TLS_VERIFY_CA;
	s.ca_file = ca.cert_file;
	c.cert_file = client.cert_file;
	c.key_file = client.key_file;
	shake_configs(&p, &s, &c, NULL);
	assert_done(&p);
	names = SSL_get0_peer_CA_list(p.ssl[CLIENT]);
	assert_int_equal(sk_X509_NAME_num(names), 1);
	assert_int_equal(X509_NAME_cmp(sk_X509_NAME_value(names, 0), X509_get_subject_name(ca.x509)), 0);
	release(&p);
}

static void curve_is_used(void **state)
{
	struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
	char curve[] = "secp384r1";
	EVP_PKEY *key = NULL;
	struct pair p;

	s.ecdhcurve = curve;
	shake_configs(&p, &s, &c, NULL);
	assert_done(&p);
	assert_int_equal(SSL_get_peer_tmp_key(p.ssl[CLIENT], &key), 1);
	assert_int_equal(EVP_PKEY_get_bits(key), 384);
	EVP_PKEY_free(key);
	release(&p);
}

struct mistake {
	enum tls_mode mode;
	bool server_role;
	const char *key;
	const char *value; /* "%" stands for the directory */
	const char *text;  /* in the error */
};

static const struct mistake mistakes[] = {
	{TLS_REQUIRE, true, "protocols", "tlsv9", "protocols \"tlsv9\": not a list of"},
	{TLS_REQUIRE, true, "protocols", "tlsv1.2,sslv3", "protocols"},
	{TLS_REQUIRE, true, "protocols", "tlsv1.3,!tlsv1.3", "protocols"},
	{TLS_REQUIRE, true, "protocols", "!", "protocols"},
	{TLS_REQUIRE, true, "protocols", ",", "protocols"},
	{TLS_REQUIRE, true, "ciphers", "NO-SUCH-CIPHER", "ciphers \"NO-SUCH-CIPHER\": no cipher match"},
	{TLS_REQUIRE, true, "tls13_ciphers", "nonsense", "tls13_ciphers \"nonsense\": no cipher match"},
	{TLS_REQUIRE, true, "ecdhcurve", "round", "ecdhcurve \"round\": not auto, none or a curve"},
	{TLS_REQUIRE, true, "dheparams", "some", "dheparams \"some\": not auto, legacy or none"},
	{TLS_REQUIRE, true, "cert_file", "%/missing", "/missing\": No such file or directory"},
	{TLS_REQUIRE, true, "cert_file", "%/server.key", "cert_file"},
	{TLS_REQUIRE, true, "cert_file", "", "cert_file is not set, but key_file is"},
	{TLS_REQUIRE, true, "key_file", "%/missing", "No such file or directory"},
	{TLS_REQUIRE, true, "key_file", "%/server.crt", "key_file"},
	{TLS_REQUIRE, true, "key_file", "%/client.key", "key values mismatch"},
	{TLS_REQUIRE, true, "key_file", "%/rsa.key", "key_file"}, /* not even of the certificate's type */
	{TLS_REQUIRE, true, "key_file", "%/locked.key", "key_file"}, /* no terminal is asked */
	{TLS_REQUIRE, true, "key_file", "", "key_file is not set, but cert_file is"},
	{TLS_VERIFY_CA, true, "ca_file", "%/missing", "No such file or directory"},
	{TLS_VERIFY_CA, true, "ca_file", "%/server.key", "ca_file"},
	{TLS_VERIFY_FULL, true, "ca_file", "", "ca_file must be set for verify-full"},
	{TLS_VERIFY_FULL, false, "ca_file", "%/missing", "No such file or directory"},
	{TLS_REQUIRE, false, "cert_file", "", "cert_file is not set, but key_file is"},
};

static void mistakes_are_named(void **state)
{
	for (size_t i = 0; i < N_ELEMENTS(mistakes); i++) {
		const struct mistake *m = &mistakes[i];
		struct config_tls cfg = server_cfg();
		char error[TLS_ERROR_BYTES], value[256];

		snprintf(value, sizeof(value), "%s%s", m->value[0] == '%' ? certs_dir : "", m->value + (m->value[0] == '%'));
		cfg.mode = m->mode;
		*config_key(&cfg, m->key) = value;
		assert_null(tls_context_new(&cfg, m->server_role, error));
		if (strstr(error, m->text) == NULL)
			fail_msg("%s = %s: \"%s\"", m->key, value, error);
		assert_int_equal(ERR_peek_error(), 0);
	}
}

static void server_role_needs_a_certificate(void **state)
{
	struct config_tls cfg = {.mode = TLS_REQUIRE};
	char error[TLS_ERROR_BYTES];

	assert_null(tls_context_new(&cfg, true, error));
	assert_string_equal(error, "cert_file and key_file must be set to accept TLS");
}

static void nothing_is_resumed(void **state)
{
	struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
	char v12[] = "tlsv1.2";

	for (int old = 0; old < 2; old++) {
		struct pair p;

		c.protocols = old ? v12 : NULL;
		shake_configs(&p, &s, &c, NULL);
		assert_done(&p);
		carry(&p, SERVER); /* tickets of TLS 1.3 would come ahead of the first data */
		assert_false(SSL_SESSION_has_ticket(SSL_get0_session(p.ssl[CLIENT])));
		assert_false(SSL_SESSION_is_resumable(SSL_get0_session(p.ssl[CLIENT])));
		release(&p);
	}
}

/* A client asks (OpenSSL refuses that by itself), then a server does. */
static void renegotiation_is_refused(void **state)
{
	struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
	char v12[] = "tlsv1.2", buf[16];

	c.protocols = v12;
	for (int asks = 0; asks < 2; asks++) {
		SSL *asking, *asked;
		struct pair p;

		shake_configs(&p, &s, &c, NULL);
		assert_done(&p);
		asking = p.ssl[asks];
		asked = p.ssl[!asks];
		SSL_clear_options(asking, SSL_OP_NO_RENEGOTIATION);
		assert_int_equal(SSL_renegotiate(asking), 1);
		(void)SSL_do_handshake(asking);
		assert_true(SSL_read(asked, buf, sizeof(buf)) <= 0); /* answers with an alert */
		assert_false(SSL_in_init(asked));
		assert_true(SSL_read(asking, buf, sizeof(buf)) <= 0);
		assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
		ERR_clear_error();
		release(&p);
	}
}

static void garbage_is_refused(void **state)
{
	static const char startup[] = "\0\0\0\x08\x04\xd2\x16\x2f SELECT 1; and what not, thirty bytes at least";
	struct config_tls s = server_cfg();
	struct tls_context *accepting = must_context(&s, true);
	struct pair p;

	open_sockets(&p);
	p.ssl[SERVER] = tls_accept_new(accepting, p.fd[SERVER]);
	assert_int_equal(write(p.fd[CLIENT], startup, sizeof(startup)), sizeof(startup));
	p.step[SERVER] = tls_handshake(p.ssl[SERVER], p.error[SERVER]);
	assert_failed(&p, SERVER, "wrong version number");
	release(&p);
	tls_context_unref(&accepting);
}

static void vanished_peer(void **state)
{
	struct config_tls s = server_cfg();
	struct tls_context *accepting = must_context(&s, true);
	struct pair p;

	open_sockets(&p);
	p.ssl[SERVER] = tls_accept_new(accepting, p.fd[SERVER]);
	close(p.fd[CLIENT]);
	p.fd[CLIENT] = -1;
	p.step[SERVER] = tls_handshake(p.ssl[SERVER], p.error[SERVER]);
	assert_failed(&p, SERVER, "the peer closed the connection during the handshake");
	release(&p);
	tls_context_unref(&accepting);
}

/* The connection ends without a farewell, as when a client is killed: an end of file, not an error. */
static void end_without_notice(void **state)
{
	struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
	struct pair p;
	char buf[16];
	int n;

	shake_configs(&p, &s, &c, NULL);
	assert_done(&p);
	close(p.fd[CLIENT]);
	p.fd[CLIENT] = -1;
	n = SSL_read(p.ssl[SERVER], buf, sizeof(buf));
	assert_int_equal(SSL_get_error(p.ssl[SERVER], n), SSL_ERROR_ZERO_RETURN);
	ERR_clear_error();
	release(&p);
}

static void writes_may_be_partial_and_move(void **state)
{
	struct config_tls s = server_cfg(), c = client_cfg(TLS_REQUIRE);
	static char big[1 << 20], copy[1 << 20];
	struct pair p;
	int n, total = 0;

	shake_configs(&p, &s, &c, NULL);
	assert_done(&p);
	while ((n = SSL_write(p.ssl[SERVER], big, sizeof(big))) > 0)
		total += n;
	assert_true(total > 0 && total < (int)sizeof(big)); /* the socket filled: some was taken */
	assert_int_equal(SSL_get_error(p.ssl[SERVER], n), SSL_ERROR_WANT_WRITE);
	while (SSL_read(p.ssl[CLIENT], copy, sizeof(copy)) > 0)
		;
	assert_true(SSL_write(p.ssl[SERVER], copy, sizeof(copy)) > 0); /* the same bytes from elsewhere */
	ERR_clear_error();
	release(&p);
}

static void contexts_are_counted(void **state)
{
	struct config_tls s = server_cfg();
	struct tls_context *a = must_context(&s, true), *b = tls_context_ref(a), *none = NULL;
	struct pair p;

	assert_ptr_equal(a, b);
	tls_context_unref(&a);
	open_sockets(&p);
	p.ssl[SERVER] = tls_accept_new(b, p.fd[SERVER]);
	assert_non_null(p.ssl[SERVER]);
	release(&p);
	tls_context_unref(&b);
	tls_context_unref(&none);
}

static int make_certs(void **state)
{
	assert_non_null(mkdtemp(certs_dir));
	ca = cert_make((struct cert_request){.name = "ca", .cn = "test authority", .is_ca = true}, NULL);
	other_ca = cert_make((struct cert_request){.name = "other_ca", .cn = "other authority", .is_ca = true}, NULL);
	server = cert_make((struct cert_request){.name = "server", .cn = "server",
		.san = "DNS:db.example,DNS:*.pool.example,DNS:part*.db.example,IP:127.0.0.1,IP:::1"}, &ca);
	rsa = cert_make((struct cert_request){.name = "rsa", .cn = "server", .key_type = "RSA"}, &ca);
	named = cert_make((struct cert_request){.name = "named", .cn = "db.example"}, &ca);
	expired = cert_make((struct cert_request){.name = "expired", .cn = "db.example", .san = "DNS:db.example",
		.not_after_s = -3600}, &ca);
	client = cert_make((struct cert_request){.name = "client", .cn = "alice"}, &ca);
	stranger = cert_make((struct cert_request){.name = "stranger", .cn = "alice"}, &other_ca);
	sneaky = cert_make((struct cert_request){.name = "sneaky", .cn = "alice\0.example", .n_cn = 14}, &ca);
	struct cert locked = client;
	snprintf(locked.cert_file, sizeof(locked.cert_file), "%s/locked.crt", certs_dir);
	snprintf(locked.key_file, sizeof(locked.key_file), "%s/locked.key", certs_dir);
	certs_write(&locked, "secret");
	return 0;
}

static int remove_certs(void **state)
{
	struct cert *all[] = {&ca, &other_ca, &server, &rsa, &named, &expired, &client, &stranger, &sneaky};

	for (size_t i = 0; i < N_ELEMENTS(all); i++)
		cert_free(all[i]);
	certs_remove_dir();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_success),
		cmocka_unit_test(first_steps_wait),
		cmocka_unit_test(full_socket_wants_write),
		cmocka_unit_test(server_certificate_table),
		cmocka_unit_test(addresses_are_not_indicated),
		cmocka_unit_test(client_certificate_table),
		cmocka_unit_test(common_name_must_fit),
		cmocka_unit_test(alpn_of_others),
		cmocka_unit_test(end_points_agree),
		cmocka_unit_test(protocol_table),
		cmocka_unit_test(choice_table),
		cmocka_unit_test(server_chooses_the_cipher),
		cmocka_unit_test(dhe_groups),
		cmocka_unit_test(clients_hear_which_authority),
		cmocka_unit_test(curve_is_used),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(server_role_needs_a_certificate),
		cmocka_unit_test(nothing_is_resumed),
		cmocka_unit_test(renegotiation_is_refused),
		cmocka_unit_test(garbage_is_refused),
		cmocka_unit_test(vanished_peer),
		cmocka_unit_test(end_without_notice),
		cmocka_unit_test(writes_may_be_partial_and_move),
		cmocka_unit_test(contexts_are_counted),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_certs, remove_certs);
}
