/* SPDX-License-Identifier: ISC */
#include "io/tls.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

struct tls_context {
	int refs; /* atomic */
	enum tls_mode mode;
	SSL_CTX *ssl_ctx;
};

static const uint8_t alpn_wire[] = "\x0a" TLS_ALPN_PROTOCOL; /* length, then the name */

/* The first error is the cause, those behind it are its consequences. Empties the queue. */
static const char *first_error(char buf[static TLS_ERROR_BYTES])
{
	unsigned long code = ERR_get_error();
	const char *reason;

	ERR_clear_error();
	if (code == 0)
		return "unknown error";
	if (ERR_SYSTEM_ERROR(code))
		return strerror_r(ERR_GET_REASON(code), buf, TLS_ERROR_BYTES);
	reason = ERR_reason_error_string(code);
	if (reason != NULL)
		return reason;
	ERR_error_string_n(code, buf, TLS_ERROR_BYTES);
	return buf;
}

static bool fail_with_reason(char *error, const char *what, const char *value)
{
	char reason[TLS_ERROR_BYTES];

	/* A long file name is cut before the reason is. */
	snprintf(error, TLS_ERROR_BYTES, "%s \"%.150s\": %.80s", what, value, first_error(reason));
	return false;
}

static bool is_set(const char *value)
{
	return value != NULL && value[0] != '\0';
}

static bool is_one_of(const char *value, const char *const *names)
{
	for (; *names != NULL; names++) {
		if (strcasecmp(value, *names) == 0)
			return true;
	}
	return false;
}

/* ---- protocols ---- */

enum { V1_0 = 1, V1_1 = 2, V1_2 = 4, V1_3 = 8, V_SECURE = V1_2 | V1_3, V_ALL = 15 };

static const struct protocol_name {
	const char *name;
	unsigned mask;
} protocol_names[] = {
	{"tlsv1.0", V1_0}, {"tlsv1.1", V1_1}, {"tlsv1.2", V1_2}, {"tlsv1.3", V1_3}, {"tlsv1", V_ALL},
	{"all", V_ALL}, {"legacy", V_ALL}, {"secure", V_SECURE}, {"default", V_SECURE},
};

static const struct protocol_version {
	unsigned mask;
	int version;
	uint64_t off; /* the option that forbids it: a list may have holes */
} protocol_versions[] = {
	{V1_0, TLS1_VERSION, SSL_OP_NO_TLSv1},
	{V1_1, TLS1_1_VERSION, SSL_OP_NO_TLSv1_1},
	{V1_2, TLS1_2_VERSION, SSL_OP_NO_TLSv1_2},
	{V1_3, TLS1_3_VERSION, SSL_OP_NO_TLSv1_3},
};

static unsigned protocol_mask(const char *word, size_t len)
{
	for (size_t i = 0; i < N_ELEMENTS(protocol_names); i++) {
		const char *name = protocol_names[i].name;

		if (strlen(name) == len && strncasecmp(word, name, len) == 0)
			return protocol_names[i].mask;
	}
	return 0;
}

/* "tlsv1.2,tlsv1.3", "secure", "all:!tlsv1.0". 0: not such a list, or an empty one. */
static unsigned parse_protocols(const char *text)
{
	unsigned mask = 0;

	while (*text != '\0') {
		size_t len;
		unsigned word;
		bool negate;

		text += strspn(text, ",: \t");
		negate = *text == '!';
		text += negate;
		len = strcspn(text, ",: \t");
		if (len == 0 && !negate)
			break;
		word = protocol_mask(text, len);
		if (word == 0)
			return 0;
		if (negate)
			mask = (mask ? mask : (unsigned)V_ALL) & ~word;
		else
			mask |= word;
		text += len;
	}
	return mask;
}

static bool set_protocols(SSL_CTX *ctx, const char *text, char *error)
{
	unsigned mask = is_set(text) ? parse_protocols(text) : (unsigned)V_SECURE;
	int min = 0, max = 0;

	if (mask == 0) {
		snprintf(error, TLS_ERROR_BYTES,
			"protocols \"%.150s\": not a list of tlsv1.0, tlsv1.1, tlsv1.2, tlsv1.3, secure, all", text);
		return false;
	}
	for (size_t i = 0; i < N_ELEMENTS(protocol_versions); i++) {
		const struct protocol_version *v = &protocol_versions[i];

		if (!(mask & v->mask)) {
			SSL_CTX_set_options(ctx, v->off);
			continue;
		}
		SSL_CTX_clear_options(ctx, v->off);
		min = min ? min : v->version;
		max = v->version;
	}
	/* Explicit bounds, because openssl.cnf may hold others. */
	if (SSL_CTX_set_min_proto_version(ctx, min) != 1 || SSL_CTX_set_max_proto_version(ctx, max) != 1)
		return fail_with_reason(error, "protocols", text);
	return true;
}

