-- SPDX-License-Identifier: ISC
-- A year of waste management in eight cities: the same rows each time for the same seed, as many as are asked for.
--
--   psql -v ON_ERROR_STOP=1 -1 -v n=100000 -f sql/demo/data.sql DATABASE
--
--   n       service events (2000); all else follows: a tenth as many customers, a quarter as many bins, a vector and a set of features for each event
--   seed    another seed makes another year (1)
--   as_of   the end of the year (now); ids and values do not depend on it, times do
--
-- Load foundation.sql first. The ml_* tables are filled where they are there, so load it after pglane-migrate, as a superuser: row-level security
-- does not hold those. A database that has the rows of this seed already is left alone. 100,000 events take about 20 s.

\if :{?n} \else \set n 2000 \endif
\if :{?seed} \else \set seed 1 \endif
\if :{?as_of} \else \set as_of now \endif
SET LOCAL client_min_messages = warning;
SET LOCAL jit = off;
SET LOCAL timezone = 'UTC';

SELECT EXISTS (SELECT FROM organizations WHERE id = md5(:'seed' || 'organization1')::uuid) AS done \gset
\if :done
\quit
\endif

-- Every value is a function of (seed, what it is for, number).
SELECT format('CREATE FUNCTION pg_temp.id(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(%L || kind || n)::uuid $$', :'seed') \gexec
SELECT format('CREATE FUNCTION pg_temp.unit(kind text, n bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS
	$$ SELECT (hashtextextended(%L || kind, n) & 1048575) / 1048576.0::float8 $$', :'seed') \gexec
CREATE FUNCTION pg_temp.upto(kind text, n bigint, bound bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT floor(pg_temp.unit(kind, n) * bound)::bigint $$;
CREATE FUNCTION pg_temp.one_of(kind text, n bigint, choices text[]) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$ SELECT choices[1 + floor(pg_temp.unit(kind, n) * cardinality(choices))::int] $$;
CREATE FUNCTION pg_temp.near(place geography, kind text, n bigint, metres float8) RETURNS geography LANGUAGE sql IMMUTABLE AS $$
	SELECT ST_SetSRID(ST_MakePoint(ST_X(place::geometry) + (pg_temp.unit(kind || 'x', n) - 0.5) * metres / 34000,
		ST_Y(place::geometry) + (pg_temp.unit(kind || 'y', n) - 0.5) * metres / 55500), 4326)::geography
$$;
CREATE FUNCTION pg_temp.person(kind text, n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT pg_temp.one_of(kind || 'given', n, '{Anna,Jonas,Mira,Paul,Lena,Emil,Sofia,Noah,Clara,Max,Ida,Ben,Nora,Felix,Ella,Oskar}') || ' ' ||
		pg_temp.one_of(kind || 'family', n, '{Berg,Keller,Novak,Jansen,Weber,Holm,Moser,Frei,Lang,Koch,Sommer,Brandt,Vogel,Peters,Lund,Graf}')
$$;
CREATE FUNCTION pg_temp.phone(kind text, n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$ SELECT '+49 30 ' || lpad(pg_temp.upto(kind || 'phone', n, 10000000)::text, 7, '0') $$;

SELECT cities, greatest(:n / 10, 24) AS customers, greatest(:n / 10, 24) * 5 / 2 AS bins, cities * greatest(:n / 10000, 2) AS vehicles,
	cities * greatest(:n / (40 * cities), 8) AS routes, date_trunc('hour', :'as_of'::timestamptz) AS as_of FROM (SELECT 8 AS cities) s \gset

CREATE TEMPORARY TABLE city ON COMMIT DROP AS
SELECT number::int, pg_temp.id('organization', number) AS organization_id, name, country, timezone, ST_SetSRID(ST_MakePoint(lon, lat), 4326)::geography AS centre
FROM (VALUES (1, 'Berlin', 'DE', 'Europe/Berlin', 13.40, 52.50), (2, 'Hamburg', 'DE', 'Europe/Berlin', 10.00, 53.55),
	(3, 'München', 'DE', 'Europe/Berlin', 11.57, 48.14), (4, 'Köln', 'DE', 'Europe/Berlin', 6.96, 50.94), (5, 'Wien', 'AT', 'Europe/Vienna', 16.37, 48.21),
	(6, 'Zürich', 'CH', 'Europe/Zurich', 8.54, 47.37), (7, 'Amsterdam', 'NL', 'Europe/Amsterdam', 4.90, 52.37),
	(8, 'København', 'DK', 'Europe/Copenhagen', 12.57, 55.68)) c (number, name, country, timezone, lon, lat);

INSERT INTO organizations (id, name, slug, country, timezone, plan, contact_email, created_at)
SELECT organization_id, name || ' Clean City', 'seed' || :'seed' || '-city' || number, country, timezone,
	(ARRAY['enterprise', 'professional', 'standard'])[1 + number % 3], 'office@city' || number || '.example', :'as_of'::timestamptz - interval '400 days'
FROM city;

-- For each organization an admin, a dispatcher, an analyst and a supporter (numbers 1 to 32), and one driver for each vehicle (from 1001 on).
INSERT INTO users (id, organization_id, email, full_name, phone, role, created_at)
SELECT pg_temp.id('user', u), organization_id, 'user' || u || '.' || :'seed' || '@city' || number || '.example', pg_temp.person('user', u), pg_temp.phone('user', u),
	role, :'as_of'::timestamptz - interval '390 days'
FROM city, LATERAL (SELECT number + 8 * k AS u, (ARRAY['admin', 'dispatcher', 'analyst', 'support'])[k + 1] AS role FROM generate_series(0, 3) k
	UNION ALL SELECT 1000 + v, 'driver' FROM generate_series(number, :vehicles, :cities) v) who;
INSERT INTO user_security (user_id, password_hash, mfa_enabled, failed_logins, last_login_at, last_login_ip)
SELECT id, 'scrypt$' || md5(id::text), role <> 'driver', 0, :'as_of'::timestamptz - interval '1 hour', '192.0.2.7' FROM users ON CONFLICT DO NOTHING;

INSERT INTO vehicles (id, organization_id, registration, vehicle_type, capacity_kg, fuel_type, mileage_km, location, last_maintenance)
SELECT pg_temp.id('vehicle', v), organization_id, left(name, 1) || '-WM ' || :'seed' || lpad(v::text, 4, '0'),
	pg_temp.one_of('vehicle', v, '{rear_loader,side_loader,front_loader,skip_truck}'), 8000 + 1000 * pg_temp.upto('capacity', v, 6),
	pg_temp.one_of('fuel', v, '{diesel,diesel,gas,electric}'), 10000 + pg_temp.upto('mileage', v, 180000), pg_temp.near(centre, 'vehicle', v, 8000),
	:'as_of'::date - pg_temp.upto('maintenance', v, 200)::int
FROM generate_series(1, :vehicles) v JOIN city ON number = 1 + (v - 1) % :cities;

-- Towns are denser in their middle: a place is the mean of two throws.
INSERT INTO customers (id, organization_id, name, customer_type, contact_name, contact_email, contact_phone, street, city, postal_code, service_address,
	service_tier, status, contract_start, monthly_fee, notes, created_by, created_at, deleted_at)
SELECT pg_temp.id('customer', c), organization_id, CASE customer_type WHEN 'household' THEN 'Household ' ELSE initcap(customer_type) || ' ' END || pg_temp.person('customer', c),
	customer_type, pg_temp.person('customer', c), 'customer' || c || '@mail.example', pg_temp.phone('customer', c),
	pg_temp.one_of('street', c, '{Lindenweg,Hafenstrasse,Ringstrasse,Marktplatz,Gartenweg,Bahnhofstrasse}') || ' ' || 1 + pg_temp.upto('house', c, 140), name,
	lpad(pg_temp.upto('postal', c, 90000)::text, 5, '1'), pg_temp.near(pg_temp.near(centre, 'customer', c, 12000), 'again', c, 12000),
	(ARRAY['basic', 'basic', 'standard', 'standard', 'premium'])[1 + pg_temp.upto('tier', c, 5)],
	CASE WHEN pg_temp.unit('status', c) < 0.93 THEN 'active' WHEN pg_temp.unit('status', c) < 0.96 THEN 'paused' ELSE 'cancelled' END,
	:'as_of'::date - 370 - pg_temp.upto('contract', c, 1500)::int, round((20 + 280 * pg_temp.unit('fee', c) ^ 3)::numeric, 2),
	CASE WHEN pg_temp.unit('note', c) < 0.2 THEN 'Gate code ' || pg_temp.upto('gate', c, 9000) + 1000 || ', ask for ' || pg_temp.person('note', c) END,
	pg_temp.id('user', 8 + number), :'as_of'::timestamptz - interval '370 days', CASE WHEN pg_temp.unit('gone', c) < 0.01 THEN :'as_of'::timestamptz - interval '9 days' END
FROM generate_series(1, :customers) c JOIN city ON number = 1 + (c - 1) % :cities,
	LATERAL (SELECT pg_temp.one_of('type', c, '{household,household,household,shop,restaurant,office,industry,municipality}') AS customer_type) t;

-- Bins c, c + customers, c + 2 * customers belong to customer c.
INSERT INTO bins (id, organization_id, customer_id, serial_number, bin_type, capacity_liters, fill_percent, battery_percent, location, installed_on, last_service_date)
SELECT pg_temp.id('bin', b), c.organization_id, c.id, 'BIN-' || :'seed' || '-' || lpad(b::text, 7, '0'), pg_temp.one_of('bin', b, '{residual,paper,plastic,glass,organic}'),
	(ARRAY[120, 240, 660, 1100])[1 + pg_temp.upto('capacity', b, 4)], (120 * pg_temp.unit('fill', b) ^ 1.3)::int, 100 - pg_temp.upto('battery', b, 80),
	pg_temp.near(c.service_address, 'bin', b, 60), :'as_of'::date - 365 - pg_temp.upto('installed', b, 900)::int,
	:'as_of'::timestamptz - pg_temp.unit('serviced', b) * interval '14 days'
FROM generate_series(1, :bins) b JOIN customers c ON c.id = pg_temp.id('customer', 1 + (b - 1) % :customers);

INSERT INTO routes (id, organization_id, vehicle_id, driver_id, name, route_date, status, start_location, route_geometry, total_distance, total_duration, stop_count, notes, created_at)
SELECT pg_temp.id('route', r), organization_id, pg_temp.id('vehicle', vehicle), pg_temp.id('user', 1000 + vehicle), name || ' ' || to_char(day, 'Dy') || ' ' || r, day,
	CASE WHEN day >= :'as_of'::date THEN 'planned' WHEN pg_temp.unit('cancelled', r) < 0.03 THEN 'cancelled' ELSE 'completed' END, stops[1]::geography, ST_MakeLine(stops)::geography,
	round((ST_Length(ST_MakeLine(stops)::geography) / 1000 * 1.4)::numeric, 2), (ST_Length(ST_MakeLine(stops)::geography) / 1000 * 2.5)::int + 60 + pg_temp.upto('jam', r, 90)::int,
	30 + pg_temp.upto('stops', r, 60), CASE WHEN pg_temp.unit('note', r) < 0.1 THEN 'Road works, call ' || pg_temp.person('route', r) END, day - interval '3 days'
FROM generate_series(1, :routes) r JOIN city ON number = 1 + (r - 1) % :cities,
	LATERAL (SELECT number + :cities * pg_temp.upto('vehicle', r, :vehicles / :cities) AS vehicle, :'as_of'::date + 3 - pg_temp.upto('day', r, 366)::int AS any_day,
		array_agg(pg_temp.near(centre, 'stop' || s, r, 16000)::geometry ORDER BY s) AS stops FROM generate_series(1, 12) s GROUP BY 1, 2) made,
	LATERAL (SELECT any_day - (extract(isodow FROM any_day) = 7)::int AS day) weekday;

CREATE TEMPORARY TABLE saying (event_type text, descriptions text[], resolution text) ON COMMIT DROP;
INSERT INTO saying VALUES
	('pickup', '{"Regular collection, bin emptied","Collection done, street was narrow","Bin emptied, lid closed","Collected from the back yard"}', 'emptied'),
	('overflow', '{"Overflowing bin, bags beside it","Bin overfull since the weekend","Lid does not close, waste on the pavement","Container overflowing near the entrance"}', 'extra collection booked'),
	('missed_pickup', '{"Missed pickup, bin was not put out","Missed pickup, parked car in the way","Collection skipped, road closed","Bin not emptied on the planned day"}', 'caught up the next day'),
	('contamination', '{"Plastic bags among organic waste","Glass in the paper bin","Construction waste in a household bin","Batteries found in residual waste"}', 'customer informed'),
	('damage', '{"Broken lid","Wheel torn off","Bin burnt at its side","Sensor does not answer"}', 'bin replaced'),
	('extra_collection', '{"Extra collection after an event","Bulky waste collected","Additional tour for the market","Christmas trees collected"}', 'invoiced'),
	('complaint', '{"Noise early in the morning","Bad smell from the bin","Invoice does not match the collections","Driver left the gate open"}', 'answered');

INSERT INTO service_events (id, organization_id, customer_id, bin_id, route_id, vehicle_id, performed_by, event_type, status, priority, description, notes, location, service_date,
	duration_minutes, weight_kg, fill_percent, contact_name, contact_phone, resolution, created_at, updated_at, deleted_at)
SELECT pg_temp.id('event', e), c.organization_id, c.id, b.id, r.id, r.vehicle_id, r.driver_id, s.event_type,
	CASE WHEN r.route_date >= :'as_of'::date THEN 'planned' WHEN s.event_type = 'missed_pickup' OR r.status = 'cancelled' THEN 'failed' ELSE 'completed' END,
	CASE s.event_type WHEN 'overflow' THEN 7 WHEN 'complaint' THEN 6 WHEN 'pickup' THEN 3 ELSE 5 END,
	s.descriptions[1 + pg_temp.upto('description', e, 4)] || ', ' || b.bin_type || ' bin of ' || b.capacity_liters || ' l at ' || c.street,
	CASE WHEN pg_temp.unit('note', e) < 0.15 THEN 'Ring ' || c.contact_name || ' at ' || c.contact_phone || ' before coming' END,
	pg_temp.near(b.location, 'event', e, 30), r.route_date + interval '5 hours' + pg_temp.unit('hour', e) * interval '10 hours',
	2 + pg_temp.upto('minutes', e, 18), round((b.capacity_liters * fill / 100 * (0.08 + 0.12 * pg_temp.unit('weight', e)))::numeric, 2), fill::int,
	CASE WHEN s.event_type IN ('complaint', 'overflow') THEN c.contact_name END, CASE WHEN s.event_type IN ('complaint', 'overflow') THEN c.contact_phone END,
	CASE WHEN r.route_date < :'as_of'::date THEN s.resolution END, r.route_date - interval '1 day', least(r.route_date + interval '18 hours', :'as_of'::timestamptz),
	CASE WHEN pg_temp.unit('gone', e) < 0.01 THEN :'as_of'::timestamptz - interval '5 days' END
FROM (SELECT e, 1 + floor(pg_temp.unit('who', e) ^ 1.3 * :customers)::bigint AS who, pg_temp.unit('kind', e) AS kind, 20 + 100 * pg_temp.unit('level', e) AS fill
	FROM generate_series(1, :n) e) drawn
	JOIN customers c ON c.id = pg_temp.id('customer', who)
	JOIN bins b ON b.id = pg_temp.id('bin', who + :customers * pg_temp.upto('which', e, 2))
	JOIN routes r ON r.id = pg_temp.id('route', 1 + (who - 1) % :cities + :cities * pg_temp.upto('route', e, :routes / :cities))
	JOIN saying s ON s.event_type = CASE WHEN kind < 0.70 THEN 'pickup' WHEN kind < 0.79 THEN 'overflow' WHEN kind < 0.85 THEN 'missed_pickup' WHEN kind < 0.90 THEN 'contamination'
		WHEN kind < 0.94 THEN 'extra_collection' WHEN kind < 0.97 THEN 'damage' ELSE 'complaint' END;

INSERT INTO audit_logs (organization_id, user_id, action, table_name, record_id, new_values, ip_address, created_at)
SELECT organization_id, performed_by, 'update', 'service_events', id, jsonb_build_object('status', status), '192.0.2.10', updated_at
FROM service_events WHERE hashtext(id::text) % 20 = 0;

SELECT to_regclass('ml_vector_metadata') IS NOT NULL AS has_ml \gset
\if :has_ml
\ir ml_data.sql
\endif

ANALYZE;
