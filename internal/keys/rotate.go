package keys

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
)

// Ensure makes a key where a provider has none that signs now with an algorithm: its
// own if own is set, else a shared one. Nodes that start together make it once. A key
// that ready contains is used instead of one that is made within the transaction; used
// reports whether it was.
func Ensure(
	tx store.Tx, cfg Config, ready *store.SigningKey, provider, algorithm string, own bool,
	now time.Time,
) (used bool, err error) {
	if !own {
		provider = ""
	}
	records, err := cfg.rows(tx)
	if err != nil || signs(records, provider, algorithm, now) {
		return false, err
	}
	if ready != nil && ready.Provider == provider && ready.Algorithm == algorithm {
		used = true
	} else {
		made, err := cfg.New(provider, algorithm, now)
		if err != nil {
			return false, err
		}
		ready = &made
	}
	ready.SignFrom = now
	if err := cfg.put(tx, *ready); err != nil {
		return used, err
	}
	var details map[string]string
	if reason := Unusable(records, provider, algorithm, now); reason != "" {
		details = map[string]string{"reason": reason}
	}
	return used, note(tx, "key.create", *ready, "", now, details)
}

// Ready makes the key that [Ensure] would make, outside the transaction; nil if none is
// missing.
func Ready(
	records []store.SigningKey, cfg Config, provider, algorithm string, own bool, now time.Time,
) (*store.SigningKey, error) {
	if !own {
		provider = ""
	}
	if signs(cfg.authentic(records), provider, algorithm, now) {
		return nil, nil
	}
	k, err := cfg.New(provider, algorithm, now)
	return &k, err
}

// Signs reports whether a provider has a key that signs now with an algorithm, or, with
// an empty provider, whether there is a shared one.
func Signs(records []store.SigningKey, cfg Config, provider, algorithm string, now time.Time) bool {
	return signs(cfg.authentic(records), provider, algorithm, now)
}

func signs(rows []store.SigningKey, provider, algorithm string, now time.Time) bool {
	return slices.ContainsFunc(rows,
		func(r store.SigningKey) bool { return of(r, provider, algorithm) && active(r, now) })
}

func of(r store.SigningKey, provider, algorithm string) bool {
	k := key{SigningKey: r}
	return r.Provider == provider && k.algorithm() == algorithm
}

func active(r store.SigningKey, now time.Time) bool {
	return !now.Before(r.SignFrom) && (r.SignUntil.IsZero() || now.Before(r.SignUntil))
}

