-- +goose Up
-- Programs before this version cannot open signing keys that are sealed under
-- subkeys of the master key.
UPDATE compatibility SET oldest = 5;
