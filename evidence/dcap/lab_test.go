package dcap_test

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// lab is a healthy hierarchy; each case takes its own machine from it.
type lab struct {
	pki    *evidencetest.Intel
	anchor *dcap.Anchor
}

func newLab() *lab {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	return &lab{pki, pki.Anchor()}
}

// scene is everything that a case may change before it is verified.
type scene struct {
	platform   evidencetest.PlatformConfig
	quote      evidencetest.QuoteConfig
	collateral evidencetest.CollateralConfig
	// editQuote and editSet change the finished bytes.
	editQuote func([]byte) []byte
	editSet   func(*collateral.Intel)
	noSet     bool
	at        time.Time
	number    uint32
}

func healthy() scene {
	return scene{
		platform:   evidencetest.HealthyPlatform(),
		quote:      evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()},
		collateral: evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)},
		at:         now,
	}
}

func (l *lab) verify(t *testing.T, s scene) (*dcap.Proof, []evidence.Check, error) {
	t.Helper()
	m := l.pki.Platform(s.platform)
	raw := m.Quote(s.quote)
	if s.editQuote != nil {
		raw = s.editQuote(raw)
	}
	ev := evidence.Evidence{Time: s.at, TCBEvaluationNumber: s.number}
	if !s.noSet {
		set := l.pki.Collateral(m, s.collateral)
		if s.editSet != nil {
			s.editSet(set)
		}
		ev.Collateral = collateral.Fixed(set)
	}
	result := &evidence.Result{}
	v := dcap.New(dcap.Config{Anchor: l.anchor})
	proof, err := v.Verify(context.Background(), result, raw, collateral.SGX, ev)
	// A second run with everything remembered must say the same.
	again := &evidence.Result{}
	_, err2 := v.Verify(context.Background(), again, raw, collateral.SGX, ev)
	if (err == nil) != (err2 == nil) || !slices.Equal(result.Checks, again.Checks) {
		t.Errorf("the second verification differs: %v and %v", err, err2)
	}
	return proof, result.Checks, err
}

// labWhere returns a lab in which one certificate differs.
func labWhere(cn string, edit func(*x509.Certificate)) *lab {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now, Edit: func(c *x509.Certificate) {
		if c.Subject.CommonName == cn {
			edit(c)
		}
	}})
	return &lab{pki, pki.Anchor()}
}

func swapDate(j, member string, t time.Time) string {
	at := strings.Index(j, `"`+member+`":"`) + len(member) + 4
	end := at + strings.Index(j[at:], `"`)
	return j[:at] + t.UTC().Format(time.RFC3339) + j[end:]
}

func flipLast(b []byte) []byte {
	b = slices.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

// growNest puts one byte after the nested certification data of a v4 quote
// and corrects the outer lengths.
func growNest(b []byte) []byte {
	b = append(slices.Clone(b), 0)
	for _, at := range []int{432, 436 + 128 + 2} {
		binary.LittleEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:])+1)
	}
	return b
}
