package dcap_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// TestAnyChangedByteIsNoticed changes one byte after the other of a quote and of its
// collateral. All must refuse, but those that are ignored on purpose: a root
// certificate in a chain counts by key and subject alone, and PCK CRLs are
// checked against the quote's own CA, whatever chain came with them.
func TestAnyChangedByteIsNoticed(t *testing.T) {
	td := evidencetest.HealthyTD()
	td.V15 = true
	for name, tc := range map[string]struct {
		tee   collateral.TEE
		quote evidencetest.QuoteConfig
		tcb   evidencetest.TCB
	}{
		"SGX": {
			collateral.SGX,
			evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()},
			evidencetest.HealthyTCB(now),
		},
		"TDX": {collateral.TDX, evidencetest.QuoteConfig{TD: td}, evidencetest.HealthyTDXTCB(now)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab()
			m := l.pki.Platform(evidencetest.HealthyPlatform())
			quote := m.Quote(tc.quote)
			v := dcap.New(dcap.Config{Anchor: l.anchor})
			accepted := func(raw []byte, set *collateral.Intel) bool {
				_, err := v.Verify(context.Background(), &evidence.Result{}, raw, tc.tee,
					evidence.Evidence{Time: now, Collateral: collateral.Fixed(set)})
				return err == nil
			}
			healthy := func() *collateral.Intel {
				return l.pki.Collateral(m, evidencetest.CollateralConfig{TCB: tc.tcb})
			}
			set := healthy()
			if !accepted(quote, set) {
				t.Fatal("the untouched quote is refused")
			}
			flip(t, "quote", quote, func(b []byte) bool { return accepted(b, set) })
			for piece, at := range map[string]func(*collateral.Intel) *[]byte{
				"TCB info":                 func(c *collateral.Intel) *[]byte { return &c.TCBInfo },
				"TCB info signature":       func(c *collateral.Intel) *[]byte { return &c.TCBInfoSignature },
				"TCB info issuer chain":    func(c *collateral.Intel) *[]byte { return &c.TCBInfoIssuerChain },
				"QE identity":              func(c *collateral.Intel) *[]byte { return &c.QEIdentity },
				"QE identity signature":    func(c *collateral.Intel) *[]byte { return &c.QEIdentitySignature },
				"QE identity issuer chain": func(c *collateral.Intel) *[]byte { return &c.QEIdentityIssuerChain },
				"PCK CRL":                  func(c *collateral.Intel) *[]byte { return &c.PCKCRL },
				"root CRL":                 func(c *collateral.Intel) *[]byte { return &c.RootCRL },
			} {
				flip(t, piece, *at(set), func(b []byte) bool {
					changed := *set
					*at(&changed) = b
					changed.Seal()
					return accepted(quote, &changed)
				})
			}
		})
	}
}

// flip reports the bytes in front of the root certificate that accepted does
// not miss.
func flip(t *testing.T, what string, whole []byte, accepted func([]byte) bool) {
	end := len(whole)
	if root := bytes.LastIndex(whole, []byte("-----BEGIN CERTIFICATE-----")); root >= 0 {
		end = root + len("-----BEGIN CERTIFICATE-----")
	}
	for i := range end {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		if accepted(b) {
			t.Errorf("%s: byte %d, %q in place of %q, passes", what, i, b[i], whole[i])
		}
	}
}
