/* SPDX-License-Identifier: ISC */
/*
 * Where a connection of pglane's own goes, and as whom: an entry of [databases] seen by a service.
 * Pure. The strings are the configuration's, apart from host.
 */
#ifndef SERVICE_PGTARGET_H
#define SERVICE_PGTARGET_H

#include "config/config.h"

struct pgtarget {
	char *host; /* the choice among the entry's hosts; owned */
	uint16_t port;
	const char *dbname, *user;
	const char *password; /* NULL: none */
	const struct config_tls *tls;
};

/*
 * database: the entry's name. user NULL: the entry's own. password NULL: the entry's if the user is
 * its own, else the user's in auth_file if it is plain text. host_choice counts attempts: the
 * entry's hosts take turns. Returns NULL, or why it cannot be.
 */
const char *pgtarget_init(struct pgtarget *target, const struct config *config,
	const char *database, const char *user, const char *password,
	uint64_t host_choice) WARN_UNUSED;
void pgtarget_release(struct pgtarget *target);

#endif
