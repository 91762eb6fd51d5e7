package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/provider/settings"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/token"
	"github.com/probity-dev/probity/wording/spelling"
)

// uses are the kinds of keys that the provider signs with, signed with lately, and is
// about to sign with.
func (t *Provider) uses(ring *keys.Ring) []store.KeyUse {
	if len(t.KeyUses) > 0 {
		return t.KeyUses
	}
	return []store.KeyUse{ring.Use(t.Name, t.Settings.SigningAlgorithm())}
}

// switchKeys returns the uses after a provider chose another kind of key. What it signed
// with stays in its key set as long as a token by it may be good; the new kind is
// published ahead of its use, so that relying parties know it when it signs.
func switchKeys(uses []store.KeyUse, next store.KeyUse, r keys.Rotation, now time.Time) []store.KeyUse {
	kept := slices.Clone(uses)
	// What never began to sign has no tokens; what ended has none left.
	kept = slices.DeleteFunc(kept,
		func(u store.KeyUse) bool { return u.From.After(now) || !u.Until.IsZero() && !now.Before(u.Until) })
	if len(kept) == 0 {
		return []store.KeyUse{next}
	}
	same := func(u store.KeyUse) bool { return u.Own == next.Own && u.Algorithm == next.Algorithm }
	last := &kept[len(kept)-1]
	if same(*last) {
		last.Until = time.Time{}
		return kept
	}
	next.From = now.Add(r.Ahead)
	if slices.ContainsFunc(kept, same) { // still published: relying parties know it
		next.From = now
	}
	last.Until = next.From.Add(r.Overlap)
	return append(slices.DeleteFunc(kept, same), next)
}

// keyUses are the uses of a provider whose settings change from before to after.
func (r *Registry) keyUses(
	p store.Provider, before, after settings.Settings, records []store.SigningKey,
) []store.KeyUse {
	uses := p.KeyUses
	if len(uses) == 0 {
		uses = []store.KeyUse{keys.NewRing(r.cfg.Signing, records, nil).Use(p.Name, before.SigningAlgorithm())}
	}
	rotation := r.cfg.Rotation
	rotation.Overlap = max(rotation.Overlap, r.longest()+time.Hour)
	return switchKeys(uses, store.KeyUse{Own: ownKeys(p, after), Algorithm: after.SigningAlgorithm()},
		rotation, r.now())
}

// longest is the longest life of a token of any provider.
func (r *Registry) longest() time.Duration {
	if d := r.defaults.Load().MaxValidity; d != 0 {
		return d
	}
	return token.Validity
}

