-- SPDX-License-Identifier: ISC
-- Functions, procedures, blocks, what they raise.
DO $$ BEGIN RAISE DEBUG 'debug'; RAISE LOG 'log'; RAISE INFO 'info'; RAISE NOTICE 'notice %', 1; RAISE WARNING 'warning %, %', 'a', NULL; END $$;
SET client_min_messages = debug1;
DO $$ BEGIN RAISE DEBUG 'debug'; END $$;
SET client_min_messages = error;
DO $$ BEGIN RAISE WARNING 'not seen'; END $$;
RESET client_min_messages;
DO $$ BEGIN RAISE EXCEPTION 'failed %', 42 USING DETAIL = 'detail', HINT = 'hint', ERRCODE = 'AB123', TABLE = 't', COLUMN = 'c'; END $$;
\errverbose
DO $$ BEGIN RAISE unique_violation; END $$;
DO $$ BEGIN ASSERT 1 = 2, 'asserted'; END $$;
DO $$ DECLARE n int; BEGIN n := 1/0; EXCEPTION WHEN division_by_zero THEN RAISE NOTICE 'caught % %', SQLSTATE, SQLERRM; END $$;
CREATE TABLE t (n int PRIMARY KEY);
CREATE FUNCTION add(a int, b int DEFAULT 10) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT a + b $$;
SELECT add(1), add(1, 2), add(b => 5, a => 6), add();
CREATE FUNCTION fib(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN n < 2 THEN n ELSE fib(n - 1) + fib(n - 2) END; END $$;
SELECT fib(12);
CREATE FUNCTION rows_of(n int) RETURNS TABLE (i int, sq int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP sq := i * i; RETURN NEXT; END LOOP; END $$;
SELECT * FROM rows_of(4);
CREATE FUNCTION two_out(OUT a int, OUT b text) AS $$ SELECT 1, 'b' $$ LANGUAGE sql;
SELECT * FROM two_out();
SELECT two_out();
CREATE FUNCTION poly(anyelement) RETURNS anyarray LANGUAGE sql AS 'SELECT ARRAY[$1, $1]';
SELECT poly(1), poly('x'::text);
CREATE FUNCTION deep(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n = 0 THEN RAISE EXCEPTION 'bottom'; END IF; RETURN deep(n - 1); END $$;
SELECT deep(3);
CREATE PROCEDURE fill(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..n LOOP
		INSERT INTO t VALUES (i);
		IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
	END LOOP;
END $$;
CALL fill(6);
SELECT * FROM t ORDER BY n;
BEGIN;
CALL fill(2);
ROLLBACK;
CREATE PROCEDURE inout_it(INOUT a int, b text) LANGUAGE plpgsql AS $$ BEGIN a := a * 2; RAISE NOTICE '%', b; END $$;
CALL inout_it(21, 'called');
DO $$ BEGIN COMMIT; INSERT INTO t VALUES (100); ROLLBACK; INSERT INTO t VALUES (101); END $$;
SELECT * FROM t ORDER BY n;
DO $$ DECLARE r record; BEGIN FOR r IN EXECUTE 'SELECT n FROM t WHERE n > $1 ORDER BY n' USING 5 LOOP RAISE NOTICE 'row %', r.n; END LOOP; END $$;
DO $$ DECLARE c CURSOR FOR SELECT n FROM t ORDER BY n; v int; BEGIN OPEN c; FETCH c INTO v; RAISE NOTICE '%', v; CLOSE c; GET DIAGNOSTICS v = ROW_COUNT; END $$;
DO $$ DECLARE s text; BEGIN BEGIN INSERT INTO t VALUES (2); EXCEPTION WHEN unique_violation THEN GET STACKED DIAGNOSTICS s = CONSTRAINT_NAME; RAISE NOTICE 'on %', s; END; END $$;
CREATE FUNCTION bad() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETRN 1; END $$;
CREATE FUNCTION later() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT nothing FROM nowhere); END $$;
SELECT later();
CREATE FUNCTION with_setting() RETURNS text LANGUAGE sql SET work_mem = '11MB' SET search_path = pg_catalog AS $$ SELECT current_setting('work_mem') || current_setting('search_path') $$;
SELECT with_setting();
SHOW work_mem;
CREATE FUNCTION local_setting() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('work_mem', '12MB', true); RETURN current_setting('work_mem'); END $$;
SELECT local_setting();
SHOW work_mem;
CREATE FUNCTION definer() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
SET ROLE regress_reader;
SELECT definer(), current_user;
RESET ROLE;
CREATE OR REPLACE FUNCTION add(a int, b int DEFAULT 10) RETURNS int LANGUAGE sql AS $$ SELECT a - b $$;
SELECT add(1);
DROP FUNCTION add;
SELECT add(1);
DO LANGUAGE nothing 'x';
DO 'BEGIN NULL; END';
CREATE FUNCTION vari(VARIADIC int[]) RETURNS int LANGUAGE sql AS 'SELECT sum(x)::int FROM unnest($1) x';
SELECT vari(1, 2, 3), vari(VARIADIC ARRAY[4, 5]);
