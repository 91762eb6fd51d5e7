-- +goose Up
-- What authenticates the state of a provider and the tokens of callers. A program that
-- does not write seals must not change that state.
UPDATE compatibility SET oldest = 6;
CREATE TABLE seals (
	scope   TEXT PRIMARY KEY,
	version INTEGER NOT NULL,
	mac     BLOB NOT NULL
) STRICT;
