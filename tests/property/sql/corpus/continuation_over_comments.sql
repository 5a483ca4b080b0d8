select 'a' -- it's
'b', 'a'-- "x
   -- more
   'b', 'a'
-- after the newline
'b', E'a' --
'\'', B'1' -- 'x'
'0', U&'a' -- /*
'\'
