package control

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
)

// searchBudget is how many rows one request reads at most.
const searchBudget = 100_000

// exportTime is how long an export may take.
const exportTime = time.Hour

// reading takes one of the provider's places for reading its ledger, which may be
// long: a provider with many readers slows no other one.
func reading(t *provider.Provider) (free func(), err error) {
	free, ok := t.TakeRead()
	if !ok {
		return nil, &edge.Error{
			Status:  http.StatusTooManyRequests,
			Code:    edge.CodeTooMany,
			Message: "too many requests read the provider's ledger",
			Header:  http.Header{"Retry-After": {"1"}},
		}
	}
	return free, nil
}

// SearchLedger answers GET /ledger: entries that match the query, from a row on.
// With last it begins that many rows before the end.
func (p *Plane) SearchLedger(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	from, err := edge.QueryNumber(r, "from", 0, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	limit, err := edge.QueryNumber(r, "limit", 100, 1, 1000)
	if err != nil {
		return err
	}
	last, err := edge.QueryNumber(r, "last", -1, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	query, err := ledgerQuery(r)
	if err != nil {
		return err
	}
	free, err := reading(c.Provider)
	if err != nil {
		return err
	}
	defer free()
	head, err := p.Store.LedgerHead(r.Context(), c.Provider.Identity())
	if err != nil {
		return err
	}
	if last >= 0 {
		from = max(from, head.Size-last)
	}
	found, next, err := ledger.Search(r.Context(), p.Store, c.Provider.Identity(), query, from, int(limit),
		searchBudget)
	if err != nil {
		return err
	}
	answer := map[string]any{"value": found, "size": head.Size}
	if next >= 0 && next < head.Size {
		answer["next"] = next
	}
	return edge.WriteJSON(w, answer)
}

var (
	ledgerTypes = edge.Shaped(strings.Join(ledger.Types(), "|"),
		"a type of entries: "+strings.Join(ledger.Types(), ", "))
	ledgerOutcomes = edge.Shaped(ledger.Accepted+"|"+ledger.Refused, "accepted or refused")
	ledgerDigest   = edge.Shaped("[0-9a-f]{64}", "a SHA-256 of 64 hexadecimal digits in lower case")
	ledgerText     = edge.Shaped("(?s).{1,256}", "a text of 1 to 256 characters")
)

// ledgerQuery reads what entries are looked for by. A value that no entry can have is
// refused: an empty answer would look like a ledger without such entries.
func ledgerQuery(r *http.Request) (q ledger.Query, err error) {
	var kinds []string
	for _, kind := range evidence.Kinds() {
		kinds = append(kinds, string(kind))
	}
	for _, p := range []struct {
		name string
		form edge.Form
		to   *string
	}{
		{"type", ledgerTypes, &q.Type}, {"kind", edge.Shaped(strings.Join(kinds, "|"),
			"an attestation type: "+strings.Join(kinds, ", ")), &q.Kind},
		{"outcome", ledgerOutcomes, &q.Outcome}, {"check", ledgerText, &q.Check},
		{"evidence", ledgerDigest, &q.Evidence}, {"token", ledgerText, &q.Token},
		{"by", ledgerText, &q.By}, {"action", ledgerText, &q.Action}, {"request", ledgerText, &q.Request},
	} {
		if *p.to, _, err = edge.QueryText(r, p.name, p.form); err != nil {
			return q, err
		}
	}
	return q, nil
}

// ExportLedger answers GET /ledger/export.
func (p *Plane) ExportLedger(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	from, err := edge.QueryNumber(r, "from", 0, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	free, err := reading(c.Provider)
	if err != nil {
		return err
	}
	defer free()
	w.Header().Set("Content-Type", "application/x-ndjson")
	// A ledger may be long: its export may take longer than other requests, and ends
	// when its reader goes. One that breaks off is found incomplete when it is verified
	// it.
	err = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(exportTime))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), exportTime)
	defer cancel()
	return ledger.Export(ctx, w, p.Store, c.Provider.Identity(), from)
}

// Checkpoint answers GET /ledger/checkpoint: the newest one, and what verifies it.
func (p *Plane) Checkpoint(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	list, err := p.Store.Checkpoints(r.Context(), c.Provider.Identity(), 1)
	if err != nil {
		return err
	}
	answer := map[string]any{"verifier": p.CheckpointKey}
	if len(list) > 0 {
		answer["size"], answer["checkpoint"] = list[0].Size, list[0].Note
	}
	if p.Ledger != nil {
		if text, size := p.Ledger.Cosigned(c.Provider.Identity()); text != "" {
			answer["cosigned"], answer["cosignedSize"] = text, size
		}
	}
	return edge.WriteJSON(w, answer)
}

// Proof answers GET /ledger/proof/{seq}.
func (p *Plane) Proof(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	seq, err := strconv.ParseInt(c.Params["seq"], 10, 64)
	if err != nil {
		return err // its form was checked
	}
	proved, err := ledger.Prove(r.Context(), p.Store, c.Provider.Identity(), seq)
	if errors.Is(err, ledger.ErrNoCheckpoint) {
		return edge.Failed(http.StatusNotFound, edge.CodeNotFound,
			edge.CheckProof.FailedWith("an entry that a checkpoint covers",
				err.Error(), "try again after the next checkpoint"))
	}
	if err != nil {
		return notFound(err, edge.CheckProof, "an entry that is there", c.Params["seq"])
	}
	return edge.WriteJSON(w, proved)
}