/* ---- ciphers and key exchange ---- */

static const char *const ciphers_default[] = {"default", "secure", "normal", "fast", NULL};
static const char *const ciphers_compat[] = {"compat", "legacy", NULL};
static const char *const ciphers_all[] = {"all", "insecure", NULL};

static const char *cipher_list(const char *text)
{
	if (!is_set(text) || is_one_of(text, ciphers_default))
		return "DEFAULT";
	if (is_one_of(text, ciphers_compat))
		return "HIGH:!aNULL";
	return is_one_of(text, ciphers_all) ? "ALL:!aNULL:!eNULL" : text;
}

static bool set_ciphers(SSL_CTX *ctx, const struct config_tls *cfg, char *error)
{
	bool no_ecdh = is_set(cfg->ecdhcurve) && strcasecmp(cfg->ecdhcurve, "none") == 0;
	char *list = mem_printf("%s%s", cipher_list(cfg->ciphers), no_ecdh ? ":!kECDHE" : "");
	bool ok = SSL_CTX_set_cipher_list(ctx, list) == 1;

	if (!ok)
		fail_with_reason(error, "ciphers", cfg->ciphers != NULL ? cfg->ciphers : "");
	mem_free(list);
	if (ok && is_set(cfg->tls13_ciphers) && SSL_CTX_set_ciphersuites(ctx, cfg->tls13_ciphers) != 1)
		return fail_with_reason(error, "tls13_ciphers", cfg->tls13_ciphers);
	return ok;
}

/* OpenSSL's macros for strings cast const away, which the build forbids: they get a copy. */
static bool set_groups(SSL_CTX *ctx, const char *list)
{
	char *copy = mem_strdup(list);
	bool ok = SSL_CTX_set1_groups_list(ctx, copy) == 1;

	mem_free(copy);
	return ok;
}

/*
 * "auto" leaves OpenSSL's own list of groups. "none" for the curve was handled with the ciphers: TLS 1.3 cannot do without one, so
 * it holds below that.
 */
static bool set_key_exchange(SSL_CTX *ctx, const struct config_tls *cfg, char *error)
{
	static const char *const leave[] = {"auto", "none", NULL};
	const char *curve = cfg->ecdhcurve, *dh = is_set(cfg->dheparams) ? cfg->dheparams : "auto";

	if (is_set(curve) && !is_one_of(curve, leave) && !set_groups(ctx, curve)) {
		ERR_clear_error();
		snprintf(error, TLS_ERROR_BYTES, "ecdhcurve \"%.150s\": not auto, none or a curve that OpenSSL knows", curve);
		return false;
	}
	if (strcasecmp(dh, "auto") == 0 || strcasecmp(dh, "legacy") == 0) {
		SSL_CTX_set_dh_auto(ctx, strcasecmp(dh, "auto") == 0 ? 1 : 2); /* 2: 1024 bits */
	} else if (strcasecmp(dh, "none") != 0) {
		snprintf(error, TLS_ERROR_BYTES, "dheparams \"%.150s\": not auto, legacy or none", dh);
		return false;
	}
	return true;
}

/* ---- certificates ---- */

/* A daemon has nobody to ask: a key under a passphrase is an error. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

static bool load_identity(SSL_CTX *ctx, const struct config_tls *cfg, bool server_role, char *error)
{
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (!is_set(cfg->cert_file) && !is_set(cfg->key_file)) {
		if (!server_role)
			return true;
		snprintf(error, TLS_ERROR_BYTES, "cert_file and key_file must be set to accept TLS");
		return false;
	}
	if (!is_set(cfg->cert_file) || !is_set(cfg->key_file)) {
		snprintf(error, TLS_ERROR_BYTES, "%s is not set, but %s is; it takes both",
			is_set(cfg->cert_file) ? "key_file" : "cert_file",
			is_set(cfg->cert_file) ? "cert_file" : "key_file");
		return false;
	}
	if (SSL_CTX_use_certificate_chain_file(ctx, cfg->cert_file) != 1)
		return fail_with_reason(error, "cert_file", cfg->cert_file);
	if (SSL_CTX_use_PrivateKey_file(ctx, cfg->key_file, SSL_FILETYPE_PEM) != 1)
		return fail_with_reason(error, "key_file", cfg->key_file);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return fail_with_reason(error, "key_file", cfg->key_file);
	return true;
}

static int verify_flags(enum tls_mode mode, bool server_role, bool has_ca)
{
	if (mode >= TLS_VERIFY_CA)
		return SSL_VERIFY_PEER | (server_role ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
	return server_role && has_ca ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
}

static bool load_authorities(SSL_CTX *ctx, const struct config_tls *cfg, bool server_role, char *error)
{
	bool has_ca = is_set(cfg->ca_file);

	SSL_CTX_set_verify(ctx, verify_flags(cfg->mode, server_role, has_ca), NULL);
	if (!has_ca) {
		if (server_role && cfg->mode == TLS_VERIFY_FULL) {
			snprintf(error, TLS_ERROR_BYTES, "ca_file must be set for verify-full");
			return false;
		}
		if (cfg->mode >= TLS_VERIFY_CA && SSL_CTX_set_default_verify_paths(ctx) != 1)
			return fail_with_reason(error, "ca_file", "");
		return true;
	}
	if (SSL_CTX_load_verify_file(ctx, cfg->ca_file) != 1)
		return fail_with_reason(error, "ca_file", cfg->ca_file);
	if (server_role) { /* tells clients which of their certificates will do */
		STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(cfg->ca_file);

		if (names == NULL)
			return fail_with_reason(error, "ca_file", cfg->ca_file);
		SSL_CTX_set_client_CA_list(ctx, names);
	}
	return true;
}

