-- migrate:up
ALTER TABLE release ADD COLUMN left_service_at timestamptz, ADD COLUMN removed_at timestamptz;
COMMENT ON COLUMN release.left_service_at IS 'when it was last neither in service nor the one before';
COMMENT ON COLUMN release.removed_at IS 'its files are gone, or about to be';

-- migrate:down
-- Forward only: a mistake is mended by the next migration.
