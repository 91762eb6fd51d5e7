package ledger

import (
	"errors"
	"strconv"
	"strings"
)

// lostPrefix begins the names of files with losses that the ledger was not told of.
const lostPrefix = "lost:"

// lose counts decisions that are not recorded.
func (w *Writer) lose(provider string, n int64) {
	w.losses.Add(n)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost[provider] += n
	select {
	case <-w.done: // the ledger is told at the next start
		w.save(provider)
	default:
	}
}

// leave keeps losses that the ledger could not be told of for the next start.
func (w *Writer) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for provider, list := range w.withheld {
		w.lost[provider] += int64(len(list))
	}
	for provider := range w.lost {
		w.save(provider)
	}
}

// save writes the losses of one ledger. The caller holds w.mu.
func (w *Writer) save(provider string) {
	err := w.cfg.Outside.Write(lostPrefix+provider, strconv.AppendInt(nil, w.lost[provider], 10))
	if err != nil {
		w.cfg.Log.Error("lost decisions could not be kept for the next start", "provider", provider, "lost",
			w.lost[provider], "err", err.Error())
	}
}

// told removes what was kept, once the ledger says it. The caller holds w.mu.
func (w *Writer) told(provider string) {
	if !w.recalled[provider] {
		return
	}
	delete(w.recalled, provider)
	if err := w.cfg.Outside.Remove(lostPrefix + provider); err != nil {
		w.cfg.Log.Warn("losses that the ledger recorded are still in a file", "provider", provider, "err",
			err.Error())
	}
}

// recall reads the losses of the runs before.
func (w *Writer) recall() error {
	names, err := w.cfg.Outside.Names()
	if err != nil {
		return err
	}
	var problems []error
	for _, name := range names {
		provider, ok := strings.CutPrefix(name, lostPrefix)
		if !ok {
			continue
		}
		text, err := w.cfg.Outside.Read(name)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || n < 1 {
			n = 1 // something was lost; how much is not known
		}
		w.lost[provider], w.recalled[provider] = n, true
	}
	return errors.Join(problems...)
}
