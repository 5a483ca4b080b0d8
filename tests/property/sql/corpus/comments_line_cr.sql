select 1 -- ends at a return, 2 -- and here
, 3 --
