package provider_test

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/provider/settings"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/policy/policyjws"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func config(t testing.TB, db store.Store) provider.Config {
	t.Helper()
	master, err := keys.NewMasterKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return provider.Config{
		Store:    db,
		Signing:  keys.Config{Master: master, Random: rand.Reader},
		URL:      "https://attest.example.org",
		Poll:     time.Hour,
		Defaults: provider.Defaults{Concurrent: 8},
		Now:      func() time.Time { return now },
		Log:      slog.New(slog.DiscardHandler),
	}
}

func open(t testing.TB) *sqlite.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

const text = `version=1.0;authorizationrules{[type=="x-ms-sgx-mrsigner", ` +
	`value=="83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e"] => permit();};`

// TestManyProviders starts with 10,000 providers, each with a policy of its own.
func TestManyProviders(t *testing.T) {
	const n = 10_000
	db := open(t)
	cfg := config(t, db)
	if _, err := provider.New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for from := 0; from < n; from += 1000 {
		if err := db.Update(t.Context(), store.TopicProvider, "", func(tx store.Tx) error {
			for i := from; i < from+1000; i++ {
				name := fmt.Sprintf("tenant-%05d", i)
				_, err := tx.PutProvider(store.Provider{
					Name: name, Subscription: "s", Group: "g", Location: "local", Created: now,
				})
				if err != nil {
					return err
				}
				jws, err := policyjws.Wrap(nil, fmt.Sprintf("%s// %d", text, i), nil, nil)
				if err != nil {
					return err
				}
				if _, err := tx.PutPolicy(store.PolicyVersion{
					Provider: name, Kind: string(evidence.SGXEnclave), Action: store.PolicySet,
					JWS: jws, At: now,
				}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	r, err := provider.New(t.Context(), cfg)
	took := time.Since(start)
	if err != nil || len(r.All()) != n+1 {
		t.Fatalf("%d providers, %v", len(r.All()), err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("10,000 providers with a policy each: read in %s, %d MiB held",
		took.Round(time.Millisecond), held>>20)
	if held > 1<<30 {
		t.Errorf("%d bytes held", held)
	}
	p, ok := r.Get("TENANT-07777")
	if !ok || p.Policy(evidence.SGXEnclave).Version != 1 ||
		p.URL != "https://attest.example.org/p/tenant-07777" {
		t.Errorf("%+v", p)
	}
	if s, err := p.Signers(now); err != nil || s.Sign.Issuer != p.URL {
		t.Errorf("%+v, %v", s, err)
	}
}

// What is stored and cannot be read lets nothing pass, and takes no other provider
// with it.
func TestABrokenProviderDoesNotAffectOthers(t *testing.T) {
	db := open(t)
	if err := db.Update(t.Context(), store.TopicProvider, "", func(tx store.Tx) error {
		for name, settings := range map[string]string{"sound": `{}`, "unknown-setting": `{"later":1}`} {
			if _, err := tx.PutProvider(store.Provider{Name: name, Settings: []byte(settings)}); err != nil {
				return err
			}
		}
		if _, err := tx.PutProvider(store.Provider{Name: "no-policy"}); err != nil {
			return err
		}
		_, err := tx.PutPolicy(store.PolicyVersion{
			Provider: "no-policy", Kind: "SgxEnclave", Action: store.PolicySet, JWS: "x", At: now,
		})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	r, err := provider.New(t.Context(), config(t, db))
	if err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string]bool{
		"sound": false, "unknown-setting": true, "no-policy": true, "default": false,
	} {
		p, ok := r.Get(name)
		if !ok || (p.Policy(evidence.SGXEnclave).Broken != nil) != broken {
			t.Errorf("%s: %t, %v", name, ok, p.Policy(evidence.SGXEnclave).Broken)
		}
	}
}

// A provider asks for less than the service gives, never for more.
func TestAProviderCannotRaiseItsBounds(t *testing.T) {
	db := open(t)
	cfg := config(t, db)
	cfg.Defaults = provider.Defaults{Rate: 2, Burst: 2, Concurrent: 1, MaxValidity: 10 * time.Hour}
	r, err := provider.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	local := "local"
	for name, tc := range map[string]struct {
		settings string
		taken    int
		validity time.Duration
	}{
		"greedy": {
			`{"requestsPerSecond":1000,"burst":1000,"concurrent":1000,"maxTokenValidityMinutes":100000}`,
			2, 10 * time.Hour,
		},
		"modest":  {`{"requestsPerSecond":1,"burst":1,"maxTokenValidityMinutes":60}`, 1, time.Hour},
		"silent":  {`{}`, 2, 10 * time.Hour},
		"MixedCa": {`{}`, 2, 10 * time.Hour},
	} {
		p, created, err := r.PutProvider(t.Context(), provider.ProviderChange{
			Name: name, Subscription: "s", Group: "g", Location: &local, Settings: []byte(tc.settings),
		}, true)
		if err != nil || !created {
			t.Fatal(err)
		}
		taken := 0
		for range 10 {
			if free, _, ok := p.Take(now); ok {
				taken++
				free()
			}
		}
		later := now.Add(time.Hour)
		if _, _, ok := p.Take(later); !ok {
			t.Errorf("%s: the quota does not come back", name)
		}
		if _, wait, ok := p.Take(later.Add(time.Minute)); ok || wait == 0 {
			t.Errorf("%s: two run at once", name)
		}
		if taken > tc.taken || p.MaxValidity != tc.validity {
			t.Errorf("%s: %d taken, validity %s", name, taken, p.MaxValidity)
		}
	}
	if _, created, err := r.PutProvider(t.Context(), provider.ProviderChange{
		Name: "mixedca", Subscription: "s", Group: "g", Location: &local,
	}, true); err != nil || created {
		t.Errorf("the same name in another case is another provider: %t, %v", created, err)
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	for _, text := range []string{
		`{"tcb":"Revoked"}`, `{"signingAlgorithm":"none"}`, `{"ledger":"open"}`, `{"approvals":-1}`,
		`{"approvals":17}`, `{"burst":-1}`, `{"requestsPerSecond":-0.5}`,
		`{"maxTokenValidityMinutes":1000000}`, `{"audience":[""]}`, `{"subjectClaim":"a b"}`,
		`{"unknown":1}`, `{"tcb":"any","tcb":"any"}`, `[]`, `{`,
	} {
		if s, err := settings.Read([]byte(text)); err == nil {
			t.Errorf("%s: %+v", text, s)
		}
	}
	s, err := settings.Read(
		[]byte(`{"signingAlgorithm":"EdDSA","audience":["k8s"],"ledger":"failClosed"}`),
	)
	if err != nil || s.Algorithm != "EdDSA" {
		t.Errorf("%+v, %v", s, err)
	}
}

func FuzzReadSettings(f *testing.F) {
	f.Add([]byte(`{"tcb":"any","audience":["a"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := settings.Read(text); err == nil && (s.Approvals < 0 || s.Burst < 0) {
			t.Errorf("%+v", s)
		}
	})
}

// TestTheFirstEntryGetsACheckpoint: the key that the first start makes is a change as
// any other.
func TestTheFirstEntryGetsACheckpoint(t *testing.T) {
	db := open(t)
	cfg := config(t, db)
	var touched []string
	cfg.Touched = func(provider string) { touched = append(touched, provider) }
	for range 2 { // the second start changes nothing
		if _, err := provider.New(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if len(touched) != 1 || touched[0] != store.DefaultProvider {
		t.Errorf("%v", touched)
	}
}
