/* SPDX-License-Identifier: ISC */
/*
 * What a database's own catalog says of its columns: which of them hold vectors, and, where a name
 * could be taken for one of those, which do not. Learned by the control thread
 * (service/catalog_reader.h), asked by classify(), shown by SHOW CATALOG.
 *
 * Two values, both immutable and counted by references (atomically; any thread): struct catalog, the
 * columns of one database, and struct catalogs, what is known of all databases at one moment.
 */
#ifndef CLASSIFY_CATALOG_H
#define CLASSIFY_CATALOG_H

#include "base/base.h"
#include "pgw/sqllex.h"

#define CATALOG_COLUMNS_MAX 1024u  /* of one database; beyond it some are not known */
#define CATALOG_DATABASES_MAX 256u
#define CATALOG_NAME_BYTES 64u	   /* PostgreSQL's NAMEDATALEN */
#define CATALOG_TYPE_BYTES 128u	   /* longer names of types are cut */

/*
 * A regular expression, without regard to case, of the names that are taken for vectors where
 * nothing is known (words.c, names.c): the catalog is asked for columns of such names too.
 */
#define CATALOG_GUESSED                                                                            \
	"vec|emb|encoding|descriptor|representation|latent|factors|signature|dense|sparse|phash"

struct catalog_column {
	const char *schema, *table, *name, *type; /* the first three as PostgreSQL has them */
	bool is_vector;
};

struct catalog;

/*
 * Copies the columns, at most CATALOG_COLUMNS_MAX of them; names that PostgreSQL could not have are
 * left out. One reference.
 */
struct catalog *catalog_new(const struct catalog_column *columns, unsigned n);
struct catalog *catalog_ref(struct catalog *catalog);
void catalog_unref(struct catalog **catalog); /* NULL is fine; nulls */
bool catalog_equal(const struct catalog *a, const struct catalog *b);
/* By name, table and schema. */
unsigned catalog_n_columns(const struct catalog *catalog);
const struct catalog_column *catalog_column(const struct catalog *catalog, unsigned i);

/* ---- for classify() ---- */

/* All columns that have this name. */
struct catalog_name {
	uint64_t tail; /* name_tail() of it */
	const char *text;
	uint32_t n_bytes;
	uint32_t first, n, n_vectors; /* columns */
};

/* The head of a struct catalog: what nearly every question needs no more than. */
struct catalog_filter {
	uint64_t lengths; /* 1 << the length of a name that is there */
};

const struct catalog_name *catalog_find_name(
	const struct catalog *catalog, const struct pgw_token *token);

/* Could the catalog know the name of a WORD or QUOTED_IDENT? Mostly not, at the cost of a look at its
 * length. */
static inline bool catalog_may_have(const struct catalog *catalog, const struct pgw_token *token)
{
	unsigned n = token->len - 2u * (token->kind == PGW_TOK_QUOTED_IDENT);
	const struct catalog_filter *filter = (const struct catalog_filter *)(const void *)catalog;

	return n < CATALOG_NAME_BYTES && (filter->lengths >> n & 1) != 0;
}

/* NULL: nothing is known of columns that have the name. */
static inline const struct catalog_name *catalog_name(
	const struct catalog *catalog, const struct pgw_token *token)
{
	return catalog_may_have(catalog, token) ? catalog_find_name(catalog, token) : NULL;
}

enum catalog_verdict {
	CATALOG_UNKNOWN, /* no such column is known, or schemas differ */
	CATALOG_VECTOR,
	CATALOG_OTHER, /* of another type */
};
/* The column of that name in a table. schema NULL: of any schema. */
enum catalog_verdict catalog_ask(const struct catalog *catalog, const struct catalog_name *name,
	const char *schema, const char *table);

/* ---- all databases ---- */

struct catalogs_entry {
	const char *database; /* as clients call it */
	struct catalog *catalog; /* NULL: it has not been read yet */
	uint64_t refreshed_wall_us; /* when; 0: never */
	const char *problem; /* why not since, or what is not known; NULL: nothing */
};

struct catalogs;

/* Copies, and takes references of its own. One reference. */
struct catalogs *catalogs_new(const struct catalogs_entry *entries, unsigned n);
struct catalogs *catalogs_ref(struct catalogs *catalogs);
void catalogs_unref(struct catalogs **catalogs); /* NULL is fine; nulls */
/* By name of the database. */
unsigned catalogs_n(const struct catalogs *catalogs); /* NULL: none */
const struct catalogs_entry *catalogs_entry(const struct catalogs *catalogs, unsigned i);
/* NULL: it is not among them. */
const struct catalogs_entry *catalogs_find(const struct catalogs *catalogs, const char *database);
/* Its columns, for classify(); NULL: nothing is known. As long as catalogs. */
const struct catalog *catalogs_known(const struct catalogs *catalogs, const char *database);

#endif
