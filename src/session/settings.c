/* SPDX-License-Identifier: ISC */
#include "session/settings.h"

#include "base/mem.h"

static uint64_t last_serial; /* atomic */

static bool make_tls(const struct config_tls *tls, bool server_role, const char *what,
	struct tls_context **context_r, struct strbuf *problems)
{
	char error[256];

	if (tls->mode == TLS_DISABLE)
		return true;
	*context_r = tls_context_new(tls, server_role, error);
	if (*context_r == NULL)
		strbuf_addf(problems, "%s: %s\n", what, error);
	return *context_r != NULL;
}

struct settings *settings_new(struct config *config, struct strbuf *problems)
{
	struct settings *settings = mem_zalloc(sizeof(*settings));
	const char **lanes = config_lane_names(config);
	unsigned bad_line = 0;
	char error[256];
	bool ok = true;

	settings->refs = 1;
	settings->serial = __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED);
	settings->config = config;
	settings->classifier = classifier_new((const char *const *)config->rules, config->n_rules,
		(struct classifier_lanes){lanes, config->n_lanes}, &bad_line, error);
	mem_free(lanes);
	if (settings->classifier == NULL) {
		strbuf_addf(problems, "%s: [rules] %s\n", config->rule_places[bad_line], error);
		ok = false;
	}
	ok &= make_tls(&config->client_tls, true, "client_tls_*", &settings->client_tls, problems);
	ok &= make_tls(&config->server_tls, false, "server_tls_*", &settings->server_tls, problems);
	if (!ok)
		settings_unref(&settings);
	return settings;
}

struct settings *settings_ref(struct settings *settings)
{
	__atomic_add_fetch(&settings->refs, 1, __ATOMIC_RELAXED);
	return settings;
}

void settings_unref(struct settings **settings_p)
{
	struct settings *settings = *settings_p;

	*settings_p = NULL;
	if (settings == NULL || __atomic_sub_fetch(&settings->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	classifier_free(&settings->classifier);
	tls_context_unref(&settings->client_tls);
	tls_context_unref(&settings->server_tls);
	config_unref(&settings->config);
	mem_free(settings);
}
