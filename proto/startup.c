/* SPDX-License-Identifier: ISC */
/*
 * The first packet of a connection. It is the only input that an unknown peer can send us, so each
 * verdict falls as early as the bytes allow it: a length once four are there, a code once eight are.
 */
#include "pgw/startup.h"

#include <string.h>

#define TLS_RECORD_HANDSHAKE 0x16 /* first byte of a ClientHello, and of no startup length allowed */
#define REQUEST_BYTES 8 /* length and code: all there is of SSLRequest and GSSENCRequest */
#define CANCEL_FIXED_BYTES 12 /* length, code, pid */
#define OPTIONS_MAX_BYTES 4096

static uint32_t peek_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Which form the code announces, and whether such a packet can be `length` bytes long. */
static enum pgw_err classify_code(uint32_t code, uint32_t length, enum pgw_startup_kind *kind_r)
{
	switch (code) {
	case PGW_CODE_SSL:
		*kind_r = PGW_STARTUP_SSL;
		return length == REQUEST_BYTES ? PGW_OK : PGW_E_LENGTH;
	case PGW_CODE_GSSENC:
		*kind_r = PGW_STARTUP_GSSENC;
		return length == REQUEST_BYTES ? PGW_OK : PGW_E_LENGTH;
	case PGW_CODE_CANCEL:
		*kind_r = PGW_STARTUP_CANCEL;
		return length >= CANCEL_FIXED_BYTES + PGW_CANCEL_KEY_MIN_BYTES &&
				length <= CANCEL_FIXED_BYTES + PGW_CANCEL_KEY_MAX_BYTES ?
			PGW_OK :
			PGW_E_LENGTH;
	default:
		*kind_r = PGW_STARTUP_MESSAGE;
		return code >> 16 == 3 ? PGW_OK : PGW_E_PROTOCOL_VERSION;
	}
}

/* Pairs of strings; an empty name ends the list and must be the packet's last byte. */
static enum pgw_err read_params(struct pgw_reader *r, struct pgw_startup *s)
{
	for (;;) {
		size_t n_name;
		const char *name = pgw_read_cstr(r, &n_name);

		if (r->err || n_name == 0)
			return pgw_read_end(r);
		if (s->n_params == PGW_STARTUP_MAX_PARAMS)
			return PGW_E_TOO_MANY;
		s->params[s->n_params].name = name;
		s->params[s->n_params].value = pgw_read_cstr(r, NULL);
		if (r->err)
			return r->err;
		s->n_params++;
	}
}

static enum pgw_err read_cancel(struct pgw_reader *r, struct pgw_startup *s)
{
	s->cancel_pid = pgw_read_u32(r);
	s->n_cancel_key_bytes = pgw_reader_left(r);
	s->cancel_key = pgw_read_bytes(r, s->n_cancel_key_bytes);
	return pgw_read_end(r);
}

static enum pgw_err read_packet(struct pgw_reader *r, struct pgw_startup *s)
{
	switch (s->kind) {
	case PGW_STARTUP_MESSAGE:
		return read_params(r, s);
	case PGW_STARTUP_CANCEL:
		return read_cancel(r, s);
	case PGW_STARTUP_SSL:
	case PGW_STARTUP_GSSENC:
	case PGW_STARTUP_DIRECT_TLS:
		return PGW_OK;
	}
	return PGW_E_VALUE;
}

/* Everything but the parameters, which count for nothing above n_params: 4 kB less to clear. */
static void clear_startup(struct pgw_startup *s, enum pgw_startup_kind kind)
{
	s->kind = kind;
	s->n_bytes = 0;
	s->protocol = 0;
	s->n_params = 0;
	s->cancel_pid = 0;
	s->cancel_key = NULL;
	s->n_cancel_key_bytes = 0;
}

enum pgw_err pgw_startup_parse(const uint8_t *bytes, size_t n, struct pgw_startup *out_r)
{
	enum pgw_startup_kind kind;
	struct pgw_reader r;
	enum pgw_err err;
	uint32_t length, code;

