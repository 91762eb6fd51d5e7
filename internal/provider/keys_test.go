package provider_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
)

// keyed is a registry with a clock of its own.
type keyed struct {
	*provider.Registry
	t   *testing.T
	db  store.Store
	cfg provider.Config
	at  time.Time
}

const ahead, overlap = 24 * time.Hour, 9 * time.Hour

func newKeyed(t *testing.T, start time.Time) *keyed {
	t.Helper()
	k := &keyed{t: t, at: start, db: open(t)}
	k.cfg = config(t, k.db)
	k.cfg.Now = func() time.Time { return k.at }
	k.cfg.Rotation = keys.Rotation{Ahead: ahead, Overlap: overlap}
	k.restart()
	return k
}

func (k *keyed) restart() {
	k.t.Helper()
	var err error
	if k.Registry, err = provider.New(k.t.Context(), k.cfg); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keyed) put(name, settings string) {
	k.t.Helper()
	if _, _, err := k.PutProvider(k.t.Context(), provider.ProviderChange{
		Name: name, Subscription: "s", Group: "g", Settings: jsontext.Value(settings),
	}, true); err != nil {
		k.t.Fatal(err)
	}
}

// keys returns which key signs, and which are in the key set.
func (k *keyed) keys(name string) (signs, algorithm string, published []string) {
	k.t.Helper()
	p, ok := k.Get(name)
	if !ok {
		k.t.Fatal("no provider " + name)
	}
	s, err := p.Signers(k.at)
	if err != nil {
		k.t.Fatal(err)
	}
	for _, p := range s.Published {
		published = append(published, p.KeyID)
	}
	return s.Sign.KeyID, s.Sign.Algorithm(), published
}

func TestASwitchOfKeysLeavesNoTokenWithoutItsKey(t *testing.T) {
	switches := []string{
		`{"ownKeys":true}`, `{"ownKeys":true,"signingAlgorithm":"ES256"}`,
		`{"signingAlgorithm":"EdDSA"}`, `{}`, `{"ownKeys":true}`,
	}
	for name, pause := range map[string]time.Duration{
		"quickly":           time.Minute,
		"each hour":         time.Hour,
		"slower than ahead": ahead + time.Hour,
		"after all ended":   5 * 24 * time.Hour,
	} {
		k := newKeyed(t, now)
		k.put("alpha", `{}`)
		signed := map[string]time.Time{} // keys, and when they signed last
		known := map[string]time.Time{}  // keys, and when they were published first
		check := func(where string) {
			t.Helper()
			kid, _, published := k.keys("alpha")
			for _, id := range published {
				if _, ok := known[id]; !ok {
					known[id] = k.at
				}
			}
			if first := known[kid]; len(signed) > 0 && first != now && k.at.Sub(first) < ahead {
				t.Errorf("%s, %s: a key signs %s after it was published", name, where, k.at.Sub(first))
			}
			signed[kid] = k.at
			for id, last := range signed {
				if k.at.Sub(last) <= 8*time.Hour && !slices.Contains(published, id) {
					t.Errorf("%s, %s: a key that signed %s ago is not published", name, where, k.at.Sub(last))
				}
			}
		}
		check("at first")
		for _, s := range switches {
			k.put("alpha", s)
			check(s)
			for end := k.at.Add(pause); k.at.Before(end); k.at = k.at.Add(min(pause, 30*time.Minute)) {
				check(s)
			}
		}
		// All of it survives a restart, and ends.
		k.restart()
		check("after a restart")
		k.at = k.at.Add(ahead + overlap + time.Hour)
		if _, algorithm, published := k.keys("alpha"); algorithm != "RS256" || len(published) != 1 {
			t.Errorf("%s: at last %s, %d keys published", name, algorithm, len(published))
		}
	}
}

func TestANewProviderSignsWithItsKeyAtOnce(t *testing.T) {
	k := newKeyed(t, now)
	k.put("beta", `{"ownKeys":true,"signingAlgorithm":"ES384"}`)
	if _, algorithm, published := k.keys("beta"); algorithm != "ES384" || len(published) != 1 {
		t.Errorf("%s, %d published", algorithm, len(published))
	}
	// A change of other settings changes no keys.
	before, _, _ := k.keys("beta")
	k.put("beta", `{"ownKeys":true,"signingAlgorithm":"ES384","burst":7}`)
	if after, _, published := k.keys("beta"); after != before || len(published) != 1 {
		t.Errorf("another key, %d published", len(published))
	}
}

