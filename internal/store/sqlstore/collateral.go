package sqlstore

import (
	"context"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

// Collateral returns the pieces whose keys begin with the prefix, by key.
func (s *Store) Collateral(ctx context.Context, prefix string) ([]store.Collateral, error) {
	return read(ctx, s, "collateral", func(r row) (c store.Collateral, err error) {
		var fetched, next int64
		err = r.Scan(&c.Key, &c.Data, &fetched, &next)
		c.Fetched, c.NextUpdate = time.Unix(0, fetched).UTC(), seconds(next)
		return c, err
	}, `SELECT key, data, fetched, next_update FROM collateral
		WHERE substr(key, 1, length(CAST($1 AS TEXT))) = CAST($1 AS TEXT) ORDER BY key`, prefix)
}

// PutCollateral creates or replaces a piece.
func (s *Store) PutCollateral(ctx context.Context, c store.Collateral) error {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return s.exec(ctx, s.db, "collateral "+c.Key,
		`INSERT INTO collateral (key, data, fetched, next_update) VALUES ($1, $2, $3, $4)
		ON CONFLICT (key) DO UPDATE SET data = excluded.data, fetched = excluded.fetched, next_update = excluded.next_update`,
		c.Key, c.Data, c.Fetched.UnixNano(), c.NextUpdate.Unix())
}

// NextSlot takes the next time at which a request to the vendor may be made.
func (s *Store) NextSlot(
	ctx context.Context, vendor string, now time.Time, every time.Duration,
) (time.Time, error) {
	// One statement: two processes never take one slot.
	next, err := readOne(ctx, s, "slot of "+vendor, number,
		`INSERT INTO vendor_slots (vendor, next) VALUES ($1, CAST($2 AS BIGINT) + CAST($3 AS BIGINT))
		ON CONFLICT (vendor) DO UPDATE SET next = (CASE WHEN vendor_slots.next > $2 THEN vendor_slots.next ELSE $2 END) + $3 RETURNING next`,
		vendor, now.UnixNano(), int64(every))
	return time.Unix(0, next-int64(every)), err
}

// HoldSlots keeps requests to the vendor back until then.
func (s *Store) HoldSlots(ctx context.Context, vendor string, until time.Time) error {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return s.exec(ctx, s.db, "slot of "+vendor, `INSERT INTO vendor_slots (vendor, next) VALUES ($1, $2)
		ON CONFLICT (vendor) DO UPDATE SET next = CASE WHEN vendor_slots.next > excluded.next THEN vendor_slots.next ELSE excluded.next END`,
		vendor, until.UnixNano())
}
