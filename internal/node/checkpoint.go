package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
)

// LedgerFolder is the folder of a data directory with the newest checkpoints.
const LedgerFolder = "ledger"

// OutsideOf opens the folder of a data directory with the newest checkpoints.
func OutsideOf(dataDir string) (*anchor.Folder, error) {
	f, err := anchor.Open(filepath.Join(dataDir, anchor.Dir))
	if err != nil {
		return nil, err
	}
	return f.Sub(LedgerFolder)
}

// CheckpointKeyFile is the name under which the folder remembers what verifies
// checkpoints. No provider has it.
const CheckpointKeyFile = "key:checkpoint"

const remedyCheckpointKey = "restore the database that this service used; if it is lost, " +
	"move the folder %s away; changes of older entries can then not be detected"

// CheckpointSigner opens the key that signs checkpoints. It makes one at the first
// start alone: a key that appears beside older ledgers, or that is not the one that
// the data directory remembers, is refused.
func CheckpointSigner(
	ctx context.Context, db store.Store, cfg config.Config, atRest keys.Config, outside *anchor.Folder,
) (note.Signer, ledger.Keys, error) {
	b, err := outside.Read(CheckpointKeyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	known := strings.Fields(string(b))
	records, err := db.CheckpointKeys(ctx)
	if err != nil {
		return nil, nil, err
	}
	secret, public, ok, err := keys.StoredCheckpointKey(records, atRest)
	if err == nil && !ok {
		secret, public, err = firstCheckpointKey(ctx, db, cfg, atRest, len(known) > 0)
	}
	remedy := fmt.Sprintf(remedyCheckpointKey, filepath.Dir(outside.Path(CheckpointKeyFile)))
	if errors.Is(err, errNoCheckpointKey) {
		return nil, nil, fmt.Errorf("%w; %s", err, remedy)
	}
	if err != nil {
		return nil, nil, err
	}
	if len(known) == 0 {
		known = []string{public}
	}
	// Security: a key that a rotation ended does not come back, also not by its own old row.
	if slices.Index(known, public) > 0 {
		return nil, nil, fmt.Errorf("the checkpoint key in the database is %s, which this service replaced by %s: "+
			"the rotation was undone, or the database is an older copy; %s", public, known[0], remedy)
	}
	verifiers, err := EndorsedKeys(ctx, db, known, append(keys.CheckpointVerifiers(records), public))
	if err != nil {
		return nil, nil, err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(verifiers,
		func(v note.Verifier) bool { return v.Name() == signer.Name() && v.KeyHash() == signer.KeyHash() })
	if i < 0 {
		return nil, nil, fmt.Errorf("the checkpoint key in the database is %s, but this service used %s, "+
			"which did not sign it over: the key was exchanged; %s", public, known[0], remedy)
	}
	verifiers[0], verifiers[i] = verifiers[i], verifiers[0]
	if known[0] != public || b == nil {
		if err := RememberCheckpointKey(outside, public); err != nil {
			return nil, nil, err
		}
	}
	return signer, verifiers, nil
}

// RememberCheckpointKey keeps outside the database that a key signs checkpoints from now on,
// before the ones that did.
func RememberCheckpointKey(outside *anchor.Folder, public string) error {
	b, err := outside.Read(CheckpointKeyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before := slices.DeleteFunc(strings.Fields(string(b)), func(k string) bool { return k == public })
	return outside.Write(CheckpointKeyFile, []byte(strings.Join(append([]string{public}, before...), "\n")+"\n"))
}

// maxEndorsements is how many checkpoints are searched for one that two keys signed.
const maxEndorsements = 100_000

// EndorsedKeys returns the keys that are trusted, and those of the database that
// one of them signed over in a checkpoint.
func EndorsedKeys(ctx context.Context, db store.Store, trusted, stored []string) (ledger.Keys, error) {
	verifiers := func(texts []string) (list []note.Verifier, err error) {
		for _, text := range texts {
			v, err := note.NewVerifier(text)
			if err != nil {
				return nil, fmt.Errorf("the key of checkpoints: %w", err)
			}
			list = append(list, v)
		}
		return list, nil
	}
	known, err := verifiers(trusted)
	if err != nil {
		return nil, err
	}
	others, err := verifiers(stored)
	if err != nil {
		return nil, err
	}
	// Of one key there is nothing to search for.
	if !slices.ContainsFunc(stored, func(s string) bool { return !slices.Contains(trusted, s) }) {
		return known, nil
	}
	list, err := db.Checkpoints(ctx, store.DefaultProvider, maxEndorsements)
	return ledger.Endorsed(list, known, others), err
}

var errNoCheckpointKey = errors.New("the database has no checkpoint key, but this service had one: " +
	"the key was removed, or it is another database")

// firstCheckpointKey makes the key, with its entry in the ledger of the default
// provider. Nodes that start together make one.
func firstCheckpointKey(
	ctx context.Context, db store.Store, cfg config.Config, atRest keys.Config, had bool,
) (secret, public string, err error) {
	heads, err := db.LedgerHeads(ctx)
	if err != nil {
		return "", "", err
	}
	for _, h := range heads {
		had = had || h.Size > 0 || h.Signed >= 0
	}
	if had {
		return "", "", errNoCheckpointKey
	}
	err = db.Update(ctx, store.TopicKeys, "", func(tx store.Tx) error {
		records, err := tx.CheckpointKeys()
		if err != nil {
			return err
		}
		_, exists := keys.CheckpointVerifier(records)
		now := time.Now()
		secret, public, err = keys.CheckpointKey(tx, atRest, ledger.KeyName(cfg.URL), now)
		if err != nil || exists {
			return err
		}
		signer, err := note.NewSigner(secret)
		if err != nil {
			return err
		}
		return ledger.AppendFirst(tx, signer, store.DefaultProvider,
			&ledger.Entry{Time: now.UTC(), Type: ledger.Change, Action: ledger.ActionKey, Subject: public})
	})
	return secret, public, err
}
