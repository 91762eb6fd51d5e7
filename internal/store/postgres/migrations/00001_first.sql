-- +goose Up
-- Text is compared by its bytes, as the other engine does.

-- The oldest schema that a program must know to use this database.
CREATE TABLE compatibility (
	oldest BIGINT NOT NULL
);
INSERT INTO compatibility (oldest) VALUES (1);

CREATE TABLE revision (
	n BIGINT NOT NULL
);
INSERT INTO revision (n) VALUES (0);

CREATE TABLE changes (
	revision BIGINT PRIMARY KEY,
	topic    TEXT NOT NULL,
	name     TEXT NOT NULL
);

CREATE TABLE providers (
	name     TEXT COLLATE "C" PRIMARY KEY,
	data     TEXT NOT NULL, -- JSON
	revision BIGINT NOT NULL
);

CREATE TABLE policy_versions (
	provider     TEXT COLLATE "C" NOT NULL REFERENCES providers (name) ON DELETE CASCADE,
	kind         TEXT COLLATE "C" NOT NULL,
	version      BIGINT NOT NULL,
	action       TEXT NOT NULL,
	jws          TEXT NOT NULL,
	submitter    TEXT NOT NULL,
	signer       TEXT NOT NULL,
	from_version BIGINT NOT NULL,
	at           BIGINT NOT NULL, -- seconds since 1970
	PRIMARY KEY (provider, kind, version)
);

CREATE TABLE proposals (
	provider TEXT COLLATE "C" NOT NULL REFERENCES providers (name) ON DELETE CASCADE,
	id       TEXT COLLATE "C" NOT NULL,
	data     TEXT NOT NULL, -- JSON
	PRIMARY KEY (provider, id)
);

CREATE TABLE signing_keys (
	id          TEXT COLLATE "C" PRIMARY KEY,
	sealed      BYTEA NOT NULL,
	certificate BYTEA NOT NULL,
	created     BIGINT NOT NULL,
	data        TEXT NOT NULL -- JSON
);

CREATE TABLE tokens (
	name TEXT COLLATE "C" PRIMARY KEY,
	hash TEXT NOT NULL,
	data TEXT NOT NULL -- JSON
);

CREATE TABLE collateral (
	key         TEXT COLLATE "C" PRIMARY KEY,
	data        BYTEA NOT NULL,
	fetched     BIGINT NOT NULL, -- nanoseconds since 1970
	next_update BIGINT NOT NULL  -- seconds since 1970
);
CREATE TABLE vendor_slots (
	vendor TEXT PRIMARY KEY,
	next   BIGINT NOT NULL -- nanoseconds since 1970
);

CREATE TABLE tpm_keys (
	provider        TEXT COLLATE "C" NOT NULL REFERENCES providers (name) ON DELETE CASCADE,
	key             TEXT COLLATE "C" NOT NULL,
	endorsement_key TEXT NOT NULL,
	name            TEXT COLLATE "C" NOT NULL,
	created         BIGINT NOT NULL,
	PRIMARY KEY (provider, key)
);
CREATE INDEX tpm_keys_name ON tpm_keys (provider, name);
CREATE TABLE used_words (
	word    TEXT PRIMARY KEY,
	expires BIGINT NOT NULL
);
CREATE INDEX used_words_expires ON used_words (expires);
CREATE TABLE leases (
	work   TEXT PRIMARY KEY,
	holder TEXT NOT NULL,
	until  BIGINT NOT NULL -- nanoseconds since 1970
);

CREATE TABLE ledger (
	provider TEXT COLLATE "C" NOT NULL,
	seq      BIGINT NOT NULL,
	at       BIGINT NOT NULL, -- nanoseconds since 1970
	entry    BYTEA,           -- NULL once removed by retention
	leaf     BYTEA NOT NULL,
	chain    BYTEA NOT NULL,
	PRIMARY KEY (provider, seq)
);
CREATE TABLE ledger_nodes (
	provider TEXT COLLATE "C" NOT NULL,
	level    BIGINT NOT NULL,
	n        BIGINT NOT NULL,
	hash     BYTEA NOT NULL,
	PRIMARY KEY (provider, level, n)
);
CREATE TABLE ledger_heads (
	provider TEXT COLLATE "C" PRIMARY KEY,
	size     BIGINT NOT NULL,
	chain    BYTEA NOT NULL
);
CREATE TABLE ledger_checkpoints (
	provider TEXT COLLATE "C" NOT NULL,
	size     BIGINT NOT NULL,
	note     TEXT NOT NULL,
	PRIMARY KEY (provider, size)
);
