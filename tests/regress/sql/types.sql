-- SPDX-License-Identifier: ISC
-- Types, casts and what they refuse.
SELECT 1::int2, 2::int4, 3::int8, 4.5::numeric(4,2), 1e10::float4, 1e300::float8, 'x'::char(3) || '|', 'abc'::varchar(2);
SELECT 32767::int2 + 1::int2;
SELECT 2147483647 + 1;
SELECT 9223372036854775807 + 1;
SELECT '12x'::int;
SELECT 'NaN'::float8, 'Infinity'::float8, '-Infinity'::numeric;
SELECT 0.1::float8 + 0.2::float8;
SET extra_float_digits = 0;
SELECT 0.1::float8 + 0.2::float8;
RESET extra_float_digits;
SELECT true AND NULL, true OR NULL, NOT NULL::bool, 'yes'::bool, 'off'::bool, 'maybe'::bool;
SELECT B'1010' & B'0110', B'1' || B'01', X'1F'::bit(8), '101'::bit varying(5);
SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, 'a0eebc99'::uuid;
SELECT '192.168.1.5/24'::inet, network('192.168.1.5/24'), '08:00:2b:01:02:03'::macaddr, '10.0.0.0/8'::cidr >> '10.1.2.3'::inet;
SELECT '(1,2)'::point <-> '(4,6)'::point, box '((0,0),(2,2))' && box '((1,1),(3,3))', area(circle '<(0,0),1>')::numeric(6,4);
SELECT 12.34::money, '$1,234.50'::money * 2;
SELECT '<a><b>1</b></a>'::xml IS DOCUMENT, xpath('/a/b/text()', '<a><b>1</b></a>');
SELECT 'fat & rat'::tsquery @@ to_tsvector('english', 'A fat cat sat on a rat'), ts_headline('english', 'a fat rat', 'rat'::tsquery);
SELECT pg_typeof(1), pg_typeof(1.0), pg_typeof('x'), pg_typeof(now()), pg_typeof(ARRAY[1]), pg_typeof(ROW(1, 'a'));
SELECT CAST('2026-02-03' AS date) + 1, '5'::text::int * 2, to_char(1234.5, 'FM9,999.00'), to_number('1,234', '9,999');
SELECT chr(233), ascii('é'), length('naïve'), octet_length('naïve'), upper('straße'), initcap('two words'), lpad('7', 3, '0'), md5('x');
SELECT format('%s %I %L %%', 'text', 'Name of it', 'it''s'), quote_ident('a b'), quote_literal(E'a\\b'), quote_nullable(NULL);
SELECT regexp_replace('one two', '(\w+) (\w+)', '\2 \1'), substring('foobar' from 'o(.)b'), string_to_array('a,b,,c', ','), split_part('a.b.c', '.', 2);
SELECT 'abc' LIKE 'a%', 'abc' ~ '^A', 'abc' ~* '^A', 'a_c' LIKE 'a\_c', 'abc' SIMILAR TO '(a|b)%';
SELECT 1/0;
SELECT 1.0/0.0;
SELECT sqrt(-1);
SELECT 'x'::regclass;
SELECT 'pg_class'::regclass, 'int4'::regtype, 'now'::regproc, 11::regnamespace;
\x on
SELECT 1 AS one, 'two' AS two, NULL AS three;
\x off
\pset null '(null)'
SELECT NULL, '', ' ';
\pset format unaligned
SELECT 1 AS a, 2 AS b UNION SELECT 3, 4 ORDER BY 1;
\pset format aligned
