package store

import (
	"context"
	"time"
)

// Collateral is a piece of endorsements as it was fetched and verified.
type Collateral struct {
	Key string
	// Data is a bundle of the one piece.
	Data                []byte
	Fetched, NextUpdate time.Time
}

// CollateralStore is the collateral that the nodes of a service share, and their turns at the
// vendors.
type CollateralStore interface {
	// Collateral returns the pieces whose keys begin with the prefix, by key.
	Collateral(ctx context.Context, prefix string) ([]Collateral, error)
	// PutCollateral creates or replaces a piece.
	PutCollateral(ctx context.Context, c Collateral) error
	// NextSlot takes the first time, not before now, at which a request to a
	// vendor may be made, and keeps the next one away from it by every. All
	// processes that share the store share the slots.
	NextSlot(ctx context.Context, vendor string, now time.Time, every time.Duration) (time.Time, error)
	// HoldSlots keeps requests to the vendor back until then.
	HoldSlots(ctx context.Context, vendor string, until time.Time) error
}
