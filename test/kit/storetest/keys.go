package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

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
