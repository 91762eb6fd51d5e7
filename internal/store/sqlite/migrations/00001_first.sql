-- +goose Up
CREATE TABLE providers (
	name    TEXT PRIMARY KEY,
	tcb     TEXT NOT NULL,
	created INTEGER NOT NULL -- seconds since 1970
);

CREATE TABLE policies (
	provider TEXT NOT NULL REFERENCES providers (name) ON DELETE CASCADE,
	kind     TEXT NOT NULL,
	jws      TEXT NOT NULL,
	updated  INTEGER NOT NULL,
	PRIMARY KEY (provider, kind)
);

CREATE TABLE signing_keys (
	id          TEXT PRIMARY KEY,
	sealed      BLOB NOT NULL,
	certificate BLOB NOT NULL,
	created     INTEGER NOT NULL
);
