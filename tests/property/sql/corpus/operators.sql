select a+b-c*d/e%f^g, a<b>c=d, a<=b>=c<>d!=e=>f:=g::h, a||b, a->b->>c#>d#>>e, a@>b<@c&&d, a?b?|c?&d, a~b~*c!~d!~*e~~f!~~g
, a<->b<=>c<#>d<+>e<~>f<%>g, a<<b>>c<<=d>>=e, a&b|c#d, @a, !!a, |/a, ||/a, a!, a`b, a^@b, a@@b, a@@@b, a*<>b, a=ANY(b)
, ~~*, !~~*, &<|, |&>, <<|, |>>, ~=, ~<~, -|-, ##, ?#, ?-|, ?||, @-@, <?>, *=, *<>, operator(pg_catalog.+), OPERATOR(public.<=>)
