-- SPDX-License-Identifier: ISC
-- Extensions are there before anything needs them, and what was applied is known.
BEGIN;
SELECT plan(6);

SELECT has_extension(name) FROM unnest('{pgcrypto,btree_gist,postgis}'::name[]) name;
SELECT columns_are('public', 'schema_version', '{version,name,sha256,applied_at,applied_by,duration_ms}'::name[]);
SELECT results_eq('SELECT version FROM schema_version ORDER BY version', 'SELECT generate_series(1, (SELECT max(version) FROM schema_version))', 'every file is recorded');
SELECT is_empty($$SELECT attrelid::regclass, attname FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
	WHERE pg_get_expr(adbin, adrelid) LIKE '%uuid_generate%'$$, 'no default needs uuid-ossp, which the request never made');

SELECT * FROM finish();
ROLLBACK;
