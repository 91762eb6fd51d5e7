package signing

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
)

// Ensure makes a key where a provider has none for an algorithm: its own if own is
// set, else a shared one. Nodes that start together make it once.
func Ensure(tx store.Tx, cfg Config, provider, algorithm string, own bool, now time.Time) error {
	if !own {
		provider = ""
	}
	records, err := cfg.rows(tx)
	if err != nil {
		return err
	}
	for _, r := range records {
		k := key{SigningKey: r}
		if r.Provider == provider && k.algorithm() == algorithm && (r.SignUntil.IsZero() || now.Before(r.SignUntil)) {
			return nil
		}
	}
	record, err := cfg.generate(provider, algorithm, now)
	if err != nil {
		return err
	}
	record.SignFrom = now
	if err := cfg.put(tx, record); err != nil {
		return err
	}
	return note(tx, "key.create", record, "", now, nil)
}

// Rotation says when keys follow each other.
type Rotation struct {
	// Ahead is how long a key is published before it signs.
	Ahead time.Duration
	// Overlap is how long a key stays published after it signed: longer than any
	// token is good for.
	Overlap time.Duration
}

// ErrPending is returned where a rotation is under way.
var ErrPending = errors.New("a key waits to sign already")

// Rotate makes the next key of a provider's own keys or, with an empty provider,
// of the shared ones, and gives those before it their dates.
func Rotate(tx store.Tx, cfg Config, provider, algorithm string, r Rotation, by string, now time.Time) (store.SigningKey, error) {
	records, err := cfg.rows(tx)
	if err != nil {
		return store.SigningKey{}, err
	}
	var before []store.SigningKey
	for _, old := range records {
		k := key{SigningKey: old}
		if old.Provider != provider || k.algorithm() != algorithm || !old.SignUntil.IsZero() {
			continue
		}
		if old.SignFrom.After(now) && r.Ahead > 0 {
			return store.SigningKey{}, fmt.Errorf("signing: key %s signs from %s: %w", old.ID, old.SignFrom.Format(time.RFC3339), ErrPending)
		}
		before = append(before, old)
	}
	if len(before) == 0 {
		return store.SigningKey{}, fmt.Errorf("signing: %s keys of %q: %w", algorithm, provider, ErrNoKey)
	}
	next, err := cfg.generate(provider, algorithm, now)
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
	return next, note(tx, "key.rotate", next, by, now, map[string]string{"signFrom": next.SignFrom.Format(time.RFC3339)})
}

// ErrLastKey is returned for what would leave nobody to sign.
var ErrLastKey = errors.New("no other key signs in its place")

