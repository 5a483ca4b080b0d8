select $$$$, $$a$$, $$it's$$, $$ " -- /* $$, $a$$a$, $a$b$a$, $a$ $$ $a$, $a$ $b$ $a$, $a$ $A$ $a$, $a$ $a $a$
, $a$ a$a$, $a1_$ $a1$ $a1_$, $_$x$_$, $é$ $e$ $é$, $日本$x$日本$, $tag$
lines
$tag$, $$\$$, $body$ begin execute $q$ select 1 $q$; end $body$, ($$a$$), a=$$b$$, 1$$x$$, $1$$x$$
, $a$x$$a$, $x, $ , $-, $a b$, $é
