package provider_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
)

// remake removes a provider and makes it again, as an owner of that name may.
func (n *node) remake(name string) {
	n.t.Helper()
	n.must(n.DeleteProvider(n.t.Context(), name, provider.By{Caller: "token:owner"}))
	n.put(name, `{}`)
}

// published are the ids of the keys that a provider publishes.
func (n *node) published(name string, at time.Time) (ids []string) {
	n.t.Helper()
	p, ok := n.Get(name)
	if !ok {
		n.t.Fatalf("no provider %s", name)
	}
	signers, err := p.Signers(at)
	n.must(err)
	for _, s := range signers.Published {
		ids = append(ids, s.KeyID)
	}
	return ids
}

// TestAProviderMadeAgainIsANewOne: nothing of the earlier one is its own.
func TestAProviderMadeAgainIsANewOne(t *testing.T) {
	engines(t, func(t *testing.T, open func(t *testing.T) database) {
		n := newNode(t, open(t))
		ctx := t.Context()
		n.put("acme", `{"ownKeys":true,"approvals":1}`)
		n.put("other", `{}`)
		n.must(n.policy("acme", strict))
		key := sha256.Sum256([]byte("AK"))
		enrolled := store.TPMKey{Provider: "acme", Key: fmt.Sprintf("%x",
			key), EndorsementKey: strings.Repeat("ab", 32), Name: "m", Created: now}
		n.must(n.Enrol(ctx, enrolled, "acme", provider.By{Caller: "tpm"}))
		for name, providers := range map[string][]string{
			"only": {"acme"}, "case": {"ACME"}, "both": {"acme", "other"}, "all": {"*"},
			"stranger": {"other"},
		} {
			_, err := n.NewToken(ctx, name, "owner", providers, time.Time{}, provider.By{Caller: "test"})
			n.must(err)
		}
		before, _ := n.Get("acme")
		foreign := append(n.published("acme", now), n.published(store.DefaultProvider, now)...)
		head, err := n.db.LedgerHead(ctx, "acme")
		n.must(err)

		n.remake("acme")
		after, _ := n.Get("acme")
		if after.Identity() != "acme.2" || before.Identity() != "acme" {
			t.Errorf("identities %q, %q", before.Identity(), after.Identity())
		}
		_, ok := after.Enrolled(key)
		if ok || after.Policy(evidence.SGXEnclave).Version != 0 || after.Settings.OwnKeys {
			t.Error("the new provider has a key, policy or setting of the earlier one")
		}
		tokens, err := n.db.Tokens(ctx)
		n.must(err)
		var left []string
		for _, x := range tokens {
			left = append(left, x.Name+" "+strings.Join(x.Providers, ","))
		}
		if want := []string{"all *", "both other", "stranger other"}; !slices.Equal(left, want) {
			t.Errorf("tokens %v, want %v", left, want)
		}
		if len(n.Tokens()) != len(left) {
			t.Errorf("%d tokens in memory, want %d", len(n.Tokens()), len(left))
		}

		// Attestation tokens of the earlier one verify neither by its own keys nor by shared
		// ones, also when the new one changes its settings.
		for _, settings := range []string{
			`{}`, `{"ownKeys":false,"signingAlgorithm":"ES256"}`, `{"ownKeys":true}`, `{}`,
		} {
			n.put("acme", settings)
			for _, at := range []time.Time{now, now.Add(24 * time.Hour)} {
				ids := n.published("acme", at)
				if len(ids) == 0 ||
					slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(foreign, id) }) {
					t.Errorf("%s: keys %v are published, of them foreign are %v", settings, ids, foreign)
				}
			}
		}

		// The earlier ledger ends with the deletion; the new one begins.
		ended, err := n.db.LedgerHead(ctx, "acme")
		n.must(err)
		begun, err := n.db.LedgerHead(ctx, "acme.2")
		n.must(err)
		if ended.Size != head.Size+1 || begun.Size == 0 {
			t.Errorf("the earlier ledger went from %d to %d entries, the new one has %d", head.Size,
				ended.Size, begun.Size)
		}
		n.must(n.policy("acme", lax))
		if again, err := n.db.LedgerHead(ctx, "acme"); err != nil || again.Size != ended.Size {
			t.Errorf("the earlier ledger grows: %d, %v", again.Size, err)
		}

		// A third one, and after a restart.
		n.remake("acme")
		n.must(n.start())
		if third, _ := n.Get("acme"); third.Identity() != "acme.3" {
			t.Errorf("identity %q", third.Identity())
		}
	})
}

