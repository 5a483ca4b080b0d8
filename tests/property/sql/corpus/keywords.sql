select all distinct from where group by having order limit offset union intersect except
with recursive as materialized not between similar like ilike in is null nulls first last ordinality
nchar n national b bit x e u uescape operator escape Insert INTO uPdAtE delete merge copy
