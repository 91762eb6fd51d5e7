package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
)

func (s *safe) records() []store.SigningKey {
	s.t.Helper()
	records, err := s.db.SigningKeys(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return records
}

func (s *safe) checkpoints() []store.CheckpointKey {
	s.t.Helper()
	stored, err := s.db.CheckpointKeys(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return stored
}

func (s *safe) remember(dir string) {
	s.t.Helper()
	folder, err := anchor.Open(filepath.Join(dir, anchor.Dir))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.cfg.Memory, err = NewMemory(folder); err != nil {
		s.t.Fatal(err)
	}
}

func TestARowThatWasChangedInTheDatabaseNeitherSignsNorIsPublished(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	s.ensure("", "ES256", false)
	old := s.records()[0]
	s.update(func(tx store.Tx) error {
		if _, err := rotate(tx, s.cfg, "", "ES256", Rotation{Overlap: time.Hour}, "me", now); err != nil {
			return err
		}
		_, err := Retire(tx, s.cfg, old.ID, "me", now)
		return err
	})
	for _, r := range s.records() {
		if r.ID == old.ID {
			old = r
		}
	}
	for name, change := range map[string]func(k *store.SigningKey){
		"signs again": func(k *store.SigningKey) {
			k.SignUntil, k.PublishUntil = time.Time{}, time.Time{}
		},
		"published longer":        func(k *store.SigningKey) { k.PublishUntil = k.PublishUntil.Add(time.Hour) },
		"signs earlier":           func(k *store.SigningKey) { k.SignFrom = k.SignFrom.Add(-time.Hour) },
		"moved to a provider":     func(k *store.SigningKey) { k.Provider = "victim" },
		"another algorithm":       func(k *store.SigningKey) { k.Algorithm = "ES384" },
		"another hardware key":    func(k *store.SigningKey) { k.Label = "probity x" },
		"created at another time": func(k *store.SigningKey) { k.Created = k.Created.Add(-time.Hour) },
		"another private key":     func(k *store.SigningKey) { k.Sealed = bytes.Repeat([]byte{1}, 64) },
		"another id":              func(k *store.SigningKey) { k.ID = "AAAA" },
		"a later version":         func(k *store.SigningKey) { k.Version++ },
		"no seal":                 func(k *store.SigningKey) { k.Seal = nil },
		"a cut seal":              func(k *store.SigningKey) { k.Seal = k.Seal[:16] },
	} {
		forged := old
		change(&forged)
		ring := NewRing(s.cfg, []store.SigningKey{forged}, nil)
		if len(ring.keys) != 0 || len(ring.Broken()) != 1 || !errors.Is(ring.Broken()[0], ErrChanged) {
			t.Errorf("%s: %d keys, %v", name, len(ring.keys), ring.Broken())
		}
		_, err := ring.For("victim", "ES256", "https://a", now)
		if !errors.Is(err, ErrNoKey) || !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A rotation does not seal the forged row again, and retiring removes it.
	forged := old
	forged.SignUntil, forged.PublishUntil = time.Time{}, time.Time{}
	s.update(func(tx store.Tx) error {
		if err := tx.PutSigningKey(forged); err != nil {
			return err
		}
		_, err := rotate(tx, s.cfg, "", "ES256", Rotation{Overlap: time.Hour}, "me", now)
		return err
	})
	if ring := s.ring(); len(ring.keys) != 2 || len(ring.Broken()) != 1 {
		t.Errorf("%d keys, %v", len(ring.keys), ring.Broken())
	}
	s.update(func(tx store.Tx) error { _, err := Retire(tx, s.cfg, old.ID, "me", now); return err })
	if got := s.records(); len(got) != 2 || len(s.ring().Broken()) != 0 {
		t.Errorf("%d rows, %v", len(got), s.ring().Broken())
	}
}

// TestACheckpointKeyAmongSigningKeysIsNotOne: its seal is that of a row of signing keys, as the
// first versions kept it there.
func TestACheckpointKeyAmongSigningKeysIsNotOne(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	s.ensure("", "ES256", false)
	s.update(func(tx store.Tx) error { _, _, err := CheckpointKey(tx, s.cfg, "ledger.example", now); return err })
	planted := sealedAs(s.checkpoints()[0])
	s.update(func(tx store.Tx) error { return tx.PutSigningKey(planted) })
	if ring := s.ring(); len(ring.keys) != 1 || len(ring.Broken()) != 1 || !errors.Is(ring.Broken()[0], ErrChanged) {
		t.Errorf("%d keys, %v", len(ring.keys), ring.Broken())
	}
	due := Due(s.cfg, s.records(), 24*time.Hour, Rotation{}, now.AddDate(1, 0, 0))
	if len(due) != 1 || due[0].Algorithm != "ES256" {
		t.Errorf("due: %+v", due)
	}
}

func TestAnOldRowThatWasPutBackIsNotUsed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 0)
	s.remember(dir)
	s.ensure("", "ES256", false)
	active := s.records()[0]
	s.ring()
	s.update(func(tx store.Tx) error {
		if _, err := rotate(tx, s.cfg, "", "ES256", Rotation{}, "me", now); err != nil {
			return err
		}
		_, err := Retire(tx, s.cfg, active.ID, "me", now)
		return err
	})
	s.ring()
	s.update(func(tx store.Tx) error { return tx.PutSigningKey(active) })
	for _, restarted := range []bool{false, true} {
		if restarted {
			s.remember(dir)
		}
		ring := s.ring()
		if len(ring.keys) != 1 || len(ring.Broken()) != 1 ||
			!strings.Contains(ring.Broken()[0].Error(), "was there before") {
			t.Errorf("restarted %t: %d keys, %v", restarted, len(ring.keys), ring.Broken())
		}
	}
	if err := os.WriteFile(filepath.Join(dir, anchor.Dir, memoryName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := anchor.Open(filepath.Join(dir, anchor.Dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewMemory(folder); err == nil || !strings.Contains(err.Error(), memoryName) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

// firstSeal seals as the first versions did.
func firstSeal(t *testing.T, master byte, plain []byte, id string) []byte {
	t.Helper()
	block, err := aes.NewCipher(append(make([]byte, 31), master))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead.Seal(nil, nil, plain, []byte("probity "+id))
}

func TestRowsOfTheFirstVersionsAreSealedAgainOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 0)
	s.remember(dir)
	private, err := s.cfg.software("ES256")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	secret, public, err := ledger.NewKey(s.cfg.Random, "ledger.example")
	if err != nil {
		t.Fatal(err)
	}
	first := []store.SigningKey{
		{ID: "one", Algorithm: "ES256", Created: now, Sealed: firstSeal(t, 0, der,
			"signing key one"), Certificate: []byte{}},
		{ID: "hardware", Algorithm: "RS256", Label: "probity hardware", Created: now, Certificate: []byte{}},
	}
	putBack := func() {
		s.update(func(tx store.Tx) error {
			problems := []error{tx.PutCheckpointKey(store.CheckpointKey{ID: public, Created: now,
				Sealed: firstSeal(t, 0, []byte(secret), "signing key "+public)})}
			for _, k := range first {
				problems = append(problems, tx.PutSigningKey(k))
			}
			return errors.Join(problems...)
		})
	}
	putBack()
	if err := Upgrade(t.Context(), s.db, open(t, t.TempDir(), 1).cfg); err == nil {
		t.Error("another master key sealed the rows")
	}
	if err := Upgrade(t.Context(), s.db, s.cfg); err != nil {
		t.Fatal(err)
	}
	if got := s.signers("p", "ES256", "https://a", now); got.Sign.Algorithm() != "ES256" {
		t.Errorf("signs with %s", got.Sign.Algorithm())
	}
	if got, _, ok, err := StoredCheckpointKey(s.checkpoints(), s.cfg); err != nil || !ok || got != secret {
		t.Errorf("checkpoint key: %t, %v", ok, err)
	}
	if ring := s.ring(); len(ring.keys) != 2 || len(ring.Broken()) != 0 {
		t.Errorf("%d keys, %v", len(ring.keys), ring.Broken())
	}
	for _, k := range s.records() {
		if _, err := s.cfg.Master.unsealFirst(k.Sealed, k.ID); err == nil {
			t.Errorf("%s is still sealed under the master key itself", k.ID)
		}
	}
	// Once upgraded, an old row that is put back is not sealed again.
	putBack()
	s.remember(dir)
	if err := Upgrade(t.Context(), s.db, s.cfg); err != nil {
		t.Fatal(err)
	}
	if ring := s.ring(); len(ring.keys) != 0 || len(ring.Broken()) != 2 {
		t.Errorf("%d keys, %v", len(ring.keys), ring.Broken())
	}
}

func TestEachUseOfTheMasterKeyHasItsOwnSubkey(t *testing.T) {
	m := open(t, t.TempDir(), 0).cfg.Master
	seen := map[string]string{}
	for _, use := range []string{
		useTokenKeys, useCheckpointKey, useKeyRows, UseRows, "sealed tpm challenge",
		"sealed tpm enrolment",
	} {
		key := string(m.Subkey(use))
		if other, twice := seen[key]; twice || len(key) != 32 || key == string(make([]byte, 32)) {
			t.Errorf("%s has the key of %s", use, other)
		}
		seen[key] = use
	}
	if bytes.Equal(m.Subkey(UseRows), open(t, t.TempDir(), 1).cfg.Master.Subkey(UseRows)) {
		t.Error("two master keys derive the same subkey")
	}
	mac := m.Authenticate(UseRows, []byte("ab"), []byte("c"))
	for name, ok := range map[string]bool{
		"fields that share bytes": m.Authentic(mac, UseRows, []byte("a"), []byte("bc")),
		"one field":               m.Authentic(mac, UseRows, []byte("abc")),
		"another use":             m.Authentic(mac, useKeyRows, []byte("ab"), []byte("c")),
		"no code":                 m.Authentic(nil, UseRows, []byte("ab"), []byte("c")),
	} {
		if ok {
			t.Errorf("%s: authentic", name)
		}
	}
	if !m.Authentic(mac, UseRows, []byte("ab"), []byte("c")) {
		t.Error("not authentic")
	}
	sealed := m.Seal([]byte("x"), "tpm challenge")
	if _, err := m.Open(sealed, "tpm enrolment"); !errors.Is(err, ErrSealed) {
		t.Errorf("opened for another purpose: %v", err)
	}
	for name, b := range map[string][]byte{
		"now": sealed, "first versions": firstSeal(t, 0, []byte("x"), "tpm challenge"),
	} {
		if got, err := m.Open(b, "tpm challenge"); err != nil || string(got) != "x" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
