select '', 'a', 'it''s', '''', '''''', 'a' 'b', 'a\', '\', 'a"b', '-- no', '/* no', '*/', '$$', ';'
, 'two
lines', 'été', N'a', n'it''s', N'', N 'apart', a'b', 1'x', 'x'1, 'x'y, "q"'s', 's'"q", $$d$$'s'
