-- +goose Up
CREATE TABLE tpm_keys (
	provider        TEXT NOT NULL REFERENCES providers (name) ON DELETE CASCADE,
	key             TEXT NOT NULL,
	endorsement_key TEXT NOT NULL,
	name            TEXT NOT NULL,
	created         INTEGER NOT NULL,
	PRIMARY KEY (provider, key)
) STRICT;
CREATE INDEX tpm_keys_name ON tpm_keys (provider, name);
CREATE TABLE used_words (
	word    TEXT PRIMARY KEY,
	expires INTEGER NOT NULL
) STRICT;
