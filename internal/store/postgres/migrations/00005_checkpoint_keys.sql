-- +goose Up
-- Keys of checkpoints are no signing keys of tokens. A program that looks for them among
-- those would make a new one.
UPDATE compatibility SET oldest = 5;
CREATE TABLE checkpoint_keys (
	id      TEXT COLLATE "C" PRIMARY KEY,
	sealed  BYTEA NOT NULL,
	created BIGINT NOT NULL,
	data    TEXT NOT NULL -- JSON
);
INSERT INTO checkpoint_keys (id, sealed, created, data)
	SELECT id, sealed, created, data FROM signing_keys WHERE data::jsonb ->> 'algorithm' = 'checkpoint';
DELETE FROM signing_keys WHERE data::jsonb ->> 'algorithm' = 'checkpoint';