func TestRotationByCallersIsBounded(t *testing.T) {
	k := newKeyed(t, now)
	k.put("noisy", `{"ownKeys":true,"signingAlgorithm":"ES256"}`)
	rotate := func(name string) error {
		_, err := k.RotateKey(t.Context(), name, "ES256", keys.Rotation{Overlap: overlap},
			provider.By{Caller: "owner"})
		return err
	}
	done := 0
	for range 20 {
		if err := rotate("noisy"); err == nil {
			done++
		} else if !strings.Contains(err.Error(), "try again after") {
			t.Fatal(err)
		}
	}
	if done != 5 {
		t.Errorf("%d keys within ten minutes besides the first", done)
	}
	// Retiring and removing keys makes no room for new ones sooner.
	records, err := k.db.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signs, _, _ := k.keys("noisy")
	for _, r := range records {
		if r.Provider == "noisy" && r.ID != signs {
			if _, err := k.RetireKey(t.Context(), r.ID, provider.By{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := k.Tend(t.Context(), 0, k.cfg.Rotation); err != nil {
		t.Fatal(err)
	}
	if err := rotate("noisy"); err == nil {
		t.Error("retired keys made room for new ones at once")
	}
	k.put("quiet", `{"ownKeys":true,"signingAlgorithm":"ES256"}`)
	if err := rotate("quiet"); err != nil {
		t.Errorf("another provider: %v", err)
	}
	// Nor does patience fill the key set without end.
	for range 100 {
		k.at = k.at.Add(2 * time.Minute)
		_ = rotate("noisy")
	}
	if _, _, published := k.keys("noisy"); len(published) > 21 {
		t.Errorf("%d keys are published", len(published))
	}
	if err := rotate("noisy"); err == nil || !strings.Contains(err.Error(), "are published") {
		t.Errorf("error = %v", err)
	}
	k.at = k.at.Add(overlap + time.Hour)
	if err := rotate("noisy"); err != nil {
		t.Errorf("after the old keys left the key set: %v", err)
	}
	// A scheduled rotation is not bounded by what callers did.
	if err := k.Tend(t.Context(), time.Second, keys.Rotation{Overlap: overlap}); err != nil {
		t.Error(err)
	}
}

func TestKeysAreMadeOutsideTransactions(t *testing.T) {
	k := newKeyed(t, now)
	k.put("noisy", `{"ownKeys":true,"signingAlgorithm":"ES256"}`)
	ctx, cancel := context.WithCancel(t.Context())
	inside := &watched{Store: k.db}
	k.cfg.Store = inside
	k.cfg.Signing.Random = readerFunc(func(b []byte) (int, error) { return len(b), nil })
	token := &hardware{watched: inside, t: t}
	k.cfg.Signing.Token = token
	k.restart()
	if _, err := k.RotateKey(ctx, "noisy", "ES256", keys.Rotation{}, provider.By{}); err == nil {
		t.Error("the hardware token makes no keys, and a key was made")
	}
	if _, _, err := k.PutProvider(ctx, provider.ProviderChange{
		Name: "other", Subscription: "s", Group: "g", Settings: jsontext.Value(`{"ownKeys":true}`),
	}, true); err == nil {
		t.Error("the hardware token makes no keys, and a provider was created with one")
	}
	if token.asked != 2 {
		t.Errorf("the token was asked for %d keys", token.asked)
	}
	cancel()
	if _, err := k.RotateKey(ctx, "noisy", "ES256", keys.Rotation{}, provider.By{}); err == nil {
		t.Error("a caller who is gone rotated a key")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestAClockThatWasWrongIsSurvived(t *testing.T) {
	for name, wrong := range map[string]time.Time{
		"years ahead":  now.AddDate(10, 0, 0),
		"1970":         time.Unix(100, 0).UTC(),
		"a week ahead": now.AddDate(0, 0, 7),
	} {
		k := newKeyed(t, wrong)
		k.put("own", `{"ownKeys":true,"signingAlgorithm":"ES256"}`)
		first, _, _ := k.keys("default")
		k.at = now
		k.restart()
		if err := k.Tend(t.Context(), 0, k.cfg.Rotation); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		signs, _, _ := k.keys("default")
		if (signs == first) != wrong.Before(now) {
			t.Errorf("%s: the first key signs: %t", name, signs == first)
		}
		if _, algorithm, _ := k.keys("own"); algorithm != "ES256" {
			t.Errorf("%s: the provider with its own key signs with %s", name, algorithm)
		}
		// The next rotation works, and a second start makes no more keys.
		records, _ := k.db.SigningKeys(t.Context())
		k.restart()
		if again, _ := k.db.SigningKeys(t.Context()); len(again) != len(records) {
			t.Errorf("%s: %d keys, then %d", name, len(records), len(again))
		}
		if _, err := k.RotateKey(t.Context(), "", "RS256", k.cfg.Rotation, provider.By{}); err != nil {
			t.Errorf("%s: rotate: %v", name, err)
		}
		k.at = now.Add(ahead)
		if next, _, _ := k.keys("default"); next == signs || next == first {
			t.Errorf("%s: the next key does not sign", name)
		}
	}
	// A clock that is wrong for one start leaves the keys as they were.
	k := newKeyed(t, now)
	before, _, _ := k.keys("default")
	k.at = time.Unix(100, 0).UTC()
	k.restart()
	k.at = now.Add(time.Hour)
	k.restart()
	if after, _, published := k.keys("default"); after != before {
		t.Errorf("another key signs; %s", fmt.Sprint(published))
	}
}

// overtaken answers the next read of signing keys with what was there before.
type overtaken struct {
	store.Store
	before []store.SigningKey
}

func (o *overtaken) SigningKeys(ctx context.Context) ([]store.SigningKey, error) {
	if before := o.before; before != nil {
		o.before = nil
		return before, nil
	}
	return o.Store.SigningKeys(ctx)
}

func TestAReadOfKeysThatAChangeOvertookIsDoneAgain(t *testing.T) {
	k := newKeyed(t, now)
	folder, err := anchor.Open(filepath.Join(t.TempDir(), "anchor"))
	if err != nil {
		t.Fatal(err)
	}
	if k.cfg.Signing.Memory, err = keys.NewMemory(folder); err != nil {
		t.Fatal(err)
	}
	db := &overtaken{Store: k.db}
	k.cfg.Store = db
	k.restart()
	before, err := k.db.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rotate := func() error {
		_, err := k.RotateKey(t.Context(), "", "RS256", keys.Rotation{}, provider.By{})
		return err
	}
	if err := rotate(); err != nil {
		t.Fatal(err)
	}
	db.before = before
	if err := rotate(); err != nil {
		t.Errorf("a rotation that another one overtook: %v", err)
	}
}
