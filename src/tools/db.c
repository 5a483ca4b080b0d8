/* SPDX-License-Identifier: ISC */
#include "tools/db.h"

#include "base/mem.h"
#include "service/pgconn.h"
#include "service/pgtarget.h"

#define CONNECT_TIMEOUT_S "10"

struct db {
	PGconn *pq;
	struct strbuf why;
};

/* libpq's texts have line ends in and behind them. */
static void add_line(struct strbuf *out, const char *text)
{
	size_t n = strlen(text);

	while (n > 0 && text[n - 1] == '\n')
		n--;
	for (size_t i = 0; i < n; i++)
		strbuf_addc(out, text[i] == '\n' ? ' ' : text[i]);
}

static PGconn *connect_to(const struct pgtarget *target)
{
	struct pgconn_tls tls = pgconn_tls_of(target->tls);
	char port[8];
	const char *const keys[] = {"host", "port", "dbname", "user", "password", "application_name",
		"client_encoding", "gssencmode", "connect_timeout", "sslmode", "sslrootcert", "sslcert",
		"sslkey", NULL};
	const char *const values[] = {target->host, port, target->dbname, target->user, target->password,
		"pglane-weaviate", "UTF8", "disable", CONNECT_TIMEOUT_S, tls.mode, tls.authorities,
		tls.certificate, tls.key, NULL};

	(void)snprintf(port, sizeof(port), "%u", target->port);
	return PQconnectdbParams(keys, values, 0);
}

static void ignore_notice(void *arg, const char *text)
{
}

static unsigned n_hosts(const struct config *config, const char *database)
{
	const struct config_database *entry = config_find_database(config, database);
	unsigned n = 1;

	for (const char *at = entry && entry->host ? entry->host : ""; *at != '\0'; at++)
		n += *at == ',';
	return n;
}

/* The first host of the entry that answers. */
static PGconn *connect_to_any(
	const struct config *config, const char *database, struct strbuf *why)
{
	PGconn *pq = NULL;

	for (unsigned i = 0; i < n_hosts(config, database) && pq == NULL; i++) {
		struct pgtarget target;
		const char *fault = pgtarget_init(&target, config, database, config_outbox_user(config),
			config_outbox_password(config), i);
		strbuf_reset(why);
		if (fault != NULL) {
			strbuf_addf(why, "outbox_database %s: %s", database, fault);
		} else {
			pq = connect_to(&target);
			if (PQstatus(pq) != CONNECTION_OK) {
				strbuf_addf(why, "outbox_database %s: ", database);
				add_line(why, PQerrorMessage(pq));
				PQfinish(pq);
				pq = NULL;
			}
		}
		pgtarget_release(&target);
	}
	return pq;
}

struct db *db_open(const struct config *config, struct strbuf *why)
{
	const char *database = config_outbox_database(config);
	PGconn *pq;

	if (database == NULL) {
		strbuf_addf(why, "%s: outbox_database is not set: the entry of [databases] with ml_vector_outbox",
			config->file_name);
		return NULL;
	}
	pq = connect_to_any(config, database, why);
	if (pq == NULL)
		return NULL;
	struct db *db = mem_zalloc(sizeof(*db));
	strbuf_init(&db->why);
	db->pq = pq;
	(void)PQsetNoticeProcessor(pq, ignore_notice, NULL);
	return db;
}

void db_close(struct db **db)
{
	if (*db == NULL)
		return;
	PQfinish((*db)->pq);
	strbuf_release(&(*db)->why);
	mem_free(*db);
	*db = NULL;
}

static const char *advice_for(const char *sqlstate)
{
	if (strcmp(sqlstate, "42501") == 0)
		return "; outbox_user must be a member of ml_proxy";
	if (strcmp(sqlstate, "42883") == 0 || strcmp(sqlstate, "42P01") == 0)
		return "; run sql/pglane-migrate there";
	return "";
}

static void explain(struct db *db, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *fields[] = {PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
		PQresultErrorField(result, PG_DIAG_MESSAGE_HINT)};

	strbuf_reset(&db->why);
	strbuf_addf(&db->why, "database %s: ", PQdb(db->pq));
	if (sqlstate == NULL) {
		add_line(&db->why, PQerrorMessage(db->pq));
		return;
	}
	strbuf_addf(&db->why, "%s: ", sqlstate);
	add_line(&db->why, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	for (size_t i = 0; i < N_ELEMENTS(fields); i++) {
		if (fields[i] == NULL)
			continue;
		strbuf_adds(&db->why, "; ");
		add_line(&db->why, fields[i]);
	}
	strbuf_adds(&db->why, advice_for(sqlstate));
}

PGresult *db_query(struct db *db, const char *sql, unsigned n_values, const char *const *values)
{
	PGresult *result = PQexecParams(db->pq, sql, (int)n_values, NULL, values, NULL, NULL, 0);

	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		return result;
	explain(db, result);
	PQclear(result);
	return NULL;
}

const char *db_why(const struct db *db)
{
	return db->why.data;
}

const char *db_text(const PGresult *result, int row, int column)
{
	return PQgetvalue(result, row, column);
}

uint64_t db_number(const PGresult *result, int row, int column)
{
	return strtoull(PQgetvalue(result, row, column), NULL, 10);
}

bool db_is_true(const PGresult *result, int row, int column)
{
	return PQgetvalue(result, row, column)[0] == 't';
}
