-- SPDX-License-Identifier: ISC
-- psql's own commands, which ask the catalog.
CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'x' NOT NULL, n numeric(5,2) CHECK (n > 0));
CREATE TABLE child (t_id int REFERENCES t ON DELETE CASCADE);
CREATE VIEW w AS SELECT id FROM t;
CREATE INDEX t_upper ON t (upper(v)) WHERE n > 1;
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE TYPE e AS ENUM ('a', 'b');
CREATE DOMAIN dm AS int CHECK (VALUE > 1);
CREATE SEQUENCE sq;
\d t
\d child
\d+ w
\d t_upper
\d sq
\d nothing
\dt
\dv
\di
\ds
\dT
\dD
\df f
\sf f
\sv w
\dn
\dt+ nothing*
\do nothing
\l nothing
\du regress_reader
\dconfig work_mem
SELECT 1 AS one, 'two' AS two \gset p_
\echo :p_one :'p_two' :"p_two"
SELECT 'SELECT ' || g || ' AS made' FROM generate_series(1, 3) g \gexec
SELECT 'SELECT 1/0' UNION ALL SELECT 'SELECT 2' \gexec
SELECT g AS row, h AS col, g * h AS product FROM generate_series(1, 3) g, generate_series(1, 3) h \crosstabview
SELECT 1 AS a, 2 AS b \gx
SELECT 1 AS a \gdesc
SELECT NULL AS nothing, now() AS t \gdesc
SELECT 1/0 \gdesc
SELECT 'to a program' \g | cat
\if :p_one
SELECT 'then';
\else
SELECT 'else';
\endif
\set name t
SELECT count(*) FROM :name;
SELECT :'name', :"name" FROM t;
\pset tuples_only on
SELECT 1;
\pset tuples_only off
\t \a
SELECT 1 AS plain, 2 AS two;
\t \a
\pset border 2
SELECT 1 AS bordered;
\pset border 1
\pset format csv
SELECT 'a,b' AS c, 2 AS d;
\pset format html
SELECT '<&>' AS h;
\pset format aligned
\encoding LATIN1
SELECT chr(233) = U&'\00e9' AS same;
\encoding UTF8
\echo :ENCODING
\unset nothing
SELECT 1 \watch_is_no_command
;
\prompt_is_none
SELECT 1 AS x \; SELECT 2 AS y \; SELECT 3 AS z;
\set SHOW_ALL_RESULTS off
SELECT 1 AS x \; SELECT 2 AS y;
\set SHOW_ALL_RESULTS on
\set ECHO_HIDDEN off
\set QUIET off
INSERT INTO t VALUES (1, 'a', 2), (2, 'b', 3);
UPDATE t SET n = 4;
DELETE FROM t WHERE id = 1;
SET work_mem = '5MB';
CREATE TABLE tagged (n int);
\set QUIET on
\lo_list
\z t
\conninfo_is_not_asked
\!echo a shell
SELECT 1 AS last
\g
