select U&'', u&'d\0061t\+000061', U&'a''b', U&'\', U&'--', U&'x' UESCAPE '!', U&"d\0061t", u&"a""b"
, U&"x" uescape '+', u & 'x', u&x, u&1, U&, u&-1, ux&'y', U& 'apart', U&"-- /* $$"
