-- +goose Up
-- Keys of checkpoints are no signing keys of tokens. A program that looks for them among
-- those would make a new one.
UPDATE compatibility SET oldest = 8;
CREATE TABLE checkpoint_keys (
	id      TEXT PRIMARY KEY,
	sealed  BLOB NOT NULL,
	created INTEGER NOT NULL,
	data    TEXT NOT NULL -- JSON
) STRICT;
INSERT INTO checkpoint_keys (id, sealed, created, data)
	SELECT id, sealed, created, data FROM signing_keys WHERE json_extract(data, '$.algorithm') = 'checkpoint';
DELETE FROM signing_keys WHERE json_extract(data, '$.algorithm') = 'checkpoint';
