/* SPDX-License-Identifier: ISC */
/* Samples as arrays of an INSERT: every column, nulls, bounds, times. */
#include "service/sample_rows.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Which parameter a column is, by its place in the statement's column list. */
static unsigned parameter_of(const char *column)
{
	struct strbuf sql = STRBUF_INIT;
	const char *at, *end;
	unsigned n = 0;

	sample_rows_statement(&sql);
	at = strchr(sql.data, '(') + 1;
	end = strchr(sql.data, ')');
	for (;; n++) {
		size_t len = strcspn(at, ",)");

		if (len == strlen(column) && strncmp(at, column, len) == 0)
			break;
		at += len;
		assert_true(at < end);
		at += 2;
	}
	strbuf_release(&sql);
	return n;
}

static void assert_value(const struct sample_rows *rows, const char *column, const char *text)
{
	assert_string_equal(rows->values[parameter_of(column)], text);
}

static void nothing_is_null(void **state)
{
	struct sample sample;
	struct sample_rows rows;

	memset(&sample, 0xff, sizeof(sample)); /* SAMPLE_NULL everywhere */
	sample.taken_wall_us = 0;
	sample_rows_init(&rows);
	sample_rows_add(&rows, &sample);
	sample_rows_finish(&rows, "i", "p");
	assert_value(&rows, "avg_query_time_ms", "{NULL}");
	assert_value(&rows, "max_query_time_ms", "{NULL}");
	assert_value(&rows, "cpu_usage_percent", "{NULL}");
	assert_value(&rows, "outbox_depth", "{NULL}");
	assert_value(&rows, "outbox_lag_p99_ms", "{NULL}");
	assert_value(&rows, "id", "{ffffffffffffffffffffffffffffffff}");
	assert_value(&rows, "timestamp", "{\"1970-01-01 00:00:00.000000+00\"}");
	sample_rows_release(&rows);
}

static struct sample numbered(void)
{
	struct sample sample = { .id = { 0x01, 0x23, 0xab }, .taken_wall_us = 1700000000123456u };

	sample.n_connections = 11;
	sample.n_active = 5;
	sample.n_idle = 6;
	sample.n_waiting = 7;
	sample.n_ml = 1;
	sample.n_vector = 2;
	sample.n_training = 3;
	sample.n_slow = 8;
	sample.n_connection_errors = 9;
	sample.all = (struct sample_times){ 1001, 2999 };
	sample.serving = (struct sample_times){ 10, 20 };
	sample.vector = (struct sample_times){ 11, 21 };
	sample.hybrid = (struct sample_times){ 12, 22 };
	sample.training = (struct sample_times){ 13, 1234567 };
	sample.others = (struct sample_times){ 14, 24 };
	sample.cpu = 1205;
	sample.memory = 10000;
	sample.iowait = 7;
	sample.n_dropped = 42;
	sample.n_hopped = 43;
	sample.n_spilled = 44;
	sample.n_denied = 45;
	sample.outbox_depth = 46;
	sample.outbox_oldest_age_us = 47999;
	sample.outbox_lag_p50_us = 48000;
	sample.outbox_lag_p99_us = 49001;
	sample.n_outbox_delivered = 50;
	sample.n_outbox_failed = 51;
	sample.outbox_dead = 52;
	sample.n_outbox_request_errors = 53;
	return sample;
}

