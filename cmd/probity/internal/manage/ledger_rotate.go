package manage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/node"
	"github.com/probity-dev/probity/internal/store"
)

type ledgerRotateKeyCommand struct {
	dataFlag
	term.Output
}

// Run makes the key.
func (c *ledgerRotateKeyCommand) Run(e *term.Env) error {
	cfg, err := c.Settings()
	if err != nil {
		return err
	}
	db, err := c.openStore(e)
	if err != nil {
		return err
	}
	defer db.Close()
	atRest, err := node.KeysAtRest(e.Ctx, db, cfg)
	if err != nil {
		return err
	}
	public, err := rotateCheckpointKey(e.Ctx, db, cfg, atRest, slog.New(slog.NewTextHandler(e.Err, nil)))
	if err != nil {
		return err
	}
	return e.Answer(map[string]string{"verifier": public}, "%s\n", public)
}

func rotateCheckpointKey(
	ctx context.Context, db store.Store, cfg config.Config, atRest keys.Config, log *slog.Logger,
) (public string, err error) {
	outside, err := node.OutsideOf(cfg.DataDir)
	if err != nil {
		return "", err
	}
	signer, verifiers, err := node.CheckpointSigner(ctx, db, cfg, atRest, outside)
	if err != nil {
		return "", err
	}
	w, err := ledger.NewWriter(ctx, ledger.Config{
		Store: db, Outside: outside, Signer: signer, Keys: verifiers, Checkpoint: time.Hour,
		Queue: 1000, Now: time.Now, Log: log,
	})
	if err != nil {
		return "", err
	}
	defer w.Close(context.WithoutCancel(ctx))
	if stopped := w.Stopped(); len(stopped) > 0 {
		return "", fmt.Errorf("%w; %s", stopped[0], ledger.RemedyStopped)
	}
	heads, err := db.LedgerHeads(ctx)
	if err != nil {
		return "", err
	}
	var notes map[string]string
	err = db.Update(ctx, store.TopicKeys, "", func(tx store.Tx) error {
		var secret string
		now := time.Now()
		if secret, public, err = keys.RotateCheckpointKey(tx, atRest, signer.Name(), now); err != nil {
			return err
		}
		next, err := note.NewSigner(secret)
		if err != nil {
			return err
		}
		notes, err = w.Rotate(ctx, tx, next, public, heads, now)
		return err
	})
	if err != nil {
		return "", err
	}
	return public, errors.Join(w.KeepRotated(notes), node.RememberCheckpointKey(outside, public))
}
