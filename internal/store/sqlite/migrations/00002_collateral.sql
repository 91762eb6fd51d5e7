-- +goose Up
CREATE TABLE collateral (
	key         TEXT PRIMARY KEY,
	data        BLOB NOT NULL,    -- a bundle of one piece
	fetched     INTEGER NOT NULL, -- nanoseconds since 1970
	next_update INTEGER NOT NULL  -- seconds since 1970
);

-- When the next request to a vendor's service may be made, for all processes
-- that share this database.
CREATE TABLE vendor_slots (
	vendor TEXT PRIMARY KEY,
	next   INTEGER NOT NULL -- nanoseconds since 1970
);
