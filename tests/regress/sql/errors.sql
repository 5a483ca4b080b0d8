-- SPDX-License-Identifier: ISC
-- Errors of every kind, as psql tells them.
SELECT;
SELEC 1;
SELECT 1 +;
SELECT 'unterminated
';
SELECT "no such column";
SELECT * FROM no_such_table;
SELECT no_such_function(1);
SELECT max();
INSERT INTO no_such_table VALUES (1);
CREATE TABLE e (id int PRIMARY KEY, v text NOT NULL, n int CHECK (n > 0), u int UNIQUE);
INSERT INTO e VALUES (1, 'a', 1, 1), (1, 'b', 1, 2);
INSERT INTO e VALUES (1, NULL, 1, 1);
INSERT INTO e VALUES (1, 'a', 0, 1);
INSERT INTO e VALUES (1, 'a', 1, 1);
INSERT INTO e VALUES (2, 'a', 1, 1);
INSERT INTO e (id, nothing) VALUES (1, 2);
INSERT INTO e VALUES (1, 2, 3, 4, 5);
UPDATE e SET id = 'x';
CREATE TABLE e (id int);
DROP TABLE no_such_table;
DROP TABLE IF EXISTS no_such_table;
CREATE INDEX ON e (nothing);
ALTER TABLE e ADD COLUMN v text;
ALTER TABLE e ALTER COLUMN v TYPE int;
GRANT nonsense ON e TO postgres;
SET no_such_setting = 1;
SET work_mem = 'much';
SHOW no_such_setting;
COPY e FROM '/nowhere/file';
VACUUM no_such_table;
BEGIN;
SELECT 1/0;
SELECT 1;
SAVEPOINT s;
COMMIT;
COMMIT;
ROLLBACK;
SAVEPOINT outside;
RELEASE SAVEPOINT outside;
BEGIN;
BEGIN;
ROLLBACK TO nowhere;
ROLLBACK;
VACUUM e;
BEGIN;
VACUUM e;
ROLLBACK;
CREATE DATABASE postgres;
\set VERBOSITY verbose
SELECT 1/0;
SELECT * FROM no_such_table;
\set VERBOSITY sqlstate
SELECT 1/0;
\set VERBOSITY terse
SELECT * FROM no_such_table;
\set VERBOSITY default
\set SHOW_CONTEXT always
DO $$ BEGIN PERFORM 1/0; END $$;
\set SHOW_CONTEXT errors
SELECT 1; SELECT 1/0; SELECT 2;
SELECT 1 \; SELECT 1/0 \; SELECT 2;
\errverbose
SELECT repeat('x', 3000)::int;
\echo :ERROR :SQLSTATE :LAST_ERROR_SQLSTATE :ROW_COUNT
SELECT 1 AS ok;
\echo :ERROR :SQLSTATE :ROW_COUNT
SET client_min_messages = error;
DROP TABLE IF EXISTS no_such_table;
RESET client_min_messages;
SET statement_timeout = '50ms';
SELECT pg_sleep(10);
RESET statement_timeout;
