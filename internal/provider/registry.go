package provider

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider/quota"
	"github.com/probity-dev/probity/internal/provider/settings"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/seal"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/strict/ascii"
	"github.com/probity-dev/probity/token"
)

// Config is what a registry works with.
type Config struct {
	Store store.Store
	// Seals check what is read of providers, policies, enrolled keys and tokens; Store
	// seals their changes. Nil trusts the database.
	Seals   *seal.Seals
	Signing keys.Config
	// Rotation says how long a key is published before a provider signs with it, and after.
	Rotation keys.Rotation
	// URL is the service's URL, without a trailing slash: that of the default
	// provider. Others are at URL/p/NAME, or at NAME.HostSuffix if that is set.
	URL        string
	HostSuffix string
	Defaults   Defaults
	// MinRetention is the operator's minimum of ledgerRetentionDays; zero means one day.
	MinRetention int
	// Poll is how often unannounced changes are looked for.
	Poll time.Duration
	// Touched is told whose ledger got an entry with a change.
	Touched func(provider string)
	// KeyChanged, if not nil, is told of each key of a vault that changed, on this node or another one.
	KeyChanged func(ctx context.Context, provider, key string)
	// Baselines, if not nil, describes the collateral that is available: a policy that pins another TCB
	// baseline is refused.
	Baselines func() []collateral.About
	Now       func() time.Time
	Log       *slog.Logger
}

// Registry knows all providers. It is safe for concurrent use.
type Registry struct {
	cfg       Config
	ring      atomic.Pointer[keys.Ring]
	tokens    atomic.Pointer[[]auth.StaticToken]
	providers atomic.Pointer[map[string]*Provider] // by lower-case name

	// altered are the scopes of which the database contains what the service did not write.
	altered atomic.Pointer[map[string]string]

	// making is held while a signing key is made.
	making chan struct{}

	// refreshing is held while the memory is brought up to date.
	refreshing sync.Mutex
	revision   int64
	quotas     quota.Quotas
	defaults   atomic.Pointer[Defaults]
}

// New reads all providers. The default provider and its first key are created if they
// do not exist, each with an entry in the ledger.
func New(ctx context.Context, cfg Config) (*Registry, error) {
	r := &Registry{cfg: cfg, making: make(chan struct{}, 1), quotas: quota.Quotas{}}
	r.cfg.MinRetention = max(r.cfg.MinRetention, 1)
	r.defaults.Store(&cfg.Defaults)
	if err := r.first(ctx); err != nil {
		return nil, err
	}
	return r, r.readAll(ctx)
}

// first creates what every service has: the default provider and a shared key.
func (r *Registry) first(ctx context.Context) error {
	_, err := r.cfg.Store.Provider(ctx, store.DefaultProvider)
	// Security: a provider that cannot be read exists. To create it again would put an
	// empty one in its place, without its settings, approvals and network rules.
	missing := errors.Is(err, store.ErrNotFound)
	if err != nil && !missing {
		return fmt.Errorf("provider: the default provider cannot be read, and is left as it is; "+
			"repair the database or restore a backup: %w", err)
	}
	stored, err := r.cfg.Store.SigningKeys(ctx)
	if err != nil {
		return err
	}
	hasKey := keys.Signs(stored, r.cfg.Signing, "", keys.DefaultAlgorithm, r.cfg.Now())
	if !missing && hasKey {
		return nil
	}
	if err := keys.Authentic(stored, r.cfg.Signing); err != nil {
		// Security: no key takes the place of one that was changed, or that another
		// master key sealed.
		return err
	}
	if reason := keys.Unusable(stored, "", keys.DefaultAlgorithm, r.cfg.Now()); reason != "" {
		r.cfg.Log.Warn("a signing key is made because no other signs now", "reason", reason)
	}
	now := r.cfg.Now()
	err = r.cfg.Store.Update(ctx, store.TopicProvider, store.DefaultProvider, func(tx store.Tx) error {
		// Once more: another node may have been faster.
		switch _, err := tx.Provider(store.DefaultProvider); {
		case errors.Is(err, store.ErrNotFound):
			if _, err := tx.PutProvider(store.Provider{Name: store.DefaultProvider, Created: r.now()}); err != nil {
				return err
			}
			created := r.entry(By{Caller: "first start"}, "provider.create", store.DefaultProvider, nil)
			if err := ledger.Append(tx, store.DefaultProvider, created); err != nil {
				return err
			}
		case err != nil:
			return err
		}
		_, err := keys.Ensure(tx, r.cfg.Signing, nil, "", keys.DefaultAlgorithm, false, now)
		return err
	})
	if err == nil && r.cfg.Touched != nil {
		r.cfg.Touched(store.DefaultProvider)
	}
	return err
}

