/* SPDX-License-Identifier: ISC */
#include "session/reset.h"

#include "session/client.h"
#include "session/sequence.h"
#include "session/server.h"
#include "session/sql_names.h"

void server_reset_done(struct server *server)
{
	const char *reset = worker_config(server->worker)->server_reset_query;

	/* Only DISCARD ALL takes these back. */
	if ((param_set_get(server->params, "role") || param_set_get(server->params, "session_authorization")) &&
		(reset == NULL || strcasestr(reset, "DISCARD ALL") == NULL))
		server_set(server, SERVER_RETIRE);
	server_unset(server, SERVER_RESET_SENT);
	server_unset(server, SERVER_TAINTED | SERVER_MUST_RESET);
	server_copies_clear(&server->copies);
	if (reset && strcasestr(reset, "DISCARD ALL"))
		sql_names_free(&server->sql_names);
	else
		sql_names_doubt(server->sql_names, NULL);
	server->unnamed = (struct pgw_hash128){0, 0};
	if (reset && strcasestr(reset, "DISCARD ALL"))
		sequence_forgotten(server);
	leak_forget(server);
	server->leaks.n_since = 0;
	param_set_unref(&server->params);
	registry_lock();
	server->params = param_set_ref(server->pool->shared->defaults);
	registry_unlock();
}

bool server_begin_reset(struct server *server)
{
	const char *reset = worker_config(server->worker)->server_reset_query;

	if (reset == NULL || reset[0] == '\0')
		return false;
	server_set(server, SERVER_RESET_SENT);
	inject_query(server, reset, 0);
	return true;
}
