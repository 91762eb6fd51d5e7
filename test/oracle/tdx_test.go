package oracle

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tdx-guest/verify"
	"github.com/google/go-tdx-guest/verify/trust"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/tdx"
)

// getter answers go-tdx-guest from a set.
type getter struct{ set *collateral.Intel }

// Get implements trust.HTTPSGetter.
func (g getter) Get(address string) (map[string][]string, []byte, error) {
	chain := func(name string, pem []byte) map[string][]string {
		return map[string][]string{name: {strings.ReplaceAll(url.QueryEscape(string(pem)), "+", "%20")}}
	}
	response := func(member string, text, signature []byte) []byte {
		return fmt.Appendf(nil, `{"%s":%s,"signature":"%x"}`, member, text, signature)
	}
	switch {
	case strings.Contains(address, "/qe/identity"):
		return chain("Sgx-Enclave-Identity-Issuer-Chain", g.set.QEIdentityIssuerChain),
			response("enclaveIdentity", g.set.QEIdentity, g.set.QEIdentitySignature), nil
	case strings.Contains(address, "/tcb?"):
		return chain("Tcb-Info-Issuer-Chain",
			g.set.TCBInfoIssuerChain), response("tcbInfo", g.set.TCBInfo, g.set.TCBInfoSignature), nil
	case strings.Contains(address, "/pckcrl"):
		return chain("Sgx-Pck-Crl-Issuer-Chain", g.set.PCKCRLIssuerChain), g.set.PCKCRL, nil
	default:
		return nil, g.set.RootCRL, nil
	}
}

var _ trust.HTTPSGetter = getter{}

func googleTDX(quote []byte, set *collateral.Intel, roots *x509.CertPool, at time.Time) error {
	return verify.RawTdxQuote(quote, &verify.Options{
		GetCollateral: true, CheckRevocations: true, Getter: getter{set}, Now: at, TrustedRoots: roots,
	})
}

func oursTDX(
	v evidence.Verifier, quote []byte, set *collateral.Intel, at time.Time,
) (string, *evidence.Result) {
	result, err := v.Verify(context.Background(),
		evidence.Evidence{Raw: quote, Collateral: collateral.Fixed(set), Time: at})
	var r *evidence.Rejection
	if errors.As(err, &r) {
		return r.Check.ID, result
	}
	if err != nil {
		return err.Error(), result
	}
	return "", result
}

// platform is a healthy TD under a test root. The oracle knows modules of the
// first generation only.
type platform struct {
	*evidencetest.Platform
	pki   *evidencetest.Intel
	roots *x509.CertPool
}

var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newPlatform() *platform {
	p := &platform{pki: evidencetest.NewIntel(evidencetest.IntelConfig{Now: at, Edit: func(c *x509.Certificate) {
		c.CRLDistributionPoints = []string{"https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"}
	}}), roots: x509.NewCertPool()}
	cfg := evidencetest.HealthyPlatform()
	cfg.Edit = func(c *x509.Certificate) {
		// The oracle counts the extensions of Intel's certificates.
		c.CRLDistributionPoints, c.SubjectKeyId = []string{
			"https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=platform",
		}, []byte{1}
	}
	p.Platform = p.pki.Platform(cfg)
	p.roots.AddCert(p.pki.Root.Cert)
	return p
}

func healthy() (*evidencetest.TD, evidencetest.TCB) {
	td, tcb := evidencetest.HealthyTD(), evidencetest.HealthyTDXTCB(at)
	td.TEETCBSVN = [16]byte{5, 0, 8}
	tcb.Modules = tcb.Modules[:1]
	return td, tcb
}

// TestAlteredQuotes alters a quote, and pieces of its collateral.
func TestAlteredQuotes(t *testing.T) {
	p := newPlatform()
	td, tcb := healthy()
	quote := p.Quote(evidencetest.QuoteConfig{TD: td})
	set := p.pki.Collateral(p.Platform, evidencetest.CollateralConfig{TCB: tcb})
	v := tdx.New(dcap.New(dcap.Config{Anchor: p.pki.Anchor(), Chains: -1}))
	if id, _ := oursTDX(v, quote, set, at); id != "" {
		t.Fatalf("the genuine quote: refused by %s", id)
	}
	if err := googleTDX(quote, set, p.roots, at); err != nil {
		t.Fatalf("the genuine quote: the oracle says %v", err)
	}
	random := rand.New(rand.NewPCG(5, 6))
	refused := map[string]int{}
	ignored := 0
	for i := range inputs(t) {
		q, c := quote, set
		if i%3 == 0 {
			one := *set
			piece := []*[]byte{
				&one.RootCRL, &one.PCKCRL, &one.TCBInfo, &one.TCBInfoSignature,
				&one.TCBInfoIssuerChain, &one.QEIdentity, &one.QEIdentitySignature,
				&one.QEIdentityIssuerChain,
			}[random.IntN(8)]
			*piece = alter(*piece, random)
			c = one.Seal()
		} else {
			q = alter(q, random)
		}
		id, _ := oursTDX(v, q, c, at)
		refused[id]++
		if id != "" {
			continue
		}
		if err := googleTDX(q, c, p.roots, at); err != nil {
			if listedTDX(err) {
				ignored++
				continue
			}
			t.Errorf("input %d: accepted, the oracle says %v", i, err)
		}
	}
	t.Logf("refused by %d checks; %d accepted, %d of them refused by the oracle for what is listed",
		len(refused)-1, refused[""], ignored)
}

