package provider_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/provider/settings"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlite"
)

var by = provider.By{Caller: "token:owner"}

// create creates a provider with settings.
func create(t *testing.T, r *provider.Registry, name, settings string) (*provider.Provider, error) {
	t.Helper()
	local := "local"
	p, _, err := r.PutProvider(t.Context(), provider.ProviderChange{
		Name:         name,
		Subscription: "s",
		Group:        "g",
		Location:     &local,
		Settings:     []byte(settings),
		By:           by,
	}, true)
	return p, err
}

func start(t *testing.T, db store.Store) *provider.Registry {
	t.Helper()
	r, err := provider.New(t.Context(), config(t, db))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// refusedBy fails the test unless a check refused the change.
func refusedBy(t *testing.T, what string, err, check error) {
	t.Helper()
	if !errors.Is(err, check) {
		t.Errorf("%s: %v; want a refusal by %s", what, err, check)
	}
}

// Each number of the settings has bounds within which its product with its unit
// does not overflow.
func TestNumbersOfSettingsAreBounded(t *testing.T) {
	for name, values := range map[string][]string{
		"maxTokenValidityMinutes": {
			"-1", "525601", "153722868", "230584301", "307445735", "9223372036854775807",
			"9223372036854775808", "-9223372036854775808", "1e3", "0.5",
		},
		"ledgerRetentionDays": {"-1", "36501", "200000", "106752", "2147483648", "9223372036854775807"},
		"requestsPerSecond": {
			"-1", "1e308", "1e-300", "5e-324", "1e309", "-1e-300", "1000001", "NaN", "Infinity", `"1"`,
		},
		"burst":      {"-1", "1000001", "9223372036854775807"},
		"concurrent": {"-1", "100001", "9223372036854775807"},
		"approvals":  {"-1", "17", "9223372036854775807"},
		"audience": {
			`["` + strings.Repeat("x", 257) + `"]`, `[` + strings.Repeat(`"a",`, 16) + `"a"]`, `[""]`,
			`["a\u0000"]`, `["a\nb"]`,
		},
		"subjectClaim": {`"` + strings.Repeat("x", 129) + `"`, `"a\u0000"`},
		"tcb":          {`"` + strings.Repeat("UpToDate,", 200) + `UpToDate"`},
	} {
		for _, value := range values {
			if s, err := settings.Read(fmt.Appendf(nil, `{%q:%s}`, name, value)); err == nil {
				t.Errorf("%s: %.40s is accepted: %+v", name, value, s)
			}
		}
	}
	most := `{"maxTokenValidityMinutes":525600,"ledgerRetentionDays":36500,"requestsPerSecond":1000000,` +
		`"burst":1000000,"concurrent":100000,"approvals":16}`
	r := start(t, open(t))
	p, err := create(t, r, "most", most)
	if err != nil {
		t.Fatal(err)
	}
	if free, _, ok := p.Take(now); !ok {
		t.Error("the largest values do not work")
	} else {
		free()
	}
	if cut := now.AddDate(0, 0, -p.Settings.Retention); !cut.Before(now) {
		t.Errorf("retention reaches %s", cut)
	}
}

// Values out of bounds that are in the database already are not used.
func TestStoredSettingsOutOfBoundsRefuse(t *testing.T) {
	db := open(t)
	start(t, db)
	if err := db.Update(t.Context(), store.TopicProvider, "old", func(tx store.Tx) error {
		_, err := tx.PutProvider(store.Provider{
			Name:     "old",
			Settings: []byte(`{"concurrent":9223372036854775807,"ledgerRetentionDays":200000}`),
		})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	p, ok := start(t, db).Get("old")
	if !ok || p.Policy(evidence.SGXEnclave).Broken == nil || p.Settings.Retention != 0 ||
		p.Settings.Concurrent != 0 {
		t.Errorf("%t, %+v", ok, p.Settings)
	}
}

func TestTextsOfProvidersAreBounded(t *testing.T) {
	r := start(t, open(t))
	if _, err := create(t, r, "texts", `{}`); err != nil {
		t.Fatal(err)
	}
	long, control := strings.Repeat("x", 300), "a\x00b"
	for _, c := range []provider.ProviderChange{
		{Location: &long}, {Location: &control}, {Tags: map[string]string{control: ""}},
		{Tags: map[string]string{"a": control}}, {Tags: map[string]string{"": "x"}},
		{Tags: map[string]string{"a": long}},
		{Settings: []byte(`{"tcb":"any"` + strings.Repeat(" ", 20_000) + `}`)},
	} {
		c.Name, c.Subscription, c.Group = "texts", "s", "g"
		if _, _, err := r.PutProvider(t.Context(), c, false); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	_, _, err := r.PutProvider(t.Context(),
		provider.ProviderChange{Name: "groups", Subscription: long, Group: "g"}, true)
	refusedBy(t, "a long subscription", err, provider.CheckName)
	_, _, err = r.PutProvider(t.Context(),
		provider.ProviderChange{Name: "groups", Subscription: "s", Group: control}, true)
	refusedBy(t, "a group with a control character", err, provider.CheckName)
	refusedBy(t, "a long endpoint",
		r.SetEndpoint(t.Context(), "texts", "e", []byte(`"`+strings.Repeat("x", 5000)+`"`), by),
		provider.CheckSettings)
	refusedBy(t, "a long endpoint name", r.SetEndpoint(t.Context(), "texts", long, []byte(`{}`), by),
		provider.CheckSettings)
}

// The store can write every expiry that is accepted.
func TestExpiryOfTokensIsBounded(t *testing.T) {
	db := open(t)
	r := start(t, db)
	for text, ok := range map[string]bool{
		"2026-04-01T00:00:00Z": true, "2026-04-01T00:00:00.999999999+14:00": true,
		"2036-01-01T00:00:00Z":      true,
		"9999-12-31T23:59:59-23:00": false,
		"9999-12-31T23:59:59Z":      false, "2037-01-01T00:00:00Z": false, "2026-03-01T12:00:00Z": false,
		"0001-01-01T00:00:01Z": false,
	} {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.NewToken(t.Context(), "t"+fmt.Sprint(at.Unix()), "reader", []string{"*"}, at, by)
		if (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	tokens, err := db.Tokens(t.Context())
	if err != nil || len(tokens) != 3 {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
	for _, k := range tokens {
		if _, offset := k.Expires.Zone(); offset != 0 || k.Expires.Nanosecond() != 0 {
			t.Errorf("%s is not in UTC and whole seconds", k.Expires)
		}
	}
}

// texts are the entries of a ledger that still have their text.
func texts(t *testing.T, db *sqlite.Store, provider string) (list []*ledger.Entry) {
	t.Helper()
	rows, err := db.Ledger(t.Context(), provider, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row.Entry == nil {
			continue
		}
		e, err := ledger.Parse(row.Entry)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func TestRetention(t *testing.T) {
	db := open(t)
	cfg := config(t, db)
	at := now
	cfg.Now, cfg.MinRetention = func() time.Time { return at }, 7
	r, err := provider.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = create(t, r, "team", `{"ledgerRetentionDays":6}`)
	refusedBy(t, "less than the operator's minimum", err, provider.CheckSettings)
	p, err := create(t, r, "team", `{"ledgerRetentionDays":7}`)
	if err != nil {
		t.Fatal(err)
	}
	for range 8 { // entries of eight days
		if err := db.AppendLedger(t.Context(), at.String(), at, func(tx store.LedgerTx) error {
			return ledger.Append(tx, "team", &ledger.Entry{Time: at, Type: ledger.Change, Action: "test", By: "x"})
		}); err != nil {
			t.Fatal(err)
		}
		if err := r.Forget(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		at = at.Add(24 * time.Hour)
	}
	if list := texts(t, db, "team"); len(list) != 9 || list[0].Action != "provider.create" {
		t.Fatalf("within the retention %d entries are left", len(list))
	}
	for range 3 { // the removal is recorded once
		if err := r.Forget(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	list := texts(t, db, "team")
	last := list[len(list)-1]
	if len(list) != 8 || last.Action != "ledger.forget" || last.Details["ledgerRetentionDays"] != "7" ||
		last.Details["entries"] != "2" || !last.Time.Equal(at) {
		t.Errorf("%d entries, last %+v", len(list), last)
	}
	// A lower value that was stored before the operator's minimum is raised to it.
	cfg.MinRetention = 30
	if r, err = provider.New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if p, _ = r.Get("team"); r.Retention(p) != 30 {
		t.Errorf("retention of %d days", r.Retention(p))
	}
	if p = r.Default(); r.Retention(p) != 0 {
		t.Errorf("the default provider forgets after %d days", r.Retention(p))
	}
}
