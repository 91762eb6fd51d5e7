-- +goose Up
-- What authenticates each version of a policy, not the newest alone. A program that does
-- not write it must not add versions.
UPDATE compatibility SET oldest = 4;
ALTER TABLE policy_versions ADD COLUMN seal BYTEA;
