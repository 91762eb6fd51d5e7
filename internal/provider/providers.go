package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider/settings"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/strict/ascii"
	"github.com/probity-dev/probity/strict/bounds"
	"github.com/probity-dev/probity/wording/phrase"
)

// providerName is what Azure's clients take.
var providerName = regexp.MustCompile(`^[a-zA-Z0-9-]{3,24}$`)

// reserved names mean something else in a URL.
var reserved = []string{store.DefaultProvider, "www", "certs", "attest", "policies"}

// The default provider has a place among the resources too, so that its settings can
// be changed as those of any other.
const (
	defaultSubscription = "probity"
	defaultGroup        = "default"
	defaultLocation     = "local"
)

// placed gives the default provider its place; the first databases have none.
func placed(p store.Provider) store.Provider {
	if p.Name == store.DefaultProvider && p.Subscription == "" {
		p.Subscription, p.Group, p.Location = defaultSubscription, defaultGroup, defaultLocation
	}
	return p
}

// ProviderChange is what a caller wants a provider to be. Nil members stay as
// they are.
type ProviderChange struct {
	Name, Subscription, Group string
	Location                  *string
	Tags                      map[string]string
	// Signers, at the creation alone, make the provider Isolated.
	Signers             []jsontext.Value
	PublicNetworkAccess *string
	TPMAuthentication   *string
	Settings            jsontext.Value
	// Match, if not nil, is the revision that must be in force; 0 means that the
	// provider must not be there.
	Match *int64
	By    By

	// agreed are the callers who agreed besides By, once there are enough of them.
	agreed []string
}

const (
	maxTags      = 50
	maxTagLength = 256
	// maxGroup bounds the names of subscriptions and resource groups, as Azure does;
	// maxLocation and maxEndpoint bound what is only kept and shown. All in bytes.
	maxGroup        = 90
	maxLocation     = 128
	maxEndpointName = 80
	maxEndpoint     = 4 << 10
)

// check checks what needs no database. minRetention is in days.
func (c *ProviderChange) check(minRetention int) error {
	if !providerName.MatchString(c.Name) ||
		slices.Contains(reserved, ascii.Lower(c.Name)) && c.Name != store.DefaultProvider {
		return refuse(Invalid, CheckName, "3 to 24 letters, digits and dashes, and no reserved word",
			fmt.Sprintf("%q", c.Name), "choose another name")
	}
	chosen, err := settings.Read(c.Settings)
	if err == nil && chosen.Retention > 0 {
		err = bounds.Check("ledgerRetentionDays", chosen.Retention, minRetention, bounds.MaxRetention)
	}
	if err != nil {
		return refuse(Invalid, CheckSettings, "settings as described in docs/guide/providers.md", err.Error(),
			"correct the setting")
	}
	for _, v := range []*string{c.PublicNetworkAccess, c.TPMAuthentication} {
		if v != nil && *v != "" && *v != "Enabled" && *v != "Disabled" {
			return refuse(Invalid, CheckSettings, "Enabled or Disabled", fmt.Sprintf("%q", *v),
				"correct publicNetworkAccess or tpmAttestationAuthentication")
		}
	}
	problems := []error{
		bounds.Text("subscription", c.Subscription, maxGroup),
		bounds.Text("resource group", c.Group, maxGroup),
	}
	if c.Location != nil {
		problems = append(problems, bounds.Text("location", *c.Location, maxLocation))
	}
	if err := errors.Join(problems...); err != nil {
		return refuse(Invalid, CheckName, "a subscription, resource group and location within their bounds",
			err.Error(), "choose a shorter one")
	}
	if len(c.Tags) > maxTags {
		return refuse(Invalid, CheckSettings, fmt.Sprintf("at most %d tags", maxTags),
			fmt.Sprint(len(c.Tags)), "send fewer tags")
	}
	for name, value := range c.Tags {
		if err := errors.Join(bounds.Check("bytes of a tag's name", len(name), 1, maxTagLength),
			bounds.Text("tag", name, maxTagLength),
			bounds.Text("tag "+name, value, maxTagLength)); err != nil {
			return refuse(Invalid, CheckSettings, "tags within their bounds", err.Error(), "correct the tag")
		}
	}
	return checkSigners(c.Signers)
}

