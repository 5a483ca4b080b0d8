-- SPDX-License-Identifier: ISC
-- Aggregates, grouping sets, window functions.
CREATE TABLE s (region text, item text, day int, n int);
INSERT INTO s SELECT (ARRAY['north', 'south', 'east'])[1 + g % 3], (ARRAY['bin', 'bag'])[1 + g % 2], g % 5, g * 7 % 11 FROM generate_series(1, 40) g;
SELECT region, count(*), sum(n), avg(n)::numeric(6,3), min(n), max(n), stddev_pop(n)::numeric(6,3) FROM s GROUP BY region ORDER BY region;
SELECT region, item, sum(n), grouping(region, item) FROM s GROUP BY ROLLUP (region, item) ORDER BY 1 NULLS LAST, 2 NULLS LAST;
SELECT region, day, count(*) FROM s GROUP BY GROUPING SETS ((region), (day), ()) ORDER BY 1, 2, 3;
SELECT region, item, count(*) FROM s GROUP BY CUBE (region, item) HAVING count(*) > 9 ORDER BY 3 DESC, 1, 2;
SELECT string_agg(DISTINCT item, ',' ORDER BY item), array_agg(n ORDER BY n DESC) FILTER (WHERE n > 8), bool_and(n >= 0), bit_or(n) FROM s;
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY n), mode() WITHIN GROUP (ORDER BY item), rank(5) WITHIN GROUP (ORDER BY n) FROM s;
SELECT corr(n, day)::numeric(6,4), regr_slope(n, day)::numeric(6,4) FROM s;
SELECT region, n FROM s GROUP BY region;
SELECT sum(item) FROM s;
SELECT count(*) FROM s WHERE sum(n) > 1;
SELECT day, n, row_number() OVER w, rank() OVER w, dense_rank() OVER w, lag(n) OVER w, first_value(n) OVER w FROM s WHERE region = 'east' WINDOW w AS (PARTITION BY day ORDER BY n, item) ORDER BY 1, 2, 3;
SELECT n, sum(n) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM s WHERE day = 1 ORDER BY 1, 2;
SELECT n, sum(n) OVER (ORDER BY n RANGE BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM s WHERE day = 2 ORDER BY 1, 2;
SELECT ntile(3) OVER (ORDER BY n), percent_rank() OVER (ORDER BY n), cume_dist() OVER (ORDER BY n) FROM s WHERE day = 3 ORDER BY 1, 2, 3;
SELECT n FROM s WHERE row_number() OVER () = 1;
CREATE AGGREGATE longest (text) (SFUNC = textcat, STYPE = text, INITCOND = '');
SELECT longest(item ORDER BY item) FROM s WHERE day = 4;
SELECT region FROM s GROUP BY 1 ORDER BY sum(n) DESC LIMIT 2 OFFSET 1;
SELECT region, sum(n) FROM s GROUP BY region ORDER BY 2 FETCH FIRST 1 ROW WITH TIES;
SELECT every(NULL), count(NULL), sum(NULL::int) FROM s WHERE false;
