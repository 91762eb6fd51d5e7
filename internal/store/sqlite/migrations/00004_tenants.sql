-- +goose Up
-- The oldest schema that a program must know to use this database.
CREATE TABLE compatibility (
	oldest INTEGER NOT NULL
) STRICT;
INSERT INTO compatibility (oldest) VALUES (4);

CREATE TABLE revision (
	n INTEGER NOT NULL
) STRICT;
INSERT INTO revision (n) VALUES (0);

CREATE TABLE changes (
	revision INTEGER PRIMARY KEY,
	topic    TEXT NOT NULL,
	name     TEXT NOT NULL
) STRICT;

ALTER TABLE providers ADD COLUMN data TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE providers ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
UPDATE providers SET data = json_object('created', strftime('%Y-%m-%dT%H:%M:%SZ', created, 'unixepoch'));
ALTER TABLE providers DROP COLUMN tcb;
ALTER TABLE providers DROP COLUMN created;

CREATE TABLE policy_versions (
	provider     TEXT NOT NULL REFERENCES providers (name) ON DELETE CASCADE,
	kind         TEXT NOT NULL,
	version      INTEGER NOT NULL,
	action       TEXT NOT NULL,
	jws          TEXT NOT NULL,
	submitter    TEXT NOT NULL,
	signer       TEXT NOT NULL,
	from_version INTEGER NOT NULL,
	at           INTEGER NOT NULL, -- seconds since 1970
	PRIMARY KEY (provider, kind, version)
) STRICT;
INSERT INTO policy_versions SELECT provider, kind, 1, 'set', jws, '', '', 0, updated FROM policies;
DROP TABLE policies;

CREATE TABLE proposals (
	provider TEXT NOT NULL REFERENCES providers (name) ON DELETE CASCADE,
	id       TEXT NOT NULL,
	data     TEXT NOT NULL, -- JSON
	PRIMARY KEY (provider, id)
) STRICT;

ALTER TABLE signing_keys ADD COLUMN data TEXT NOT NULL DEFAULT '{}'; -- JSON

CREATE TABLE tokens (
	name TEXT PRIMARY KEY,
	hash TEXT NOT NULL,
	data TEXT NOT NULL -- JSON
) STRICT;

CREATE TABLE leases (
	work   TEXT PRIMARY KEY,
	holder TEXT NOT NULL,
	until  INTEGER NOT NULL -- nanoseconds since 1970
) STRICT;

CREATE TABLE ledger (
	provider TEXT NOT NULL,
	seq      INTEGER NOT NULL,
	at       INTEGER NOT NULL, -- nanoseconds since 1970
	entry    BLOB,             -- NULL once removed by retention
	leaf     BLOB NOT NULL,
	chain    BLOB NOT NULL,
	PRIMARY KEY (provider, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE ledger_nodes (
	provider TEXT NOT NULL,
	level    INTEGER NOT NULL,
	n        INTEGER NOT NULL,
	hash     BLOB NOT NULL,
	PRIMARY KEY (provider, level, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE ledger_heads (
	provider TEXT PRIMARY KEY,
	size     INTEGER NOT NULL,
	chain    BLOB NOT NULL
) STRICT;
CREATE TABLE ledger_checkpoints (
	provider TEXT NOT NULL,
	size     INTEGER NOT NULL,
	note     TEXT NOT NULL,
	PRIMARY KEY (provider, size)
) STRICT;