// PutProvider creates a provider, or changes one where create is false or it is
// there.
func (r *Registry) PutProvider(
	ctx context.Context, c ProviderChange, mayCreate bool,
) (t *Provider, created bool, err error) {
	if err := c.check(r.cfg.MinRetention); err != nil {
		return nil, false, err
	}
	// Names are compared without case everywhere; the store knows one form alone.
	name := ascii.Lower(c.Name)
	ready, err := r.keyAhead(ctx, name, c, mayCreate)
	if err != nil {
		return nil, false, err
	}
	used := false
	defer func() {
		if !used || err != nil {
			r.discard(ready)
		}
	}()
	var pending *Refusal
	err = r.cfg.Store.Update(ctx, store.TopicProvider, name, func(tx store.Tx) error {
		used, pending = false, nil
		p, isNew, err := r.target(tx, name, c, mayCreate)
		if err != nil {
			return err
		}
		if created = isNew; !created {
			if pending, err = r.proposeSettings(tx, p, c); err != nil || pending != nil {
				return err
			}
		}
		used, err = r.putProvider(tx, p, c, created, ready)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	r.changed(ctx, name)
	if pending != nil {
		return nil, false, pending
	}
	t, ok := r.Get(name)
	if !ok {
		return nil, false, fmt.Errorf("provider: %s: %w", name, store.ErrUnavailable)
	}
	return t, created, nil
}

// keyAhead makes the key that a change will need, which takes a while, before its transaction.
func (r *Registry) keyAhead(
	ctx context.Context, name string, c ProviderChange, mayCreate bool,
) (*store.SigningKey, error) {
	wanted, _ := settings.Read(c.Settings)
	at, exists := r.Get(name)
	switch {
	case len(c.Settings) == 0, name == store.DefaultProvider && wanted.OwnKeys, !exists && !mayCreate,
		c.Match != nil && (!exists || at.Revision != *c.Match):
		return nil, nil // it needs none, or is refused
	}
	own, err := r.ownKeys(ctx, name, at, wanted)
	if err != nil {
		return nil, err
	}
	return r.readyKey(ctx, name, wanted.SigningAlgorithm(), own)
}

// target returns the provider that a change is about: a new one, or the one of the name if
// the change fits it.
func (r *Registry) target(
	tx store.Tx, name string, c ProviderChange, mayCreate bool,
) (p store.Provider, created bool, err error) {
	p, err = tx.Provider(name)
	p = placed(p)
	switch {
	case errors.Is(err, store.ErrNotFound) && mayCreate:
		created = true
		p = store.Provider{
			Name: name, Subscription: c.Subscription, Group: c.Group, Isolated: len(c.Signers) > 0,
			Signers: c.Signers, Created: r.now(), CreatedBy: c.By.Caller,
		}
		if p.Generation, err = generation(tx.LedgerHead, name); err != nil {
			return p, created, err
		}
	case errors.Is(err, store.ErrNotFound):
		return p, false, noProvider(name)
	case err != nil:
		return p, false, err
	case !ascii.EqualFold(p.Subscription, c.Subscription) || !ascii.EqualFold(p.Group, c.Group):
		return p, false, refuse(Conflict, CheckName, "a name that is not in use",
			"a provider in a different resource group has it", "choose another name")
	case len(c.Signers) > 0 && !sameSigners(p, c.Signers):
		return p, false, refuse(Invalid, CheckTrustModel,
			"policySigningCertificates only when a provider is created, or the registered ones",
			"policySigningCertificates that differ from the registered ones",
			"use /certificates:add and :remove, or create another provider")
	}
	if c.Match != nil && *c.Match != p.Revision {
		return p, created, refuse(Stale, CheckMatch, fmt.Sprintf("revision %d in force", *c.Match),
			fmt.Sprintf("revision %d", p.Revision), remedyConcurrent)
	}
	return p, created, nil
}

// putProvider writes a provider with a change, and records it. used tells whether ready,
// a signing key, was needed.
func (r *Registry) putProvider(
	tx store.Tx, p store.Provider, c ProviderChange, created bool, ready *store.SigningKey,
) (used bool, err error) {
	before, _ := settings.Read(p.Settings) // broken ones chose nothing
	after, err := r.apply(&p, c)
	if err != nil {
		return false, err
	}
	if p.Name == store.DefaultProvider && after.OwnKeys {
		return false, refuse(Invalid, CheckSettings,
			"ownKeys only at providers other than the default one", "ownKeys at the default provider",
			"leave ownKeys out: the default provider signs with the keys that are shared")
	}
	if created {
		p.KeyUses = []store.KeyUse{{Own: ownKeys(p, after), Algorithm: after.SigningAlgorithm()}}
	} else if len(c.Settings) > 0 &&
		(ownKeys(p, after) != ownKeys(p, before) || after.SigningAlgorithm() != before.SigningAlgorithm()) {
		records, err := tx.SigningKeys()
		if err != nil {
			return false, err
		}
		p.KeyUses = r.keyUses(p, before, after, records)
	}
	if _, err := tx.PutProvider(p); err != nil {
		return false, err
	}
	used, err = keys.Ensure(tx, r.cfg.Signing, ready, p.Name, after.SigningAlgorithm(), ownKeys(p, after),
		r.cfg.Now())
	if err != nil {
		return used, err
	}
	action := "provider.update"
	if created {
		action = "provider.create"
	}
	details := map[string]string{}
	if len(c.Settings) > 0 {
		details["settings"] = string(c.Settings)
	}
	for what, v := range map[string]*string{
		"publicNetworkAccess":          c.PublicNetworkAccess,
		"tpmAttestationAuthentication": c.TPMAuthentication,
	} {
		if v != nil {
			details[what] = *v
		}
	}
	approvedBy(details, c.agreed)
	return used, ledger.Append(tx, p.Identity(), r.entry(c.By, action, p.Name, details))
}

// apply writes the members of a change that are there.
func (r *Registry) apply(p *store.Provider, c ProviderChange) (settings.Settings, error) {
	p.Updated, p.UpdatedBy = r.now(), c.By.Caller
	if c.Location != nil {
		p.Location = *c.Location
	}
	if c.Tags != nil {
		p.Tags = c.Tags
	}
	if c.PublicNetworkAccess != nil {
		p.PublicNetworkAccess = *c.PublicNetworkAccess
	}
	if c.TPMAuthentication != nil {
		p.TPMAuthentication = *c.TPMAuthentication
	}
	if len(c.Settings) > 0 {
		p.Settings = c.Settings
	}
	return settings.Read(p.Settings)
}

// sameSigners reports whether keys are those that a provider has: a creation that
// is repeated.
func sameSigners(p store.Provider, keys []jsontext.Value) bool {
	return slices.EqualFunc(p.Signers, keys,
		func(a, b jsontext.Value) bool { return bytes.Equal(canonical(a), canonical(b)) })
}

func canonical(v jsontext.Value) []byte {
	c := v.Clone()
	if c.Canonicalize() != nil {
		return v
	}
	return c
}

// DeleteProvider removes a provider; its ledger stays.
func (r *Registry) DeleteProvider(ctx context.Context, name string, by By) error {
	if name == store.DefaultProvider {
		return refuse(Conflict, CheckName, "a provider other than the default one, which cannot be deleted",
			name, "reset its policies instead")
	}
	var pending *Refusal
	err := r.cfg.Store.Update(ctx, store.TopicProvider, name, func(tx store.Tx) error {
		pending = nil
		p, err := provider(tx, name)
		if err != nil {
			return err
		}
		if approvals(p) > 1 {
			pending, err = r.propose(tx, p, store.Proposal{Action: store.ProviderDelete, Base: p.Revision}, by)
			return err
		}
		return r.deleteProvider(tx, p, by, nil)
	})
	if err != nil {
		return err
	}
	r.changed(ctx, name)
	if pending != nil {
		return pending
	}
	return nil
}

func (r *Registry) deleteProvider(tx store.Tx, p store.Provider, by By, agreed []string) error {
	details := map[string]string{}
	approvedBy(details, agreed)
	keys, err := tx.CountVaultKeys(p.Name)
	switch {
	case err != nil:
		return err
	case keys > 0:
		return refuse(Conflict, CheckVault, "a provider without keys in its vault",
			fmt.Sprintf("%s with %s, deleted ones included", p.Name, phrase.Plural(keys, "key")), CheckVault.Remedy)
	}
	return errors.Join(r.strip(tx, p.Name, by), tx.DeleteProvider(p.Name),
		ledger.Append(tx, p.Identity(), r.entry(by, "provider.delete", p.Name, details)))
}

// SetEndpoint sets a private endpoint connection of a provider; a nil value
// removes it.
func (r *Registry) SetEndpoint(
	ctx context.Context, name, endpoint string, value jsontext.Value, by By,
) error {
	if err := errors.Join(bounds.Text("name", endpoint, maxEndpointName),
		bounds.Check("bytes of the connection", len(value), 0, maxEndpoint),
		bounds.Nesting(value)); err != nil {
		return refuse(Invalid, CheckSettings, "a private endpoint connection within its bounds", err.Error(),
			"shorten it")
	}
	err := r.cfg.Store.Update(ctx, store.TopicProvider, name, func(tx store.Tx) error {
		p, err := provider(tx, name)
		if err != nil {
			return err
		}
		if value == nil {
			delete(p.Endpoints, endpoint)
		} else {
			if p.Endpoints == nil {
				p.Endpoints = map[string]jsontext.Value{}
			}
			p.Endpoints[endpoint] = value
		}
		if len(p.Endpoints) > maxTags {
			return refuse(Invalid, CheckSettings,
				fmt.Sprintf("at most %d private endpoint connections", maxTags),
				fmt.Sprint(len(p.Endpoints)), "remove one first")
		}
		p.Updated, p.UpdatedBy = r.now(), by.Caller
		if _, err := tx.PutProvider(p); err != nil {
			return err
		}
		return ledger.Append(tx, p.Identity(), r.entry(by, "provider.endpoint", endpoint, nil))
	})
	if err == nil {
		r.changed(ctx, name)
	}
	return err
}
