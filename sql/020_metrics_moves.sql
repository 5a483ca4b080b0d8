-- SPDX-License-Identifier: ISC
-- Statements that moved between lanes, or were denied, in the period of a row of db_connection_pool_metrics. Stands alone behind 004_metrics.

ALTER TABLE db_connection_pool_metrics
	ADD COLUMN IF NOT EXISTS hopped_count INTEGER NOT NULL DEFAULT 0,
	ADD COLUMN IF NOT EXISTS spilled_count INTEGER NOT NULL DEFAULT 0,
	ADD COLUMN IF NOT EXISTS denied_count INTEGER NOT NULL DEFAULT 0;
