// Package storetest contains the contract that every store engine passes.
package storetest

import (
	"context"
	"errors"
	"fmt"
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
		"what was put comes back after reopening":                   comesBack,
		"members of later versions are kept":                        laterMembers,
		"an update is whole or nothing":                             wholeOrNothing,
		"changes are told in order, and read again after long":      changesAreTold,
		"versions of a policy count up, with several writers":       versions,
		"a provider goes with all that is its own":                  deleteProvider,
		"keys come newest first, and their sealed form stays":       keys,
		"keys of checkpoints come back, apart from signing keys":    checkpointKeys,
		"keys of vaults come back with their seals, page by page":   vaultKeys,
		"a key of a vault goes with its versions, not its provider": deleteVaultKey,
		"names of tokens are taken once":                            tokens,
		"collateral is found by the beginning of its key":           collateral,
		"keys of TPMs stay with their TPM":                          tpmKeys,
		"a word is taken once, by any caller":                       once,
		"slots never overlap":                                       slots,
		"a lease has one holder":                                    leases,
		"a ledger has no gap, with several writers":                 ledger,
		"a batch is appended once":                                  batchOnce,
		"old entries are forgotten, their hashes not":               forget,
		"what is not there is not found, and it answers otherwise":  notFound,
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
