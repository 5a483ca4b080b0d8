/* SPDX-License-Identifier: ISC */
#include "service/catalog_rows.h"

#include "base/mem.h"

enum { ROW_SCHEMA, ROW_TABLE, ROW_NAME, ROW_TYPE, ROW_IS_VECTOR, N_ROW_FIELDS };

/*
 * What comes first is kept where there is too much: vectors, then the columns that have a vector's
 * name, partitions after the tables they are of.
 */
static const char statement[] =
	"WITH RECURSIVE vector_type (oid) AS ("
	"SELECT oid FROM pg_type WHERE typname IN ('vector', 'halfvec', 'sparsevec')"
	" UNION SELECT t.oid FROM pg_type t JOIN vector_type v ON t.typbasetype = v.oid"
	"), vector (relid, attnum, attname) AS ("
	"SELECT attrelid, attnum, attname FROM pg_attribute"
	" WHERE atttypid IN (SELECT oid FROM vector_type) AND attnum > 0 AND NOT attisdropped"
	" UNION SELECT a.attrelid, a.attnum, a.attname FROM pg_am m"
	" JOIN pg_class x ON x.relam = m.oid AND x.relkind IN ('i', 'I')"
	" JOIN pg_index i ON i.indexrelid = x.oid"
	" JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
	" WHERE m.amname IN ('hnsw', 'ivfflat') AND a.attnum > 0 AND NOT a.attisdropped"
	") SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),"
	" v.relid IS NOT NULL"
	" FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
	" JOIN pg_namespace n ON n.oid = c.relnamespace"
	" LEFT JOIN vector v ON v.relid = a.attrelid AND v.attnum = a.attnum"
	" WHERE EXISTS (SELECT 1 FROM vector_type) AND a.attnum > 0 AND NOT a.attisdropped"
	" AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'"
	" AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
	" AND (a.attname IN (SELECT attname FROM vector) OR a.attname ~* '" CATALOG_GUESSED "')"
	" ORDER BY v.relid IS NULL, a.attname NOT IN (SELECT attname FROM vector),"
	" c.relispartition, n.nspname, c.relname, a.attnum LIMIT ";

void catalog_rows_statement(struct strbuf *out)
{
	strbuf_addf(out, "%s%u", statement, CATALOG_COLUMNS_MAX + 1);
}

struct catalog *catalog_rows_read(const PGresult *result, bool *is_cut_r)
{
	unsigned n = (unsigned)PQntuples(result);
	struct catalog_column *columns = mem_zalloc(n * sizeof(*columns));
	struct catalog *catalog;

	if (PQnfields(result) != N_ROW_FIELDS)
		n = 0;
	for (unsigned i = 0; i < n; i++)
		columns[i] = (struct catalog_column){
			.schema = PQgetvalue(result, (int)i, ROW_SCHEMA),
			.table = PQgetvalue(result, (int)i, ROW_TABLE),
			.name = PQgetvalue(result, (int)i, ROW_NAME),
			.type = PQgetvalue(result, (int)i, ROW_TYPE),
			.is_vector = PQgetvalue(result, (int)i, ROW_IS_VECTOR)[0] == 't',
		};
	*is_cut_r = n > CATALOG_COLUMNS_MAX;
	catalog = catalog_new(columns, n);
	mem_free(columns);
	return catalog;
}
