-- SPDX-License-Identifier: ISC
-- A column service_events.embedding, so that similarity searches run. For packaging/quickstart; load it after data.sql. Running it twice is harmless.

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

ALTER TABLE service_events ADD COLUMN IF NOT EXISTS embedding vector;

-- Eight numbers: those of the kind of event, a little of each event's own. Events of a kind lie together, as a model would put them.
UPDATE service_events e SET embedding = made.embedding
FROM (SELECT id, ('[' || string_agg(round((0.8 * kind + 0.2 * own)::numeric, 4)::text, ',' ORDER BY d) || ']')::vector AS embedding
	FROM service_events, generate_series(1, 8) d,
		LATERAL (SELECT (hashtextextended(event_type, d) & 1023) / 1024.0 AS kind, (hashtextextended(id::text, d) & 1023) / 1024.0 AS own) u
	WHERE embedding IS NULL GROUP BY id) made
WHERE made.id = e.id;
ANALYZE service_events;
