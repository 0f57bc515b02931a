-- migrate:up

-- Roles are shared by all databases of a server. Logins are members of these two.
DO $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('aisle roles'));
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'aisle_app') THEN
        CREATE ROLE aisle_app NOLOGIN NOSUPERUSER NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'aisle_drain') THEN
        CREATE ROLE aisle_drain NOLOGIN NOSUPERUSER NOBYPASSRLS;
    END IF;
END
$$;

-- Who exists. No policy, on purpose: read before a tenant is known; holds nothing of a shop.
CREATE TABLE tenant (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_key (
    tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid
        REFERENCES tenant ON DELETE CASCADE,
    key_id text NOT NULL,
    key_hash bytea NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('pub', 'sec')),
    mode text NOT NULL CHECK (mode IN ('live', 'test')),
    last_four text NOT NULL,
    scopes text[] NOT NULL,
    origins text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, key_id)
);

CREATE TABLE product (
    tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid
        REFERENCES tenant ON DELETE CASCADE,
    product_id text NOT NULL,
    title text NOT NULL,
    description text,
    category text,
    brand text,
    price_cents bigint CHECK (price_cents >= 0),
    currency text,
    image_url text,
    url text,
    in_stock boolean NOT NULL DEFAULT true,
    stock_as_of timestamptz,
    markets text[],
    published boolean NOT NULL DEFAULT true,
    attributes jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    revision bigint NOT NULL,
    PRIMARY KEY (tenant_id, product_id)
);
CREATE SEQUENCE product_revision;
ALTER TABLE product ALTER COLUMN revision SET DEFAULT nextval('product_revision');
CREATE INDEX product_changes ON product (tenant_id, revision);
COMMENT ON COLUMN product.markets IS 'ISO countries the product is sold in; null: everywhere';
COMMENT ON COLUMN product.updated_at IS 'version of the source: an older write never wins';
COMMENT ON COLUMN product.revision IS 'grows with every write; readers poll what is newer';

CREATE TABLE customer (
    tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid
        REFERENCES tenant ON DELETE CASCADE,
    customer_id text NOT NULL,
    country text,
    attributes jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, customer_id)
);

-- One row per accepted event id, so that an event sent twice counts once even when its time
-- was clamped differently. The partitioned table cannot hold that key: it lacks the time.
CREATE TABLE event_key (
    tenant_id uuid NOT NULL REFERENCES tenant ON DELETE CASCADE,
    event_id text NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
);

CREATE TABLE event (
    tenant_id uuid NOT NULL,
    event_id text NOT NULL,
    type text NOT NULL,
    customer_id text,
    session_id text,
    product_id text,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    quantity integer,
    price_cents bigint,
    currency text,
    recommendation_id text,
    dwell_ms integer,
    context jsonb
) PARTITION BY RANGE (occurred_at);
CREATE INDEX event_of_customer ON event (tenant_id, customer_id, occurred_at DESC)
    WHERE customer_id IS NOT NULL;
CREATE INDEX event_of_session ON event (tenant_id, session_id, occurred_at DESC)
    WHERE session_id IS NOT NULL AND customer_id IS NULL;
CREATE INDEX event_by_time ON event USING brin (occurred_at);

DO $$
DECLARE
    quarter date;
BEGIN
    CREATE TABLE event_before_2024 PARTITION OF event FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
    FOR quarter IN SELECT generate_series('2024-01-01'::date, '2029-10-01'::date, '3 months') LOOP
        EXECUTE format(
            'CREATE TABLE event_%s PARTITION OF event FOR VALUES FROM (%L) TO (%L)',
            to_char(quarter, 'YYYY_"q"Q'), quarter, (quarter + interval '3 months')::date
        );
    END LOOP;
    CREATE TABLE event_later PARTITION OF event DEFAULT;
END
$$;

-- What the drain could not store, with the reason, until somebody looks.
CREATE TABLE event_dead_letter (
    tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid
        REFERENCES tenant ON DELETE CASCADE,
    entry_id text NOT NULL,
    payload bytea NOT NULL,
    reason text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, entry_id)
);

CREATE TABLE idempotency_key (
    tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid
        REFERENCES tenant ON DELETE CASCADE,
    key text NOT NULL,
    route text NOT NULL,
    body_hash bytea NOT NULL,
    status integer,
    answer bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key)
);

