package keys

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/token"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type safe struct {
	t   *testing.T
	db  *sqlite.Store
	cfg Config
}

func open(t *testing.T, dir string, master byte) *safe {
	t.Helper()
	key, err := NewMasterKey(append(make([]byte, 31), master))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &safe{t, db, Config{Master: key, Random: rand.Reader}}
}

func (s *safe) update(f func(store.Tx) error) {
	s.t.Helper()
	if err := s.db.Update(s.t.Context(), store.TopicKeys, "", f); err != nil {
		s.t.Fatal(err)
	}
}

func (s *safe) ensure(provider, algorithm string, own bool) {
	s.t.Helper()
	s.update(func(tx store.Tx) error {
		_, err := Ensure(tx, s.cfg, nil, provider, algorithm, own, now)
		return err
	})
}

func (s *safe) ring() *Ring {
	s.t.Helper()
	records, err := s.db.SigningKeys(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return NewRing(s.cfg, records, nil)
}

func (s *safe) signers(provider, algorithm, issuer string, at time.Time) *Signers {
	s.t.Helper()
	got, err := s.ring().For(provider, algorithm, issuer, at)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func TestTheKeySurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, 0)
	first.ensure("", "RS256", false)
	a := first.signers("x", "RS256", "https://a", now)
	again := open(t, dir, 0)
	again.ensure("", "RS256", false)
	b := again.signers("x", "RS256", "https://a", now)
	if a.Sign.KeyID != b.Sign.KeyID || string(a.Sign.Certificate.Raw) != string(b.Sign.Certificate.Raw) ||
		a.Sign.Certificate.Subject.CommonName != "https://a" {
		t.Error("another key or certificate after the restart")
	}
	c := again.signers("x", "RS256", "https://b", now)
	if c.Sign.KeyID != a.Sign.KeyID || c.Sign.Certificate.Subject.CommonName != "https://b" {
		t.Error("another issuer has another key, or the same certificate")
	}
	db, err := os.ReadFile(filepath.Join(dir, sqlite.FileName))
	if err != nil || strings.Contains(string(db), "PRIVATE KEY") {
		t.Errorf("the database holds a key in clear, or cannot be read: %v", err)
	}
}

// Nodes hand out the same certificate without asking each other.
func TestCertificatesAreTheSameOnEveryNode(t *testing.T) {
	for _, algorithm := range token.Algorithms() {
		s := open(t, t.TempDir(), 0)
		s.ensure("", algorithm, false)
		a, b := s.signers("", algorithm, "https://a", now), s.signers("", algorithm, "https://a", now)
		if string(a.Sign.Certificate.Raw) != string(b.Sign.Certificate.Raw) || a.Sign.Algorithm() != algorithm {
			t.Errorf("%s: %s, certificates differ", algorithm, a.Sign.Algorithm())
		}
	}
	if err := open(t, t.TempDir(), 0).db.Update(t.Context(), "", "", func(tx store.Tx) error {
		_, err := Ensure(tx, Config{Random: rand.Reader}, nil, "", "HS256", false, now)
		return err
	}); err == nil {
		t.Error("a key of no algorithm was made")
	}
}

func TestPublishSignRetire(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	s.ensure("", "RS256", false)
	before := s.signers("p", "RS256", "https://a", now)
	rotation := Rotation{Ahead: 24 * time.Hour, Overlap: 9 * time.Hour}
	var next store.SigningKey
	s.update(func(tx store.Tx) (err error) {
		next, err = rotate(tx, s.cfg, "", "RS256", rotation, "me", now)
		return err
	})
	if err := s.db.Update(t.Context(), "", "", func(tx store.Tx) error {
		_, err := rotate(tx, s.cfg, "", "RS256", rotation, "me", now.Add(time.Hour))
		return err
	}); !errors.Is(err, ErrPending) {
		t.Errorf("a second rotation: %v", err)
	}
	for name, step := range map[string]struct {
		at        time.Duration
		signs     string
		published int
	}{
		"published":      {0, before.Sign.KeyID, 2},
		"just before":    {24*time.Hour - time.Second, before.Sign.KeyID, 2},
		"signing":        {24 * time.Hour, next.ID, 2},
		"still in place": {33*time.Hour - time.Second, next.ID, 2},
		"retired":        {33 * time.Hour, next.ID, 1},
	} {
		got := s.signers("p", "RS256", "https://a", now.Add(step.at))
		if got.Sign.KeyID != step.signs || len(got.Published) != step.published || got.Published[0] != got.Sign {
			t.Errorf("%s: %s signs, %d published", name, got.Sign.KeyID, len(got.Published))
		}
	}
	if got := s.signers("p", "RS256", "https://a", now); !got.Until.Equal(now.Add(24 * time.Hour)) {
		t.Errorf("until %s", got.Until)
	}
	records, err := s.db.SigningKeys(t.Context())
	if err != nil || !Expired(records, now.Add(33*time.Hour)) || Expired(records, now) {
		t.Errorf("expired at the wrong time, %v", err)
	}
	var removed []store.SigningKey
	s.update(func(tx store.Tx) (err error) {
		removed, err = Prune(tx, s.cfg, now.Add(33*time.Hour))
		return err
	})
	if records, err := s.db.SigningKeys(t.Context()); err != nil || len(records) != 1 ||
		records[0].ID != next.ID || len(removed) != 1 || removed[0].ID == next.ID {
		t.Errorf("%d keys, %d removed, %v", len(records), len(removed), err)
	}
	first := store.SigningKey{ID: "of the first versions", Created: now}
	first.Seal = s.cfg.Master.Authenticate(useKeyRows, fields(first)...)
	old := []store.SigningKey{first}
	if due := Due(s.cfg, old, 30*24*time.Hour, rotation, now.Add(time.Hour)); len(due) != 0 {
		t.Errorf("an old key without dates is due at once: %+v", due)
	}
	if due := Due(s.cfg, old, 30*24*time.Hour, rotation, now.Add(40*24*time.Hour)); len(due) != 1 {
		t.Errorf("an old key without dates is not due: %+v", due)
	}
	if due := Due(s.cfg, records, 30*24*time.Hour, rotation, now.Add(29*24*time.Hour)); len(due) != 0 {
		t.Errorf("due too early: %+v", due)
	}
	if due := Due(s.cfg, records, 30*24*time.Hour, rotation, now.Add(30*24*time.Hour)); len(due) != 1 {
		t.Errorf("not due: %+v", due)
	}
}

