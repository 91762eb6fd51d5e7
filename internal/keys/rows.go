package keys

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/token"
)

// ErrChanged is returned for a row of a signing key that this service did not
// write as it is.
var ErrChanged = errors.New("its row in the database is not as the service wrote it")

// fields are what the seal of a row authenticates: everything that decides who
// signs with a key, and when. Without them a writer of the database could make a
// retired key sign again, or give a key to another provider.
func fields(k store.SigningKey) [][]byte {
	at := func(t time.Time) []byte {
		if t.IsZero() {
			return nil
		}
		return []byte(t.UTC().Format(time.RFC3339Nano))
	}
	sealed := sha256.Sum256(k.Sealed)
	return [][]byte{[]byte(k.ID), sealed[:], []byte(k.Provider), []byte(k.Algorithm), []byte(k.Label),
		binary.BigEndian.AppendUint64(nil, uint64(k.Created.Unix())), at(k.SignFrom), at(k.SignUntil),
		at(k.PublishUntil),
		binary.BigEndian.AppendUint64(nil, uint64(k.Version))}
}

// check reports what is wrong with a row; the error wraps [ErrChanged].
func (c Config) check(k store.SigningKey) error {
	if !c.Master.Authentic(k.Seal, useKeyRows, fields(k)...) {
		return fmt.Errorf(
			"signing: key %s: %w: it was changed there, or the master key is not the one of this database: "+
				"start with the master key of this data directory (masterKeyFile, PROBITY_MASTER_KEY or signing.pkcs11.masterKey), "+
				"or restore a backup of the database",
			k.ID, ErrChanged,
		)
	}
	return c.Memory.check(k)
}

// checkSigning is check for a row among those of tokens. Security: the seal of a checkpoint key
// is that of such a row, of an algorithm that signs no tokens; copied here it is not one.
func (c Config) checkSigning(k store.SigningKey) error {
	if k.Algorithm != "" && !slices.Contains(token.Algorithms(), k.Algorithm) {
		return fmt.Errorf("signing: key %s: %w: its algorithm is %.40q", k.ID, ErrChanged, k.Algorithm)
	}
	return c.check(k)
}

// Authentic reports the first shared row that is not as the service wrote it.
func Authentic(records []store.SigningKey, c Config) error {
	for _, k := range records {
		if err := c.checkSigning(k); err != nil && k.Provider == "" {
			return err
		}
	}
	return nil
}

// rows returns the rows that are as the service wrote them.
func (c Config) rows(tx store.Tx) ([]store.SigningKey, error) {
	all, err := tx.SigningKeys()
	if err != nil {
		return nil, err
	}
	return c.authentic(all), nil
}

func (c Config) authentic(all []store.SigningKey) []store.SigningKey {
	rows := make([]store.SigningKey, 0, len(all))
	for _, k := range all {
		if c.checkSigning(k) == nil {
			rows = append(rows, k)
		}
	}
	return rows
}

// Overtaken reports whether one of the rows is older than what the memory knows of it:
// someone put back an old row, or a change came between the reading and now.
func Overtaken(records []store.SigningKey, c Config) bool {
	return slices.ContainsFunc(records, func(k store.SigningKey) bool { return c.Memory.check(k) != nil })
}

// put writes a row under a new seal.
func (c Config) put(tx store.Tx, k store.SigningKey) error {
	k.Version++
	k.Seal = c.Master.Authenticate(useKeyRows, fields(k)...)
	return tx.PutSigningKey(k)
}

// Upgrade seals the rows of the first versions, which sealed the private keys alone
// and under the master key itself: each private key is sealed again under its
// subkey, each row authenticated. It does so once for each data folder; from then
// on a row without a seal is not used, so that no one can put back an old one.
func Upgrade(ctx context.Context, db store.Store, c Config) error {
	if c.Memory.upgraded() {
		return nil
	}
	stored, err := db.SigningKeys(ctx)
	if err != nil {
		return err
	}
	checkpoints, err := db.CheckpointKeys(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(stored, func(k store.SigningKey) bool { return len(k.Seal) == 0 }) ||
		slices.ContainsFunc(checkpoints, func(k store.CheckpointKey) bool { return len(k.Seal) == 0 }) {
		if err := db.Update(ctx, store.TopicKeys, "", c.upgradeAll); err != nil {
			return err
		}
	}
	return c.Memory.setUpgraded()
}

func (c Config) upgradeAll(tx store.Tx) error {
	stored, err := tx.SigningKeys()
	if err != nil {
		return err
	}
	checkpoints, err := tx.CheckpointKeys()
	if err != nil {
		return err
	}
	for _, k := range stored {
		if err := c.upgrade(tx, k); err != nil {
			return err
		}
	}
	for _, k := range checkpoints {
		if err := c.upgradeCheckpointKey(tx, k); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) upgrade(tx store.Tx, k store.SigningKey) error {
	if len(k.Seal) > 0 {
		return nil
	}
	if k.Label == "" {
		plain, err := c.Master.unsealFirst(k.Sealed, k.ID)
		if err != nil {
			return fmt.Errorf("signing: key %s: %w", k.ID, err)
		}
		k.Sealed = c.Master.seal(useTokenKeys, plain, k.ID)
	}
	return c.put(tx, k)
}