// Retire ends a key at once: it signs no more and leaves the key set, so that
// tokens that it signed are refused. A key whose row was changed in the database is
// removed.
func Retire(tx store.Tx, cfg Config, id, by string, now time.Time) (store.SigningKey, error) {
	records, err := tx.SigningKeys()
	if err != nil {
		return store.SigningKey{}, err
	}
	i := slices.IndexFunc(records, func(r store.SigningKey) bool { return r.ID == id && r.Algorithm != checkpoint })
	if i < 0 {
		return store.SigningKey{}, fmt.Errorf("signing: key %q: %w", id, store.ErrNotFound)
	}
	retired := records[i]
	if err := cfg.check(retired); err != nil {
		return retired, errors.Join(tx.DeleteSigningKey(id), note(tx, "key.remove", retired, by, now, map[string]string{"reason": err.Error()}))
	}
	records = slices.DeleteFunc(records, func(r store.SigningKey) bool { return cfg.check(r) != nil })
	same := func(r store.SigningKey) bool {
		a, b := key{SigningKey: r}, key{SigningKey: retired}
		return r.ID != id && r.Provider == retired.Provider && a.algorithm() == b.algorithm()
	}
	signs := func(r store.SigningKey) bool {
		return !now.Before(r.SignFrom) && (r.SignUntil.IsZero() || now.Before(r.SignUntil))
	}
	if signs(retired) && !slices.ContainsFunc(records, func(r store.SigningKey) bool { return same(r) && signs(r) }) {
		return retired, fmt.Errorf("signing: key %s: %w; rotate first, with no time ahead if it is urgent", id, ErrLastKey)
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
		if r.PublishUntil.IsZero() || now.Before(r.PublishUntil) {
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
// and algorithm, where the newest key has signed long enough.
func Due(records []store.SigningKey, every time.Duration, r Rotation, now time.Time) (due []store.SigningKey) {
	for _, k := range records {
		from := k.SignFrom
		if from.IsZero() { // a key of the first versions
			from = k.Created
		}
		if k.Algorithm != checkpoint && k.SignUntil.IsZero() && !from.Add(every-r.Ahead).After(now) {
			due = append(due, k)
		}
	}
	return due
}

// Expired reports whether a key has left the key sets.
func Expired(records []store.SigningKey, now time.Time) bool {
	return slices.ContainsFunc(records, func(r store.SigningKey) bool { return !r.PublishUntil.IsZero() && !now.Before(r.PublishUntil) })
}

// note records a change of keys, in the ledger of whose they are; shared keys are
// in that of the default provider.
func note(tx store.Tx, action string, k store.SigningKey, by string, now time.Time, details map[string]string) error {
	provider := k.Provider
	if provider == "" {
		provider = store.DefaultProvider
	}
	own := key{SigningKey: k}
	if details == nil {
		details = map[string]string{}
	}
	details["algorithm"] = own.algorithm()
	return ledger.Append(tx, provider, &ledger.Entry{Time: now.UTC(), Type: ledger.Change, Action: action, Subject: k.ID, By: by, Details: details})
}

// StoredCheckpointKey returns the key that signs checkpoints, in the forms of the
// note library: the secret and what verifies; ok is false if there is none.
func StoredCheckpointKey(records []store.SigningKey, cfg Config) (secret, public string, ok bool, err error) {
	for _, r := range records {
		if r.Algorithm == checkpoint && r.SignUntil.IsZero() {
			if err := cfg.check(r); err != nil {
				return "", "", false, err
			}
			b, err := cfg.Master.unseal(useCheckpointKey, r.Sealed, r.ID)
			return string(b), r.ID, err == nil, err
		}
	}
	return "", "", false, nil
}

// CheckpointVerifier returns what verifies checkpoints, which is no secret.
func CheckpointVerifier(records []store.SigningKey) (string, bool) {
	for _, r := range records {
		if r.Algorithm == checkpoint && r.SignUntil.IsZero() {
			return r.ID, true
		}
	}
	return "", false
}

// CheckpointKey is StoredCheckpointKey, and makes the key where there is none.
func CheckpointKey(tx store.Tx, cfg Config, name string, now time.Time) (secret, public string, err error) {
	records, err := tx.SigningKeys()
	if err != nil {
		return "", "", err
	}
	if secret, public, ok, err := StoredCheckpointKey(records, cfg); ok || err != nil {
		return secret, public, err
	}
	if secret, public, err = ledger.NewKey(cfg.Random, name); err != nil {
		return "", "", fmt.Errorf("signing: checkpoint key: %w", err)
	}
	return secret, public, cfg.put(tx, store.SigningKey{ID: public, Algorithm: checkpoint, Sealed: cfg.Master.seal(useCheckpointKey, []byte(secret), public),
		Certificate: []byte{}, Created: now, SignFrom: now})
}

// CheckpointVerifiers returns what verifies checkpoints, of now and of before.
func CheckpointVerifiers(records []store.SigningKey) (all []string) {
	for _, r := range records {
		if r.Algorithm == checkpoint {
			all = append(all, r.ID)
		}
	}
	return all
}

// RotateCheckpointKey makes the key that signs checkpoints from now on, of the same
// name, and ends the one before it, which still verifies.
func RotateCheckpointKey(tx store.Tx, cfg Config, name string, now time.Time) (secret, public string, err error) {
	records, err := tx.SigningKeys()
	if err != nil {
		return "", "", err
	}
	for _, r := range records {
		if r.Algorithm == checkpoint && r.SignUntil.IsZero() {
			r.SignUntil = now
			if err := cfg.put(tx, r); err != nil {
				return "", "", err
			}
		}
	}
	return CheckpointKey(tx, cfg, name, now)
}
