-- SPDX-License-Identifier: ISC
-- Advisory locks.
SELECT pg_advisory_lock(1), pg_advisory_lock(1, 2), pg_advisory_lock_shared(3);
SELECT classid, objid, objsubid, mode, granted FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1, 2, 3, 4;
SELECT pg_advisory_unlock(1), pg_advisory_unlock(1), pg_advisory_unlock_shared(1, 2);
SELECT pg_advisory_lock(5), pg_advisory_lock(5);
SELECT pg_advisory_unlock(5);
SELECT objid, mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1, 2;
SELECT pg_advisory_unlock_all();
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
BEGIN;
SELECT pg_advisory_xact_lock(6), pg_try_advisory_xact_lock(6), pg_advisory_lock(7);
SELECT pg_advisory_unlock(6);
SAVEPOINT a;
SELECT pg_advisory_xact_lock_shared(8), pg_advisory_lock(9);
ROLLBACK TO a;
SELECT objid, mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1, 2;
ROLLBACK;
SELECT objid, mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1, 2;
SELECT pg_try_advisory_lock(7), pg_try_advisory_lock_shared(7);
DISCARD ALL;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT pg_advisory_lock(NULL), pg_advisory_lock('x');
CREATE TABLE t AS SELECT generate_series(1, 5) AS n;
SELECT pg_advisory_lock(n) FROM t WHERE n < 4;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT sum(pg_advisory_unlock(n)::int) FROM t;
WITH l AS (SELECT pg_try_advisory_lock(44) AS got) SELECT got FROM l;
SELECT pg_advisory_unlock(44);
