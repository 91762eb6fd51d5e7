-- +goose Up
-- Keys of vaults. A provider with keys is not deleted, not even by a program that does not know them.
CREATE TABLE vault_keys (
	provider TEXT NOT NULL REFERENCES providers (name),
	name     TEXT NOT NULL,
	current  TEXT NOT NULL, -- the id of the newest version
	purge    INTEGER NOT NULL, -- Unix time; 0 for a key that was not deleted
	data     TEXT NOT NULL, -- JSON
	PRIMARY KEY (provider, name)
) STRICT;
CREATE INDEX vault_keys_purge ON vault_keys (purge) WHERE purge > 0;
CREATE TABLE vault_versions (
	provider TEXT NOT NULL,
	name     TEXT NOT NULL,
	id       TEXT NOT NULL,
	sealed   BLOB NOT NULL,
	data     TEXT NOT NULL, -- JSON
	PRIMARY KEY (provider, name, id),
	FOREIGN KEY (provider, name) REFERENCES vault_keys (provider, name) ON DELETE CASCADE
) STRICT;
