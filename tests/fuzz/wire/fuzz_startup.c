/* SPDX-License-Identifier: ISC */
/*
 * The first packet of a connection. Whatever the bytes: the verdict over a prefix is "more" or the
 * final one, a good packet says the same after it has been rebuilt, and strings lie inside the input.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include "pgw/startup.h"

static int is_inside(const uint8_t *data, size_t n, const char *text)
{
	const uint8_t *at = (const uint8_t *)text;

	return at >= data && at + strlen(text) < data + n;
}

static void check_packet(const uint8_t *data, size_t n, const struct pgw_startup *s)
{
	FUZZ_CHECK(s->n_bytes <= n && s->n_bytes <= PGW_STARTUP_MAX_BYTES);
	FUZZ_CHECK(s->n_params <= PGW_STARTUP_MAX_PARAMS);
	for (uint32_t i = 0; i < s->n_params; i++) {
		FUZZ_CHECK(is_inside(data, s->n_bytes, s->params[i].name));
		FUZZ_CHECK(is_inside(data, s->n_bytes, s->params[i].value));
		FUZZ_CHECK(pgw_startup_get(s, s->params[i].name) != NULL);
	}
	if (s->kind == PGW_STARTUP_CANCEL) {
		FUZZ_CHECK(s->n_cancel_key_bytes >= PGW_CANCEL_KEY_MIN_BYTES);
		FUZZ_CHECK(s->n_cancel_key_bytes <= PGW_CANCEL_KEY_MAX_BYTES);
		FUZZ_CHECK(s->cancel_key + s->n_cancel_key_bytes == data + s->n_bytes);
	}
}

/* Built from its parts, the packet is the bytes it was parsed from. */
static void check_rebuilt(const uint8_t *data, const struct pgw_startup *s)
{
	uint8_t buf[PGW_STARTUP_MAX_BYTES];
	struct pgw_writer w = pgw_writer_on(buf, sizeof(buf));

	switch (s->kind) {
	case PGW_STARTUP_MESSAGE:
		pgw_build_startup(&w, s->protocol, s->params, s->n_params);
		break;
	case PGW_STARTUP_CANCEL:
		pgw_build_cancel(&w, s->cancel_pid, s->cancel_key, s->n_cancel_key_bytes);
		break;
	case PGW_STARTUP_SSL:
		pgw_build_ssl_request(&w);
		break;
	case PGW_STARTUP_GSSENC:
	case PGW_STARTUP_DIRECT_TLS:
		return;
	}
	FUZZ_CHECK(w.err == PGW_OK);
	FUZZ_CHECK(w.len == s->n_bytes && memcmp(buf, data, w.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct pgw_startup s, part;
	enum pgw_err err = pgw_startup_parse(data, n, &s);

	for (size_t cut = 0; cut < n && cut < 600; cut++) {
		enum pgw_err early = pgw_startup_parse(data, cut, &part);

		FUZZ_CHECK(early == PGW_MORE || early == err);
		FUZZ_CHECK(early != PGW_OK || part.n_bytes == s.n_bytes);
	}
	if (err != PGW_OK)
		return 0;
	check_packet(data, n, &s);
	check_rebuilt(data, &s);
	return 0;
}
