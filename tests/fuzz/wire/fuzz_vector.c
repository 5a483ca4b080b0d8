/* SPDX-License-Identifier: ISC */
/*
 * A vector that is read, whatever the bytes, is finite, within its bound, and the same when it is
 * written as text and read again.
 */
#include "pgw/vector.h"

#include <math.h>
#include <string.h>

#include "fuzz/fuzz.h"

#define CAP 64

static void check_text(const float *vector, size_t n)
{
	char text[CAP * 24 + 3] = "{";
	float again[CAP];
	size_t len = 1, n_again;
	struct pgw_value value;

	for (size_t i = 0; i < n; i++)
		len += (size_t)sprintf(text + len, i ? ", %.9g" : "%.9g", (double)vector[i]);
	text[len++] = '}';
	value = (struct pgw_value){ .at = (const uint8_t *)text, .n = (uint32_t)len };
	FUZZ_CHECK(pgw_read_vector(&value, again, CAP, &n_again) == PGW_OK && n_again == n);
	for (size_t i = 0; i < n; i++)
		FUZZ_CHECK(again[i] == vector[i]);
}

static void check_vector(const struct pgw_value *value)
{
	float vector[CAP];
	size_t n = 0;

	if (pgw_read_vector(value, vector, CAP, &n) != PGW_OK)
		return;
	FUZZ_CHECK(n >= 1 && n <= CAP);
	for (size_t i = 0; i < n; i++)
		FUZZ_CHECK(isfinite(vector[i]));
	check_text(vector, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct pgw_value value = { .at = data, .n = (uint32_t)n };

	check_vector(&value);
	value.binary = true;
	check_vector(&value);
	(void)pgw_is_utf8(data, n);
	return 0;
}
