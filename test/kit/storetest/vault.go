package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

func vaultKey(name, current string) store.VaultKey {
	return store.VaultKey{Provider: "default", Name: name, Spelling: name, Current: current, Created: created,
		Exportable: true, Policy: &store.ReleasePolicy{ContentType: "application/json", Data: []byte("{}")}}
}

func vaultVersion(name, id string) store.VaultVersion {
	return store.VaultVersion{Provider: "default", Name: name, ID: id, Sealed: []byte{0, 1, 255}, Type: "RSA",
		Size: 2048, Operations: []string{"encrypt"}, Public: []byte{2}, Protection: "software", Created: created,
		Updated: created, Expires: created.Add(time.Hour), Tags: map[string]string{"a": "b"}}
}

// vaultKeys come back with their newest version and the seals of both, page by page.
func vaultKeys(t *testing.T, open Open) {
	s, reopen := open(t)
	withProvider(t, s, "default", "other")
	update(t, s, func(tx store.Tx) error {
		for i := range 5 {
			name := fmt.Sprintf("key-%d", i)
			k := vaultKey(name, "v2")
			if i == 3 {
				k.Deleted, k.Purge = created, created.Add(time.Hour)
			}
			err := errors.Join(tx.PutVaultKey(k), tx.PutVaultVersion(vaultVersion(name, "v1")),
				tx.PutVaultVersion(vaultVersion(name, "v2")))
			if err != nil {
				return err
			}
		}
		k, v := vaultKey("key-0", "v1"), vaultVersion("key-0", "v1")
		k.Provider, v.Provider = "other", "other"
		return errors.Join(tx.PutVaultKey(k), tx.PutVaultVersion(v),
			tx.PutSeal(store.Seal{Scope: store.VaultScope("default", "key-0", ""), Version: 7, MAC: []byte{1}}),
			tx.PutSeal(store.Seal{Scope: store.VaultScope("default", "key-0", "v2"), Version: 8, MAC: []byte{2}}))
	})
	s = reopen()
	item, err := s.VaultItem(t.Context(), "default", "key-0", "")
	must(t, err)
	same(t, store.VaultItem{Key: vaultKey("key-0", "v2"), Version: vaultVersion("key-0", "v2"),
		KeySeal:     store.Seal{Scope: "vault:default/key-0", Version: 7, MAC: []byte{1}},
		VersionSeal: store.Seal{Scope: "vault:default/key-0/v2", Version: 8, MAC: []byte{2}}}, item)
	item, err = s.VaultItem(t.Context(), "default", "key-0", "v1")
	must(t, err)
	same(t, store.VaultItem{Key: vaultKey("key-0", "v2"), Version: vaultVersion("key-0", "v1"),
		KeySeal:     store.Seal{Scope: "vault:default/key-0", Version: 7, MAC: []byte{1}},
		VersionSeal: store.Seal{Scope: "vault:default/key-0/v1"}}, item)

	names := func(deleted bool, after string, limit int) (out []string) {
		items, err := s.VaultKeys(t.Context(), "default", after, deleted, limit)
		must(t, err)
		for _, i := range items {
			out = append(out, i.Key.Name+"/"+i.Version.ID)
		}
		return out
	}
	same(t, []string{"key-0/v2", "key-1/v2"}, names(false, "", 2))
	same(t, []string{"key-2/v2", "key-4/v2"}, names(false, "key-1", 10))
	same(t, []string{"key-3/v2"}, names(true, "", 10))
	versions, err := s.VaultVersions(t.Context(), "default", "key-1", "", 10)
	must(t, err)
	if len(versions) != 2 || versions[0].Version.ID != "v1" || versions[1].Key.Name != "key-1" {
		t.Errorf("%+v", versions)
	}
	if versions, err = s.VaultVersions(t.Context(), "default", "key-1", "v1", 10); err != nil || len(versions) != 1 {
		t.Errorf("%+v, %v", versions, err)
	}
	for by, want := range map[time.Time]int{created: 0, created.Add(time.Hour): 1} {
		if due, err := s.VaultKeysDue(t.Context(), by, 10); err != nil || len(due) != want {
			t.Errorf("%s: %+v, %v", by, due, err)
		}
	}
}

// deleteVaultKey: versions go with their key, and a provider stays while it has keys.
func deleteVaultKey(t *testing.T, open Open) {
	s, _ := open(t)
	withProvider(t, s, "default")
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutVaultKey(vaultKey("a", "v1")), tx.PutVaultVersion(vaultVersion("a", "v1")))
	})
	err := s.Update(t.Context(), store.TopicProvider, "default",
		func(tx store.Tx) error { return tx.DeleteProvider("default") })
	if err == nil {
		t.Fatal("a provider was deleted with a key in its vault")
	}
	update(t, s, func(tx store.Tx) error {
		n, err := tx.CountVaultKeys("default")
		if n != 1 {
			t.Errorf("%d keys", n)
		}
		k, err2 := tx.VaultKey("default", "a")
		same(t, vaultKey("a", "v1"), k)
		v, err3 := tx.VaultVersion("default", "a", "v1")
		same(t, vaultVersion("a", "v1"), v)
		return errors.Join(err, err2, err3, tx.DeleteVaultKey("default", "a"))
	})
	update(t, s, func(tx store.Tx) error {
		list, err := tx.VaultVersions("default", "a")
		if len(list) != 0 {
			t.Errorf("versions without a key: %+v", list)
		}
		return errors.Join(err, tx.DeleteProvider("default"))
	})
	if _, err := s.VaultItem(t.Context(), "default", "a", ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a deleted key: %v", err)
	}
	err = s.Update(t.Context(), store.TopicVault, "default/a",
		func(tx store.Tx) error { return tx.DeleteVaultKey("default", "a") })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if err := s.Update(t.Context(), store.TopicVault, "default/b",
		func(tx store.Tx) error { return tx.PutVaultVersion(vaultVersion("b", "v1")) }); err == nil {
		t.Error("a version without a key")
	}
}
