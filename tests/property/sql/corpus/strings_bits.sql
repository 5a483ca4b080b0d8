select B'', b'01', B'0011', X'', x'1F', X'dead', B'not bits', B'"--', X'/*', B'1''0', x'1''2', B'1' '0', b '1', xb'1', B'\'
