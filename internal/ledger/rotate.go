package ledger

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/probity-dev/probity/internal/store"
)

// ActionKey says that another key signs checkpoints from now on.
const ActionKey = "checkpoint.key"

// Rotate puts a new checkpoint key on record in every ledger, within a transaction:
// an entry, under a checkpoint that both keys sign. It returns these checkpoints by
// provider, for [Writer.KeepRotated] after the commit.
func (w *Writer) Rotate(
	ctx context.Context, tx store.LedgerTx, next note.Signer, public string, heads []store.LedgerState,
	now time.Time,
) (map[string]string, error) {
	notes := map[string]string{}
	for _, h := range heads {
		head, err := tx.LedgerHead(h.Provider)
		if err != nil {
			return nil, err
		}
		e, err := w.check(ctx, inTx{tx, h.Provider}, h.Provider, head)
		if err != nil {
			return nil, err
		}
		a, err := e.append(h.Provider,
			[]*Entry{{Time: now.UTC(), Type: Change, Action: ActionKey, Subject: public}})
		if err != nil {
			return nil, err
		}
		text := fmt.Sprintf("%s\n%d\n%s\n", Origin(next.Name(), h.Provider), e.size, e.root())
		signed, err := note.Sign(&note.Note{Text: text}, next, w.cfg.Signer)
		if err != nil {
			return nil, fmt.Errorf("ledger: checkpoint: %w", err)
		}
		a.Checkpoint = &store.Checkpoint{Size: e.size, Note: string(signed)}
		if err := tx.AppendLedger(h.Provider, a); err != nil {
			return nil, err
		}
		notes[h.Provider] = string(signed)
	}
	return notes, nil
}

// KeepRotated keeps the checkpoints of a rotation outside the database.
func (w *Writer) KeepRotated(notes map[string]string) error {
	for provider, text := range notes {
		c, err := w.cfg.Keys.open(provider, text)
		if err != nil {
			return err
		}
		w.keep(provider, text, c)
	}
	return nil
}

// Endorsed returns the keys that a checkpoint signed together with a trusted one,
// or with one that is endorsed itself; the trusted ones first.
func Endorsed(checkpoints []store.Checkpoint, trusted, others []note.Verifier) []note.Verifier {
	all := append([]note.Verifier{}, trusted...)
	has := func(name string, hash uint32) bool {
		for _, v := range all {
			if v.Name() == name && v.KeyHash() == hash {
				return true
			}
		}
		return false
	}
	for grew := true; grew; {
		grew = false
		for _, c := range checkpoints {
			for _, other := range others {
				if has(other.Name(), other.KeyHash()) {
					continue
				}
				n, err := note.Open([]byte(c.Note), note.VerifierList(append([]note.Verifier{other}, all...)...))
				if err != nil || len(n.Sigs) < 2 {
					continue
				}
				for _, s := range n.Sigs {
					if s.Name == other.Name() && s.Hash == other.KeyHash() {
						all, grew = append(all, other), true
						break
					}
				}
			}
		}
	}
	return all
}
