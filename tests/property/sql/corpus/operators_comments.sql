select a--comment
+b, a+--comment
b, a<--x
b, a@--x
b, a*/*x*/b, a/**/b, a@/*x*/-1, a*-/*x*/b, a+/*x*/-b, a//*x*/b, a-/*x*/-b, a<-- /*
b, a*/b, a/-- x
b, a|/* -- */|b, a=-/**/1, a=/**/-1, a@-/**/b
