-- +goose Up
-- Keys of vaults. A provider with keys is not deleted, not even by a program that does not know them.
CREATE TABLE vault_keys (
	provider TEXT COLLATE "C" NOT NULL REFERENCES providers (name),
	name     TEXT COLLATE "C" NOT NULL,
	current  TEXT COLLATE "C" NOT NULL, -- the id of the newest version
	purge    BIGINT NOT NULL, -- Unix time; 0 for a key that was not deleted
	data     TEXT NOT NULL, -- JSON
	PRIMARY KEY (provider, name)
);
CREATE INDEX vault_keys_purge ON vault_keys (purge) WHERE purge > 0;
CREATE TABLE vault_versions (
	provider TEXT COLLATE "C" NOT NULL,
	name     TEXT COLLATE "C" NOT NULL,
	id       TEXT COLLATE "C" NOT NULL,
	sealed   BYTEA NOT NULL,
	data     TEXT NOT NULL, -- JSON
	PRIMARY KEY (provider, name, id),
	FOREIGN KEY (provider, name) REFERENCES vault_keys (provider, name) ON DELETE CASCADE
);
