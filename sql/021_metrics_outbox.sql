-- SPDX-License-Identifier: ISC
-- How far Weaviate is behind, and what failed, in db_connection_pool_metrics: null where nothing is forwarded. Stands alone behind 004_metrics.

ALTER TABLE db_connection_pool_metrics
	ADD COLUMN IF NOT EXISTS outbox_depth INTEGER,
	ADD COLUMN IF NOT EXISTS outbox_oldest_age_ms BIGINT,
	ADD COLUMN IF NOT EXISTS outbox_lag_p50_ms BIGINT,
	ADD COLUMN IF NOT EXISTS outbox_lag_p99_ms BIGINT,
	ADD COLUMN IF NOT EXISTS outbox_delivered_count INTEGER,
	ADD COLUMN IF NOT EXISTS outbox_failed_count INTEGER,
	ADD COLUMN IF NOT EXISTS outbox_dead INTEGER,
	ADD COLUMN IF NOT EXISTS outbox_request_errors INTEGER;
