/* SPDX-License-Identifier: ISC */
#include "service/pgtarget.h"

#include "base/mem.h"
#include "pgw/scram.h"

#define DEFAULT_SOCKET_DIR "/var/run/postgresql"
#define SCRAM_PREFIX "SCRAM-SHA-256$"

static char *choose_host(const char *list, uint64_t choice)
{
	uint64_t n = 1;
	const char *at;

	for (at = list; *at; at++)
		n += *at == ',';
	for (at = list, choice %= n; choice > 0; choice--)
		at = strchr(at, ',') + 1;
	return mem_strndup(at, strcspn(at, ","));
}

/* A secret that can be said as a password: the hashed forms cannot. */
static bool is_plain(const char *secret)
{
	return secret[0] != '\0' && !pgw_is_md5_secret(secret) &&
		strncmp(secret, SCRAM_PREFIX, strlen(SCRAM_PREFIX)) != 0;
}

static const char *password_of(const struct config *config, const struct config_database *entry,
	const char *user)
{
	const char *secret;

	if (entry->password && (entry->user == NULL || strcmp(entry->user, user) == 0))
		return entry->password;
	secret = config_find_secret(config, user);
	return secret && is_plain(secret) ? secret : NULL;
}

const char *pgtarget_init(struct pgtarget *target, const struct config *config,
	const char *database, const char *user, const char *password, uint64_t host_choice)
{
	const struct config_database *entry = config_find_database(config, database);

	memset(target, 0, sizeof(*target));
	if (entry == NULL)
		return "it is not in [databases]";
	target->user = user ? user : entry->user;
	if (target->user == NULL)
		return "no user is set for it, and its entry in [databases] has none";
	target->host = choose_host(entry->host ? entry->host : DEFAULT_SOCKET_DIR, host_choice);
	target->port = entry->port;
	target->dbname = entry->dbname ? entry->dbname : database;
	target->password = password ? password : password_of(config, entry, target->user);
	target->tls = &config->server_tls;
	return NULL;
}

void pgtarget_release(struct pgtarget *target)
{
	mem_free(target->host);
	memset(target, 0, sizeof(*target));
}
