package keys

import (
	"fmt"
	"time"

	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
)

// sealedAs is the row whose fields the seal of a checkpoint key authenticates: the first
// versions kept these keys among those of tokens, and their seals must stay valid.
func sealedAs(k store.CheckpointKey) store.SigningKey {
	return store.SigningKey{
		ID: k.ID, Sealed: k.Sealed, Created: k.Created, Algorithm: "checkpoint", SignFrom: k.SignFrom,
		SignUntil: k.SignUntil, Version: k.Version, Seal: k.Seal,
	}
}

func (c Config) putCheckpointKey(tx store.Tx, k store.CheckpointKey) error {
	k.Version++
	k.Seal = c.Master.Authenticate(useKeyRows, fields(sealedAs(k))...)
	return tx.PutCheckpointKey(k)
}

// StoredCheckpointKey returns the key that signs checkpoints, in the forms of the
// note library: the secret and what verifies; ok is false if there is none.
func StoredCheckpointKey(
	stored []store.CheckpointKey, cfg Config,
) (secret, public string, ok bool, err error) {
	k, ok := inUse(stored)
	if !ok {
		return "", "", false, nil
	}
	if err := cfg.check(sealedAs(k)); err != nil {
		return "", "", false, err
	}
	b, err := cfg.Master.unseal(useCheckpointKey, k.Sealed, k.ID)
	return string(b), k.ID, err == nil, err
}

func inUse(stored []store.CheckpointKey) (store.CheckpointKey, bool) {
	for _, k := range stored {
		if k.SignUntil.IsZero() {
			return k, true
		}
	}
	return store.CheckpointKey{}, false
}

// CheckpointVerifier returns what verifies checkpoints, which is no secret.
func CheckpointVerifier(stored []store.CheckpointKey) (string, bool) {
	k, ok := inUse(stored)
	return k.ID, ok
}

// CheckpointVerifiers returns what verifies checkpoints, of now and of before.
func CheckpointVerifiers(stored []store.CheckpointKey) (all []string) {
	for _, k := range stored {
		all = append(all, k.ID)
	}
	return all
}

// CheckpointKey is StoredCheckpointKey, and makes the key where there is none.
func CheckpointKey(tx store.Tx, cfg Config, name string, now time.Time) (secret, public string, err error) {
	stored, err := tx.CheckpointKeys()
	if err != nil {
		return "", "", err
	}
	if secret, public, ok, err := StoredCheckpointKey(stored, cfg); ok || err != nil {
		return secret, public, err
	}
	if secret, public, err = ledger.NewKey(cfg.Random, name); err != nil {
		return "", "", fmt.Errorf("signing: checkpoint key: %w", err)
	}
	return secret, public, cfg.putCheckpointKey(tx, store.CheckpointKey{ID: public,
		Sealed: cfg.Master.seal(useCheckpointKey, []byte(secret), public), Created: now, SignFrom: now})
}

// RotateCheckpointKey makes the key that signs checkpoints from now on, of the same
// name, and ends the one before it, which still verifies.
func RotateCheckpointKey(
	tx store.Tx, cfg Config, name string, now time.Time,
) (secret, public string, err error) {
	stored, err := tx.CheckpointKeys()
	if err != nil {
		return "", "", err
	}
	for _, k := range stored {
		if k.SignUntil.IsZero() {
			k.SignUntil = now
			if err := cfg.putCheckpointKey(tx, k); err != nil {
				return "", "", err
			}
		}
	}
	return CheckpointKey(tx, cfg, name, now)
}

// upgradeCheckpointKey seals a row of the first versions.
func (c Config) upgradeCheckpointKey(tx store.Tx, k store.CheckpointKey) error {
	if len(k.Seal) > 0 {
		return nil
	}
	plain, err := c.Master.unsealFirst(k.Sealed, k.ID)
	if err != nil {
		return fmt.Errorf("signing: checkpoint key %s: %w", k.ID, err)
	}
	k.Sealed = c.Master.seal(useCheckpointKey, plain, k.ID)
	return c.putCheckpointKey(tx, k)
}
