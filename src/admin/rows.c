/* SPDX-License-Identifier: ISC */
#include "admin/rows.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pgw/messages.h"

#define NUMERIC_BASE 10000u	/* of PostgreSQL's binary numeric */
#define NUMERIC_DIGITS_MAX 5u	/* 20 decimal digits */
#define BINARY_CELL_MAX_BYTES (8u + 2u * NUMERIC_DIGITS_MAX)

struct row {
	unsigned order; /* as it was added */
	const char *cells[];
};

void rows_init(struct rows *rows, struct columns columns)
{
	MUST(columns.n <= COLUMNS_MAX);
	memset(rows, 0, sizeof(*rows));
	rows->columns = columns;
	strbuf_init(&rows->text);
}

void rows_release(struct rows *rows)
{
	for (unsigned i = 0; i < rows->n; i++)
		mem_free(rows->items[i]);
	mem_free(rows->items);
	strbuf_release(&rows->text);
	rows->items = NULL;
	rows->n = rows->cap = rows->n_cells = 0;
}

void rows_text(struct rows *rows, const char *text)
{
	MUST(rows->n_cells < rows->columns.n);
	rows->starts[rows->n_cells++] = text ? (ptrdiff_t)rows->text.len : -1;
	if (text)
		strbuf_add(&rows->text, text, strlen(text) + 1);
}

/* A number larger than its type would be an error in whoever reads it. */
static uint64_t largest(enum column_type type)
{
	switch (type) {
	case COLUMN_INT4:
		return INT32_MAX;
	case COLUMN_INT8:
		return INT64_MAX;
	case COLUMN_TEXT:
	case COLUMN_NUMERIC:
	default:
		return UINT64_MAX;
	}
}

void rows_number(struct rows *rows, uint64_t number)
{
	char text[24];

	MUST(rows->n_cells < rows->columns.n);
	(void)snprintf(text, sizeof(text), "%" PRIu64, MIN_OF(number, largest(rows->columns.items[rows->n_cells].type)));
	rows_text(rows, text);
}

void rows_time(struct rows *rows, uint64_t wall_us)
{
	char text[CLOCK_TEXT_BYTES];

	rows_text(rows, wall_us ? clock_format_local(text, wall_us) : NULL);
}

void rows_end(struct rows *rows)
{
	size_t n_cells_bytes = rows->columns.n * sizeof(const char *);
	struct row *row;
	char *text;

	MUST(rows->n_cells == rows->columns.n);
	row = mem_alloc(sizeof(*row) + n_cells_bytes + rows->text.len);
	text = (char *)row->cells + n_cells_bytes;
	row->order = rows->n;
	memcpy(text, rows->text.data, rows->text.len);
	for (unsigned i = 0; i < rows->n_cells; i++)
		row->cells[i] = rows->starts[i] < 0 ? NULL : text + rows->starts[i];
	if (rows->n == rows->cap) {
		rows->cap = rows->cap ? 2 * rows->cap : 16;
		rows->items = mem_realloc(rows->items, rows->cap * sizeof(struct row *));
	}
	rows->items[rows->n++] = row;
	rows->n_cells = 0;
	strbuf_reset(&rows->text);
}

const char *rows_cell(const struct rows *rows, unsigned row, unsigned column)
{
	MUST(row < rows->n && column < rows->columns.n);
	return rows->items[row]->cells[column];
}

/* ---- order ---- */

struct sorting {
	const struct columns *columns;
	const unsigned *keys;
	unsigned n_keys;
};

static int compare_cells(const char *a, const char *b, bool as_text)
{
	uint64_t x, y;

	if (a == NULL || b == NULL)
		return (a == NULL) - (b == NULL); /* NULL last */
	if (as_text)
		return strcmp(a, b);
	x = strtoull(a, NULL, 10);
	y = strtoull(b, NULL, 10);
	return (x > y) - (x < y);
}

static int compare_rows(const void *a, const void *b, void *arg)
{
	const struct row *x = *(const struct row *const *)a, *y = *(const struct row *const *)b;
	const struct sorting *sorting = arg;

	for (unsigned i = 0; i < sorting->n_keys; i++) {
		unsigned key = sorting->keys[i];
		int order = compare_cells(x->cells[key], y->cells[key], sorting->columns->items[key].type == COLUMN_TEXT);

		if (order != 0)
			return order;
	}
	return (x->order > y->order) - (x->order < y->order);
}

void rows_sort(struct rows *rows, const unsigned *keys, unsigned n_keys)
{
	struct sorting sorting = { &rows->columns, keys, n_keys };

	if (rows->n > 1)
		qsort_r(rows->items, rows->n, sizeof(struct row *), compare_rows, &sorting);
}

/* ---- messages ---- */

