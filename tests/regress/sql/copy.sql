-- SPDX-License-Identifier: ISC
-- COPY both ways, in all formats, and its failures.
CREATE TABLE t (n int, v text DEFAULT 'none', b bool);
COPY t FROM STDIN;
1	one	t
2	\N	f
3	tab\there\\	\N
\.
SELECT * FROM t ORDER BY n;
COPY t TO STDOUT;
COPY (SELECT n, v FROM t ORDER BY n) TO STDOUT WITH (FORMAT csv, HEADER, QUOTE '''', NULL 'nil', FORCE_QUOTE (v));
COPY t (n, v) FROM STDIN WITH (FORMAT csv, HEADER);
n,v
4,"four, and ""more"""
5,
\.
COPY t FROM STDIN;
x	bad	t
\.
COPY t FROM STDIN;
6
\.
COPY t FROM STDIN;
7	seven	t	extra
\.
COPY t (n) FROM STDIN DELIMITER '|' NULL '-';
8
-
\.
COPY nothing FROM STDIN;
SELECT 'still in step';
COPY t (nothing) FROM STDIN;
SELECT 'and again';
BEGIN;
COPY t FROM STDIN;
9	nine	t
\.
SELECT count(*) FROM t;
ROLLBACK;
SELECT count(*) FROM t;
BEGIN;
COPY t FROM STDIN;
bad	line	t
\.
SELECT 'aborted';
ROLLBACK;
\copy t (n, v) FROM STDIN
10	by psql
\.
\copy (SELECT n, v FROM t WHERE n >= 4 ORDER BY n) TO STDOUT csv
\copy nothing TO STDOUT
COPY t TO STDOUT WITH (FORMAT nonsense);
COPY (SELECT 1/0) TO STDOUT;
COPY (SELECT g, 1/(g - 5) FROM generate_series(1, 9) g) TO STDOUT;
COPY (INSERT INTO t VALUES (11, 'returned') RETURNING n, v) TO STDOUT;
COPY t FROM STDIN WHERE n > 12;
12	no	t
13	yes	t
\.
SELECT n, v FROM t ORDER BY n, v;
COPY (SELECT repeat('long ', 400) || g FROM generate_series(1, 5) g) TO STDOUT;
COPY t FROM STDIN (ENCODING 'LATIN1');
14	caf�	t
\.
SELECT v FROM t WHERE n = 14;
CREATE TABLE many (n int, t text);
\copy many FROM PROGRAM 'seq 1 20000 | sed "s/$/\tmany rows of some text/"'
SELECT count(*), sum(n), min(length(t)) FROM many;
\copy (SELECT n FROM many ORDER BY n) TO PROGRAM 'md5sum'
COPY t TO STDOUT \; SELECT 'behind a copy';
COPY t FROM STDIN \; SELECT 'behind a load';
15	in a text	f
\.
CREATE TABLE frozen (n int);
BEGIN;
TRUNCATE frozen;
COPY frozen FROM STDIN (FREEZE);
1
\.
COMMIT;
SELECT * FROM frozen;