/* ---- ALPN ---- */

/* A client that names protocols and not ours meant somebody else: refused, so that no attacker can redirect its session here. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *n_out, const unsigned char *in, unsigned n_in, void *arg)
{
	unsigned char *chosen = NULL;

	if (SSL_select_next_proto(&chosen, n_out, alpn_wire, sizeof(alpn_wire) - 1, in, n_in) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

bool tls_has_alpn(const SSL *ssl)
{
	const unsigned char *name = NULL;
	unsigned n = 0;

	SSL_get0_alpn_selected(ssl, &name, &n);
	return n == sizeof(TLS_ALPN_PROTOCOL) - 1 && memcmp(name, TLS_ALPN_PROTOCOL, n) == 0;
}

/* ---- contexts ---- */

/*
 * Partial writes from moving buffers are how streams write. An idle session gives its buffers back: 14 kB of heap instead of 48. What is
 * left is OpenSSL 3.0's until SSL_free(), and no call gives it back. By malloc's count, with TLS 1.3, AES-256-GCM and X25519 (P-256 holds
 * 3.5 kB more): SSL 7,616 bytes, two cipher contexts 2,336, session 1,008, both keys of the exchange 880, its copy of the certificates'
 * table 608, two hashes of the handshake 608, the client's list of ciphers 480, BIO 208, extensions, parameters and a lock 512: 14,256.
 * No resumption, as in PostgreSQL: sessions are long, and tickets would tie certificates verified once to later connections.
 * An end of file without close_notify is an end of file: the protocol inside frames its messages, so a cut is seen there.
 */
static void set_fixed(SSL_CTX *ctx, bool server_role)
{
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
		SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	if (server_role)
		SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	else
		MUST(SSL_CTX_set_alpn_protos(ctx, alpn_wire, sizeof(alpn_wire) - 1) == 0);
}

struct tls_context *tls_context_new(const struct config_tls *cfg, bool server_role, char error[static TLS_ERROR_BYTES])
{
	struct tls_context *context = mem_zalloc(sizeof(*context));
	SSL_CTX *ctx;

	MUST(cfg->mode != TLS_DISABLE);
	ERR_clear_error();
	error[0] = '\0';
	context->refs = 1;
	context->mode = cfg->mode;
	context->ssl_ctx = ctx = SSL_CTX_new(server_role ? TLS_server_method() : TLS_client_method());
	if (ctx == NULL) {
		fail_with_reason(error, "TLS", "setup");
		tls_context_unref(&context);
		return NULL;
	}
	set_fixed(ctx, server_role);
	if (!set_protocols(ctx, cfg->protocols, error) || !set_ciphers(ctx, cfg, error) ||
		!set_key_exchange(ctx, cfg, error) || !load_identity(ctx, cfg, server_role, error) ||
		!load_authorities(ctx, cfg, server_role, error))
		tls_context_unref(&context);
	return context;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
	__atomic_add_fetch(&context->refs, 1, __ATOMIC_RELAXED);
	return context;
}

