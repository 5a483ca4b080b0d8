/* SPDX-License-Identifier: ISC */
/* The `options` parameter: every setting has a name without dashes, and none outgrows the text. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "pgw/startup.h"

struct seen {
	size_t n_options_bytes;
	size_t n_settings;
};

static void on_setting(void *arg, const char *name, const char *value)
{
	struct seen *seen = arg;

	FUZZ_CHECK(name[0] != '\0');
	FUZZ_CHECK(strpbrk(name, "-=") == NULL);
	FUZZ_CHECK(strlen(name) + strlen(value) < seen->n_options_bytes);
	seen->n_settings++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *options = malloc(n + 1);
	struct seen seen = { 0 };
	enum pgw_err err;

	if (options == NULL)
		return 0;
	if (n)
		memcpy(options, data, n);
	options[n] = '\0';
	seen.n_options_bytes = strlen(options);
	err = pgw_options_parse(options, on_setting, &seen);
	FUZZ_CHECK(err == PGW_OK || err == PGW_E_VALUE || err == PGW_E_TOO_LONG);
	FUZZ_CHECK(err != PGW_E_TOO_LONG || seen.n_settings == 0);
	free(options);
	return 0;
}