static uint16_t type_length(enum column_type type)
{
	switch (type) {
	case COLUMN_INT4:
		return 4;
	case COLUMN_INT8:
		return 8;
	case COLUMN_TEXT:
	case COLUMN_NUMERIC:
	default:
		return UINT16_MAX; /* -1: varies */
	}
}

void columns_describe(struct columns columns, uint64_t binary, struct strbuf *out)
{
	size_t n_bytes = PGW_HEADER_BYTES + 2;
	struct pgw_writer w;

	for (unsigned i = 0; i < columns.n; i++)
		n_bytes += strlen(columns.items[i].name) + 1 + 18;
	strbuf_reserve(out, n_bytes);
	w = pgw_writer_on(out->data + out->len, n_bytes);
	pgw_write_begin(&w, PGW_ROW_DESCRIPTION);
	pgw_write_u16(&w, (uint16_t)columns.n);
	for (unsigned i = 0; i < columns.n; i++) {
		pgw_write_cstr(&w, columns.items[i].name);
		pgw_write_u32(&w, 0); /* of no table */
		pgw_write_u16(&w, 0); /* and no column of it */
		pgw_write_u32(&w, columns.items[i].type);
		pgw_write_u16(&w, type_length(columns.items[i].type));
		pgw_write_u32(&w, UINT32_MAX); /* type modifier: none */
		pgw_write_u16(&w, (uint16_t)(binary >> i & 1));
	}
	pgw_write_end(&w);
	MUST(w.err == PGW_OK);
	out->len += w.len;
}

/* numeric: count of digits of base 10000, weight of the first, sign, scale, digits. Without trailing zero digits, as PostgreSQL stores it. */
static void write_numeric(struct pgw_writer *w, uint64_t number)
{
	uint16_t digits[NUMERIC_DIGITS_MAX];
	unsigned n = 0, n_zeros = 0;

	for (; number > 0; number /= NUMERIC_BASE)
		digits[n++] = (uint16_t)(number % NUMERIC_BASE);
	while (n_zeros < n && digits[n_zeros] == 0)
		n_zeros++;
	pgw_write_u32(w, 8 + 2 * (n - n_zeros));
	pgw_write_u16(w, (uint16_t)(n - n_zeros));
	pgw_write_u16(w, (uint16_t)(n ? n - 1 : 0));
	pgw_write_u16(w, 0); /* positive */
	pgw_write_u16(w, 0); /* no decimals */
	while (n > n_zeros)
		pgw_write_u16(w, digits[--n]);
}

static void write_binary(struct pgw_writer *w, enum column_type type, const char *text)
{
	uint64_t number = strtoull(text, NULL, 10);

	switch (type) {
	case COLUMN_INT4:
		pgw_write_u32(w, 4);
		pgw_write_u32(w, (uint32_t)number);
		break;
	case COLUMN_INT8:
		pgw_write_u32(w, 8);
		pgw_write_u32(w, (uint32_t)(number >> 32));
		pgw_write_u32(w, (uint32_t)number);
		break;
	case COLUMN_NUMERIC:
		write_numeric(w, number);
		break;
	case COLUMN_TEXT:
	default:
		UNREACHABLE("text is the same in both formats");
	}
}

static void write_cell(struct pgw_writer *w, enum column_type type, const char *text, bool binary)
{
	size_t n;

	if (text == NULL) {
		pgw_write_u32(w, UINT32_MAX); /* -1: NULL */
		return;
	}
	if (binary && type != COLUMN_TEXT) {
		write_binary(w, type, text);
		return;
	}
	n = strlen(text);
	pgw_write_u32(w, (uint32_t)n);
	pgw_write_bytes(w, text, n);
}

static void render_row(const struct columns *columns, const struct row *row, uint64_t binary, struct strbuf *out)
{
	size_t n_bytes = PGW_HEADER_BYTES + 2;
	struct pgw_writer w;

	for (unsigned i = 0; i < columns->n; i++)
		n_bytes += 4 + (row->cells[i] ? MAX_OF(strlen(row->cells[i]), (size_t)BINARY_CELL_MAX_BYTES) : 0);
	strbuf_reserve(out, n_bytes);
	w = pgw_writer_on(out->data + out->len, n_bytes);
	pgw_write_begin(&w, PGW_DATA_ROW);
	pgw_write_u16(&w, (uint16_t)columns->n);
	for (unsigned i = 0; i < columns->n; i++)
		write_cell(&w, columns->items[i].type, row->cells[i], binary >> i & 1);
	pgw_write_end(&w);
	MUST(w.err == PGW_OK);
	out->len += w.len;
}

void rows_render(const struct rows *rows, unsigned first, unsigned n, uint64_t binary, struct strbuf *out)
{
	MUST(first <= rows->n && n <= rows->n - first);
	for (unsigned i = first; i < first + n; i++)
		render_row(&rows->columns, rows->items[i], binary, out);
}