func TestTheLastKeyIsNotRetired(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	s.ensure("", "ES256", false)
	old := s.signers("", "ES256", "https://a", now).Sign.KeyID
	retire := func(id string) error {
		return s.db.Update(t.Context(), "", "",
			func(tx store.Tx) error { _, err := Retire(tx, s.cfg, id, "me", now); return err })
	}
	if err := retire(old); !errors.Is(err, ErrLastKey) {
		t.Errorf("error = %v", err)
	}
	if err := retire("none"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("error = %v", err)
	}
	s.update(func(tx store.Tx) error {
		_, err := rotate(tx, s.cfg, "", "ES256", Rotation{}, "me", now)
		return err
	})
	if err := retire(old); err != nil {
		t.Fatal(err)
	}
	if got := s.signers("", "ES256", "https://a", now); got.Sign.KeyID == old || len(got.Published) != 1 {
		t.Errorf("%s signs, %d published", got.Sign.KeyID, len(got.Published))
	}
}

func TestOwnKeysStayTheProvidersOwn(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	s.ensure("", "RS256", false)
	s.ensure("own", "RS256", true)
	own, other := s.signers("own", "RS256", "https://a", now), s.signers("other", "RS256", "https://b", now)
	if own.Sign.KeyID == other.Sign.KeyID || len(own.Published) != 1 || len(other.Published) != 1 {
		t.Error("keys are mixed")
	}
	if _, err := s.ring().For("other", "PS256", "https://b", now); !errors.Is(err, ErrNoKey) {
		t.Errorf("error = %v", err)
	}
}

func TestAnotherMasterKeyDoesNotOpenTheKeys(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, 0).ensure("", "RS256", false)
	_, err := open(t, dir, 1).ring().For("", "RS256", "https://a", now)
	if err == nil || !strings.Contains(err.Error(), "master key") {
		t.Errorf("error = %v", err)
	}
}

func TestSealedKeysCannotBeSwapped(t *testing.T) {
	m, err := NewMasterKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	sealed := m.seal(useTokenKeys, []byte("secret"), "a")
	if _, err := m.unseal(useTokenKeys, sealed, "b"); err == nil {
		t.Error("opened under another id")
	}
	for _, cut := range [][]byte{nil, sealed[:10], sealed[:len(sealed)-1]} {
		if _, err := m.unseal(useTokenKeys, cut, "a"); err == nil {
			t.Errorf("opened %d of %d bytes", len(cut), len(sealed))
		}
	}
}

func TestMasterKeysThatAreRefused(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "not base64": "hunter2!", "too short": "AAAA"} {
		if _, err := ParseMasterKey(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := LoadMasterKey(filepath.Join(t.TempDir(), "absent"), rand.Reader, false); err == nil {
		t.Error("an absent key file was accepted")
	}
}

// rotate makes a key and rotates to it.
func rotate(
	tx store.Tx, cfg Config, provider, algorithm string, r Rotation, by string, now time.Time,
) (store.SigningKey, error) {
	next, err := cfg.New(provider, algorithm, now)
	if err != nil {
		return next, err
	}
	return Rotate(tx, cfg, next, r, by, now)
}
