-- SPDX-License-Identifier: ISC
-- Large objects, bytea, long lines.
BEGIN;
SELECT lo_create(70001);
SELECT lo_open(70001, 131072 | 262144) AS fd \gset
SELECT lowrite(:fd, '\x00010203fffe'), lo_lseek(:fd, 2, 0), loread(:fd, 3);
SELECT lo_truncate(:fd, 4), lo_close(:fd);
COMMIT;
SELECT lo_get(70001), lo_put(70001, 4, '\xaabb');
SELECT loid, data FROM pg_largeobject;
SELECT lo_open(70001, 262144) AS fd \gset
SELECT loread(:fd, 3);
SELECT lo_unlink(70001);
SELECT lo_get(70001);
SELECT lo_from_bytea(70002, 'text as it is'), convert_from(lo_get(70002), 'UTF8'), lo_unlink(70002);
SELECT '\xdeadbeef'::bytea, E'\\001\\377'::bytea, 'a\\b'::bytea;
SET bytea_output = escape;
SELECT '\xdeadbeef00'::bytea, 'a\\b'::bytea;
RESET bytea_output;
SELECT '\xd'::bytea;
SELECT E'\\9'::bytea;
SELECT encode('\x00ff', 'base64'), decode('AP8=', 'base64'), get_byte('\x0102', 1), set_bit('\x00', 0, 1), sha256('x'), length('\x000000'::bytea);
CREATE TABLE b (d bytea);
INSERT INTO b SELECT decode(string_agg(lpad(to_hex(g), 2, '0'), ''), 'hex') FROM generate_series(0, 255) g;
SELECT md5(d), length(d), d FROM b;
COPY b TO STDOUT;
SELECT repeat('a long line ', 3000);
SELECT length(repeat('x', 1000000)), md5(repeat('pglane', 200000));
SELECT E'line\nbreak\ttab\rreturn', U&'\0441\+01F600', 'tab	in it', $tag$dollar 'quoted' $$ text$tag$;
SELECT 1 AS "a column of a name that is so long that it has to be cut where names of PostgreSQL end", 2 AS "ünïcödé";
SET client_encoding = 'LATIN1';
SELECT 'abc', chr(233) = 'x';
SELECT chr(8364);
SET client_encoding = 'UTF8';
SELECT chr(8364);
SELECT string_agg(repeat(g::text, 50), ',') FROM generate_series(1, 400) g;
SELECT g, repeat('z', g * 100) FROM generate_series(1, 30) g;
