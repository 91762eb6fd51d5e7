// Package storetest contains the contract that every store engine passes.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/internal/store"
)

var created = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Open returns a fresh empty store; reopen closes it and opens the same data
// again.
type Open func(*testing.T) (s store.Store, reopen func() store.Store)

// Contract runs the contract.
func Contract(t *testing.T, open Open) {
	for name, f := range map[string]func(*testing.T, Open){
		"what was put comes back after reopening":                  comesBack,
		"members of later versions are kept":                       laterMembers,
		"an update is whole or nothing":                            wholeOrNothing,
		"changes are told in order, and read again after long":     changesAreTold,
		"versions of a policy count up, with several writers":      versions,
		"a provider goes with all that is its own":                 deleteProvider,
		"keys come newest first, and their sealed form stays":      keys,
		"names of tokens are taken once":                           tokens,
		"collateral is found by the beginning of its key":          collateral,
		"keys of TPMs stay with their TPM":                         tpmKeys,
		"a word is taken once, by any caller":                      once,
		"slots never overlap":                                      slots,
		"a lease has one holder":                                   leases,
		"a ledger has no gap, with several writers":                ledger,
		"a batch is appended once":                                 batchOnce,
		"old entries are forgotten, their hashes not":              forget,
		"what is not there is not found, and it answers otherwise": notFound,
	} {
		t.Run(name, func(t *testing.T) { f(t, open) })
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// update runs one step in an update.
func update(t *testing.T, s store.Store, f func(store.Tx) error) {
	t.Helper()
	must(t, s.Update(t.Context(), store.TopicProvider, "default", f))
}

func withProvider(t *testing.T, s store.Store, names ...string) {
	t.Helper()
	for _, name := range names {
		update(t, s, func(tx store.Tx) error {
			_, err := tx.PutProvider(store.Provider{Name: name, Created: created})
			return err
		})
	}
}

func setPolicy(s store.Store, jws string) error {
	return s.Update(context.Background(), store.TopicPolicy, "default", func(tx store.Tx) error {
		_, err := tx.PutPolicy(store.PolicyVersion{
			Provider: "default", Kind: "Tpm", Action: store.PolicySet, JWS: jws, At: created,
		})
		return err
	})
}

func comesBack(t *testing.T, open Open) {
	s, reopen := open(t)
	ctx := t.Context()
	p := store.Provider{
		Name: "default", Subscription: "s", Group: "g", Location: "local",
		Tags: map[string]string{"a": "b"}, Isolated: true,
		Signers:  []jsontext.Value{jsontext.Value(`{"kty":"RSA"}`)},
		Settings: jsontext.Value(`{"tcb":"any"}`), Created: created, CreatedBy: "me", Updated: created,
		UpdatedBy: "you",
	}
	policy := store.PolicyVersion{
		Provider: "default", Kind: "SgxEnclave", Version: 1, Action: store.PolicySet,
		JWS: "eyJhbGciOiJub25lIn0..", By: "me", Signer: "ab", From: 0, At: created,
	}
	key := store.SigningKey{
		ID: "a", Sealed: []byte{1, 0, 2}, Certificate: []byte{3}, Created: created,
		Provider: "default", Algorithm: "ES256", SignFrom: created,
	}
	token := store.Token{
		Name: "ci", Hash: "00", Role: "reader", Providers: []string{"*"}, Created: created,
		CreatedBy: "me", Expires: created.AddDate(1, 0, 0),
	}
	proposal := store.Proposal{
		ID: "1", Provider: "default", Kind: "Tpm", Action: store.PolicySet, JWS: "x", Base: 1,
		Approvals: []string{"me"}, Created: created, Expires: created,
	}
	update(t, s, func(tx store.Tx) (err error) {
		p.Revision, err = tx.PutProvider(p)
		must(t, err, tx.PutSigningKey(key), tx.PutToken(token), tx.PutProposal(proposal))
		_, err = tx.PutPolicy(policy)
		return err
	})
	s = reopen()
	got, err := s.Provider(ctx, "default")
	must(t, err)
	same(t, p, got)
	all, err := s.Providers(ctx)
	must(t, err)
	same(t, []store.Provider{p}, all)
	policies, err := s.Policies(ctx, "default")
	must(t, err)
	same(t, []store.PolicyVersion{policy}, policies)
	keys, err := s.SigningKeys(ctx)
	must(t, err)
	same(t, []store.SigningKey{key}, keys)
	tokens, err := s.Tokens(ctx)
	must(t, err)
	same(t, []store.Token{token}, tokens)
	proposals, err := s.Proposals(ctx, "default")
	must(t, err)
	same(t, []store.Proposal{proposal}, proposals)
}

func laterMembers(t *testing.T, open Open) {
	s, _ := open(t)
	update(t, s, func(tx store.Tx) error {
		_, err := tx.PutProvider(store.Provider{Name: "default", Later: jsontext.Value(`{"colour":"blue"}`)})
		return err
	})
	p, err := s.Provider(t.Context(), "default")
	must(t, err)
	p.Location = "here"
	update(t, s, func(tx store.Tx) error { _, err := tx.PutProvider(p); return err })
	p, err = s.Provider(t.Context(), "default")
	must(t, err)
	if string(p.Later) != `{"colour":"blue"}` || p.Location != "here" {
		t.Errorf("%s at %q", p.Later, p.Location)
	}
}

func wholeOrNothing(t *testing.T, open Open) {
	s, _ := open(t)
	before, err := s.Changes(t.Context(), 0)
	must(t, err)
	boom := errors.New("boom")
	err = s.Update(t.Context(), store.TopicProvider, "x", func(tx store.Tx) error {
		_, err := tx.PutProvider(store.Provider{Name: "x"})
		must(t, err)
		if _, err := tx.Provider("x"); err != nil {
			t.Errorf("a transaction does not see what it wrote: %v", err)
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("error = %v", err)
	}
	if _, err := s.Provider(t.Context(), "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("half of it was done: %v", err)
	}
	if after, err := s.Changes(t.Context(), before.Latest); err != nil || after.Latest != before.Latest {
		t.Errorf("revision %d after %d, %v", after.Latest, before.Latest, err)
	}
}

func changesAreTold(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	withProvider(t, s, "default")
	start, err := s.Changes(ctx, 0)
	must(t, err)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := setPolicy(s, "x"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := s.Changes(ctx, start.Latest)
	must(t, err)
	first := store.Change{Revision: start.Latest + 1, Topic: store.TopicPolicy, Name: "default"}
	if got.All || len(got.List) != 20 || got.Latest != start.Latest+20 || got.List[0] != first {
		t.Errorf("%d changes after %d: %+v", len(got.List), start.Latest, got)
	}
	if none, err := s.Changes(ctx, got.Latest); err != nil || none.All || len(none.List) != 0 {
		t.Errorf("nothing changed, but %+v, %v", none, err)
	}
	if other, err := s.Changes(ctx, got.Latest+100); err != nil || !other.All {
		t.Errorf("a revision of another database: %+v, %v", other, err)
	}
}

func versions(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	if err := setPolicy(s, "x"); err == nil {
		t.Error("a policy of an unknown provider was stored")
	}
	withProvider(t, s, "default")
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if err := setPolicy(s, fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	history, err := s.PolicyHistory(ctx, "default", "Tpm")
	must(t, err)
	for i, p := range history {
		if p.Version != int64(10-i) || p.JWS != "" {
			t.Errorf("version %d at place %d, with JWS %q", p.Version, i, p.JWS)
		}
	}
	inForce, err := s.Policies(ctx, "default")
	must(t, err)
	tenth, err := s.PolicyVersion(ctx, "default", "Tpm", 10)
	must(t, err)
	same(t, []store.PolicyVersion{tenth}, inForce)
	if len(history) != 10 {
		t.Errorf("%d versions", len(history))
	}
	if _, err := s.PolicyVersion(ctx, "default", "Tpm", 11); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("version 11: %v", err)
	}
}

func deleteProvider(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	withProvider(t, s, "default", "other")
	update(t, s, func(tx store.Tx) error {
		for _, p := range []string{"default", "other"} {
			_, err := tx.PutPolicy(store.PolicyVersion{Provider: p, Kind: "Tpm", Action: store.PolicySet, At: created})
			must(t, err, tx.PutSigningKey(store.SigningKey{
				ID: p, Sealed: []byte{1}, Certificate: []byte{}, Created: created, Provider: p,
			}),
				tx.PutProposal(store.Proposal{ID: "1", Provider: p}),
				tx.PutTPMKey(store.TPMKey{
					Provider: p, Key: "k", EndorsementKey: "e", Name: "n", Created: created,
				}))
		}
		return nil
	})
	update(t, s, func(tx store.Tx) error { return tx.DeleteProvider("default") })
	policies, err := s.Policies(ctx, "")
	must(t, err)
	keys, err := s.SigningKeys(ctx)
	must(t, err)
	tpms, err := s.TPMKeys(ctx, "")
	must(t, err)
	proposals, err := s.Proposals(ctx, "default")
	must(t, err)
	if len(policies) != 1 || policies[0].Provider != "other" || len(keys) != 1 || keys[0].ID != "other" ||
		len(tpms) != 1 || tpms[0].Provider != "other" || len(proposals) != 0 {
		t.Errorf("left: %+v, %+v, %+v, %+v", policies, keys, tpms, proposals)
	}
	if err := s.Update(ctx, "", "", func(tx store.Tx) error {
		return tx.DeleteProvider("default")
	}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
}

func keys(t *testing.T, open Open) {
	s, _ := open(t)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(
			tx.PutSigningKey(store.SigningKey{ID: "old", Sealed: []byte{1}, Certificate: []byte{1}, Created: created}),
			tx.PutSigningKey(store.SigningKey{
				ID: "new", Sealed: []byte{2}, Certificate: []byte{2}, Created: created.Add(time.Hour),
			}),
			tx.PutSigningKey(store.SigningKey{
				ID: "old", Sealed: []byte{9}, Certificate: []byte{9},
				Created: created.Add(2 * time.Hour), SignUntil: created,
			}))
	})
	// What is empty can be read and written again.
	update(t, s, func(tx store.Tx) error {
		return tx.PutSigningKey(store.SigningKey{ID: "bare", Created: created.Add(-time.Hour)})
	})
	update(t, s, func(tx store.Tx) error {
		all, err := tx.SigningKeys()
		must(t, err)
		return errors.Join(tx.PutSigningKey(all[2]), tx.DeleteSigningKey("bare"))
	})
	keys, err := s.SigningKeys(t.Context())
	must(t, err)
	if len(keys) != 2 || keys[0].ID != "new" || keys[1].Sealed[0] != 9 || keys[1].Certificate[0] != 9 ||
		!keys[1].SignUntil.Equal(created) {
		t.Errorf("keys = %+v", keys)
	}
}

func tokens(t *testing.T, open Open) {
	s, _ := open(t)
	put := func(tx store.Tx) error { return tx.PutToken(store.Token{Name: "ci", Hash: "0"}) }
	update(t, s, put)
	if err := s.Update(t.Context(), "", "", put); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a name was taken twice: %v", err)
	}
	update(t, s, func(tx store.Tx) error { return tx.DeleteToken("ci") })
	err := s.Update(t.Context(), "", "", func(tx store.Tx) error { return tx.DeleteToken("ci") })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
}

func collateral(t *testing.T, open Open) {
	s, reopen := open(t)
	ctx := t.Context()
	a := store.Collateral{
		Key:        "amd/vcek/v1/Milan/%_a?blSPL=1",
		Data:       []byte{1},
		Fetched:    created.Add(time.Microsecond),
		NextUpdate: created.AddDate(0, 1, 0),
	}
	b := store.Collateral{Key: "intel/TDX/00", Data: []byte{2}, Fetched: created, NextUpdate: created}
	must(t, s.PutCollateral(ctx, a), s.PutCollateral(ctx, b))
	b.Data = []byte{3}
	must(t, s.PutCollateral(ctx, b))
	s = reopen()
	for prefix, want := range map[string][]store.Collateral{
		"":                    {a, b},
		"intel/":              {b},
		"amd/vcek/v1/Milan/%": {a},
		"amd/vcek/v1/Milan/_": nil,
		a.Key:                 {a},
		"x":                   nil,
	} {
		got, err := s.Collateral(ctx, prefix)
		must(t, err)
		same(t, want, got)
	}
}

func tpmKeys(t *testing.T, open Open) {
	s, reopen := open(t)
	withProvider(t, s, "default")
	a := store.TPMKey{Provider: "default", Key: "k1", EndorsementKey: "e1", Name: "host", Created: created}
	second := store.TPMKey{
		Provider: "default", Key: "k2", EndorsementKey: "e1", Name: "host",
		Created: created.Add(time.Hour),
	}
	put := func(k store.TPMKey) error {
		return s.Update(t.Context(), store.TopicTPM, "default", func(tx store.Tx) error { return tx.PutTPMKey(k) })
	}
	must(t, put(a), put(second), put(a))
	for name, k := range map[string]store.TPMKey{"a taken name": {
		Provider: "default", Key: "k3", EndorsementKey: "e2", Name: "host", Created: created,
	},
		"a taken key": {Provider: "default", Key: "k1", EndorsementKey: "e2", Name: "other", Created: created}} {
		if err := put(k); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s = reopen()
	got, err := s.TPMKeys(t.Context(), "default")
	must(t, err)
	same(t, []store.TPMKey{a, second}, got)
	remove := func() error {
		return s.Update(t.Context(), store.TopicTPM, "default",
			func(tx store.Tx) error { return tx.DeleteTPMKeys("default", "host") })
	}
	must(t, remove())
	if err := remove(); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
}

// count runs f many times at once and returns how often it said yes.
func count(t *testing.T, n int, f func(i int) (bool, error)) (yes int) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		wg.Go(func() {
			ok, err := f(i)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if ok {
				yes++
			}
		})
	}
	wg.Wait()
	return yes
}

func once(t *testing.T, open Open) {
	s, _ := open(t)
	taken := count(t, 100,
		func(int) (bool, error) { return s.UseOnce(t.Context(), "word", created, created.Add(time.Minute)) })
	later, err := s.UseOnce(t.Context(), "word", created.Add(time.Hour), created.Add(2*time.Hour))
	must(t, err)
	if taken != 1 || !later {
		t.Errorf("taken %d times; after it expired %v", taken, later)
	}
}

func leases(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	if got := count(t, 20, func(i int) (bool, error) {
		return s.Lease(ctx, "rotation", fmt.Sprint(i), created, created.Add(time.Minute))
	}); got != 1 {
		t.Errorf("%d holders", got)
	}
	for _, step := range []struct {
		holder string
		at     time.Duration
		want   bool
	}{
		{"a", 2 * time.Minute, true}, {"a", 150 * time.Second, true}, {"b", 3 * time.Minute, false},
		{"b", 4 * time.Minute, true}, {"a", 4 * time.Minute, false},
	} {
		now := created.Add(step.at)
		got, err := s.Lease(ctx, "rotation", step.holder, now, now.Add(time.Minute))
		if err != nil || got != step.want {
			t.Errorf("%s after %s: %t, %v", step.holder, step.at, got, err)
		}
	}
	if got, err := s.Lease(ctx, "refresh", "a", created, created.Add(time.Minute)); err != nil || !got {
		t.Errorf("other work: %t, %v", got, err)
	}
}

func slots(t *testing.T, open Open) {
	s, _ := open(t)
	ctx := t.Context()
	const every = time.Second
	var mu sync.Mutex
	var slots []time.Time
	count(t, 20, func(int) (bool, error) {
		at, err := s.NextSlot(ctx, "amd", created, every)
		mu.Lock()
		defer mu.Unlock()
		slots = append(slots, at.UTC())
		return true, err
	})
	slices.SortFunc(slots, time.Time.Compare)
	for i, at := range slots {
		if !at.Equal(created.Add(time.Duration(i) * every)) {
			t.Errorf("slot %d is at %s", i, at)
		}
	}
	must(t, s.HoldSlots(ctx, "amd", created.Add(time.Hour)), s.HoldSlots(ctx, "amd", created))
	at, err := s.NextSlot(ctx, "amd", created, every)
	must(t, err)
	other, err := s.NextSlot(ctx, "intel", created, every)
	must(t, err)
	if !at.Equal(created.Add(time.Hour)) || !other.Equal(created) {
		t.Errorf("after the hold: %s, of another vendor: %s", at, other)
	}
}

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

func notFound(t *testing.T, open Open) {
	s, _ := open(t)
	must(t, s.Ping(t.Context()))
	if _, err := s.Provider(t.Context(), "nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("error = %v, want ErrNotFound", err)
	}
	err := s.Update(t.Context(), "", "", func(tx store.Tx) error {
		if _, err := tx.Policy("nobody", "Tpm"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("policy: %v", err)
		}
		if all, err := tx.Proposals("nobody"); err != nil || len(all) != 0 {
			t.Errorf("proposals: %v, %v", all, err)
		}
		if _, err := tx.Proposal("nobody", "1"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("proposal: %v", err)
		}
		return tx.DeleteSigningKey("none")
	})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("key: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if err := s.Ping(ctx); err == nil {
		t.Error("a ping without time succeeded")
	}
}
