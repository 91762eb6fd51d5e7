package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/seal"
	"github.com/probity-dev/probity/strict/ascii"
)

// ErrAltered is wrapped by errors about state in the database that the service did not
// write.
var ErrAltered = seal.ErrAltered

// stored is what the database has of a provider.
type stored struct {
	name     string
	provider *store.Provider // nil if there is none
	policies []store.PolicyVersion
	keys     []store.TPMKey
	seals    map[string]store.Seal
}

// snapshot reads all providers, those too that were there before and are missing.
func (r *Registry) snapshot(ctx context.Context) (map[string]*stored, error) {
	all := map[string]*stored{}
	seals := map[string]store.Seal{}
	of := func(name string) *stored {
		if all[name] == nil {
			all[name] = &stored{name: name, seals: seals}
		}
		return all[name]
	}
	providers, err := r.cfg.Store.Providers(ctx)
	if err != nil {
		return nil, err
	}
	policies, err := r.cfg.Store.Policies(ctx, "")
	if err != nil {
		return nil, err
	}
	keys, err := r.cfg.Store.TPMKeys(ctx, "")
	if err != nil {
		return nil, err
	}
	if r.cfg.Seals != nil {
		list, err := r.cfg.Store.Seals(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range list {
			seals[x.Scope] = x
		}
		for _, name := range r.cfg.Seals.Known() {
			of(name)
		}
	}
	for i := range providers {
		of(providers[i].Name).provider = &providers[i]
	}
	for _, p := range policies {
		of(p.Provider).policies = append(of(p.Provider).policies, p)
	}
	for _, k := range keys {
		of(k.Provider).keys = append(of(k.Provider).keys, k)
	}
	return all, nil
}

// check compares with the seals, and returns their versions.
func (r *Registry) check(s *stored) (map[string]int64, error) {
	if r.cfg.Seals == nil {
		return nil, nil
	}
	return r.cfg.Seals.Loaded(s.provider, s.name, s.policies, s.keys, func(scope string) *store.Seal {
		if x, ok := s.seals[scope]; ok {
			return &x
		}
		return nil
	})
}

// How often a state that does not fit its seal is read again, and after which pause: the
// rows and the seal are read one after the other, and a change may come between.
const (
	loadTries = 5
	loadPause = 20 * time.Millisecond
)

// load reads one provider. The error wraps [seal.ErrAltered] if the database contains what
// the service did not write.
func (r *Registry) load(ctx context.Context, name string) (s *stored, versions map[string]int64, err error) {
	for try := range loadTries {
		if s, err = r.read1(ctx, name); err != nil {
			return nil, nil, err
		}
		if versions, err = r.check(s); !errors.Is(err, seal.ErrAltered) {
			return s, versions, err
		}
		if try < loadTries-1 {
			select {
			case <-time.After(loadPause):
			case <-ctx.Done():
				return nil, nil, ctx.Err()
			}
		}
	}
	return s, nil, err
}

func (r *Registry) read1(ctx context.Context, name string) (*stored, error) {
	s := &stored{name: name, seals: map[string]store.Seal{}}
	p, err := r.cfg.Store.Provider(ctx, name)
	switch {
	case err == nil:
		s.provider = &p
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	if s.policies, err = r.cfg.Store.Policies(ctx, name); err != nil {
		return nil, err
	}
	if s.keys, err = r.cfg.Store.TPMKeys(ctx, name); err != nil || r.cfg.Seals == nil {
		return s, err
	}
	for _, scope := range seal.ProviderScopes(name) {
		x, err := r.cfg.Store.Seal(ctx, scope)
		switch {
		case err == nil:
			s.seals[scope] = x
		case !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	return s, nil
}

// place puts a provider that was read into next. Of one that was altered, the last good
// state goes on; without one its evidence is refused. Other errors are returned.
func (r *Registry) place(next, before map[string]*Provider, s *stored, name string, err error) error {
	key := ascii.Lower(name)
	if err != nil && !errors.Is(err, seal.ErrAltered) {
		return err
	}
	r.tell("provider "+name, err)
	switch {
	case err != nil && before[key] != nil:
		next[key] = before[key]
	case err != nil:
		next[key] = r.refused(name, err)
	case s.provider == nil:
		delete(next, key)
	default:
		next[key] = r.build(*s.provider, s.policies, s.keys, before[key])
	}
	return nil
}

// refused is a provider of which nothing can be trusted: it answers, and lets nothing pass.
func (r *Registry) refused(name string, err error) *Provider {
	t := r.build(store.Provider{Name: name}, nil, nil, nil)
	for _, kind := range evidence.Kinds() {
		t.policies[kind] = &PolicyInForce{Submitted: defaults()[kind].Submitted, Broken: err}
	}
	t.tpmNeedsCaller = true
	return t
}

// tell raises or ends the alert of a scope.
func (r *Registry) tell(what string, err error) {
	known := r.Altered()
	_, told := known[what]
	if told == (err != nil) {
		return
	}
	next := maps.Clone(known)
	if err == nil {
		delete(next, what)
		r.cfg.Log.Info("the database is as this service wrote it again", "scope", what)
	} else {
		next[what] = err.Error()
		r.cfg.Log.Error("DATABASE ALTERED: it contains rows that this service did not write; "+
			"the last good state stays in use, and after a restart evidence is refused",
			"scope", what, "err", err.Error())
	}
	r.altered.Store(&next)
}

// Altered returns what the database contains and the service did not write, with the reason,
// by scope: alerts.
func (r *Registry) Altered() map[string]string {
	if known := r.altered.Load(); known != nil {
		return *known
	}
	return map[string]string{}
}

// remember keeps versions outside the database. A folder that cannot be written is told:
// an older state would not be noticed then.
func (r *Registry) remember(versions map[string]int64) {
	if r.cfg.Seals == nil || len(versions) == 0 {
		return
	}
	if err := r.cfg.Seals.Remember(versions); err != nil {
		r.cfg.Log.Error("the versions of what was read cannot be kept outside the database", "err", err.Error())
	}
}

// sealedTokens reads the tokens of callers. ok is false where the last good ones go on.
func (r *Registry) sealedTokens(ctx context.Context) (list []store.Token, ok bool, err error) {
	for try := range loadTries {
		if list, err = r.cfg.Store.Tokens(ctx); err != nil || r.cfg.Seals == nil {
			return list, true, err
		}
		var x *store.Seal
		found, err := r.cfg.Store.Seal(ctx, seal.ScopeTokens)
		switch {
		case err == nil:
			x = &found
		case !errors.Is(err, store.ErrNotFound):
			return nil, false, err
		}
		versions, checkErr := r.cfg.Seals.LoadedTokens(list, x)
		if checkErr == nil {
			r.tell("tokens of callers", nil)
			r.remember(versions)
			return list, true, nil
		}
		if !errors.Is(checkErr, seal.ErrAltered) {
			return nil, false, checkErr
		}
		if try == loadTries-1 {
			r.tell("tokens of callers", checkErr)
			return nil, r.tokens.Load() == nil, nil // Security: without a good state none opens anything
		}
		time.Sleep(loadPause)
	}
	return nil, false, fmt.Errorf("provider: tokens were not read")
}
