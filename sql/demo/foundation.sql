-- SPDX-License-Identifier: ISC
-- The tables that an application of waste management brings along: what the ML tables refer to and the ml_source_* views read.
--
-- For demonstrations, tests and benchmarks; a real database has its own. Load it before pglane-migrate, into an empty database:
--   psql -v ON_ERROR_STOP=1 -1 -f sql/demo/foundation.sql DATABASE
-- Personal data is in it on purpose (names, addresses, telephone numbers, free notes): what may leave for vectors and training is
-- decided by views, and tests look for what must not. Rows are deleted softly; users, where they are mentioned, are let go of.

CREATE EXTENSION IF NOT EXISTS postgis;

CREATE TABLE organizations (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	name text NOT NULL,
	slug text NOT NULL UNIQUE,
	country char(2) NOT NULL,
	timezone text NOT NULL DEFAULT 'UTC',
	plan text NOT NULL DEFAULT 'standard' CHECK (plan IN ('standard', 'professional', 'enterprise')),
	contact_email text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz
);

CREATE TABLE users (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	organization_id uuid NOT NULL REFERENCES organizations,
	email text NOT NULL UNIQUE,
	full_name text NOT NULL,
	phone text,
	role text NOT NULL CHECK (role IN ('admin', 'dispatcher', 'driver', 'analyst', 'support')),
	status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'left')),
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz
);
CREATE INDEX users_organization ON users (organization_id);

CREATE TABLE user_security (
	user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
	password_hash text NOT NULL,
	mfa_enabled boolean NOT NULL DEFAULT false,
	failed_logins integer NOT NULL DEFAULT 0,
	locked_until timestamptz,
	last_login_at timestamptz,
	last_login_ip inet,
	updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE customers (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	organization_id uuid NOT NULL REFERENCES organizations,
	name text NOT NULL,
	customer_type text NOT NULL CHECK (customer_type IN ('household', 'shop', 'restaurant', 'office', 'industry', 'municipality')),
	contact_name text,
	contact_email text,
	contact_phone text,
	street text,
	city text,
	postal_code text,
	service_address geography(Point, 4326),
	service_tier text NOT NULL DEFAULT 'basic' CHECK (service_tier IN ('basic', 'standard', 'premium')),
	status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'cancelled')),
	contract_start date,
	monthly_fee numeric(10,2),
	notes text,
	created_by uuid REFERENCES users ON DELETE SET NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz
);
CREATE INDEX customers_organization ON customers (organization_id);
CREATE INDEX customers_service_address ON customers USING gist (service_address);
CREATE INDEX customers_created_by ON customers (created_by);

CREATE TABLE bins (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	organization_id uuid NOT NULL REFERENCES organizations,
	customer_id uuid REFERENCES customers,
	serial_number text NOT NULL UNIQUE,
	bin_type text NOT NULL CHECK (bin_type IN ('residual', 'paper', 'plastic', 'glass', 'organic')),
	capacity_liters integer NOT NULL CHECK (capacity_liters > 0),
	fill_percent integer NOT NULL DEFAULT 0 CHECK (fill_percent BETWEEN 0 AND 150),
	battery_percent integer CHECK (battery_percent BETWEEN 0 AND 100),
	location geography(Point, 4326) NOT NULL,
	installed_on date,
	last_service_date timestamptz,
	status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'damaged', 'removed')),
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz
);
CREATE INDEX bins_organization ON bins (organization_id);
CREATE INDEX bins_customer ON bins (customer_id);
CREATE INDEX bins_location ON bins USING gist (location);

CREATE TABLE vehicles (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	organization_id uuid NOT NULL REFERENCES organizations,
	registration text NOT NULL UNIQUE,
	vehicle_type text NOT NULL CHECK (vehicle_type IN ('rear_loader', 'side_loader', 'front_loader', 'skip_truck')),
	capacity_kg integer NOT NULL CHECK (capacity_kg > 0),
	fuel_type text NOT NULL CHECK (fuel_type IN ('diesel', 'gas', 'electric')),
	mileage_km integer NOT NULL DEFAULT 0,
	location geography(Point, 4326),
	last_maintenance date,
	status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'workshop', 'retired')),
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz
);
CREATE INDEX vehicles_organization ON vehicles (organization_id);

CREATE TABLE routes (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	organization_id uuid NOT NULL REFERENCES organizations,
	vehicle_id uuid REFERENCES vehicles,
	driver_id uuid REFERENCES users ON DELETE SET NULL,
	name text NOT NULL,
	route_date date NOT NULL,
	status text NOT NULL DEFAULT 'planned' CHECK (status IN ('planned', 'running', 'completed', 'cancelled')),
	start_location geography(Point, 4326),
	route_geometry geography(LineString, 4326),
	total_distance numeric(8,2),
	total_duration integer,
	stop_count integer,
	notes text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz
);
COMMENT ON COLUMN routes.total_distance IS 'kilometres';
COMMENT ON COLUMN routes.total_duration IS 'minutes';
CREATE INDEX routes_organization_date ON routes (organization_id, route_date);
CREATE INDEX routes_vehicle ON routes (vehicle_id);
CREATE INDEX routes_driver ON routes (driver_id);

CREATE TABLE service_events (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	organization_id uuid NOT NULL REFERENCES organizations,
	customer_id uuid REFERENCES customers,
	bin_id uuid REFERENCES bins,
	route_id uuid REFERENCES routes,
	vehicle_id uuid REFERENCES vehicles,
	performed_by uuid REFERENCES users ON DELETE SET NULL,
	event_type text NOT NULL CHECK (event_type IN ('pickup', 'missed_pickup', 'overflow', 'contamination', 'damage', 'extra_collection', 'complaint')),
	status text NOT NULL DEFAULT 'planned' CHECK (status IN ('planned', 'in_progress', 'completed', 'failed')),
	priority integer NOT NULL DEFAULT 5 CHECK (priority BETWEEN 1 AND 10),
	description text NOT NULL,
	notes text,
	location geography(Point, 4326) NOT NULL,
	service_date timestamptz NOT NULL,
	duration_minutes integer,
	weight_kg numeric(8,2),
	fill_percent integer,
	contact_name text,
	contact_phone text,
	resolution text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz
);
CREATE INDEX service_events_organization ON service_events (organization_id);
CREATE INDEX service_events_customer ON service_events (customer_id);
CREATE INDEX service_events_bin ON service_events (bin_id);
CREATE INDEX service_events_route ON service_events (route_id);
CREATE INDEX service_events_performed_by ON service_events (performed_by);
CREATE INDEX service_events_location ON service_events USING gist (location);

CREATE TABLE audit_logs (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	organization_id uuid REFERENCES organizations,
	user_id uuid REFERENCES users ON DELETE SET NULL,
	action text NOT NULL,
	table_name text NOT NULL,
	record_id uuid,
	old_values jsonb,
	new_values jsonb,
	ip_address inet,
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_logs_record ON audit_logs (table_name, record_id);
CREATE INDEX audit_logs_user ON audit_logs (user_id);