CREATE TABLE import_run (
    tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid
        REFERENCES tenant ON DELETE CASCADE,
    import_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('products', 'customers', 'events')),
    mode text NOT NULL CHECK (mode IN ('incremental', 'full')),
    format text NOT NULL CHECK (format IN ('parquet', 'csv', 'jsonl')),
    dry_run boolean NOT NULL,
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed')),
    bytes_total bigint NOT NULL,
    rows_read bigint NOT NULL DEFAULT 0,
    rows_accepted bigint NOT NULL DEFAULT 0,
    rows_rejected bigint NOT NULL DEFAULT 0,
    rows_removed bigint NOT NULL DEFAULT 0,
    progress real NOT NULL DEFAULT 0,
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, import_id)
);

CREATE TABLE import_error (
    tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid,
    import_id text NOT NULL,
    position integer NOT NULL,
    row_number bigint NOT NULL,
    field text,
    code text NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (tenant_id, import_id, position),
    FOREIGN KEY (tenant_id, import_id) REFERENCES import_run ON DELETE CASCADE
);

CREATE TABLE release (
    tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid
        REFERENCES tenant ON DELETE CASCADE,
    release_id text NOT NULL,
    champion text NOT NULL,
    verdict text NOT NULL,
    passed boolean NOT NULL,
    metrics jsonb NOT NULL,
    parent_release_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, release_id)
);
COMMENT ON COLUMN release.champion IS 'the order that serves: own-models, ease, item-knn, …';
COMMENT ON COLUMN release.passed IS 'whether the gate let the own models serve';

CREATE TABLE serving (
    tenant_id uuid PRIMARY KEY DEFAULT current_setting('app.tenant_id')::uuid
        REFERENCES tenant ON DELETE CASCADE,
    release_id text NOT NULL,
    previous_release_id text,
    switched_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant_id, release_id) REFERENCES release
);

CREATE TABLE training_job (
    tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid
        REFERENCES tenant ON DELETE CASCADE,
    job_id text NOT NULL,
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'exporting', 'training', 'succeeded', 'failed')),
    requested_by text NOT NULL,
    stage text,
    progress real NOT NULL DEFAULT 0,
    detail jsonb NOT NULL DEFAULT '{}',
    reason text,
    release_id text,
    events_at_start bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    heartbeat_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, job_id)
);
CREATE UNIQUE INDEX one_training_job_at_a_time ON training_job (tenant_id)
    WHERE state IN ('queued', 'exporting', 'training');

-- Isolation: every tenant table is forced to one policy.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'product', 'customer', 'event_key', 'event', 'event_dead_letter', 'idempotency_key',
        'import_run', 'import_error', 'release', 'serving', 'training_job'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I TO aisle_app
             USING (tenant_id = current_setting(''app.tenant_id'')::uuid)
             WITH CHECK (tenant_id = current_setting(''app.tenant_id'')::uuid)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO aisle_app', name);
    END LOOP;
    -- Partitions are reached through `event` alone: forced without a policy, they show nothing.
    FOR name IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'event'::regclass
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', name);
    END LOOP;
END
$$;

-- A key proves itself: before its tenant is known, whoever presents its hash sees that row.
ALTER TABLE api_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_key FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON api_key TO aisle_app
    USING (
        tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
        OR key_hash = decode(nullif(current_setting('app.key_hash', true), ''), 'hex')
    )
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON api_key TO aisle_app;

GRANT SELECT, INSERT ON tenant TO aisle_app;
GRANT USAGE ON SEQUENCE product_revision TO aisle_app;

-- The drain writes for many tenants at once and reads nothing but the ids it just inserted.
GRANT INSERT ON event, event_dead_letter TO aisle_drain;
GRANT INSERT, SELECT ON event_key TO aisle_drain;
CREATE POLICY drain_inserts ON event FOR INSERT TO aisle_drain WITH CHECK (true);
CREATE POLICY drain_inserts ON event_dead_letter FOR INSERT TO aisle_drain WITH CHECK (true);
CREATE POLICY drain_inserts ON event_key FOR INSERT TO aisle_drain WITH CHECK (true);
CREATE POLICY drain_reads_ids ON event_key FOR SELECT TO aisle_drain USING (true);

-- migrate:down
-- Forward only: a mistake is mended by the next migration.
