-- SPDX-License-Identifier: ISC
-- Small tables for packaging/quickstart: enough that a statement of every class runs and returns something.
--
-- Load with psql as a superuser of a scratch database, never of one that matters: everything it makes is in the schema public. Where
-- pgvector is not installed a stand-in takes its place, see below. Running it twice is harmless.

CREATE EXTENSION IF NOT EXISTS postgis;

SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') AS has_pgvector,
	to_regtype('vector') IS NOT NULL AS has_vector \gset
\if :has_vector
\elif :has_pgvector
CREATE EXTENSION vector;
\else
-- pgvector's spelling without pgvector: a vector is its text form '[0.1,0.2]', and <=> computes the cosine distance in SQL. It has no index and no speed;
-- the statements are those that real pgvector users write, which is all that pglane looks at.
CREATE DOMAIN vector AS text CHECK (VALUE ~ '^\[[-+.eE0-9]+(,[-+.eE0-9]+)*\]$');
CREATE FUNCTION cosine_distance(text, text) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
	SELECT 1 - sum(a * b) / nullif(sqrt(sum(a * a)) * sqrt(sum(b * b)), 0)
	FROM unnest(translate($1, '[]', '{}')::float8[], translate($2, '[]', '{}')::float8[]) AS pair (a, b)
$$;
CREATE OPERATOR <=> (LEFTARG = text, RIGHTARG = text, FUNCTION = cosine_distance, COMMUTATOR = <=>);
\endif

CREATE TABLE IF NOT EXISTS customers (
	id uuid PRIMARY KEY,
	name text NOT NULL,
	location geography(Point, 4326) NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS bins (
	id uuid PRIMARY KEY,
	customer_id uuid NOT NULL REFERENCES customers,
	fill_percent integer NOT NULL,
	location geography(Point, 4326) NOT NULL
);

CREATE TABLE IF NOT EXISTS service_events (
	id uuid PRIMARY KEY,
	customer_id uuid NOT NULL REFERENCES customers,
	bin_id uuid REFERENCES bins,
	description text NOT NULL,
	embedding vector NOT NULL,
	location geography(Point, 4326) NOT NULL,
	service_date timestamptz NOT NULL
);

CREATE TABLE IF NOT EXISTS ml_feature_store (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	feature_set_name varchar(100) NOT NULL,
	feature_version varchar(100) NOT NULL,
	entity_type varchar(50) NOT NULL,
	entity_id uuid NOT NULL,
	features jsonb NOT NULL,
	extraction_timestamp timestamptz NOT NULL DEFAULT now(),
	UNIQUE (feature_set_name, feature_version, entity_id)
);

CREATE TABLE IF NOT EXISTS ml_predictions (
	id uuid NOT NULL DEFAULT gen_random_uuid(),
	prediction_type varchar(50) NOT NULL,
	entity_type varchar(50),
	entity_id uuid,
	prediction_result jsonb NOT NULL,
	confidence_score decimal(5,4),
	prediction_timestamp timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (id, prediction_timestamp)
);

CREATE TABLE IF NOT EXISTS ml_vector_metadata (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	entity_type varchar(50) NOT NULL,
	entity_id uuid NOT NULL,
	vector_id varchar(255) NOT NULL,
	vector_version integer NOT NULL DEFAULT 1,
	vectorization_timestamp timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz,
	UNIQUE (entity_type, entity_id, vector_version)
);

CREATE INDEX IF NOT EXISTS service_events_location ON service_events USING gist (location);
CREATE INDEX IF NOT EXISTS bins_location ON bins USING gist (location);

-- The same rows each time: ids and numbers come from hashes, places lie around Berlin.
CREATE FUNCTION pg_temp.demo_id(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(kind || n)::uuid $$;
CREATE FUNCTION pg_temp.demo_unit(kind text, n bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
	SELECT (hashtextextended(kind, n) & 1048575) / 1048576.0
$$;
CREATE FUNCTION pg_temp.demo_place(kind text, n bigint) RETURNS geography LANGUAGE sql IMMUTABLE AS $$
	SELECT ST_SetSRID(ST_MakePoint(13.2 + pg_temp.demo_unit(kind || 'x', n) * 0.4, 52.4 + pg_temp.demo_unit(kind || 'y', n) * 0.2), 4326)::geography
$$;

INSERT INTO customers
SELECT pg_temp.demo_id('customer', n), 'Customer ' || n, pg_temp.demo_place('customer', n), now() - n * interval '1 day'
FROM generate_series(1, 200) n ON CONFLICT DO NOTHING;

INSERT INTO bins
SELECT pg_temp.demo_id('bin', n), pg_temp.demo_id('customer', 1 + n % 200), (pg_temp.demo_unit('fill', n) * 100)::int, pg_temp.demo_place('bin', n)
FROM generate_series(1, 500) n ON CONFLICT DO NOTHING;

INSERT INTO service_events
SELECT pg_temp.demo_id('event', n), pg_temp.demo_id('customer', 1 + n % 200), pg_temp.demo_id('bin', 1 + n % 500),
	(ARRAY['overflowing bin', 'missed pickup', 'broken lid', 'extra collection'])[1 + n % 4] || ' ' || n,
	(SELECT ('[' || string_agg(round(pg_temp.demo_unit('dimension' || d, n)::numeric, 4)::text, ',' ORDER BY d) || ']')
		FROM generate_series(1, 8) d)::vector,
	pg_temp.demo_place('event', n), now() - n * interval '1 hour'
FROM generate_series(1, 2000) n ON CONFLICT DO NOTHING;

INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id)
SELECT 'service_event', id, 'ServiceEventVector/' || id FROM service_events ON CONFLICT DO NOTHING;

INSERT INTO ml_feature_store (feature_set_name, feature_version, entity_type, entity_id, features)
SELECT 'churn', '1', 'customer', id, jsonb_build_object('pickups_30d', n % 12, 'complaints_90d', n % 5)
FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM customers) numbered ON CONFLICT DO NOTHING;

ANALYZE customers, bins, service_events, ml_feature_store, ml_vector_metadata;
