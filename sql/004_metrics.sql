-- SPDX-License-Identifier: ISC
-- What pglane sees of its pool: one row per instance and sample period, written by its sampler.
--
-- This file also stands alone, for a database that shall hold nothing else of pglane: psql -v ON_ERROR_STOP=1 -1 -f 004_metrics.sql. It may be run again, needs
-- nothing but PostgreSQL 15, and takes over the table that the first release made. The organizations table and the roles of 002 are used when they are there.

CREATE TABLE IF NOT EXISTS db_connection_pool_metrics (
	id UUID NOT NULL DEFAULT gen_random_uuid(),
	timestamp TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),

	-- the pool
	total_connections INTEGER NOT NULL,
	active_connections INTEGER NOT NULL,
	idle_connections INTEGER NOT NULL,
	waiting_connections INTEGER NOT NULL,

	-- permits in use
	ml_dedicated_active INTEGER DEFAULT 0,
	vector_operation_active INTEGER DEFAULT 0,
	training_job_active INTEGER DEFAULT 0,

	-- all statements of the period
	avg_query_time_ms DECIMAL(10,3),
	max_query_time_ms INTEGER,
	slow_query_count INTEGER DEFAULT 0,
	connection_errors INTEGER DEFAULT 0,

	-- statements by class
	ml_query_avg_time_ms DECIMAL(10,3),
	vector_query_avg_time_ms DECIMAL(10,3),
	spatial_ml_hybrid_avg_time_ms DECIMAL(10,3),

	-- the machine that pglane runs on
	cpu_usage_percent DECIMAL(5,2),
	memory_usage_percent DECIMAL(5,2),
	disk_io_wait_percent DECIMAL(5,2),

	organization_id UUID,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now(),

	CONSTRAINT db_connection_pool_metrics_pkey PRIMARY KEY (id, timestamp)
) PARTITION BY RANGE (timestamp);

-- What was not in the table as it was first asked for. Apart, so that a table made by hand from that description gets them too.
ALTER TABLE db_connection_pool_metrics
	ADD COLUMN IF NOT EXISTS instance_id TEXT NOT NULL DEFAULT '',
	ADD COLUMN IF NOT EXISTS pool_name TEXT NOT NULL DEFAULT '',
	ADD COLUMN IF NOT EXISTS ml_query_max_time_ms DECIMAL(12,3),
	ADD COLUMN IF NOT EXISTS vector_query_max_time_ms DECIMAL(12,3),
	ADD COLUMN IF NOT EXISTS spatial_ml_hybrid_max_time_ms DECIMAL(12,3),
	ADD COLUMN IF NOT EXISTS training_query_avg_time_ms DECIMAL(12,3),
	ADD COLUMN IF NOT EXISTS training_query_max_time_ms DECIMAL(12,3),
	ADD COLUMN IF NOT EXISTS default_query_avg_time_ms DECIMAL(12,3),
	ADD COLUMN IF NOT EXISTS default_query_max_time_ms DECIMAL(12,3),
	ADD COLUMN IF NOT EXISTS samples_dropped BIGINT NOT NULL DEFAULT 0;

-- Partitions by month, bounds in UTC whatever the session's zone, and one that takes what fits nowhere else. Rows that the default partition
-- holds already would refuse a new partition over them: such a month stays where it is.
DO $$
DECLARE
	month TIMESTAMP := date_trunc('month', now() AT TIME ZONE 'UTC');
	beginning TIMESTAMP;
	part TEXT;
BEGIN
	IF (SELECT relkind FROM pg_class WHERE oid = 'db_connection_pool_metrics'::regclass) <> 'p' THEN
		RAISE NOTICE 'db_connection_pool_metrics is not partitioned; it stays as it is';
		RETURN;
	END IF;
	CREATE TABLE IF NOT EXISTS db_connection_pool_metrics_default PARTITION OF db_connection_pool_metrics DEFAULT;
	FOR i IN 0..2 LOOP
		beginning := month + make_interval(months => i);
		part := 'db_connection_pool_metrics_' || to_char(beginning, 'YYYY_MM');
		CONTINUE WHEN to_regclass(part) IS NOT NULL;
		IF EXISTS (SELECT FROM db_connection_pool_metrics_default
				WHERE timestamp >= beginning AT TIME ZONE 'UTC'
				AND timestamp < (beginning + interval '1 month') AT TIME ZONE 'UTC') THEN
			RAISE NOTICE 'rows of % are in db_connection_pool_metrics_default and stay there', part;
			CONTINUE;
		END IF;
		EXECUTE format('CREATE TABLE %I PARTITION OF db_connection_pool_metrics FOR VALUES FROM (%L) TO (%L)', part,
			to_char(beginning, 'YYYY-MM-DD') || ' 00:00:00+00',
			to_char(beginning + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
	END LOOP;
END
$$;

CREATE INDEX IF NOT EXISTS idx_db_pool_metrics_timeline
	ON db_connection_pool_metrics (timestamp DESC);
CREATE INDEX IF NOT EXISTS idx_db_pool_metrics_performance
	ON db_connection_pool_metrics (avg_query_time_ms DESC NULLS LAST, active_connections DESC);
CREATE INDEX IF NOT EXISTS idx_db_pool_metrics_ml_performance
	ON db_connection_pool_metrics (ml_query_avg_time_ms DESC NULLS LAST, timestamp DESC);
CREATE INDEX IF NOT EXISTS idx_db_pool_metrics_organization
	ON db_connection_pool_metrics (organization_id) WHERE organization_id IS NOT NULL;

DO $$
DECLARE
	part regclass;
BEGIN
	IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('organizations') AND attname = 'id' AND atttypid = 'uuid'::regtype)
			AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'db_connection_pool_metrics'::regclass
				AND contype = 'f' AND confrelid = to_regclass('organizations')) THEN
		ALTER TABLE db_connection_pool_metrics ADD CONSTRAINT db_connection_pool_metrics_organization_id_fkey
			FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE SET NULL;
	END IF;
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ml_proxy') THEN
		GRANT INSERT ON db_connection_pool_metrics TO ml_proxy;
	END IF;
	IF to_regclass('ml_vector_metadata') IS NOT NULL THEN
		GRANT SELECT ON db_connection_pool_metrics TO ml_service, ml_engineer, ml_auditor;
		FOR part IN SELECT 'db_connection_pool_metrics'::regclass UNION ALL
				SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'db_connection_pool_metrics'::regclass LOOP
			EXECUTE format('ALTER TABLE %s OWNER TO ml_owner', part);
		END LOOP;
	END IF;
END
$$;

COMMENT ON TABLE db_connection_pool_metrics IS 'pglane: one row per instance and sample period';
