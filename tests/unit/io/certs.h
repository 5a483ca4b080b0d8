/* SPDX-License-Identifier: ISC */
/* Certificates made for one run of a test: keys, authorities and leaves, written as PEM files to a directory of their own. */
#ifndef UNIT_IO_CERTS_H
#define UNIT_IO_CERTS_H

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct cert_request {
	const char *name;    /* of the files NAME.crt and NAME.key */
	const char *cn;
	int n_cn;	     /* -1: up to its NUL */
	const char *san;     /* as in openssl.cnf; NULL: none */
	bool is_ca;
	long not_after_s;    /* from now; may be past */
	const char *key_type; /* "EC" (default), "RSA", "ED25519" */
	const char *digest;  /* "SHA256" (default); NULL for ED25519's own */
	bool pss;
};

struct cert {
	X509 *x509;
	EVP_PKEY *key;
	char cert_file[128];
	char key_file[128];
};

static char certs_dir[] = "/tmp/pglane_tls_XXXXXX";

static inline void certs_check(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "certs.h: %s failed\n", what);
		abort();
	}
}

static inline EVP_PKEY *certs_new_key(const char *type)
{
	EVP_PKEY *key;

	if (type != NULL && strcmp(type, "RSA") == 0)
		key = EVP_RSA_gen(2048);
	else if (type != NULL && strcmp(type, "ED25519") == 0)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	else
		key = EVP_EC_gen("P-256");
	certs_check(key != NULL, "key");
	return key;
}

static inline void certs_add_extension(X509 *x509, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	certs_check(ext != NULL && X509_add_ext(x509, ext, -1) == 1, value);
	X509_EXTENSION_free(ext);
}

static inline void certs_sign(X509 *x509, EVP_PKEY *key, const struct cert_request *req)
{
	bool own_digest = EVP_PKEY_is_a(key, "ED25519");
	const EVP_MD *md = own_digest ? NULL : EVP_get_digestbyname(req->digest ? req->digest : "SHA256");
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *key_ctx = NULL;

	certs_check(EVP_DigestSignInit(ctx, &key_ctx, md, NULL, key) == 1, "sign");
	if (req->pss)
		certs_check(EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING) == 1, "padding");
	certs_check(X509_sign_ctx(x509, ctx) > 0, "sign");
	EVP_MD_CTX_free(ctx);
}

static inline void certs_write(const struct cert *cert, const char *passphrase)
{
	FILE *file = fopen(cert->cert_file, "w");

	certs_check(file != NULL && PEM_write_X509(file, cert->x509) == 1, cert->cert_file);
	fclose(file);
	file = fopen(cert->key_file, "w");
	certs_check(file != NULL && PEM_write_PrivateKey(file, cert->key, passphrase ? EVP_aes_128_cbc() : NULL,
		(const unsigned char *)passphrase, passphrase ? (int)strlen(passphrase) : 0, NULL, NULL) == 1, cert->key_file);
	fclose(file);
}

/* issuer NULL: self-signed. */
static inline struct cert cert_make(struct cert_request req, const struct cert *issuer)
{
	static long serial = 1;
	struct cert cert = {.x509 = X509_new(), .key = certs_new_key(req.key_type)};
	X509_NAME *subject = X509_get_subject_name(cert.x509);
	int n_cn = req.n_cn ? req.n_cn : -1;

	X509_set_version(cert.x509, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert.x509), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert.x509), -7200);
	X509_gmtime_adj(X509_getm_notAfter(cert.x509), req.not_after_s ? req.not_after_s : 86400);
	if (req.cn != NULL)
		certs_check(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC,
			(const unsigned char *)req.cn, n_cn, -1, 0) == 1, "name");
	X509_set_issuer_name(cert.x509, X509_get_subject_name(issuer ? issuer->x509 : cert.x509));
	X509_set_pubkey(cert.x509, cert.key);
	certs_add_extension(cert.x509, NID_basic_constraints, req.is_ca ? "critical,CA:TRUE" : "CA:FALSE");
	if (req.san != NULL)
		certs_add_extension(cert.x509, NID_subject_alt_name, req.san);
	certs_sign(cert.x509, issuer ? issuer->key : cert.key, &req);
	snprintf(cert.cert_file, sizeof(cert.cert_file), "%s/%s.crt", certs_dir, req.name);
	snprintf(cert.key_file, sizeof(cert.key_file), "%s/%s.key", certs_dir, req.name);
	certs_write(&cert, NULL);
	return cert;
}

static inline void cert_free(struct cert *cert)
{
	X509_free(cert->x509);
	EVP_PKEY_free(cert->key);
}

static inline void certs_remove_dir(void)
{
	DIR *dir = opendir(certs_dir);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	rmdir(certs_dir);
}

#endif
