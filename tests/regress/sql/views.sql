-- SPDX-License-Identifier: ISC
-- Views, rules, triggers, partitions.
CREATE TABLE base (id int PRIMARY KEY, v text, hidden bool DEFAULT false);
CREATE VIEW shown AS SELECT id, v FROM base WHERE NOT hidden WITH CHECK OPTION;
INSERT INTO shown VALUES (1, 'one'), (2, 'two');
UPDATE shown SET v = 'deux' WHERE id = 2 RETURNING *;
SELECT * FROM shown ORDER BY id;
CREATE OR REPLACE VIEW shown AS SELECT id FROM base;
CREATE VIEW narrow AS SELECT * FROM base WHERE id < 5 WITH LOCAL CHECK OPTION;
INSERT INTO narrow VALUES (7, 'seven', false);
CREATE MATERIALIZED VIEW stored AS SELECT count(*) AS n FROM base;
INSERT INTO base VALUES (3, 'three');
SELECT * FROM stored;
REFRESH MATERIALIZED VIEW stored;
SELECT * FROM stored;
CREATE TABLE log (what text);
CREATE RULE noted AS ON DELETE TO base DO ALSO INSERT INTO log VALUES ('deleted ' || OLD.id);
CREATE RULE refused AS ON UPDATE TO base WHERE NEW.v = 'never' DO INSTEAD NOTHING;
DELETE FROM base WHERE id = 3;
UPDATE base SET v = 'never';
SELECT * FROM base ORDER BY id;
SELECT * FROM log;
CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '% % % on %', TG_WHEN, TG_LEVEL, TG_OP, TG_TABLE_NAME;
	IF TG_OP = 'INSERT' AND TG_LEVEL = 'ROW' THEN
		NEW.v := upper(NEW.v);
		RETURN NEW;
	END IF;
	IF TG_LEVEL = 'ROW' AND OLD.id = 1 THEN
		RAISE EXCEPTION 'row 1 stays' USING HINT = 'take another', DETAIL = 'it is the first', ERRCODE = '23P99';
	END IF;
	RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER before_row BEFORE INSERT OR UPDATE OR DELETE ON base FOR EACH ROW EXECUTE FUNCTION told();
CREATE TRIGGER after_all AFTER INSERT ON base FOR EACH STATEMENT EXECUTE FUNCTION told();
INSERT INTO base VALUES (4, 'four');
UPDATE base SET v = 'x' WHERE id = 1;
SELECT * FROM base ORDER BY id;
ALTER TABLE base DISABLE TRIGGER ALL;
UPDATE base SET v = 'quiet' WHERE id = 1;
SET session_replication_role = replica;
ALTER TABLE base ENABLE TRIGGER ALL;
UPDATE base SET v = 'replicated' WHERE id = 1;
RESET session_replication_role;
CREATE TABLE p (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
INSERT INTO p VALUES (5, 'low'), (15, 'high');
INSERT INTO p VALUES (25, 'none');
UPDATE p SET k = 12 WHERE k = 5;
SELECT tableoid::regclass, * FROM p ORDER BY k;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE k = 12;
ALTER TABLE p DETACH PARTITION p2;
SELECT count(*) FROM p;
CREATE EVENT TRIGGER seen_ddl ON ddl_command_end EXECUTE FUNCTION told();
CREATE FUNCTION ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'ddl: %', TG_TAG; END $$;
CREATE EVENT TRIGGER seen_ddl ON ddl_command_end EXECUTE FUNCTION ddl();
CREATE TABLE noticed (n int);
DROP EVENT TRIGGER seen_ddl;
SELECT pg_get_viewdef('narrow'), pg_get_ruledef(oid) FROM pg_rewrite WHERE rulename = 'noted';
