package provider

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/store"
)

func (r *Registry) readKeys(ctx context.Context) error {
	records, err := r.cfg.Store.SigningKeys(ctx)
	if err != nil {
		return err
	}
	ring := keys.NewRing(r.cfg.Signing, records, r.ring.Load())
	for _, err := range ring.Broken() {
		r.cfg.Log.Error("signing keys: a key is not used, or cannot be remembered", "err", err.Error())
	}
	r.ring.Store(ring)
	return nil
}

func (r *Registry) readTokens(ctx context.Context) error {
	records, ok, err := r.sealedTokens(ctx)
	if err != nil || !ok {
		return err
	}
	list := make([]auth.StaticToken, 0, len(records))
	for _, t := range records {
		token, err := auth.NewStaticToken(t.Name, t.Hash, t.Role, t.Providers, t.Expires)
		if err != nil {
			// Security: a token that cannot be read opens nothing.
			r.cfg.Log.Error("a stored token cannot be read and is not accepted", "token", t.Name, "err", err.Error())
			continue
		}
		list = append(list, token)
	}
	r.tokens.Store(&list)
	return nil
}

// Refresh brings the memory up to date with the store.
func (r *Registry) Refresh(ctx context.Context) error {
	r.refreshing.Lock()
	defer r.refreshing.Unlock()
	changes, err := r.cfg.Store.Changes(ctx, r.revision)
	switch {
	case err != nil:
		return err
	case changes.All:
		return r.readAll(ctx)
	case len(changes.List) == 0:
		r.revision = changes.Latest
		return nil
	}
	providers := map[string]bool{}
	keys, tokens := false, false
	for _, c := range changes.List {
		switch c.Topic {
		case store.TopicTokens:
			tokens = true
		case store.TopicKeys:
			keys = true
		case store.TopicVault:
			if provider, key, ok := strings.Cut(c.Name, "/"); ok && r.cfg.KeyChanged != nil {
				r.cfg.KeyChanged(ctx, provider, key)
			}
		default:
			providers[c.Name] = true
			// A provider may come with keys, and goes with its callers' tokens.
			keys, tokens = keys || c.Topic == store.TopicProvider, tokens || c.Topic == store.TopicProvider
		}
	}
	if keys {
		if err := r.readKeys(ctx); err != nil {
			return err
		}
	}
	if tokens {
		if err := r.readTokens(ctx); err != nil {
			return err
		}
	}
	if len(providers) > 0 {
		if err := r.readSome(ctx, providers); err != nil {
			return err
		}
	}
	// Only now: what failed half way is done again.
	r.revision = changes.Latest
	return nil
}

// readSome reads some providers again. Requests see all of it or nothing.
func (r *Registry) readSome(ctx context.Context, names map[string]bool) error {
	before := *r.providers.Load()
	next := maps.Clone(before)
	versions := map[string]int64{}
	for name := range names {
		one, found, err := r.load(ctx, name)
		maps.Copy(versions, found)
		if err := r.place(next, before, one, name, err); err != nil {
			return err
		}
	}
	r.remember(versions)
	if len(r.quotas) > len(next) {
		r.quotas.Forget(func(name string) bool { return next[name] != nil }, r.cfg.Now())
	}
	r.providers.Store(&next)
	return nil
}

// Watch keeps the memory up to date until ctx ends: when the store tells of a
// change, and every so often besides.
func (r *Registry) Watch(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		short, cancel := context.WithTimeout(ctx, r.cfg.Poll)
		_ = r.cfg.Store.Wait(short) // told, or time to look
		cancel()
		err := r.Refresh(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			r.cfg.Log.Error(
				"changes cannot be read from the store; requests are answered by what is in memory",
				"err", err.Error(),
			)
		case err == nil && failing:
			r.cfg.Log.Info("changes are read from the store again")
		}
		failing = err != nil
	}
}

// changed reads back what this node changed, and tells the ledger. The change
// itself is done: a failure is left to the watch.
func (r *Registry) changed(ctx context.Context, provider string) {
	before, _ := r.Get(provider)
	if err := r.Refresh(ctx); err != nil {
		r.cfg.Log.Warn("a change was made, and could not be read back yet", "provider", provider, "err",
			err.Error())
	}
	if r.cfg.Touched == nil {
		return
	}
	after, _ := r.Get(provider)
	for _, t := range []*Provider{before, after} {
		if t != nil {
			r.cfg.Touched(t.Identity())
		}
	}
}

// now is the time of a change, in whole seconds as the store keeps it.
func (r *Registry) now() time.Time { return r.cfg.Now().UTC().Truncate(time.Second) }