	if (n == 0)
		return PGW_MORE;
	if (bytes[0] == TLS_RECORD_HANDSHAKE) {
		clear_startup(out_r, PGW_STARTUP_DIRECT_TLS);
		return PGW_OK;
	}
	if (n < 4)
		return bytes[0] ? PGW_E_TOO_LONG : PGW_MORE; /* 16 MB at least, whatever follows */
	length = peek_u32(bytes);
	if (length > PGW_STARTUP_MAX_BYTES)
		return PGW_E_TOO_LONG;
	if (length < REQUEST_BYTES)
		return PGW_E_LENGTH;
	if (n < REQUEST_BYTES)
		return PGW_MORE;
	code = peek_u32(bytes + 4);
	err = classify_code(code, length, &kind);
	if (err)
		return err;
	if (n < length)
		return PGW_MORE;
	clear_startup(out_r, kind);
	out_r->n_bytes = length;
	if (kind == PGW_STARTUP_MESSAGE)
		out_r->protocol = code;
	r = pgw_reader_on(bytes + REQUEST_BYTES, length - REQUEST_BYTES);
	return read_packet(&r, out_r);
}

const char *pgw_startup_get(const struct pgw_startup *s, const char *name)
{
	for (uint32_t i = s->n_params; i-- > 0;)
		if (strcmp(s->params[i].name, name) == 0)
			return s->params[i].value;
	return NULL;
}

void pgw_build_startup(struct pgw_writer *w, uint32_t protocol, const struct pgw_param *params,
	size_t n_params)
{
	pgw_write_begin(w, 0);
	pgw_write_u32(w, protocol);
	for (size_t i = 0; i < n_params; i++) {
		pgw_write_cstr(w, params[i].name);
		pgw_write_cstr(w, params[i].value);
	}
	pgw_write_u8(w, 0);
	pgw_write_end(w);
}

void pgw_build_ssl_request(struct pgw_writer *w)
{
	pgw_write_begin(w, 0);
	pgw_write_u32(w, PGW_CODE_SSL);
	pgw_write_end(w);
}

void pgw_build_cancel(struct pgw_writer *w, uint32_t pid, const uint8_t *key, size_t n_key_bytes)
{
	pgw_write_begin(w, 0);
	pgw_write_u32(w, PGW_CODE_CANCEL);
	pgw_write_u32(w, pid);
	pgw_write_bytes(w, key, n_key_bytes);
	pgw_write_end(w);
}

/* ---- the options parameter ---- */

static int is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * The next word of *at_io, unescaped into `word` (which is large enough for all of the text). A lone
 * backslash at the end of the text stands for nothing. Returns NULL when only blanks are left.
 */
static char *next_word(const char **at_io, char *word)
{
	const char *at = *at_io;
	char *to = word;

	while (is_blank(*at))
		at++;
	if (*at == '\0')
		return NULL;
	for (; *at && !is_blank(*at); at++) {
		if (*at == '\\' && *++at == '\0')
			break;
		*to++ = *at;
	}
	*to = '\0';
	*at_io = at;
	return word;
}

/* Cuts NAME=VALUE in place; dashes of the name become underscores. */
static enum pgw_err split_setting(char *setting, char **value_r)
{
	char *equals = strchr(setting, '=');

	if (equals == NULL || equals == setting)
		return PGW_E_VALUE;
	*equals = '\0';
	*value_r = equals + 1;
	for (char *c = setting; *c; c++)
		if (*c == '-')
			*c = '_';
	return PGW_OK;
}

enum pgw_err pgw_options_parse(const char *options,
	void (*set)(void *arg, const char *name, const char *value), void *arg)
{
	char buf[OPTIONS_MAX_BYTES + 1];
	const char *at = options;
	char *word;

	if (strnlen(options, sizeof(buf)) > OPTIONS_MAX_BYTES)
		return PGW_E_TOO_LONG;
	while ((word = next_word(&at, buf)) != NULL) {
		char *value;

		if (word[0] != '-' || (word[1] != 'c' && word[1] != '-'))
			return PGW_E_VALUE;
		if (word[1] == 'c' && word[2] == '\0')
			word = next_word(&at, buf);
		else
			word += 2;
		if (word == NULL || split_setting(word, &value) != PGW_OK)
			return PGW_E_VALUE;
		set(arg, word, value);
	}
	return PGW_OK;
}
