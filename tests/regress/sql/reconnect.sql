-- SPDX-License-Identifier: ISC
-- New connections of the same psql: what was the session's is gone.
CREATE TABLE kept (n int);
CREATE TEMP TABLE gone (n int);
SET work_mem = '5MB';
PREPARE p AS SELECT 1;
SELECT pg_advisory_lock(99);
LISTEN ch;
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT 1;
COMMIT;
\c
SELECT * FROM gone;
SHOW work_mem;
EXECUTE p;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT count(*) FROM pg_listening_channels();
FETCH h;
SELECT * FROM kept;
BEGIN;
INSERT INTO kept VALUES (1);
\c
SELECT * FROM kept;
SET ROLE regress_reader;
\c - u_other
SELECT current_user, session_user;
SELECT * FROM kept;
CREATE TEMP TABLE of_login (n int);
\c - postgres
SELECT current_user, session_user;
SELECT * FROM of_login;
\c -reuse-previous=on "application_name=other"
SHOW application_name;
\c -reuse-previous=on "options='-c work_mem=9MB -c search_path=pg_catalog'"
SHOW work_mem;
SHOW search_path;
SET work_mem = '10MB';
SHOW work_mem;