// Get returns a provider by its name, in any case.
func (r *Registry) Get(name string) (*Provider, bool) {
	t, ok := (*r.providers.Load())[ascii.Lower(name)]
	return t, ok
}

// Default returns the provider of the bare address.
func (r *Registry) Default() *Provider {
	t, _ := r.Get(store.DefaultProvider)
	return t
}

// All returns all providers by name.
func (r *Registry) All() []*Provider {
	all := *r.providers.Load()
	list := make([]*Provider, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name])
	}
	return list
}

// Tokens returns the static tokens of callers.
func (r *Registry) Tokens() []auth.StaticToken { return *r.tokens.Load() }

// url is where a provider answers.
func (r *Registry) url(name string) string {
	switch {
	case name == store.DefaultProvider:
		return r.cfg.URL
	case r.cfg.HostSuffix != "":
		return "https://" + ascii.Lower(name) + "." + r.cfg.HostSuffix + r.port()
	}
	return r.cfg.URL + "/p/" + name
}

// port is what follows a provider's host name: the port of the service's own address, unless
// the suffix has one.
func (r *Registry) port() string {
	u, err := url.Parse(r.cfg.URL)
	if err != nil || u.Port() == "" || strings.Contains(r.cfg.HostSuffix, ":") {
		return ""
	}
	return ":" + u.Port()
}

func fingerprint(key [32]byte) string { return hex.EncodeToString(key[:]) }

// build makes a provider of what is stored. What cannot be read lets nothing pass,
// but takes no other provider with it.
func (r *Registry) build(
	p store.Provider, policies []store.PolicyVersion, keys []store.TPMKey, earlier *Provider,
) *Provider {
	p = placed(p)
	t := &Provider{Provider: p, URL: r.url(p.Name), ring: &r.ring}
	d := *r.defaults.Load()
	var err error
	broken := func(err error) {
		r.cfg.Log.Error("a provider's stored state cannot be applied; its evidence is refused", "provider",
			p.Name, "err", err.Error())
		for _, kind := range evidence.Kinds() {
			t.policies[kind] = &PolicyInForce{Submitted: defaults()[kind].Submitted, Broken: err}
		}
	}
	t.policies = map[evidence.Kind]*PolicyInForce{}
	for _, record := range policies {
		t.policies[evidence.Kind(record.Kind)] = r.inForce(record, earlier)
	}
	if t.Settings, err = settings.Read(p.Settings); err != nil {
		broken(fmt.Errorf("settings: %w", err))
	}
	accepted := t.Settings.TCB
	if accepted == "" {
		accepted = d.TCB
	}
	if t.TCB, err = appraisal.ParseTCBPolicy(accepted); err != nil {
		broken(err)
	}
	t.TCB.EnclaveDebugByPolicy = true
	for _, jwk := range p.Signers {
		cert, err := policyjws.Certificate(jwk)
		if err != nil {
			broken(fmt.Errorf("policy signing certificate: %w", err))
			continue
		}
		t.Certificates = append(t.Certificates, cert)
	}
	t.Explain = t.Settings.Explain || d.Explain
	t.tpmNeedsCaller = !ascii.EqualFold(p.TPMAuthentication, "Disabled")
	if p.Name == store.DefaultProvider && p.TPMAuthentication == "" {
		t.tpmNeedsCaller = d.TPMNeedsCaller
	}
	// Keys stay published as long as the service's cap says.
	longest := d.MaxValidity
	if longest == 0 {
		longest = token.Validity
	}
	t.MaxValidity = quota.AtMost(time.Duration(t.Settings.MaxValidity)*time.Minute, longest)
	if len(keys) > 0 {
		t.enrolled = make(map[string]string, len(keys))
		for _, k := range keys {
			t.enrolled[k.Key] = k.EndorsementKey
		}
	}
	t.Quota = r.quotas.Of(ascii.Lower(p.Name),
		quota.Limits{Rate: t.Settings.Rate, Burst: t.Settings.Burst, Concurrent: t.Settings.Concurrent},
		quota.Limits{Rate: d.Rate, Burst: d.Burst, Concurrent: d.Concurrent}, r.cfg.Now())
	return t
}

