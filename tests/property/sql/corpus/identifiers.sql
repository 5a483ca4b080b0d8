select a, A, _, _a1, a1b2, foo$bar$baz, a$, a$1, a$$b$$, été, Ünïcödé, 日本語, x_é$1
, "a", "A b", "a""b", """", """""", "a''b", "--", "/* */", "$$", ";", "new
line", "été", "select", " " , "a"."b" , "a" "b" , "a"b , b"a" , n"x" , e"x" , x"1" , u"x"
