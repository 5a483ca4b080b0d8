/* SPDX-License-Identifier: ISC */
/*
 * The server's side of SCRAM-SHA-256(-PLUS): checks a client against a stored secret.
 *
 *	EXPECT_FIRST --client-first-->  EXPECT_FINAL --client-final--> DONE
 *
 * and FAILED from anywhere. Threat, deviations from the RFCs and the order of checks are in
 * README.md. In short: nothing that goes on the wire, and no branch before the proof has been
 * computed, depends on whether the user exists.
 */
#include "scram_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

void pgw_scram_server_init(struct pgw_scram_server *s, const struct pgw_scram_secret *secret,
	bool doomed, const uint8_t *cb_data, size_t n_cb_data)
{
	assert(n_cb_data <= sizeof(s->cb_data));
	s->state = PGW_SCRAM_SERVER_EXPECT_FIRST;
	s->secret = *secret;
	s->doomed = doomed;
	s->has_mechanism = false;
	s->plus = false;
	s->gs2_header[0] = '\0';
	s->client_first_bare[0] = '\0';
	s->server_first[0] = '\0';
	s->nonce[0] = '\0';
	memset(s->client_key, 0, sizeof(s->client_key));
	if (n_cb_data > 0)
		memcpy(s->cb_data, cb_data, n_cb_data);
	s->n_cb_data = n_cb_data;
}

static enum pgw_err choose_mechanism(struct pgw_scram_server *s, const char *mechanism)
{
	if (s->has_mechanism)
		return PGW_OK;
	if (mechanism == NULL)
		return PGW_E_SASL;
	if (strcmp(mechanism, PGW__MECHANISM_PLUS) == 0)
		s->plus = true;
	else if (strcmp(mechanism, PGW__MECHANISM) != 0)
		return PGW_E_SASL;
	if (s->plus && s->n_cb_data == 0)
		return PGW_E_SASL; /* it was not offered */
	s->has_mechanism = true;
	return PGW_OK;
}

/*
 * The header is one of three texts, because an authorization identity is refused: PostgreSQL logs
 * a session in as the user of the startup packet and as nobody else.
 */
static enum pgw_err read_gs2_header(struct pgw_scram_server *s, const char *text, size_t n,
	size_t *n_header_r)
{
	static const char *const headers[] = {"n,,", "y,,", PGW__GS2_PLUS};
	const char *header = NULL;

	for (size_t i = 0; i < 3 && header == NULL; i++) {
		size_t len = strlen(headers[i]);

		if (n >= len && memcmp(text, headers[i], len) == 0)
			header = headers[i];
	}
	if (header == NULL || s->plus != (header[0] == 'p'))
		return PGW_E_SASL;
	/* The client could bind and believes we cannot, yet we offered it: somebody cut our list. */
	if (header[0] == 'y' && s->n_cb_data > 0)
		return PGW_E_AUTH;
	*n_header_r = strlen(header);
	memcpy(s->gs2_header, header, *n_header_r + 1);
	return PGW_OK;
}

/*
 * n=user,r=nonce, then extensions to be ignored. The user name is not looked at: whose secret it
 * is was decided by the startup packet. An extension that must be understood (m=) comes first and
 * therefore is not the n= expected there.
 */
static enum pgw_err read_client_first_bare(struct pgw_scram_server *s, const char *text, size_t n,
	struct pgw__attr *nonce_r)
{
	struct pgw__attrs attrs;

	pgw__attrs_init(&attrs, text, n);
	pgw__attr_read(&attrs, 'n');
	*nonce_r = pgw__attr_read(&attrs, 'r');
	while (pgw__attr_any(&attrs).name != 0)
		;
	if (attrs.bad || !pgw__is_nonce(nonce_r->value, nonce_r->n))
		return PGW_E_SASL;
	if (nonce_r->n + PGW__NONCE_TEXT_BYTES > sizeof(s->nonce))
		return PGW_E_SASL;
	memcpy(s->client_first_bare, text, n);
	s->client_first_bare[n] = '\0';
	return PGW_OK;
}

static enum pgw_err build_server_first(struct pgw_scram_server *s, const struct pgw__attr *nonce,
	const uint8_t raw_nonce[PGW_SCRAM_NONCE_RAW_BYTES], char *out)
{
	char salt[PGW__B64_BYTES(PGW_SCRAM_MAX_SALT_BYTES)];
	int n;

	memcpy(s->nonce, nonce->value, nonce->n);
	pgw__b64_encode(raw_nonce, PGW_SCRAM_NONCE_RAW_BYTES, s->nonce + nonce->n);
	pgw__b64_encode(s->secret.salt, s->secret.n_salt_bytes, salt);
	n = snprintf(s->server_first, sizeof(s->server_first), "r=%s,s=%s,i=%u", s->nonce, salt,
		s->secret.iterations);
	assert(n > 0 && (size_t)n < sizeof(s->server_first));
	memcpy(out, s->server_first, (size_t)n + 1);
	return PGW_OK;
}

/* A client may open with an empty response and send its first message when asked for it. */
static enum pgw_err on_client_first(struct pgw_scram_server *s, const char *mechanism,
	const char *text, size_t n, const uint8_t *raw_nonce, char *out)
{
	bool repeated = s->has_mechanism;
	struct pgw__attr nonce;
	size_t n_header;
	enum pgw_err err;

	err = choose_mechanism(s, mechanism);
	if (err != PGW_OK)
		return err;
	if (text == NULL)
		return repeated ? PGW_E_SASL : PGW_OK;
	err = read_gs2_header(s, text, n, &n_header);
	if (err == PGW_OK)
		err = read_client_first_bare(s, text + n_header, n - n_header, &nonce);
	if (err == PGW_OK)
		err = build_server_first(s, &nonce, raw_nonce, out);
	if (err == PGW_OK)
		s->state = PGW_SCRAM_SERVER_EXPECT_FINAL;
	return err;
}

