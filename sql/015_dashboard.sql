-- SPDX-License-Identifier: ISC
-- ml_performance_dashboard: the last 24 hours, one row each, also for an hour in which nothing was measured. What was not measured is null, not 0; counts are 0 when nothing happened.
-- And ml_maintain(), the hourly work as one call.
--
-- Averages of the audit log are over operations, not over averages. Pool metrics carry no number of statements, so averages of times are over samples. With several instances, connections
-- are added up over them. The view is about all organizations and cannot carry row security: only roles that serve all may read it.

SET LOCAL ROLE ml_owner;

CREATE MATERIALIZED VIEW public.ml_performance_dashboard AS
WITH spine AS (
	SELECT generate_series(date_trunc('hour', now()) - interval '23 hours', date_trunc('hour', now()), interval '1 hour') AS hour
), pool_by_instance AS (
	SELECT date_trunc('hour', timestamp) AS hour, instance_id, pool_name,
		avg(total_connections) AS total, avg(active_connections) AS active, avg(ml_dedicated_active) AS ml, max(total_connections) AS peak,
		sum(avg_query_time_ms) AS all_ms, count(avg_query_time_ms) AS n_all, sum(ml_query_avg_time_ms) AS ml_ms, count(ml_query_avg_time_ms) AS n_ml,
		sum(vector_query_avg_time_ms) AS vector_ms, count(vector_query_avg_time_ms) AS n_vector, sum(spatial_ml_hybrid_avg_time_ms) AS hybrid_ms,
		count(spatial_ml_hybrid_avg_time_ms) AS n_hybrid, sum(cpu_usage_percent) AS cpu, count(cpu_usage_percent) AS n_cpu, sum(memory_usage_percent) AS memory,
		count(memory_usage_percent) AS n_memory, max(cpu_usage_percent) AS peak_cpu, max(memory_usage_percent) AS peak_memory,
		sum(connection_errors) AS errors, sum(slow_query_count) AS slow
	FROM public.db_connection_pool_metrics
	WHERE timestamp >= date_trunc('hour', now()) - interval '23 hours'
	GROUP BY 1, 2, 3
), pool AS (
	SELECT hour, sum(total) AS avg_total_connections, sum(active) AS avg_active_connections, sum(ml) AS avg_ml_connections, sum(peak)::integer AS peak_connections,
		sum(all_ms) / nullif(sum(n_all), 0) AS overall_avg_query_time, sum(ml_ms) / nullif(sum(n_ml), 0) AS ml_avg_query_time,
		sum(vector_ms) / nullif(sum(n_vector), 0) AS vector_avg_query_time, sum(hybrid_ms) / nullif(sum(n_hybrid), 0) AS hybrid_avg_query_time,
		sum(cpu) / nullif(sum(n_cpu), 0) AS avg_cpu_usage, sum(memory) / nullif(sum(n_memory), 0) AS avg_memory_usage, max(peak_cpu) AS peak_cpu_usage,
		max(peak_memory) AS peak_memory_usage, sum(errors)::bigint AS total_connection_errors, sum(slow)::bigint AS total_slow_queries
	FROM pool_by_instance GROUP BY hour
), operation AS (
	SELECT date_trunc('hour', timestamp) AS hour, count(*) AS n, avg(operation_duration_ms) AS duration, count(*) FILTER (WHERE operation_status = 'failure') AS failures,
		avg(business_impact_value) AS impact
	FROM public.ml_audit_logs
	WHERE timestamp >= date_trunc('hour', now()) - interval '23 hours'
	GROUP BY 1
), search AS (
	SELECT s.hour, sum(s.hits)::bigint AS hits, avg(s.hits) AS frequency, count(DISTINCT m.entity_type) AS types
	FROM public.ml_vector_search_stats s JOIN public.ml_vector_metadata m ON m.id = s.metadata_id
	WHERE s.hour >= date_trunc('hour', now()) - interval '23 hours' AND m.deleted_at IS NULL
	GROUP BY s.hour
)
SELECT spine.hour, pool.avg_total_connections, pool.avg_active_connections, pool.avg_ml_connections, pool.peak_connections, pool.overall_avg_query_time, pool.ml_avg_query_time,
	pool.vector_avg_query_time, pool.hybrid_avg_query_time, pool.avg_cpu_usage, pool.avg_memory_usage, pool.peak_cpu_usage, pool.peak_memory_usage, pool.total_connection_errors,
	pool.total_slow_queries, coalesce(search.hits, 0) AS vector_searches, search.frequency AS avg_search_frequency, coalesce(search.types, 0) AS active_vector_types,
	coalesce(operation.n, 0) AS total_ml_operations, operation.duration AS avg_ml_operation_duration, coalesce(operation.failures, 0) AS total_ml_failures,
	operation.impact AS avg_business_impact
FROM spine LEFT JOIN pool USING (hour) LEFT JOIN operation USING (hour) LEFT JOIN search USING (hour)
ORDER BY spine.hour DESC;

-- Unique: without it the view could not be refreshed while it is read.
CREATE UNIQUE INDEX idx_ml_performance_dashboard_hour ON public.ml_performance_dashboard (hour DESC);
GRANT SELECT ON public.ml_performance_dashboard TO ml_service, ml_auditor, ml_proxy;

CREATE FUNCTION public.ml_refresh_dashboard() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off AS $$
BEGIN
	REFRESH MATERIALIZED VIEW CONCURRENTLY public.ml_performance_dashboard;
END
$$;
GRANT EXECUTE ON FUNCTION public.ml_refresh_dashboard() TO ml_proxy, ml_service, ml_migrator;

-- Everything that is to be done every hour: partitions, seals of months that ended two days ago or earlier (so that a late batch still finds its month open), counters of vectors, the dashboard. One row for
-- each thing done or left undone.
CREATE FUNCTION public.ml_maintain(p_now timestamptz DEFAULT now()) RETURNS TABLE (action text, relation text, n_rows bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
	part record;
BEGIN
	FOR part IN SELECT p.partition, p.beginning FROM public.ml_partitions('public.ml_audit_logs') p
			WHERE p.ending + interval '2 days' <= least(p_now, now()) AND NOT public.ml_partition_is_sealed(p.partition) ORDER BY p.beginning LOOP
		action := 'sealed';
		relation := (SELECT relname FROM pg_class WHERE oid = part.partition);
		BEGIN
			PERFORM public.ml_audit_seal(part.beginning::date);
			n_rows := (SELECT s.n_rows FROM public.ml_audit_seals s WHERE s.partition = relation);
		EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
			action := 'busy';
			n_rows := 0;
		END;
		RETURN NEXT;
	END LOOP;
	RETURN QUERY SELECT * FROM public.ml_maintain_partitions(p_now);
	n_rows := public.ml_search_stats_roll_up();
	action := 'counted';
	relation := 'ml_vector_search_stats';
	IF n_rows > 0 THEN
		RETURN NEXT;
	END IF;
	BEGIN
		PERFORM public.ml_refresh_dashboard();
	EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
		RETURN QUERY SELECT 'busy', 'ml_performance_dashboard', 0::bigint;
	END;
END
$$;
GRANT EXECUTE ON FUNCTION public.ml_maintain(timestamptz) TO ml_proxy, ml_migrator;

RESET ROLE;
