package provider_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlite"
)

// damage changes the stored row of a provider and returns its text.
func damage(t *testing.T, db *sqlite.Store, statement string) string {
	t.Helper()
	if _, err := db.DB().Exec(statement); err != nil {
		t.Fatal(err)
	}
	return rowOf(t, db, store.DefaultProvider)
}

func rowOf(t *testing.T, db *sqlite.Store, provider string) (text string) {
	t.Helper()
	if err := db.DB().QueryRow(`SELECT data FROM providers WHERE name = $1`, provider).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// A default provider that cannot be read is not replaced by an empty one.
func TestADefaultProviderThatCannotBeReadIsLeftAsItIs(t *testing.T) {
	for name, statement := range map[string]string{
		"broken JSON": `UPDATE providers SET data = replace(data, '"settings":{', '"settings":[') ` +
			`WHERE name = 'default'`,
		"cut off":      `UPDATE providers SET data = substr(data, 1, 10) WHERE name = 'default'`,
		"empty":        `UPDATE providers SET data = '' WHERE name = 'default'`,
		"another type": `UPDATE providers SET data = '{"location":1}' WHERE name = 'default'`,
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			r, err := provider.New(t.Context(), config(t, db))
			if err != nil {
				t.Fatal(err)
			}
			d := r.Default()
			if _, _, err := r.PutProvider(t.Context(), provider.ProviderChange{
				Name:         d.Name,
				Subscription: d.Subscription,
				Group:        d.Group,
				Settings:     []byte(`{"ledger":"failClosed","approvals":2}`),
			}, false); err != nil {
				t.Fatal(err)
			}
			before := damage(t, db, statement)
			_, err = provider.New(t.Context(), config(t, db))
			if err == nil || !strings.Contains(err.Error(), "default provider cannot be read") {
				t.Errorf("the service starts: %v", err)
			}
			if after := rowOf(t, db, store.DefaultProvider); after != before {
				t.Errorf("the row %s became %s", before, after)
			}
		})
	}
}

// away is a store whose database does not answer.
type away struct {
	store.Store
	updates int
}

func (a *away) Provider(context.Context, string) (store.Provider, error) {
	return store.Provider{}, store.ErrUnavailable
}

func (a *away) Update(ctx context.Context, topic, name string, f func(store.Tx) error) error {
	a.updates++
	return a.Store.Update(ctx, topic, name, f)
}

func TestAStoreThatDoesNotAnswerIsNotWritten(t *testing.T) {
	a := &away{Store: open(t)}
	_, err := provider.New(t.Context(), config(t, a))
	if !errors.Is(err, store.ErrUnavailable) || a.updates != 0 {
		t.Errorf("%v, %d updates", err, a.updates)
	}
}

func TestTheFirstStartIsRecorded(t *testing.T) {
	db := open(t)
	for range 2 { // the second start creates nothing
		if _, err := provider.New(t.Context(), config(t, db)); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := db.Ledger(t.Context(), store.DefaultProvider, 0, 10)
	if err != nil || len(rows) != 2 || !strings.Contains(string(rows[0].Entry), `"provider.create"`) ||
		!strings.Contains(string(rows[1].Entry), `"key.create"`) {
		t.Errorf("%d rows, %v: %+v", len(rows), err, rows)
	}
}
