package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store/anchor"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/token"
)

// openLedger opens a ledger in an embedded store of its own.
func openLedger() (w *ledger.Writer, end func()) {
	dir, err := os.MkdirTemp("", "probity-bench")
	must(err)
	db, err := sqlite.Open(context.Background(), dir)
	must(err)
	secret, public, err := ledger.NewKey(rand.Reader, "bench")
	must(err)
	signer, err := note.NewSigner(secret)
	must(err)
	verifier, err := note.NewVerifier(public)
	must(err)
	outside, err := anchor.Open(filepath.Join(dir, anchor.Dir))
	must(err)
	w, err = ledger.NewWriter(context.Background(),
		ledger.Config{Store: db, Outside: outside, Signer: signer, Keys: ledger.Keys{verifier},
			Checkpoint: 10 * time.Second, Queue: 200_000, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	must(err)
	return w, func() {
		w.Close(context.Background())
		db.Close()
		os.RemoveAll(dir)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func decision(i int, raw []byte) ledger.Entry {
	sum := sha256.Sum256(raw)
	return ledger.Entry{
		Time: time.Now().UTC(), Type: ledger.Decision,
		Request: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Kind: "SgxEnclave",
		Outcome:    ledger.Accepted,
		Evidence:   hex.EncodeToString(sum[:]),
		Collateral: hex.EncodeToString(sum[:]), Policy: "9NY0VnTQ-IiBriBplVUpFbczcDaEBUwsiFYAzHu_gco",
		Version: 3, Token: fmt.Sprintf("%064x", i),
	}
}

// recording is an attestation that is recorded, beside one that is not. Every
// 200th waits until the ledger has it, so that its work is counted where it is
// caused.
func recording() pair {
	now := time.Now()
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	source, err := collateral.NewStatic(&collateral.Bundle{Intel: []*collateral.Intel{pki.Collateral(m,
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)})}})
	must(err)
	a := &appraisal.Appraiser{
		Verifiers:  appraisal.Verifiers(appraisal.Trust{Intel: dcap.Config{Anchor: pki.Anchor()}}),
		Collateral: source,
		Random:     rand.Reader,
	}
	rules, err := policy.Parse(policy.Default("SgxEnclave"))
	must(err)
	quote := m.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()})
	signer := newSigner()
	attest := func() {
		v, err := a.Appraise(context.Background(),
			appraisal.Request{Kind: evidence.SGXEnclave, Evidence: quote, Time: now},
			appraisal.Provider{Policy: rules, Signer: signer, TokenTime: now})
		must(err)
		if !v.Accepted {
			panic(v.Rejection)
		}
	}
	w, _ := openLedger()
	n := 0
	return pair{"attest SGX with a ledger (SQLite)", 1.10, "the same without", func() {
		attest()
		n++
		must(w.Record(context.Background(), "default", decision(n, quote), n%200 == 0))
	}, attest}
}

func newSigner() *token.Signer {
	key, cert := rsaKey()
	s, err := token.NewSigner("https://localhost:8443", key, cert, "")
	must(err)
	return s
}

// sustained writes decisions for some seconds, as fast as they are taken.
func sustained() bool {
	runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(1)
	w, end := openLedger()
	defer end()
	const n = 50_000
	raw := make([]byte, 4600)
	start := time.Now()
	for i := range n {
		must(w.Record(context.Background(), "default", decision(i, raw), i == n-1 || i%1000 == 999))
	}
	rate := n / time.Since(start).Seconds()
	verdict := "met"
	if rate < 5000 {
		verdict = "MISSED"
	}
	fmt.Printf("%-46s %21.0f decisions/s  ≥ 5000: %s\n", "ledger on SQLite, sustained", rate, verdict)
	return rate >= 5000
}
