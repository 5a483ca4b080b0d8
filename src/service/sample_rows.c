/* SPDX-License-Identifier: ISC */
#include "service/sample_rows.h"

enum kind {
	KIND_ID,       /* uuid */
	KIND_TIME,     /* timestamptz, from microseconds */
	KIND_COUNT,    /* a number as it is */
	KIND_MS,       /* milliseconds with three decimals, from microseconds */
	KIND_WHOLE_MS, /* whole milliseconds, from microseconds */
	KIND_PERCENT,  /* with two decimals, from hundredths */
};

struct column {
	const char *name;
	const char *type;
	enum kind kind;
	size_t offset; /* of the field in struct sample */
	/*
	 * The column holds no more than that, in the field's unit: a value that is too large must
	 * not make its whole batch fail for ever.
	 */
	uint64_t max;
};

#define COLUMN(name, type, kind, field, max)                                                       \
	{ name, type, kind, offsetof(struct sample, field), max }
#define COUNT(name, field) COLUMN(name, "int4", KIND_COUNT, field, INT32_MAX)
#define MS_10(name, field) COLUMN(name, "numeric", KIND_MS, field, 9999999999u)
#define MS_12(name, field) COLUMN(name, "numeric", KIND_MS, field, 999999999999u)
#define WHOLE_MS(name, field) COLUMN(name, "int8", KIND_WHOLE_MS, field, SAMPLE_NULL - 1)
#define PERCENT(name, field) COLUMN(name, "numeric", KIND_PERCENT, field, 10000u)

/* In the order of the parameters; sql/README.md says what each column means. */
static const struct column columns[] = {
	COLUMN("id", "uuid", KIND_ID, id, 0),
	/* 9999-12-31: text of five-digit years would need another form. */
	COLUMN("timestamp", "timestamptz", KIND_TIME, taken_wall_us, 253402300799999999u),
	COUNT("total_connections", n_connections),
	COUNT("active_connections", n_active),
	COUNT("idle_connections", n_idle),
	COUNT("waiting_connections", n_waiting),
	COUNT("ml_dedicated_active", n_ml),
	COUNT("vector_operation_active", n_vector),
	COUNT("training_job_active", n_training),
	MS_10("avg_query_time_ms", all.mean_us),
	COLUMN("max_query_time_ms", "int4", KIND_WHOLE_MS, all.max_us, INT32_MAX * UINT64_C(1000)),
	COUNT("slow_query_count", n_slow),
	COUNT("connection_errors", n_connection_errors),
	MS_10("ml_query_avg_time_ms", serving.mean_us),
	MS_10("vector_query_avg_time_ms", vector.mean_us),
	MS_10("spatial_ml_hybrid_avg_time_ms", hybrid.mean_us),
	PERCENT("cpu_usage_percent", cpu),
	PERCENT("memory_usage_percent", memory),
	PERCENT("disk_io_wait_percent", iowait),
	MS_12("ml_query_max_time_ms", serving.max_us),
	MS_12("vector_query_max_time_ms", vector.max_us),
	MS_12("spatial_ml_hybrid_max_time_ms", hybrid.max_us),
	MS_12("training_query_avg_time_ms", training.mean_us),
	MS_12("training_query_max_time_ms", training.max_us),
	MS_12("default_query_avg_time_ms", others.mean_us),
	MS_12("default_query_max_time_ms", others.max_us),
	COLUMN("samples_dropped", "int8", KIND_COUNT, n_dropped, INT64_MAX),
	COUNT("hopped_count", n_hopped),
	COUNT("spilled_count", n_spilled),
	COUNT("denied_count", n_denied),
	COUNT("outbox_depth", outbox_depth),
	WHOLE_MS("outbox_oldest_age_ms", outbox_oldest_age_us),
	WHOLE_MS("outbox_lag_p50_ms", outbox_lag_p50_us),
	WHOLE_MS("outbox_lag_p99_ms", outbox_lag_p99_us),
	COUNT("outbox_delivered_count", n_outbox_delivered),
	COUNT("outbox_failed_count", n_outbox_failed),
	COUNT("outbox_dead", outbox_dead),
	COUNT("outbox_request_errors", n_outbox_request_errors),
};