// TestAnEnrolmentForTheEarlierProviderIsRefused: the TPM was challenged before the provider
// was made again.
func TestAnEnrolmentForTheEarlierProviderIsRefused(t *testing.T) {
	n := newNode(t, open(t))
	n.put("acme", `{}`)
	n.remake("acme")
	k := store.TPMKey{Provider: "acme", Key: strings.Repeat("01",
		32), EndorsementKey: strings.Repeat("ab", 32), Name: "m", Created: now}
	var refusal *provider.Refusal
	if err := n.Enrol(t.Context(), k, "acme", provider.By{Caller: "tpm"}); !errors.As(err, &refusal) {
		t.Errorf("%v", err)
	}
	n.must(n.Enrol(t.Context(), k, "acme.2", provider.By{Caller: "tpm"}))
}

// TestTheGenerationIsSealed: write access to the database alone does not give a provider
// the identity of an earlier one.
func TestTheGenerationIsSealed(t *testing.T) {
	engines(t, func(t *testing.T, open func(t *testing.T) database) {
		n := newNode(t, open(t))
		n.put("acme", `{}`)
		n.remake("acme")
		n.exec(`UPDATE providers SET data = replace(data, '"generation":2', '"generation":1') WHERE name = 'acme'`)
		n.must(n.Refresh(t.Context()))
		if p, _ := n.Get("acme"); p.Identity() != "acme.2" {
			t.Errorf("identity %q", p.Identity())
		}
		if err := n.policy("acme", lax); !errors.Is(err, provider.ErrAltered) {
			t.Errorf("%v", err)
		}
	})
}

// TestProposalsDoNotOutliveTheirProvider: an approval at the new one makes nothing of the
// earlier one's.
func TestProposalsDoNotOutliveTheirProvider(t *testing.T) {
	c := newCareful(t, open(t))
	x := c.pending(c.settings("ann", `{"tcb":"any"}`))
	c.must(c.approve(c.pendingDeletion(), "bob"))
	c.put("acme", `{}`)
	_, err := c.Approve(t.Context(), "acme", x.ID,
		provider.By{Caller: "token:administrator", Role: auth.Owner})
	if err == nil {
		t.Error("a proposal of the earlier provider was approved")
	}
}

// pendingDeletion proposes to delete the provider, and returns the proposal.
func (c careful) pendingDeletion() store.Proposal {
	c.t.Helper()
	if err := c.DeleteProvider(c.t.Context(), "acme", as("ann")); err == nil {
		c.t.Fatal("deleted at once")
	}
	list, err := c.db.Proposals(c.t.Context(), "acme")
	c.must(err)
	return list[slices.IndexFunc(list, func(x store.Proposal) bool { return x.Action == store.ProviderDelete })]
}

// TestAProviderWithKeysInItsVaultIsNotDeleted: what they protect would be lost.
func TestAProviderWithKeysInItsVaultIsNotDeleted(t *testing.T) {
	n := newNode(t, open(t))
	n.put("acme", `{}`)
	n.must(n.sealed.Update(t.Context(), store.TopicVault, "acme/disk", func(tx store.Tx) error {
		return tx.PutVaultKey(store.VaultKey{Provider: "acme", Name: "disk", Purge: time.Now()})
	}))
	err := n.DeleteProvider(t.Context(), "acme", provider.By{Caller: "token:owner"})
	if !errors.Is(err, provider.CheckVault) || !strings.Contains(err.Error(), "acme with 1 key") {
		t.Fatal(err)
	}
	n.must(n.sealed.Update(t.Context(), store.TopicVault, "acme/disk",
		func(tx store.Tx) error { return tx.DeleteVaultKey("acme", "disk") }))
	n.must(n.DeleteProvider(t.Context(), "acme", provider.By{Caller: "token:owner"}))
}
