package provider

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider/settings"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/strict/ascii"
)

// A provider that is removed and made again under its name is another provider: the
// callers, tokens, challenges and ledger of the earlier one are not its own.

// generation returns the number of a new provider of a name: the ledgers of the earlier
// ones stay, so it is the first one without a ledger.
func generation(head func(ledger string) (store.LedgerHead, error), name string) (int64, error) {
	p := store.Provider{Name: name}
	for p.Generation = 1; ; p.Generation++ {
		found, err := head(p.Identity())
		if err != nil {
			return 0, err
		}
		if found.Size == 0 {
			return p.Generation, nil
		}
	}
}

// ownKeys reports whether a provider signs with keys of its own: where its settings say
// so, and where earlier providers had its name. Tokens of those are signed by shared keys,
// or by keys that were removed with them, and must not verify as tokens of this one.
func ownKeys(p store.Provider, s settings.Settings) bool { return s.OwnKeys || p.Generation > 1 }

// ownKeys is the same before a provider is made; at is nil then.
func (r *Registry) ownKeys(ctx context.Context, name string, at *Provider, wanted settings.Settings) (bool, error) {
	if at != nil {
		return ownKeys(at.Provider, wanted), nil
	}
	n, err := generation(func(ledger string) (store.LedgerHead, error) {
		return r.cfg.Store.LedgerHead(ctx, ledger)
	}, name)
	return ownKeys(store.Provider{Generation: n}, wanted), err
}

// strip takes a provider that is removed out of the static tokens, and revokes those that
// name no other one: they are not for the next provider of the name.
func (r *Registry) strip(tx store.Tx, name string, by By) error {
	tokens, err := tx.Tokens()
	if err != nil {
		return err
	}
	named := func(p string) bool { return ascii.EqualFold(p, name) }
	for _, t := range tokens {
		if !slices.ContainsFunc(t.Providers, named) {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(t.Providers), named)
		err := tx.DeleteToken(t.Name)
		action, details := "caller.revoke", map[string]string{"removed": name}
		if len(left) > 0 {
			t.Providers = left
			err = errors.Join(err, tx.PutToken(t))
			action, details["providers"] = "caller.update", strings.Join(left, ",")
		}
		err = errors.Join(err,
			ledger.Append(tx, store.DefaultProvider, r.entry(by, action, tokenPrefix+t.Name, details)))
		if err != nil {
			return err
		}
	}
	return nil
}