// Unusable says why none of the keys that there are signs now: most often the clock was
// wrong when they were made. It is empty where there are none.
func Unusable(rows []store.SigningKey, provider, algorithm string, now time.Time) string {
	for _, r := range rows { // the newest first
		switch {
		case !of(r, provider, algorithm):
		case now.Before(r.SignFrom):
			return fmt.Sprintf("key %s signs from %s only, and no other key signs now (%s): "+
				"the clock was wrong when it was made, or is wrong now",
				r.ID, r.SignFrom.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		default:
			return fmt.Sprintf("key %s signed until %s, and no other key signs now (%s): "+
				"the clock was wrong when it was replaced, or is wrong now",
				r.ID, r.SignUntil.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		}
	}
	return ""
}

// Rotation says when keys follow each other.
type Rotation struct {
	// Ahead is how long a key is published before it signs.
	Ahead time.Duration
	// Overlap is how long a key stays published after it signed: longer than any
	// token is good for.
	Overlap time.Duration
	// Scheduled rotations, which happen by their age, have no bounds.
	Scheduled bool
}

// Bounds of the keys that callers make by rotating. Each is computed for, sits in the
// key set, and is read by every relying party.
const (
	// maxLive is how many keys of a provider and an algorithm are in the key set.
	maxLive = 20
	// maxNew is how many keys of a provider are made within newWindow.
	maxNew    = 6
	newWindow = 10 * time.Minute
)

// ErrTooMany is returned where a provider has as many keys as it may have, or made too
// many in a short time.
var ErrTooMany = errors.New("too many signing keys")

// ErrPending is returned where a rotation is under way.
var ErrPending = errors.New("a new key is already waiting to sign")

// Rotatable reports why a provider's own keys of an algorithm or, with an empty
// provider, the shared ones cannot be rotated now. It is asked before the next key is
// made, outside the transaction; [Rotate] asks again.
func Rotatable(
	records []store.SigningKey, cfg Config, provider, algorithm string, r Rotation, now time.Time,
) error {
	_, err := replaced(cfg.authentic(records), provider, algorithm, r, now)
	return err
}

// replaced returns the keys that a rotation would replace.
func replaced(
	rows []store.SigningKey, provider, algorithm string, r Rotation, now time.Time,
) (before []store.SigningKey, err error) {
	live, fresh := 0, 0
	var first time.Time
	for _, old := range rows {
		if old.Provider == provider && old.Created.After(now.Add(-newWindow)) && !old.Created.After(now) {
			fresh++
			first = old.Created // the newest come first
		}
		if !of(old, provider, algorithm) {
			continue
		}
		if old.PublishUntil.IsZero() || now.Before(old.PublishUntil) {
			live++
		}
		if !old.SignUntil.IsZero() {
			continue
		}
		// One that begins later than any rotation lets it was made by a wrong clock.
		if r.Ahead > 0 && old.SignFrom.After(now) && !old.SignFrom.After(now.Add(r.Ahead+time.Minute)) {
			return nil, fmt.Errorf("signing: key %s signs from %s: %w", old.ID,
				old.SignFrom.Format(time.RFC3339), ErrPending)
		}
		before = append(before, old)
	}
	switch {
	case len(before) == 0:
		return nil, fmt.Errorf("signing: %s keys of %q: %w", algorithm, provider, ErrNoKey)
	case r.Scheduled:
	case live >= maxLive:
		return nil, fmt.Errorf("signing: %d %s keys are published, at most %d are: %w; "+
			"wait until the oldest leaves the key set, or retire it", live, algorithm, maxLive, ErrTooMany)
	case fresh >= maxNew:
		return nil, fmt.Errorf(
			"signing: %d keys were made since %s, at most %d are within %s: %w; try again after %s",
			fresh, first.UTC().Format(time.RFC3339), maxNew, newWindow, ErrTooMany,
			first.Add(newWindow).UTC().Format(time.RFC3339),
		)
	}
	return before, nil
}

// Rotate stores the next key, which [Config.New] made, and gives the keys of the same
// provider and algorithm before it their dates.
func Rotate(
	tx store.Tx, cfg Config, next store.SigningKey, r Rotation, by string, now time.Time,
) (store.SigningKey, error) {
	rows, err := cfg.rows(tx)
	if err != nil {
		return next, err
	}
	before, err := replaced(rows, next.Provider, next.Algorithm, r, now)
	if err != nil {
		return next, err
	}
	next.SignFrom = now.Add(r.Ahead).Truncate(time.Second)
	for _, old := range before {
		old.SignUntil, old.PublishUntil = next.SignFrom, next.SignFrom.Add(r.Overlap)
		if err := cfg.put(tx, old); err != nil {
			return next, err
		}
	}
	if err := cfg.put(tx, next); err != nil {
		return next, err
	}
	return next, note(tx, "key.rotate", next, by, now,
		map[string]string{"signFrom": next.SignFrom.Format(time.RFC3339)})
}

// ErrLastKey is returned for a change that would leave no key to sign.
var ErrLastKey = errors.New("no other key signs in its place")

// Retire ends a key at once: it signs no more and leaves the key set, so that
// tokens that it signed are refused. A key whose row was changed in the database is
// removed.
func Retire(tx store.Tx, cfg Config, id, by string, now time.Time) (store.SigningKey, error) {
	records, err := tx.SigningKeys()
	if err != nil {
		return store.SigningKey{}, err
	}
	i := slices.IndexFunc(records, func(r store.SigningKey) bool { return r.ID == id })
	if i < 0 {
		return store.SigningKey{}, fmt.Errorf("signing: key %q: %w", id, store.ErrNotFound)
	}
	retired := records[i]
	if err := cfg.check(retired); err != nil {
		return retired, errors.Join(tx.DeleteSigningKey(id),
			note(tx, "key.remove", retired, by, now, map[string]string{"reason": err.Error()}))
	}
	records = slices.DeleteFunc(records, func(r store.SigningKey) bool { return cfg.check(r) != nil })
	same := func(r store.SigningKey) bool {
		a, b := key{SigningKey: r}, key{SigningKey: retired}
		return r.ID != id && r.Provider == retired.Provider && a.algorithm() == b.algorithm()
	}
	if active(retired, now) &&
		!slices.ContainsFunc(records, func(r store.SigningKey) bool { return same(r) && active(r, now) }) {
		return retired, fmt.Errorf("signing: key %s: %w; rotate first, with no time ahead if it is urgent",
			id, ErrLastKey)
	}
	retired.SignUntil, retired.PublishUntil = now, now
	if err := cfg.put(tx, retired); err != nil {
		return retired, err
	}
	return retired, note(tx, "key.retire", retired, by, now, nil)
}

// Prune removes keys that left the key sets, and returns them for [Config.Destroy].
func Prune(tx store.Tx, cfg Config, now time.Time) (removed []store.SigningKey, err error) {
	records, err := tx.SigningKeys()
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if cfg.check(r) != nil {
			continue // kept as evidence of who changed it
		}
		// A key that was just made stays for the bound on how many are made.
		if r.PublishUntil.IsZero() || now.Before(r.PublishUntil) || now.Sub(r.Created).Abs() < newWindow {
			continue
		}
		if err := tx.DeleteSigningKey(r.ID); err != nil {
			return nil, err
		}
		if err := note(tx, "key.remove", r, "", now, nil); err != nil {
			return nil, err
		}
		removed = append(removed, r)
	}
	return removed, nil
}

// Destroy destroys those of removed keys that are in the PKCS#11 token.
func (c Config) Destroy(removed []store.SigningKey) error {
	var problems []error
	for _, r := range removed {
		if r.Label != "" && c.Token != nil {
			problems = append(problems, c.Token.Remove(r.Label))
		}
	}
	return errors.Join(problems...)
}

// Due returns the keys that a rotation every so often would replace: by provider
// and algorithm, where the newest key has signed long enough. Rows that are not as the service
// wrote them are left out.
func Due(
	c Config, records []store.SigningKey, every time.Duration, r Rotation, now time.Time,
) (due []store.SigningKey) {
	for _, k := range c.authentic(records) {
		from := k.SignFrom
		if from.IsZero() { // a key of the first versions
			from = k.Created
		}
		if k.SignUntil.IsZero() && !from.Add(every-r.Ahead).After(now) {
			due = append(due, k)
		}
	}
	return due
}

// Expired reports whether a key has left the key sets.
func Expired(records []store.SigningKey, now time.Time) bool {
	return slices.ContainsFunc(records,
		func(r store.SigningKey) bool { return !r.PublishUntil.IsZero() && !now.Before(r.PublishUntil) })
}

// note records a change of keys, in the ledger of whose they are; shared keys are
// in that of the default provider.
func note(
	tx store.Tx, action string, k store.SigningKey, by string, now time.Time,
	details map[string]string,
) error {
	whose := store.DefaultProvider
	if k.Provider != "" {
		p, err := tx.Provider(k.Provider)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		p.Name = k.Provider
		whose = p.Identity()
	}
	own := key{SigningKey: k}
	if details == nil {
		details = map[string]string{}
	}
	details["algorithm"] = own.algorithm()
	return ledger.Append(tx, whose, &ledger.Entry{
		Time: now.UTC(), Type: ledger.Change, Action: action, Subject: k.ID, By: by, Details: details,
	})
}