static void every_column_has_its_field(void **state)
{
	struct sample sample = numbered();
	struct sample_rows rows;

	sample_rows_init(&rows);
	sample_rows_add(&rows, &sample);
	sample_rows_finish(&rows, "here", "all");
	assert_value(&rows, "id", "{0123ab00000000000000000000000000}");
	assert_value(&rows, "timestamp", "{\"2023-11-14 22:13:20.123456+00\"}");
	assert_value(&rows, "total_connections", "{11}");
	assert_value(&rows, "active_connections", "{5}");
	assert_value(&rows, "idle_connections", "{6}");
	assert_value(&rows, "waiting_connections", "{7}");
	assert_value(&rows, "ml_dedicated_active", "{1}");
	assert_value(&rows, "vector_operation_active", "{2}");
	assert_value(&rows, "training_job_active", "{3}");
	assert_value(&rows, "slow_query_count", "{8}");
	assert_value(&rows, "connection_errors", "{9}");
	assert_value(&rows, "avg_query_time_ms", "{1.001}");
	assert_value(&rows, "max_query_time_ms", "{2}");
	assert_value(&rows, "ml_query_avg_time_ms", "{0.010}");
	assert_value(&rows, "ml_query_max_time_ms", "{0.020}");
	assert_value(&rows, "vector_query_avg_time_ms", "{0.011}");
	assert_value(&rows, "vector_query_max_time_ms", "{0.021}");
	assert_value(&rows, "spatial_ml_hybrid_avg_time_ms", "{0.012}");
	assert_value(&rows, "spatial_ml_hybrid_max_time_ms", "{0.022}");
	assert_value(&rows, "training_query_avg_time_ms", "{0.013}");
	assert_value(&rows, "training_query_max_time_ms", "{1234.567}");
	assert_value(&rows, "default_query_avg_time_ms", "{0.014}");
	assert_value(&rows, "default_query_max_time_ms", "{0.024}");
	assert_value(&rows, "cpu_usage_percent", "{12.05}");
	assert_value(&rows, "memory_usage_percent", "{100.00}");
	assert_value(&rows, "disk_io_wait_percent", "{0.07}");
	assert_value(&rows, "samples_dropped", "{42}");
	assert_value(&rows, "hopped_count", "{43}");
	assert_value(&rows, "spilled_count", "{44}");
	assert_value(&rows, "denied_count", "{45}");
	assert_value(&rows, "outbox_depth", "{46}");
	assert_value(&rows, "outbox_oldest_age_ms", "{47}");
	assert_value(&rows, "outbox_lag_p50_ms", "{48}");
	assert_value(&rows, "outbox_lag_p99_ms", "{49}");
	assert_value(&rows, "outbox_delivered_count", "{50}");
	assert_value(&rows, "outbox_failed_count", "{51}");
	assert_value(&rows, "outbox_dead", "{52}");
	assert_value(&rows, "outbox_request_errors", "{53}");
	assert_value(&rows, "instance_id", "here");
	assert_value(&rows, "pool_name", "all");
	sample_rows_release(&rows);
}

/* One value that its column cannot hold would make the whole batch fail, again and again. */
static void too_large_is_the_largest(void **state)
{
	struct sample sample = numbered();
	struct sample_rows rows;

	sample.n_waiting = SAMPLE_NULL - 1;
	sample.all = (struct sample_times){ SAMPLE_NULL - 1, SAMPLE_NULL - 1 };
	sample.training.max_us = SAMPLE_NULL - 1;
	sample.cpu = 10001;
	sample.n_dropped = SAMPLE_NULL - 1;
	sample.outbox_oldest_age_us = SAMPLE_NULL - 1;
	sample.taken_wall_us = SAMPLE_NULL - 1;
	sample_rows_init(&rows);
	sample_rows_add(&rows, &sample);
	sample_rows_finish(&rows, "i", "p");
	assert_value(&rows, "waiting_connections", "{2147483647}");
	assert_value(&rows, "avg_query_time_ms", "{9999999.999}");
	assert_value(&rows, "max_query_time_ms", "{2147483647}");
	assert_value(&rows, "training_query_max_time_ms", "{999999999.999}");
	assert_value(&rows, "cpu_usage_percent", "{100.00}");
	assert_value(&rows, "samples_dropped", "{9223372036854775807}");
	assert_value(&rows, "outbox_oldest_age_ms", "{18446744073709551}");
	assert_value(&rows, "timestamp", "{\"9999-12-31 23:59:59.999999+00\"}");
	sample_rows_release(&rows);
}

static void rows_are_in_order(void **state)
{
	struct sample_rows rows;

	sample_rows_init(&rows);
	for (unsigned i = 1; i <= 3; i++) {
		struct sample sample = numbered();

		sample.n_active = i;
		sample.taken_wall_us += i;
		if (i == 2)
			sample.vector = (struct sample_times){ SAMPLE_NULL, SAMPLE_NULL };
		sample_rows_add(&rows, &sample);
	}
	sample_rows_finish(&rows, "i", "p");
	assert_int_equal(rows.n_rows, 3);
	assert_value(&rows, "active_connections", "{1,2,3}");
	assert_value(&rows, "vector_query_avg_time_ms", "{0.011,NULL,0.011}");
	assert_value(&rows, "timestamp",
		"{\"2023-11-14 22:13:20.123457+00\",\"2023-11-14 22:13:20.123458+00\","
		"\"2023-11-14 22:13:20.123459+00\"}");
	sample_rows_release(&rows);
}

static void the_statement_is_idempotent(void **state)
{
	struct strbuf sql = STRBUF_INIT;

	sample_rows_statement(&sql);
	assert_non_null(strstr(sql.data, "INSERT INTO " SAMPLE_TABLE " (id, timestamp, "));
	assert_non_null(strstr(sql.data,
		"SELECT *, $39::text, $40::text FROM unnest($1::uuid[], $2::timestamptz[], "));
	assert_non_null(strstr(sql.data, "$37::int4[], $38::int4[]) ON CONFLICT DO NOTHING"));
	strbuf_release(&sql);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_null),
		cmocka_unit_test(every_column_has_its_field),
		cmocka_unit_test(too_large_is_the_largest),
		cmocka_unit_test(rows_are_in_order),
		cmocka_unit_test(the_statement_is_idempotent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
