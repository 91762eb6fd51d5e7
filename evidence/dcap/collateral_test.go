package dcap_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// TestCheckCollateral verifies sets on their own, as the plane does before it
// keeps them.
func TestCheckCollateral(t *testing.T) {
	l := newLab()
	m := l.pki.Platform(evidencetest.HealthyPlatform())
	other := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	q := collateral.Query{TEE: collateral.TDX, FMSPC: evidencetest.HealthyPlatform().FMSPC, CA: "platform"}
	healthy := evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)}
	sgx := l.pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)})
	for name, tc := range map[string]struct {
		edit  func(*collateral.Intel)
		query func(*collateral.Query)
		at    time.Time
		want  string
	}{
		"whole":          {nil, nil, now, ""},
		"its own number": {nil, func(q *collateral.Query) { q.EvaluationNumber = 20 }, now, ""},
		"another number": {nil, func(q *collateral.Query) { q.EvaluationNumber = 21 }, now, "dcap.collateral"},
		"another FMSPC":  {nil, func(q *collateral.Query) { q.FMSPC[0] = 9 }, now, "dcap.collateral"},
		"another CA":     {nil, func(q *collateral.Query) { q.CA = "processor" }, now, "dcap.collateral"},
		"another TEE":    {nil, func(q *collateral.Query) { q.TEE = collateral.SGX }, now, "dcap.collateral"},
		"the identity of another TEE": {func(c *collateral.Intel) {
			c.QEIdentity, c.QEIdentitySignature = sgx.QEIdentity, sgx.QEIdentitySignature
		}, nil, now, "dcap.qe-identity.id"},
		"no TCB info": {
			func(c *collateral.Intel) { c.TCBInfo = nil }, nil, now, "dcap.collateral",
		},
		"no PCK CRL": {
			func(c *collateral.Intel) { c.PCKCRL = nil }, nil, now, "dcap.collateral",
		},
		"no chain of the PCK CRL": {
			func(c *collateral.Intel) { c.PCKCRLIssuerChain = nil }, nil, now,
			"dcap.pck-crl.signature",
		},
		"the root alone in that chain": {
			func(c *collateral.Intel) { c.PCKCRLIssuerChain = l.pki.Root.PEM() }, nil, now,
			"dcap.pck-crl.signature",
		},
		"another hierarchy in that chain": {func(c *collateral.Intel) {
			c.PCKCRLIssuerChain = append(other.PlatformCA.PEM(), other.Root.PEM()...)
		}, nil, now, "dcap.pck-crl.signature"},
		"the TCB signer in that chain": {func(c *collateral.Intel) {
			c.PCKCRLIssuerChain = append(l.pki.TCBSigner.PEM(), l.pki.Root.PEM()...)
		}, nil, now, "dcap.pck-crl.signature"},
		"the other CA in that chain": {func(c *collateral.Intel) {
			c.PCKCRLIssuerChain = append(l.pki.ProcessorCA.PEM(), l.pki.Root.PEM()...)
		}, nil, now, "dcap.pck-crl.signature"},
		"an altered signature": {func(c *collateral.Intel) {
			c.TCBInfoSignature = append(bytes.Clone(c.TCBInfoSignature[:63]), c.TCBInfoSignature[63]^1)
		}, nil, now, "dcap.tcbinfo.signature"},
		"expired":        {nil, nil, now.AddDate(0, 2, 0), "dcap.root-crl.freshness"},
		"not yet issued": {nil, nil, now.AddDate(0, -1, 0), "dcap.root-crl.freshness"},
	} {
		t.Run(name, func(t *testing.T) {
			c, query := *l.pki.Collateral(m, healthy), q
			if tc.edit != nil {
				tc.edit(&c)
			}
			if tc.query != nil {
				tc.query(&query)
			}
			err := dcap.New(dcap.Config{Anchor: l.anchor}).CheckCollateral(&c, query, tc.at)
			var r *evidence.Rejection
			got := ""
			if errors.As(err, &r) {
				got = r.Check.ID
			}
			if got != tc.want || (err == nil) != (tc.want == "") {
				t.Errorf("refused by %q (%v), want %q", got, err, tc.want)
			}
		})
	}
	revoked := healthy
	revoked.Revoked = append(revoked.Revoked, m.CA.Cert)
	err := dcap.New(dcap.Config{Anchor: l.anchor}).CheckCollateral(l.pki.Collateral(m, revoked), q, now)
	if err == nil {
		t.Error("a revoked CA was taken")
	}
}
