-- at the start
select 1 -- 'quoted' "too" /* not open
,2-- close by
,3 ---- four
--
-- $$ $a$ ; \
,4 -- the last line has no end