/* c= repeats the gs2 header, and the binding data where there is binding. */
static enum pgw_err check_binding(const struct pgw_scram_server *s, const struct pgw__attr *c)
{
	char want[PGW__B64_BYTES(PGW__B64_MAX_RAW)];
	uint8_t raw[PGW__B64_MAX_RAW];
	size_t n_raw = strlen(s->gs2_header), n_want;

	memcpy(raw, s->gs2_header, n_raw);
	if (s->plus) {
		memcpy(raw + n_raw, s->cb_data, s->n_cb_data);
		n_raw += s->n_cb_data;
	}
	n_want = pgw__b64_encode(raw, n_raw, want);
	return c->n == n_want && CRYPTO_memcmp(c->value, want, n_want) == 0 ? PGW_OK : PGW_E_AUTH;
}

/*
 * c=binding,r=nonce, extensions, p=proof and nothing behind it. The message up to the comma before
 * p= is what was signed.
 */
static enum pgw_err read_client_final(const struct pgw_scram_server *s, const char *text, size_t n,
	uint8_t proof[static PGW_SCRAM_KEY_BYTES], size_t *n_signed_r)
{
	struct pgw__attr binding, nonce, attr;
	struct pgw__attrs attrs;

	pgw__attrs_init(&attrs, text, n);
	binding = pgw__attr_read(&attrs, 'c');
	nonce = pgw__attr_read(&attrs, 'r');
	do
		attr = pgw__attr_any(&attrs);
	while (attr.name != 0 && attr.name != 'p');
	if (attrs.bad || attr.name != 'p' || attrs.at != attrs.end)
		return PGW_E_SASL;
	if (!pgw__b64_decode_key(attr.value, attr.n, proof))
		return PGW_E_SASL;
	if (nonce.n != strlen(s->nonce) || memcmp(nonce.value, s->nonce, nonce.n) != 0)
		return PGW_E_SASL;
	*n_signed_r = (size_t)(attrs.start - text) - 1;
	return check_binding(s, &binding);
}

/*
 * ClientKey = proof XOR HMAC(StoredKey, AuthMessage); it is the right one if its hash is
 * StoredKey. All of it is computed for a doomed login too.
 */
static bool verify_proof(struct pgw_scram_server *s, const struct pgw__bytes *auth_message,
	size_t n_parts, const uint8_t proof[static PGW_SCRAM_KEY_BYTES])
{
	uint8_t hash[PGW_SCRAM_KEY_BYTES];
	bool fits;

	pgw__hmac(s->secret.stored_key, auth_message, n_parts, s->client_key);
	pgw__xor_key(s->client_key, proof);
	pgw__sha256(s->client_key, sizeof(s->client_key), hash);
	fits = CRYPTO_memcmp(hash, s->secret.stored_key, sizeof(hash)) == 0;
	OPENSSL_cleanse(hash, sizeof(hash));
	return fits && !s->doomed;
}

static enum pgw_err on_client_final(struct pgw_scram_server *s, const char *text, size_t n,
	char *out)
{
	uint8_t proof[PGW_SCRAM_KEY_BYTES], signature[PGW_SCRAM_KEY_BYTES];
	size_t n_signed;
	enum pgw_err err = PGW_E_SASL;

	if (text != NULL)
		err = read_client_final(s, text, n, proof, &n_signed);
	if (err != PGW_OK)
		return err;
	struct pgw__bytes auth_message[] = {
		{s->client_first_bare, strlen(s->client_first_bare)},
		{",", 1},
		{s->server_first, strlen(s->server_first)},
		{",", 1},
		{text, n_signed},
	};
	if (!verify_proof(s, auth_message, 5, proof))
		return PGW_E_AUTH;
	pgw__hmac(s->secret.server_key, auth_message, 5, signature);
	memcpy(out, "v=", 2);
	pgw__b64_encode(signature, sizeof(signature), out + 2);
	s->state = PGW_SCRAM_SERVER_DONE;
	return PGW_OK;
}

void pgw_scram_server_wipe(struct pgw_scram_server *s)
{
	OPENSSL_cleanse(&s->secret, sizeof(s->secret));
	OPENSSL_cleanse(s->client_key, sizeof(s->client_key));
}

/* An error is final, and leaves nothing behind that a later mistake could use. */
static void fail(struct pgw_scram_server *s)
{
	OPENSSL_cleanse(s, sizeof(*s));
	s->state = PGW_SCRAM_SERVER_FAILED;
}

enum pgw_err pgw_scram_server_step(struct pgw_scram_server *s, const char *mechanism,
	const uint8_t *data, size_t n, const uint8_t raw_nonce[PGW_SCRAM_NONCE_RAW_BYTES],
	char out[static PGW_SCRAM_MAX_MESSAGE_BYTES])
{
	enum pgw_err err = PGW_E_SASL;
	const char *text = (const char *)data;

	out[0] = '\0';
	if (n < PGW_SCRAM_MAX_MESSAGE_BYTES && (text == NULL || memchr(text, '\0', n) == NULL)) {
		switch (s->state) {
		case PGW_SCRAM_SERVER_EXPECT_FIRST:
			err = on_client_first(s, mechanism, text, n, raw_nonce, out);
			break;
		case PGW_SCRAM_SERVER_EXPECT_FINAL:
			err = on_client_final(s, text, n, out);
			break;
		case PGW_SCRAM_SERVER_DONE:
		case PGW_SCRAM_SERVER_FAILED:
			break;
		}
	}
	if (err != PGW_OK)
		fail(s);
	return err;
}
