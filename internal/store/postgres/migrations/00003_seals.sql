-- +goose Up
-- What authenticates the state of a provider and the tokens of callers. A program that
-- does not write seals must not change that state.
UPDATE compatibility SET oldest = 3;
CREATE TABLE seals (
	scope   TEXT COLLATE "C" PRIMARY KEY,
	version BIGINT NOT NULL,
	mac     BYTEA NOT NULL
);
