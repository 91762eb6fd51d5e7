package store

import (
	"context"
	"time"
)

// LedgerRow is one row of a provider's ledger.
type LedgerRow struct {
	// Seq counts from 0.
	Seq  int64
	Time time.Time
	// Entry is the text of the entry; nil once it was removed by retention.
	Entry []byte
	// Leaf is the hash of the entry, Chain that of all up to it.
	Leaf, Chain []byte
}

// LedgerNode is an inner hash of the ledger's tree, by level and place.
type LedgerNode struct {
	Level int
	N     int64
	Hash  []byte
}

// LedgerHead is where a provider's ledger ends.
type LedgerHead struct {
	Size  int64
	Chain []byte
}

// LedgerState is where the ledger of a provider ends, and the size of its newest
// checkpoint, or -1 if it has none.
type LedgerState struct {
	Provider string
	LedgerHead
	Signed int64
}

// Checkpoint is a signed statement of a ledger's size and root.
type Checkpoint struct {
	Size int64
	Note string
}

// Append is what is added to one provider's ledger in one transaction.
type Append struct {
	Rows       []LedgerRow
	Nodes      []LedgerNode
	Head       LedgerHead
	Checkpoint *Checkpoint
}

// LedgerTx is the part of a transaction that a ledger needs. Heads are locked
// until the end of the transaction.
type LedgerTx interface {
	LedgerHead(provider string) (LedgerHead, error)
	// LedgerLeaves returns the leaf hashes from a place on, LedgerNode one inner
	// hash.
	LedgerLeaves(provider string, from, n int64) ([][]byte, error)
	LedgerNode(provider string, level int, n int64) ([]byte, error)
	AppendLedger(provider string, a Append) error
}

// LedgerStore is the rows of ledgers, and their checkpoints.
type LedgerStore interface {
	// AppendLedger runs f in a transaction of its own, for the batch of that name.
	// A batch that was appended before is not appended again.
	AppendLedger(ctx context.Context, batch string, now time.Time, f func(LedgerTx) error) error
	// Ledger returns up to limit rows from a place on.
	Ledger(ctx context.Context, provider string, from int64, limit int) ([]LedgerRow, error)
	// LedgerHead returns where a ledger ends; an empty one has the zero head.
	LedgerHead(ctx context.Context, provider string) (LedgerHead, error)
	// LedgerLeaves and LedgerNode are as in LedgerTx.
	LedgerLeaves(ctx context.Context, provider string, from, n int64) ([][]byte, error)
	LedgerNode(ctx context.Context, provider string, level int, n int64) ([]byte, error)
	// LedgerHeads returns where all ledgers end, by provider.
	LedgerHeads(ctx context.Context) ([]LedgerState, error)
	// Checkpoints returns those of a ledger, the newest first.
	Checkpoints(ctx context.Context, provider string, limit int) ([]Checkpoint, error)
	// DeleteCheckpoints removes those of a ledger that the operator no longer accepts.
	DeleteCheckpoints(ctx context.Context, provider string) error
	// ForgetLedger removes the text of up to limit of the first entries, those below
	// through; their hashes stay. It returns how many it removed.
	ForgetLedger(ctx context.Context, provider string, through int64, limit int) (int64, error)
}