// make makes a key outside any transaction, one at a time: it takes much of a processor,
// and callers of one provider must not take it from the others.
func (r *Registry) make(ctx context.Context, f func() error) error {
	select {
	case r.making <- struct{}{}:
		defer func() { <-r.making }()
		return f()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readyKey makes the key that a provider will need, if it has none.
func (r *Registry) readyKey(
	ctx context.Context, provider, algorithm string, own bool,
) (ready *store.SigningKey, err error) {
	err = r.make(ctx, func() error {
		records, err := r.keyRows(ctx)
		if err != nil {
			return err
		}
		ready, err = keys.Ready(records, r.cfg.Signing, provider, algorithm, own, r.cfg.Now())
		return err
	})
	return ready, err
}

// keyRows reads the rows of signing keys outside a transaction. Where another change came
// in between they look like old rows that someone put back, so they are read again.
func (r *Registry) keyRows(ctx context.Context) (records []store.SigningKey, err error) {
	for range loadTries {
		if records, err = r.cfg.Store.SigningKeys(ctx); err != nil || !keys.Overtaken(records, r.cfg.Signing) {
			break
		}
	}
	return records, err
}

// discard destroys a key that was made and is not needed.
func (r *Registry) discard(k *store.SigningKey) {
	if k == nil {
		return
	}
	if err := r.cfg.Signing.Destroy([]store.SigningKey{*k}); err != nil {
		r.cfg.Log.Warn("a key that is not used is left in the PKCS#11 token", "err", err.Error())
	}
}

// RotateKey makes the next signing key of a provider's own keys, or of the shared
// ones if provider is empty.
func (r *Registry) RotateKey(
	ctx context.Context, provider, algorithm string, rotation keys.Rotation, by By,
) (store.SigningKey, error) {
	var next store.SigningKey
	if known := token.Algorithms(); !slices.Contains(known, algorithm) {
		return next, refuse(Invalid, CheckKey, "one of "+strings.Join(known, ", "),
			fmt.Sprintf("the algorithm %.40q", algorithm),
			cmp.Or(spelling.Hint(algorithm, known), CheckKey.Remedy))
	}
	err := r.make(ctx, func() (err error) {
		records, err := r.keyRows(ctx)
		if err != nil {
			return err
		}
		if err := keys.Rotatable(records, r.cfg.Signing, provider, algorithm, rotation, r.cfg.Now()); err != nil {
			return err
		}
		next, err = r.cfg.Signing.New(provider, algorithm, r.cfg.Now())
		return err
	})
	if err == nil {
		made := next
		err = r.cfg.Store.Update(ctx, store.TopicKeys, provider, func(tx store.Tx) (err error) {
			next, err = keys.Rotate(tx, r.cfg.Signing, made, rotation, by.Caller, r.cfg.Now())
			return err
		})
		if err != nil {
			r.discard(&made)
		}
	}
	return next, r.keyChange(ctx, err)
}

// RetireKey ends a signing key at once. With a provider it must be that one's.
func (r *Registry) RetireKey(ctx context.Context, id string, by By) (store.SigningKey, error) {
	var retired store.SigningKey
	err := r.cfg.Store.Update(ctx, store.TopicKeys, "", func(tx store.Tx) (err error) {
		retired, err = keys.Retire(tx, r.cfg.Signing, id, by.Caller, r.cfg.Now())
		return err
	})
	return retired, r.keyChange(ctx, err)
}

func (r *Registry) keyChange(ctx context.Context, err error) error {
	switch {
	case err == nil:
		r.changed(ctx, store.DefaultProvider)
		return nil
	case errors.Is(err, store.ErrNotFound), errors.Is(err, keys.ErrNoKey):
		return refuse(NotFound, CheckKey, "a signing key", err.Error(), "list them: probity keys list")
	case errors.Is(err, keys.ErrPending), errors.Is(err, keys.ErrLastKey), errors.Is(err, keys.ErrTooMany):
		return refuse(Conflict, CheckKey, "a key that can be replaced now", err.Error(),
			"list them: probity keys list")
	}
	return err
}

// Tend rotates keys that are due, makes keys for providers that cannot sign, and removes
// keys that have left the key sets: background work, of one node.
func (r *Registry) Tend(ctx context.Context, every time.Duration, rotation keys.Rotation) error {
	records, err := r.cfg.Store.SigningKeys(ctx)
	if err != nil {
		return err
	}
	var problem error
	if every > 0 {
		rotation.Scheduled = true
		for _, k := range keys.Due(r.cfg.Signing, records, every, rotation, r.cfg.Now()) {
			algorithm := k.Algorithm
			if algorithm == "" {
				algorithm = keys.DefaultAlgorithm
			}
			_, err := r.RotateKey(ctx, k.Provider, algorithm, rotation, By{Caller: "rotation"})
			problem = errors.Join(problem, err) // the other keys go on
		}
	}
	if err := errors.Join(problem, r.replaceUnusable(ctx)); err != nil {
		return err
	}
	if !keys.Expired(records, r.cfg.Now()) {
		return nil
	}
	var removed []store.SigningKey
	err = r.cfg.Store.Update(ctx, store.TopicKeys, "", func(tx store.Tx) (err error) {
		removed, err = keys.Prune(tx, r.cfg.Signing, r.cfg.Now())
		return err
	})
	if err != nil || len(removed) == 0 {
		return err
	}
	if err := r.cfg.Signing.Destroy(removed); err != nil {
		r.cfg.Log.Warn("a key that is retired is left in the PKCS#11 token", "err", err.Error())
	}
	return r.keyChange(ctx, nil)
}

// replaceUnusable makes keys for providers none of whose keys signs now: a clock that
// was wrong when a key was made, or replaced, must not stop a provider for years.
func (r *Registry) replaceUnusable(ctx context.Context) error {
	ring := r.ring.Load()
	for _, t := range r.All() {
		if use, ok := ring.Signs(t.Name, t.uses(ring), r.cfg.Now()); !ok {
			if err := r.replace(ctx, t.Name, use.Algorithm, use.Own); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace makes a key where none signs now, and says why.
func (r *Registry) replace(ctx context.Context, provider, algorithm string, own bool) error {
	ready, err := r.readyKey(ctx, provider, algorithm, own)
	if err != nil || ready == nil {
		return err
	}
	used := false
	err = r.cfg.Store.Update(ctx, store.TopicKeys, provider, func(tx store.Tx) (err error) {
		rows, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		if reason := keys.Unusable(rows, ready.Provider, algorithm, r.cfg.Now()); reason != "" {
			r.cfg.Log.Warn("a signing key was made because no other signs now", "provider", ready.Provider,
				"reason", reason)
		}
		used, err = keys.Ensure(tx, r.cfg.Signing, ready, provider, algorithm, own, r.cfg.Now())
		return err
	})
	if err != nil || !used {
		r.discard(ready)
	}
	return r.keyChange(ctx, err)
}
