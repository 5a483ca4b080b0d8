select E'', e'a', E'\'', E'''', E'a\'b', E'\\', E'\\''x', E'\b\f\n\r\t\v\q', E'\1\12\123\1234'
, E'\x4\x41\x414', E'\u0041\U00000041', E'\uD83D\uDE00', E'"--/*$$', E'a\
b', E'two
lines', E 'apart', e'\\\'', fe'x', E'é\'é'
