-- SPDX-License-Identifier: ISC
-- Row security: a role sees and writes rows of the organizations that ml_role_organizations gives it, and roles that serve all organizations see all.
--
-- On pglane's tables only. On the application's it would keep their spatial and JSON indexes from being used: conditions that are not proven leakproof would have to
-- wait behind the policy. The array is built once for a statement, not once for a row.
--
-- COPY ... FROM into these tables is refused by PostgreSQL for whom the policies hold: use INSERT.

SET LOCAL ROLE ml_owner;

DO $$
DECLARE
	tab text;
	part regclass;
BEGIN
	FOREACH tab IN ARRAY ARRAY['ml_vector_metadata', 'ml_feature_store', 'ml_feature_store_history', 'ml_models', 'ml_predictions', 'ml_audit_logs', 'ml_vector_outbox', 'ml_vector_dead'] LOOP
		EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', tab);
		EXECUTE format('CREATE POLICY ml_all ON public.%I TO ml_service, ml_proxy USING (true) WITH CHECK (true)', tab);
		EXECUTE format('CREATE POLICY ml_organization ON public.%I USING (organization_id = ANY (ARRAY(SELECT public.ml_visible_organizations())))
			WITH CHECK (organization_id = ANY (ARRAY(SELECT public.ml_visible_organizations())))', tab);
		FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = ('public.' || tab)::regclass LOOP
			PERFORM public.ml_guard_partition(('public.' || tab)::regclass, part);
		END LOOP;
	END LOOP;
END
$$;

CREATE POLICY ml_auditor ON public.ml_audit_logs FOR SELECT TO ml_auditor USING (true);

RESET ROLE;
