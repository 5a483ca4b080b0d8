/* SPDX-License-Identifier: ISC */
/*
 * A table as the console answers it: columns with their types, rows of text cells, and both as messages. Cells are kept as text; a client that asks
 * for binary results (drivers of the extended protocol do) gets them encoded on the way out. Plain memory of whoever declared it.
 */
#ifndef ADMIN_ROWS_H
#define ADMIN_ROWS_H

#include "base/base.h"
#include "base/strbuf.h"

#define COLUMNS_MAX 32

/* The values are the types' numbers in pg_type. */
enum column_type { COLUMN_INT8 = 20, COLUMN_INT4 = 23, COLUMN_TEXT = 25, COLUMN_NUMERIC = 1700 };

struct column {
	const char *name;
	enum column_type type;
};

struct columns {
	const struct column *items;
	unsigned n; /* 0: a command without rows */
};

#define COLUMN_T(name) { name, COLUMN_TEXT }
#define COLUMN_I(name) { name, COLUMN_INT4 }
#define COLUMN_Q(name) { name, COLUMN_INT8 }
#define COLUMN_N(name) { name, COLUMN_NUMERIC }
#define COLUMNS_OF(array) { array, N_ELEMENTS(array) }

struct row; /* one block: cells and their text */

struct rows {
	struct columns columns;
	struct row **items;
	unsigned n, cap;
	/* The row being made. */
	struct strbuf text;
	ptrdiff_t starts[COLUMNS_MAX]; /* into text; -1: NULL */
	unsigned n_cells;
};

void rows_init(struct rows *rows, struct columns columns);
void rows_release(struct rows *rows);

/* The cells of a row from left to right, then rows_end(). */
void rows_text(struct rows *rows, const char *text); /* NULL: NULL */
void rows_number(struct rows *rows, uint64_t number); /* cut at the largest value of the column's type */
void rows_time(struct rows *rows, uint64_t wall_us); /* local time; 0: NULL */
void rows_end(struct rows *rows); /* MUST have one cell for each column */
const char *rows_cell(const struct rows *rows, unsigned row, unsigned column);

/* Ascending by the columns named, numbers as numbers; rows that agree in them keep their order. */
void rows_sort(struct rows *rows, const unsigned *keys, unsigned n_keys);

/* Bit i of binary: column i is sent in binary. */
void columns_describe(struct columns columns, uint64_t binary, struct strbuf *out); /* RowDescription */
void rows_render(const struct rows *rows, unsigned first, unsigned n, uint64_t binary, struct strbuf *out); /* DataRows */

#endif
