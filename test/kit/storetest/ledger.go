package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

// appendOne adds a row as a ledger does.
func appendOne(tx store.LedgerTx, provider string, at time.Time) error {
	head, err := tx.LedgerHead(provider)
	if err != nil {
		return err
	}
	row := store.LedgerRow{
		Seq: head.Size, Time: at, Entry: []byte{byte(head.Size)}, Leaf: []byte{1, byte(head.Size)},
		Chain: []byte{2},
	}
	return tx.AppendLedger(provider, store.Append{
		Rows:       []store.LedgerRow{row},
		Nodes:      []store.LedgerNode{{Level: 4, N: head.Size, Hash: []byte{3}}},
		Head:       store.LedgerHead{Size: head.Size + 1, Chain: row.Chain},
		Checkpoint: &store.Checkpoint{Size: head.Size + 1, Note: "note"},
	})
}

func ledger(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	const n = 40
	count(t, n, func(i int) (bool, error) {
		return true, s.AppendLedger(ctx, fmt.Sprint(i), created,
			func(tx store.LedgerTx) error { return appendOne(tx, "a", created) })
	})
	rows, err := s.Ledger(ctx, "a", 0, 1000)
	must(t, err)
	for i, r := range rows {
		if r.Seq != int64(i) || r.Entry[0] != byte(i) || !r.Time.Equal(created) {
			t.Errorf("row %d: %+v", i, r)
		}
	}
	head, err := s.LedgerHead(ctx, "a")
	must(t, err)
	leaves, err := s.LedgerLeaves(ctx, "a", 2, 3)
	must(t, err)
	node, err := s.LedgerNode(ctx, "a", 4, 7)
	must(t, err)
	checkpoints, err := s.Checkpoints(ctx, "a", 2)
	must(t, err)
	heads, err := s.LedgerHeads(ctx)
	must(t, err)
	if len(heads) != 1 || heads[0].Provider != "a" || heads[0].Size != n || heads[0].Signed != n {
		t.Errorf("heads %+v", heads)
	}
	if len(rows) != n || head.Size != n || len(leaves) != 3 || leaves[0][1] != 2 || node[0] != 3 ||
		len(checkpoints) != 2 || checkpoints[0].Size != n {
		t.Errorf("%d rows, head %+v, leaves %v, node %v, checkpoints %+v", len(rows), head, leaves, node,
			checkpoints)
	}
	must(t, s.DeleteCheckpoints(ctx, "a"))
	if heads, err = s.LedgerHeads(ctx); err != nil || heads[0].Signed != -1 {
		t.Errorf("without checkpoints: %+v, %v", heads, err)
	}
	if head, err := s.LedgerHead(ctx, "nobody"); err != nil || head.Size != 0 {
		t.Errorf("an empty ledger: %+v, %v", head, err)
	}
}

func batchOnce(t *testing.T, open Open) {
	s, _ := open(t)
	for range 3 {
		must(t, s.AppendLedger(t.Context(), "batch", created,
			func(tx store.LedgerTx) error { return appendOne(tx, "a", created) }))
	}
	boom := errors.New("boom")
	err := s.AppendLedger(t.Context(), "other", created, func(store.LedgerTx) error { return boom })
	if !errors.Is(err, boom) {
		t.Errorf("error = %v", err)
	}
	must(t, s.AppendLedger(t.Context(), "other", created,
		func(tx store.LedgerTx) error { return appendOne(tx, "a", created) }))
	if head, err := s.LedgerHead(t.Context(), "a"); err != nil || head.Size != 2 {
		t.Errorf("head %+v, %v", head, err)
	}
}

func forget(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	for i := range 5 {
		must(t, s.AppendLedger(ctx, fmt.Sprint(i), created, func(tx store.LedgerTx) error {
			return appendOne(tx, "a", created.Add(time.Duration(i)*time.Hour))
		}))
	}
	for _, want := range []int64{2, 1, 0} {
		if n, err := s.ForgetLedger(ctx, "a", 3, 2); err != nil || n != want {
			t.Errorf("forgot %d, want %d, %v", n, want, err)
		}
	}
	rows, err := s.Ledger(ctx, "a", 0, 5)
	must(t, err)
	if len(rows) != 5 || rows[2].Entry != nil || len(rows[2].Leaf) == 0 || rows[3].Entry == nil {
		t.Errorf("rows %+v", rows)
	}
}
