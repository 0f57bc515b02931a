-- migrate:up

-- A small shop's popular products, or its training set, must not cost a walk through the events
-- of every other shop.
CREATE INDEX event_of_tenant ON event (tenant_id, occurred_at);

-- migrate:down
-- Forward only: a mistake is mended by the next migration.
