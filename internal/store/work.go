package store

import (
	"context"
	"time"
)

// WorkStore coordinates the nodes that share a store.
type WorkStore interface {
	// UseOnce takes a word that may be taken once until it expires, and reports
	// whether it was free.
	UseOnce(ctx context.Context, word string, now, expires time.Time) (bool, error)
	// Lease gives or renews background work to one holder until then, and reports
	// whether the holder has it. Clocks of holders may differ by less than the
	// lease is long.
	Lease(ctx context.Context, work, holder string, now, until time.Time) (bool, error)
}

// StateStore is the state as a whole: its changes, and whether it answers.
type StateStore interface {
	// Update runs f in a transaction that is alone in changing the state, and
	// announces it as a change of the topic and name. An error of f undoes it.
	Update(ctx context.Context, topic, name string, f func(Tx) error) error
	// Changes returns what changed after a revision.
	Changes(ctx context.Context, after int64) (Changes, error)
	// Wait returns when there may be changes of others, or when ctx ends. Engines
	// that are told of nothing wait for ctx.
	Wait(ctx context.Context) error
	// Writable reports whether the store takes changes now: it answers, is not
	// read-only, and has room.
	Writable(ctx context.Context) error
	// Ping reports whether the store answers.
	Ping(ctx context.Context) error
	Close() error
}