#define N_COLUMNS N_ELEMENTS(columns)
_Static_assert(N_COLUMNS + 2 == SAMPLE_ROWS_PARAMS, "instance_id and pool_name follow the columns");

void sample_rows_statement(struct strbuf *sql)
{
	size_t i;

	strbuf_adds(sql, "INSERT INTO " SAMPLE_TABLE " (");
	for (i = 0; i < N_COLUMNS; i++)
		strbuf_addf(sql, "%s, ", columns[i].name);
	strbuf_adds(sql, "instance_id, pool_name) SELECT *, ");
	strbuf_addf(sql, "$%zu::text, $%zu::text FROM unnest(", N_COLUMNS + 1, N_COLUMNS + 2);
	for (i = 0; i < N_COLUMNS; i++)
		strbuf_addf(sql, "%s$%zu::%s[]", i ? ", " : "", i + 1, columns[i].type);
	strbuf_adds(sql, ") ON CONFLICT DO NOTHING");
}

/* ---- values ---- */

static void add_id(struct strbuf *out, const uint8_t id[SAMPLE_ID_BYTES])
{
	for (unsigned i = 0; i < SAMPLE_ID_BYTES; i++)
		strbuf_addf(out, "%02x", id[i]);
}

static void add_time(struct strbuf *out, uint64_t wall_us)
{
	time_t seconds = (time_t)(wall_us / 1000000u);
	struct tm tm;

	MUST(gmtime_r(&seconds, &tm) != NULL);
	strbuf_addf(out, "\"%04d-%02d-%02d %02d:%02d:%02d.%06u+00\"", tm.tm_year + 1900, tm.tm_mon + 1,
		tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(wall_us % 1000000u));
}

static void add_number(struct strbuf *out, enum kind kind, unsigned long long value)
{
	switch (kind) {
	case KIND_MS:
		strbuf_addf(out, "%llu.%03llu", value / 1000, value % 1000);
		break;
	case KIND_WHOLE_MS:
		strbuf_addf(out, "%llu", value / 1000);
		break;
	case KIND_PERCENT:
		strbuf_addf(out, "%llu.%02llu", value / 100, value % 100);
		break;
	case KIND_COUNT:
		strbuf_addf(out, "%llu", value);
		break;
	case KIND_ID:
	case KIND_TIME:
		UNREACHABLE("not a number");
	}
}

static void add_value(struct strbuf *out, const struct column *column, const struct sample *sample)
{
	const void *field = (const char *)sample + column->offset;
	uint64_t value;

	if (column->kind == KIND_ID) {
		add_id(out, field);
		return;
	}
	memcpy(&value, field, sizeof(value));
	if (value == SAMPLE_NULL) {
		strbuf_adds(out, "NULL");
		return;
	}
	value = MIN_OF(value, column->max);
	if (column->kind == KIND_TIME)
		add_time(out, value);
	else
		add_number(out, column->kind, value);
}

/* ---- the arrays ---- */

void sample_rows_init(struct sample_rows *rows)
{
	memset(rows, 0, sizeof(*rows));
	for (size_t i = 0; i < N_COLUMNS; i++)
		strbuf_init(&rows->texts[i]);
}

void sample_rows_release(struct sample_rows *rows)
{
	for (size_t i = 0; i < N_COLUMNS; i++)
		strbuf_release(&rows->texts[i]);
}

void sample_rows_add(struct sample_rows *rows, const struct sample *sample)
{
	for (size_t i = 0; i < N_COLUMNS; i++) {
		strbuf_addc(&rows->texts[i], rows->n_rows ? ',' : '{');
		add_value(&rows->texts[i], &columns[i], sample);
	}
	rows->n_rows++;
}

void sample_rows_finish(struct sample_rows *rows, const char *instance, const char *pool)
{
	MUST(rows->n_rows > 0);
	for (size_t i = 0; i < N_COLUMNS; i++) {
		strbuf_addc(&rows->texts[i], '}');
		rows->values[i] = rows->texts[i].data;
	}
	rows->values[N_COLUMNS] = instance;
	rows->values[N_COLUMNS + 1] = pool;
}