void tls_context_unref(struct tls_context **context_p)
{
	struct tls_context *context = *context_p;

	*context_p = NULL;
	if (context == NULL || __atomic_sub_fetch(&context->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	SSL_CTX_free(context->ssl_ctx); /* lives on under the sessions made from it */
	mem_free(context);
}

/* ---- sessions ---- */

static SSL *session_new(struct tls_context *context, int fd)
{
	SSL *ssl = SSL_new(context->ssl_ctx);

	MUST(ssl != NULL && SSL_set_fd(ssl, fd) == 1); /* fails without memory only */
	return ssl;
}

SSL *tls_accept_new(struct tls_context *context, int fd)
{
	SSL *ssl = session_new(context, fd);

	SSL_set_accept_state(ssl);
	return ssl;
}

static bool is_address(const char *host)
{
	uint8_t raw[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1;
}

static void set_server_name(SSL *ssl, const char *host)
{
	char *copy = mem_strdup(host);

	/* A name too long for the extension goes without it; verify-full will not match it either. */
	(void)SSL_set_tlsext_host_name(ssl, copy);
	mem_free(copy);
}

SSL *tls_connect_new(struct tls_context *context, int fd, const char *host)
{
	SSL *ssl = session_new(context, fd);
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	MUST(host != NULL || context->mode != TLS_VERIFY_FULL);
	SSL_set_connect_state(ssl);
	if (host == NULL)
		return ssl;
	if (!is_address(host))
		set_server_name(ssl, host);
	if (context->mode == TLS_VERIFY_FULL && is_address(host)) {
		MUST(X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1);
	} else if (context->mode == TLS_VERIFY_FULL) {
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		MUST(X509_VERIFY_PARAM_set1_host(param, host, 0) == 1);
	}
	ERR_clear_error();
	return ssl;
}

static enum tls_step handshake_failed(SSL *ssl, int ssl_error, int error_number, char *error)
{
	long verify = SSL_get_verify_result(ssl);
	char reason[TLS_ERROR_BYTES];

	if (verify != X509_V_OK && (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER))
		snprintf(error, TLS_ERROR_BYTES, "certificate verify failed: %s", X509_verify_cert_error_string(verify));
	else if (ERR_peek_error() != 0)
		snprintf(error, TLS_ERROR_BYTES, "%s", first_error(reason));
	else if (ssl_error == SSL_ERROR_SYSCALL && error_number != 0)
		snprintf(error, TLS_ERROR_BYTES, "%.200s", strerror_r(error_number, reason, sizeof(reason)));
	else
		snprintf(error, TLS_ERROR_BYTES, "the peer closed the connection during the handshake");
	ERR_clear_error();
	return TLS_STEP_FAILED;
}

enum tls_step tls_handshake(SSL *ssl, char error[static TLS_ERROR_BYTES])
{
	int result, ssl_error;

	error[0] = '\0';
	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(ssl);
	if (result == 1)
		return TLS_STEP_DONE;
	ssl_error = SSL_get_error(ssl, result);
	if (ssl_error == SSL_ERROR_WANT_READ)
		return TLS_STEP_WANT_READ;
	if (ssl_error == SSL_ERROR_WANT_WRITE)
		return TLS_STEP_WANT_WRITE;
	return handshake_failed(ssl, ssl_error, errno, error);
}

/* ---- what a session tells ---- */

/* RFC 5929: the hash of the certificate's signature, and SHA-256 where that is MD5 or SHA-1. */
size_t tls_server_end_point(SSL *ssl, bool we_are_server, uint8_t out[static TLS_END_POINT_BYTES])
{
	X509 *cert = we_are_server ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl);
	uint8_t hash[EVP_MAX_MD_SIZE];
	const EVP_MD *md;
	unsigned n = 0;
	int nid;

	if (cert == NULL || X509_get_signature_info(cert, &nid, NULL, NULL, NULL) != 1)
		return 0;
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	md = nid != NID_undef ? EVP_get_digestbynid(nid) : NULL;
	if (md == NULL || X509_digest(cert, md, hash, &n) != 1 || n > TLS_END_POINT_BYTES) {
		ERR_clear_error();
		return 0;
	}
	memcpy(out, hash, n);
	return n;
}

/* A name with a NUL inside is an attempt to look like another one. */
static bool copy_name(const ASN1_STRING *name, char *buf, size_t cap)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, name);
	bool ok = n > 0 && (size_t)n < cap && memchr(utf8, '\0', (size_t)n) == NULL;

	if (ok) {
		memcpy(buf, utf8, (size_t)n);
		buf[n] = '\0';
	}
	OPENSSL_free(utf8);
	ERR_clear_error();
	return ok;
}

bool tls_client_cert_cn(SSL *ssl, char *buf, size_t cap)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	const X509_NAME *subject;
	int at;

	if (cap > 0)
		buf[0] = '\0';
	if (cert == NULL || !(SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) || SSL_get_verify_result(ssl) != X509_V_OK)
		return false;
	subject = X509_get_subject_name(cert);
	at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	return at >= 0 && copy_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), buf, cap);
}

const char *tls_describe(SSL *ssl, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s/%s", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
	return buf;
}
