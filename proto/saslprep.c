/* SPDX-License-Identifier: ISC */
/*
 * SASLprep (RFC 4013) of passwords, as PostgreSQL applies it: where the profile does not accept a
 * password (not UTF-8, a prohibited or unassigned character, nothing left after mapping) its bytes
 * are used as they came. Each side of a login does this alone, so what matters is to do as the
 * other implementations do, not to judge the password.
 */
#include "scram_priv.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <stringprep.h>

/* NFKC at its worst turns 3 bytes of UTF-8 (U+FDFA) into 33. */
#define MAX_EXPANSION 11

static bool is_ascii(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text >= 0x80)
			return false;
	}
	return true;
}

void pgw__saslprep(const char *password, struct pgw__prepared *out_r)
{
	size_t n = strlen(password);

	*out_r = (struct pgw__prepared){.bytes = password, .n = n};
	if (is_ascii(password))
		return;
	out_r->cap = n * MAX_EXPANSION + 1;
	out_r->owned = OPENSSL_malloc(out_r->cap);
	if (out_r->owned == NULL)
		abort();
	memcpy(out_r->owned, password, n + 1);
	if (stringprep(out_r->owned, out_r->cap, STRINGPREP_NO_UNASSIGNED, stringprep_saslprep) !=
		    STRINGPREP_OK ||
		out_r->owned[0] == '\0')
		return;
	out_r->bytes = out_r->owned;
	out_r->n = strlen(out_r->owned);
}

void pgw__prepared_release(struct pgw__prepared *p)
{
	OPENSSL_clear_free(p->owned, p->cap);
	*p = (struct pgw__prepared){0};
}
