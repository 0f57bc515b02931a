-- migrate:up

ALTER TABLE import_run
    ADD COLUMN allow_removal boolean NOT NULL DEFAULT false,
    ADD COLUMN rows_written bigint NOT NULL DEFAULT 0,
    ADD COLUMN warnings text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN import_run.rows_written IS 'accepted rows that brought something new';

-- migrate:down
-- Forward only: a mistake is mended by the next migration.
