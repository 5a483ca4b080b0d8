/* SPDX-License-Identifier: ISC */
#include "pgw/vector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX_BYTES 64u /* the text of one; longer ones are no float that anybody means */
#define OID_FLOAT4 700u
#define OID_FLOAT8 701u

/* ---- UTF-8 ---- */

/* Bytes of the character at p, 0: it is none. */
static size_t character(const uint8_t *p, size_t n)
{
	size_t n_bytes = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3
							  : p[0] < 0xF5		    ? 4
										    : 0;
	size_t i;

	if (n_bytes > n)
		return 0;
	for (i = 1; i < n_bytes; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
		(p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F))
		return 0;
	return n_bytes;
}

bool pgw_is_utf8(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	size_t n_bytes;

	for (; n > 0; p += n_bytes, n -= n_bytes) {
		n_bytes = character(p, n);
		if (n_bytes == 0)
			return false;
	}
	return true;
}

/* ---- vectors ---- */

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Up to a comma or the closing bracket; blanks around it are allowed. */
static enum pgw_err read_number(const char **at, const char *end, float *out)
{
	char text[NUMBER_MAX_BYTES + 1];
	const char *from = *at, *to;
	char *stop;
	double value;
	size_t n;

	while (from < end && is_space(*from))
		from++;
	for (to = from; to < end && *to != ','; to++)
		;
	*at = to;
	while (to > from && is_space(to[-1]))
		to--;
	n = (size_t)(to - from);
	if (n == 0 || n > NUMBER_MAX_BYTES || memchr(from, '\0', n) || memchr(from, 'x', n) ||
		memchr(from, 'X', n))
		return PGW_E_VALUE;
	memcpy(text, from, n);
	text[n] = '\0';
	value = strtod(text, &stop);
	*out = (float)value;
	return *stop == '\0' && isfinite(*out) ? PGW_OK : PGW_E_VALUE;
}

static enum pgw_err read_text(
	const char *text, size_t n_text, float *out, size_t cap, size_t *n_r)
{
	const char *at = text, *end = text + n_text;
	enum pgw_err err;
	size_t n = 0;

	while (at < end && is_space(*at))
		at++;
	while (end > at && is_space(end[-1]))
		end--;
	if (end - at < 2 || !((*at == '[' && end[-1] == ']') || (*at == '{' && end[-1] == '}')))
		return PGW_E_VALUE;
	at++;
	end--;
	do {
		if (n == cap)
			return PGW_E_TOO_LONG;
		err = read_number(&at, end, &out[n++]);
		if (err)
			return err;
	} while (at < end && *at++ == ',');
	*n_r = n;
	return PGW_OK;
}

static float float_of_bits(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* One of an array or of a vector, as it lies there. */
static float read_binary_number(struct pgw_reader *r, bool is_double)
{
	uint64_t bits = pgw_read_u32(r);
	double value;

	if (!is_double)
		return float_of_bits((uint32_t)bits);
	bits = bits << 32 | pgw_read_u32(r);
	memcpy(&value, &bits, sizeof(value));
	return (float)value;
}

/* Number of dimensions, has nulls, type; length and lower bound of each; then length and value of each element. */
static enum pgw_err read_array(struct pgw_reader *r, float *out, size_t cap, size_t *n_r)
{
	uint32_t has_nulls = pgw_read_u32(r), oid = pgw_read_u32(r), n = pgw_read_u32(r), i;
	bool is_double = oid == OID_FLOAT8;

	(void)pgw_read_u32(r);
	if (r->err || has_nulls > 1 || (oid != OID_FLOAT4 && !is_double) || n == 0)
		return PGW_E_VALUE;
	if (n > cap)
		return PGW_E_TOO_LONG;
	for (i = 0; i < n; i++) {
		if (pgw_read_u32(r) != (is_double ? 8u : 4u))
			return PGW_E_VALUE;
		out[i] = read_binary_number(r, is_double);
		if (!isfinite(out[i]))
			return PGW_E_VALUE;
	}
	*n_r = n;
	return pgw_read_end(r) == PGW_OK ? PGW_OK : PGW_E_VALUE;
}

/* pgvector's: the dimensions, two bytes of nothing, the numbers. */
static enum pgw_err read_pgvector(
	struct pgw_reader *r, uint32_t n, float *out, size_t cap, size_t *n_r)
{
	uint32_t i;

	if (n > cap)
		return PGW_E_TOO_LONG;
	for (i = 0; i < n; i++) {
		out[i] = read_binary_number(r, false);
		if (!isfinite(out[i]))
			return PGW_E_VALUE;
	}
	*n_r = n;
	return pgw_read_end(r) == PGW_OK ? PGW_OK : PGW_E_VALUE;
}

enum pgw_err pgw_read_vector(const struct pgw_value *value, float *out, size_t cap, size_t *n_r)
{
	struct pgw_reader r = pgw_reader_on(value->at, value->n);
	uint32_t head;

	*n_r = 0;
	if (!value->binary)
		return read_text((const char *)value->at, value->n, out, cap, n_r);
	/* An array of one dimension begins with 1, a vector with its length in the upper half. */
	head = pgw_read_u32(&r);
	if (head == 1)
		return read_array(&r, out, cap, n_r);
	if (r.err || head >> 16 == 0 || (head & 0xFFFF) != 0)
		return PGW_E_VALUE;
	return read_pgvector(&r, head >> 16, out, cap, n_r);
}