// inForce reads one stored policy, or takes it from before.
func (r *Registry) inForce(record store.PolicyVersion, earlier *Provider) *PolicyInForce {
	kind := evidence.Kind(record.Kind)
	if earlier != nil {
		if p := earlier.policies[kind]; p != nil && p.Version == record.Version && p.Broken == nil &&
			(record.Action == store.PolicyReset || p.Submitted.JWS == record.JWS) {
			return p
		}
	}
	standard := defaults()[kind]
	if standard == nil {
		standard = &PolicyInForce{Submitted: &policyjws.Submission{JWS: policyjws.NoPolicy, Empty: true}}
	}
	if record.Action == store.PolicyReset {
		return &PolicyInForce{Submitted: standard.Submitted, Policy: standard.Policy, Version: record.Version}
	}
	p, err := ReadPolicy(record.JWS)
	if err != nil {
		r.cfg.Log.Error("a stored policy cannot be read; its evidence is refused", "provider",
			record.Provider, "kind", record.Kind, "err", err.Error())
		return &PolicyInForce{Submitted: standard.Submitted, Version: record.Version, Broken: err}
	}
	p.Version = record.Version
	return p
}

// SetDefaults replaces what the service chooses where a provider does not: accepted
// statuses, explanations and quotas. The rest of the defaults stays.
func (r *Registry) SetDefaults(ctx context.Context, d Defaults) error {
	r.refreshing.Lock()
	defer r.refreshing.Unlock()
	next := *r.defaults.Load()
	next.TCB, next.Explain, next.Rate, next.Burst, next.Concurrent = d.TCB, d.Explain, d.Rate, d.Burst,
		d.Concurrent
	r.defaults.Store(&next)
	return r.readAll(ctx)
}

// readAll reads everything again.
func (r *Registry) readAll(ctx context.Context) error {
	changes, err := r.cfg.Store.Changes(ctx, -1)
	if err != nil {
		return err
	}
	all, err := r.snapshot(ctx)
	if err != nil {
		return err
	}
	if err := r.readKeys(ctx); err != nil {
		return err
	}
	if err := r.readTokens(ctx); err != nil {
		return err
	}
	before := map[string]*Provider{}
	if known := r.providers.Load(); known != nil {
		before = *known
	}
	next := make(map[string]*Provider, len(all))
	versions := map[string]int64{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		one := all[name]
		found, err := r.check(one)
		if err != nil {
			// A change may have come between the questions: ask for this one again.
			one, found, err = r.load(ctx, name)
		}
		maps.Copy(versions, found)
		if err := r.place(next, before, one, name, err); err != nil {
			return err
		}
	}
	r.remember(versions)
	r.providers.Store(&next)
	r.revision = changes.Latest
	return nil
}
