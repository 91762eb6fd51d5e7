package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/probity-dev/probity/internal/store/anchor"
)

// Acceptance says that the operator accepts the history that the database has now,
// although it does not extend the last checkpoint: after a backup was restored, for
// instance. The service signs it and says so in the ledger.
type Acceptance struct {
	Size int64
	Root tlog.Hash
	// Damaged are rows whose text or chain is not the one that was recorded. They stay so.
	Damaged Rows
}

// acceptedName is the name of the file of an acceptance. No provider has it.
func acceptedName(provider string) string { return "accept:" + provider }

// Accept leaves an acceptance for the service that uses the folder.
func Accept(outside *anchor.Folder, provider string, a Acceptance) error {
	text := fmt.Appendf(nil, "%d\n%s\n", a.Size, a.Root)
	if len(a.Damaged) > 0 {
		text = fmt.Appendf(text, "%s\n", a.Damaged)
	}
	return outside.Write(acceptedName(provider), text)
}

// acceptance reads the acceptance of a history; nil if there is none.
func (w *Writer) acceptance(provider string) (*Acceptance, error) {
	b, err := w.cfg.Outside.Read(acceptedName(provider))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		w.cfg.Log.Error("the operator's acceptance of a history cannot be read", "provider", provider, "err",
			err.Error())
		return nil, damaged("the operator's acceptance of a history cannot be read; the log says why")
	}
	a, err := parseAcceptance(string(b))
	if err != nil {
		return nil, damaged("the operator's acceptance of a history: %v", err)
	}
	return a, nil
}

func parseAcceptance(text string) (*Acceptance, error) {
	size, rest, _ := strings.Cut(text, "\n")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != size {
		return nil, fmt.Errorf("%q is not a size", size)
	}
	root, end, found := strings.Cut(rest, "\n")
	damaged, end, more := strings.Cut(end, "\n")
	if !found || end != "" || !more && damaged != "" || more && damaged == "" {
		return nil, errors.New("want two lines, size and root, and perhaps a third with damaged rows")
	}
	h, err := tlog.ParseHash(root)
	if err != nil {
		return nil, err
	}
	rows, err := ParseRows(damaged)
	return &Acceptance{n, h, rows}, err
}

// setAside sets the checkpoint aside that an accepted history replaces.
func (w *Writer) setAside(provider string, a *Acceptance) error {
	if a == nil {
		return nil
	}
	_, err := w.cfg.Outside.SetAside(provider, w.cfg.Now())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// announce puts an accepted history on record: what the last checkpoint said and
// what it says now.
func (w *Writer) announce(provider string) error {
	w.mu.Lock()
	h := w.of(provider)
	a := h.accepted
	if a == nil || h.announced {
		w.mu.Unlock()
		return nil
	}
	h.announced = true
	w.mu.Unlock()
	details := map[string]string{"size": fmt.Sprint(a.Size), "root": a.Root.String()}
	if len(a.Damaged) > 0 {
		details[detailDamaged] = a.Damaged.String()
	}
	if text, err := w.cfg.Outside.Read(provider); err == nil {
		if c, err := w.cfg.Keys.open(provider, string(text)); err == nil {
			details["sizeBefore"], details["rootBefore"] = fmt.Sprint(c.Size), c.Root.String()
		}
	}
	w.cfg.Log.Warn("the operator accepted a history that does not extend the last checkpoint", "provider",
		provider, "size", a.Size, "size before", details["sizeBefore"])
	return w.enqueue(&item{provider: provider, sign: true,
		entry: &Entry{
			Time: w.cfg.Now().UTC(), Type: Change, Action: ActionAccept, Subject: "checkpoint",
			Details: details,
		}})
}
