package sqlite

import (
	"context"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

// Collateral returns the pieces whose keys begin with the prefix, by key.
func (s *Store) Collateral(ctx context.Context, prefix string) ([]store.Collateral, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT key, data, fetched, next_update FROM collateral
		WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key`, prefix)
	if err != nil {
		return nil, wrap("collateral", err)
	}
	defer rows.Close()
	var list []store.Collateral
	for rows.Next() {
		var c store.Collateral
		var fetched, next int64
		if err := rows.Scan(&c.Key, &c.Data, &fetched, &next); err != nil {
			return nil, wrap("collateral", err)
		}
		c.Fetched, c.NextUpdate = time.Unix(0, fetched).UTC(), time.Unix(next, 0).UTC()
		list = append(list, c)
	}
	return list, wrap("collateral", rows.Err())
}

// PutCollateral creates or replaces a piece.
func (s *Store) PutCollateral(ctx context.Context, c store.Collateral) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO collateral (key, data, fetched, next_update) VALUES (?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET data = excluded.data, fetched = excluded.fetched, next_update = excluded.next_update`,
		c.Key, c.Data, c.Fetched.UnixNano(), c.NextUpdate.Unix())
	return wrap("collateral "+c.Key, err)
}

// NextSlot takes the next time at which a request to the vendor may be made.
func (s *Store) NextSlot(ctx context.Context, vendor string, now time.Time, every time.Duration) (time.Time, error) {
	// One statement: two processes never take one slot.
	var next int64
	err := s.db.QueryRowContext(ctx, `INSERT INTO vendor_slots (vendor, next) VALUES (?1, ?2 + ?3)
		ON CONFLICT (vendor) DO UPDATE SET next = max(next, ?2) + ?3 RETURNING next`, vendor, now.UnixNano(), int64(every)).Scan(&next)
	return time.Unix(0, next-int64(every)), wrap("slot of "+vendor, err)
}

// HoldSlots keeps requests to the vendor back until then.
func (s *Store) HoldSlots(ctx context.Context, vendor string, until time.Time) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO vendor_slots (vendor, next) VALUES (?1, ?2)
		ON CONFLICT (vendor) DO UPDATE SET next = max(next, ?2)`, vendor, until.UnixNano())
	return wrap("slot of "+vendor, err)
}
