-- migrate:up

-- What a shop wants more of. A table of its own: `tenant` is bound by no policy.
CREATE TABLE training_setting (
    tenant_id uuid PRIMARY KEY DEFAULT current_setting('app.tenant_id')::uuid
        REFERENCES tenant ON DELETE CASCADE,
    objective text NOT NULL CHECK (objective IN ('auto', 'click', 'order', 'net-revenue'))
);
ALTER TABLE training_setting ENABLE ROW LEVEL SECURITY;
ALTER TABLE training_setting FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON training_setting TO aisle_app
    USING (tenant_id = current_setting('app.tenant_id')::uuid)
    WITH CHECK (tenant_id = current_setting('app.tenant_id')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON training_setting TO aisle_app;

ALTER TABLE training_job ADD COLUMN objective text NOT NULL DEFAULT 'auto';
ALTER TABLE release ADD COLUMN objective text NOT NULL DEFAULT 'auto';

-- migrate:down
-- Forward only: a mistake is mended by the next migration.