// listedTDX reports whether the oracle's refusal is a known difference.
func listedTDX(err error) bool {
	for _, known := range []string{
		// go-tdx-guest v0.3.1 knows no quotes of version 5.
		"quote format not supported",
		// It compares FMSPCs as text: Intel publishes them in
		// upper case too.
		"FMSPC",
		// Text around the PEM blocks, and PEM that is written otherwise, changes
		// no certificate.
		"PEM", "pem",
	} {
		if strings.Contains(err.Error(), known) {
			return true
		}
	}
	return false
}

// TestResignedQuotes alters trust domains, platforms and collateral before they
// are signed. The oracle's verdict on the TCB is its own: it accepts UpToDate
// alone, so it is compared where we say UpToDate.
func TestResignedQuotes(t *testing.T) {
	p := newPlatform()
	v := tdx.New(dcap.New(dcap.Config{Anchor: p.pki.Anchor()}))
	random := rand.New(rand.NewPCG(7, 8))
	n, accepted, both := inputs(t)/20, 0, 0
	_, tcb := healthy()
	set := p.pki.Collateral(p.Platform, evidencetest.CollateralConfig{TCB: tcb})
	for i := range n {
		td, tcb := healthy()
		if random.IntN(3) == 0 {
			td.Attributes ^= 1 << random.IntN(64)
			td.MRConfigID[random.IntN(48)] = byte(random.IntN(256))
		}
		if random.IntN(3) == 0 {
			td.TEETCBSVN[random.IntN(3)] = byte(random.IntN(10))
		}
		if random.IntN(3) == 0 {
			tcb.Levels[random.IntN(len(tcb.Levels))].TDX[random.IntN(3)] = byte(random.IntN(10))
			tcb.QELevels[0].SVN = random.IntN(12)
			set = p.pki.Collateral(p.Platform, evidencetest.CollateralConfig{TCB: tcb})
		}
		quote := p.Quote(evidencetest.QuoteConfig{TD: td, Body: func(b []byte) {
			if random.IntN(3) == 0 {
				b[random.IntN(len(b))] ^= 1 << random.IntN(8)
			}
		}})
		id, result := oursTDX(v, quote, set, at)
		if id != "" || result.TCB.Status != "UpToDate" {
			continue
		}
		accepted++
		if err := googleTDX(quote, set, p.roots, at); err != nil {
			if listedTDX(err) {
				continue
			}
			t.Errorf("input %d: accepted as UpToDate, the oracle says %v\n%s", i, err,
				hex.EncodeToString(quote[48:80]))
			continue
		}
		both++
	}
	t.Logf("%d re-signed quotes: %d accepted by us as UpToDate, %d of them by the oracle", n, accepted, both)
	if both == 0 {
		t.Error("none was accepted by both: the test shows nothing")
	}
}

// TestRecordedQuotes compares over the recorded evidence: what we call UpToDate.
func TestRecordedQuotes(t *testing.T) {
	corpus := os.Getenv("PROBITY_CORPUS")
	if corpus == "" {
		t.Skip("PROBITY_CORPUS names no folder with recorded evidence")
	}
	var manifest struct {
		Cases []struct {
			Name       string `json:"name"`
			EvaluateAt string `json:"evaluate_at"`
		} `json:"cases"`
	}
	b, err := os.ReadFile(filepath.Join(corpus, "intel-MANIFEST.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	v := tdx.New(dcap.New(dcap.Config{}))
	roots := x509.NewCertPool()
	root, err := os.ReadFile(filepath.Join(corpus, "intel-sgx-root-ca.pem"))
	if err != nil || !roots.AppendCertsFromPEM(root) {
		t.Fatal("no Intel root in the folder: ", err)
	}
	compared, upToDate, both := 0, 0, 0
	for _, c := range manifest.Cases {
		folder := filepath.Join(corpus, c.Name)
		quote, err := os.ReadFile(filepath.Join(folder, "quote.bin"))
		bundle, loadErr := collateral.Load(os.DirFS(folder), "collateral.json")
		if err != nil || loadErr != nil || !strings.HasPrefix(c.Name, "tdx/") {
			continue
		}
		at, err := time.Parse(time.RFC3339, c.EvaluateAt)
		if err != nil {
			continue
		}
		compared++
		id, result := oursTDX(v, quote, bundle.Intel[0], at)
		if id != "" || result.TCB.Status != "UpToDate" {
			continue
		}
		upToDate++
		if err := googleTDX(quote, bundle.Intel[0], roots, at); err != nil {
			if !listedTDX(err) {
				t.Errorf("%s: UpToDate, the oracle says %v", c.Name, err)
			}
			continue
		}
		both++
	}
	t.Logf("%d recorded quotes, %d of them UpToDate, %d by the oracle too", compared, upToDate, both)
	if compared < 50 || both == 0 {
		t.Error("too few were compared")
	}
}
