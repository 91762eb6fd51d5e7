// Package snp verifies attestation reports of AMD SEV-SNP guests (AMD
// publication 56860), versions 2 to 5, on the lines Milan, Genoa (with Bergamo
// and Siena) and Turin, signed with a chip's key (VCEK) or one lent to a cloud
// provider (VLEK), and states their claims in the names of Azure Attestation.
//
// Start with [New] and [Verifier.Verify]. The flow is: frame, report, certificate of the
// key and its chain to AMD's pinned root, revocation, agreement of certificate
// and report, signature, bindings, endorsement of the utility VM if one was sent.
//
// A certificate chain that was verified is remembered by the hash of its bytes;
// validity, revocation and agreement with the report are checked every time.
package snp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"slices"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/internal/crl"
	"github.com/probity-dev/probity/evidence/internal/statement"
	"github.com/probity-dev/probity/evidence/paravisor"
	"github.com/probity-dev/probity/evidence/ratls"
	"github.com/probity-dev/probity/evidence/uvm"
)

// Config says what the verifier trusts. Its zero value is for production.
type Config struct {
	// Roots replaces AMD's pinned roots ([AMDRoots]), for tests.
	Roots *Roots
	// CloudProviders lists the CSP ids of VLEKs that are accepted. One * stands for a
	// part of a name without a dot. Nil stands for [DefaultCloudProviders].
	CloudProviders []string
	// RefuseLines and RefuseChips refuse product lines and chip ids whose
	// hardware is known to be broken.
	RefuseLines []Line
	RefuseChips [][]byte
	// RequireCRL refuses evidence unless a current revocation list is available.
	// Without it the claim x-probity-snp-revocation says what was found.
	RequireCRL bool
	// UVM lists who may endorse utility VMs. Nil stands for uvm.DefaultTrust.
	UVM []uvm.Trust
	// Paravisors lists those that are trusted. Without it no report is said to be of one.
	Paravisors paravisor.List
	// Memory is how many certificate chains are remembered, each with up to 30 KB
	// once its key was used twice; 0 stands for 2048, -1 for none.
	Memory int
}

// DefaultCloudProviders returns the only provider that is known to use VLEKs.
func DefaultCloudProviders() []string { return []string{"CN=cc-*.amazonaws.com"} }

// Verifier verifies SEV-SNP evidence. It is safe for concurrent use.
type Verifier struct {
	cfg   Config
	roots *Roots
	uvm   *uvm.Verifier
	seen  memory[[sha256.Size + 1]byte, *endorsement]
	cas   memory[[sha256.Size]byte, *ca]
	crls  memory[[sha256.Size + 1]byte, *crl.List]
}

// New returns a verifier.
func New(cfg Config) *Verifier {
	if cfg.Roots == nil {
		cfg.Roots = AMDRoots()
	}
	if cfg.CloudProviders == nil {
		cfg.CloudProviders = DefaultCloudProviders()
	}
	if cfg.Memory == 0 {
		cfg.Memory = 2048
	}
	return &Verifier{cfg: cfg, roots: cfg.Roots, uvm: uvm.New(cfg.UVM),
		seen: newMemory[[sha256.Size + 1]byte, *endorsement](cfg.Memory),
		cas:  newMemory[[sha256.Size]byte, *ca](min(cfg.Memory, 64)),
		crls: newMemory[[sha256.Size + 1]byte, *crl.List](min(cfg.Memory, 64))}
}

// memory is an LRU that may be absent.
type memory[K comparable, V any] struct{ cache *lru.Cache[K, V] }

func newMemory[K comparable, V any](size int) memory[K, V] {
	if size < 0 {
		return memory[K, V]{}
	}
	cache, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // sizes are positive
	}
	return memory[K, V]{cache}
}

func (m memory[K, V]) get(key K) (v V, ok bool) {
	if m.cache == nil {
		return v, false
	}
	return m.cache.Get(key)
}

func (m memory[K, V]) add(key K, v V) {
	if m.cache != nil {
		m.cache.Add(key, v)
	}
}

// Kind returns SevSnpVm.
func (v *Verifier) Kind() evidence.Kind { return evidence.SEVSNPVM }

// Verify verifies ev.Raw in one of the forms that [Frame] reads. REPORT_DATA must begin with the SHA-256
// of the runtime data and end in zeros, and HOST_DATA be that of the init-time data, where ev has them.
// The certificate of the chip's key comes with the report or from ev.Collateral. The error is an
// *[evidence.Rejection] if the evidence is refused.
func (v *Verifier) Verify(ctx context.Context, ev evidence.Evidence) (*evidence.Result, error) {
	result := &evidence.Result{}
	return result, result.Conclude(ev, v.verify(ctx, result, ev))
}

func (v *Verifier) verify(ctx context.Context, result *evidence.Result, ev evidence.Evidence) error {
	framed, err := Frame(ev.Raw)
	if err != nil {
		return result.FailErr(CheckFormat, "SEV-SNP evidence", err)
	}
	r, err := ParseReport(framed.Report)
	if err != nil {
		return result.FailErr(CheckFormat, "an SEV-SNP report", err)
	}
	result.Pass(CheckFormat, "an SEV-SNP report", fmt.Sprintf("version %d", r.Version))
	if framed.TLS != nil {
		framed.TLS.Pass(result)
	}
	if err := v.static(result, r); err != nil {
		return err
	}
	e, err := v.endorse(ctx, result, r, framed.Certificates, ev)
	if err != nil {
		return err
	}
	if err := v.windows(result, e, ev); err != nil {
		return err
	}
	revocation, outage, err := v.revocation(ctx, result, e, ev)
	if err != nil {
		return err
	}
	if err := v.agree(result, r, e.leaf); err != nil {
		return err
	}
	digest := sha512.Sum384(r.Raw[:signedSize])
	if !e.leaf.key.Verify(digest[:], r.bigEndianSignature()) {
		return result.Fail(CheckSignature,
			"a signature of the key in the "+e.leaf.Cert.Subject.CommonName+" certificate",
			"signature verification failed")
	}
	result.Pass(CheckSignature, "ECDSA P-384 over the first 672 bytes", "verified")
	if framed.TLS != nil {
		if err := framed.TLS.CheckKey(result, ratls.CheckKey, "REPORT_DATA", r.ReportData); err != nil {
			return err
		}
	}
	if err := v.bind(result, r, ev); err != nil {
		return err
	}
	uvms, err := v.endorsements(result, framed.Endorsements, r)
	if err != nil {
		return err
	}
	if r.Policy.Debug() {
		result.Reserve(evidence.DebugGuest, CheckDebug, "a guest policy without bit 19 (DEBUG)",
			fmt.Sprintf("policy %#x", uint64(r.Policy)))
	}
	result.TCB, result.Stale = assess(e.leaf.Line, r), outage
	f := facts{r, e.leaf, revocation, uvms}
	if result.Claims, err = v.claims(result, f, ev); err != nil {
		return err
	}
	result.Aliases = f.aliases(result.TCB)
	return nil
}

// static checks what the report alone shows.
func (v *Verifier) static(result *evidence.Result, r *Report) error {
	if r.SignatureAlgo != 1 {
		return result.Fail(CheckAlgorithm, "signature algorithm 1 (ECDSA P-384 with SHA-384)",
			fmt.Sprintf("signature algorithm %d", r.SignatureAlgo))
	}
	result.Pass(CheckAlgorithm, "1 (ECDSA P-384 with SHA-384)", "1")
	key := r.SignerInfo.SigningKey()
	if key != SigningKeyVCEK && key != SigningKeyVLEK {
		return result.Fail(CheckSigningKey, "a report signed with key 0 (VCEK) or 1 (VLEK)",
			fmt.Sprintf("key %d", key))
	}
	result.Pass(CheckSigningKey, "0 (VCEK) or 1 (VLEK)", fmt.Sprint(key))
	if s, found := r.reserved(); found {
		last := s.from + len(bytes.TrimRight(r.Raw[s.from:s.to], "\x00")) - 1
		return result.Fail(CheckReserved,
			fmt.Sprintf("bytes %#x to %#x zero in a report of version %d", s.from, s.to, r.Version),
			fmt.Sprintf("%#x in byte %#x", r.Raw[last], last))
	}
	result.Pass(CheckReserved, "reserved bytes zero", "zero")
	if r.Policy&policyOne == 0 || r.Policy&^policyDefined != 0 {
		return result.Fail(CheckPolicy, "a guest policy with bit 17 set and bits 26 to 63 zero",
			fmt.Sprintf("guest policy %#x", uint64(r.Policy)))
	}
	result.Pass(CheckPolicy, "a guest policy", fmt.Sprintf("%#x", uint64(r.Policy)))
	if r.VMPL > 3 {
		found := fmt.Sprint(r.VMPL)
		if r.VMPL == hostRequested {
			found = "a report that the host asked for"
		}
		return result.Fail(CheckVMPL, "VMPL 0 to 3", found)
	}
	result.Pass(CheckVMPL, "VMPL 0 to 3", fmt.Sprint(r.VMPL))
	return nil
}

// windows checks that every certificate is valid at the evaluation time.
func (v *Verifier) windows(result *evidence.Result, e *endorsement, ev evidence.Evidence) error {
	for _, item := range []struct {
		check *evidence.Definition
		ca    *ca
	}{{CheckASKValidity, e.root}, {CheckASKValidity, e.ca}} {
		if window, ok := validAt(item.ca.cert, ev.Time); !ok {
			return result.Fail(item.check, "a CA certificate that is valid at "+stamp(ev.Time), window)
		}
	}
	result.Pass(CheckASKValidity, "CAs valid at "+stamp(ev.Time),
		e.ca.cert.Subject.CommonName+" until "+stamp(e.ca.cert.NotAfter))
	window, ok := validAt(e.leaf.Cert, ev.Time)
	if !ok {
		return result.Fail(CheckLeafValidity, "a certificate that is valid at "+stamp(ev.Time), window)
	}
	result.Pass(CheckLeafValidity, "valid at "+stamp(ev.Time), window)
	return nil
}

// agree checks that certificate and report are of one machine and one TCB.
func (v *Verifier) agree(result *evidence.Result, r *Report, leaf *leafCert) error {
	if r.Version >= 3 {
		line, ok := lineOf(r.Family, r.Model)
		if !ok || line != leaf.Line {
			return result.Fail(CheckProduct, "a CPU of line "+string(leaf.Line)+", as the certificate says", cpuid(r))
		}
	}
	result.Pass(CheckProduct, "one product line", string(leaf.Line))
	if slices.Contains(v.cfg.RefuseLines, leaf.Line) {
		return result.Fail(CheckLine, "a product line that the configuration does not refuse",
			string(leaf.Line))
	}
	chip := r.ChipID
	if zero(chip) && !leaf.VLEK {
		chip = leaf.HWID // masked in the report
	}
	for _, refused := range v.cfg.RefuseChips {
		if strings.TrimRight(string(refused), "\x00") == strings.TrimRight(string(chip), "\x00") {
			return result.Fail(CheckChip, "a chip that the configuration does not refuse",
				fmt.Sprintf("chip %x", chip))
		}
	}
	if leaf.VLEK {
		if !slices.ContainsFunc(v.cfg.CloudProviders, func(p string) bool { return matches(p, leaf.CSP) }) {
			return result.Fail(CheckCSP,
				"a VLEK of the cloud provider "+strings.Join(v.cfg.CloudProviders, " or "), "a VLEK of "+leaf.CSP)
		}
		result.Pass(CheckCSP, strings.Join(v.cfg.CloudProviders, " or "), leaf.CSP)
	} else if !zero(r.ChipID) {
		size := leaf.Line.hwidSize()
		if !slices.Equal(r.ChipID[:size], leaf.HWID) || !zero(r.ChipID[size:]) {
			return result.Fail(CheckHWID, fmt.Sprintf("%x in the VCEK", leaf.HWID),
				fmt.Sprintf("CHIP_ID %x in the report", r.ChipID))
		}
		result.Pass(CheckHWID, "the chip of the VCEK", fmt.Sprintf("%x", leaf.HWID))
	}
	if r.ReportedTCB != leaf.TCB {
		return result.Fail(CheckTCB, leaf.Line.describe(leaf.TCB)+" in the certificate",
			leaf.Line.describe(r.ReportedTCB)+" in the report")
	}
	result.Pass(CheckTCB, "the patch levels of the certificate", leaf.Line.describe(r.ReportedTCB))
	if !r.CommittedTCB.atLeast(r.ReportedTCB) || !r.CurrentTCB.atLeast(r.CommittedTCB) {
		return result.Fail(CheckTCBOrder, "REPORTED_TCB ≤ COMMITTED_TCB ≤ CURRENT_TCB",
			fmt.Sprintf("%x, %x, %x", r.ReportedTCB, r.CommittedTCB, r.CurrentTCB))
	}
	result.Pass(CheckTCBOrder, "REPORTED_TCB ≤ COMMITTED_TCB ≤ CURRENT_TCB", "verified")
	if r.CommittedFirmware.above(r.CurrentFirmware) {
		return result.Fail(CheckFirmware,
			"committed firmware not above the current one, "+r.CurrentFirmware.String(),
			"committed firmware "+r.CommittedFirmware.String())
	}
	result.Pass(CheckFirmware, "committed firmware not above the current", r.CommittedFirmware.String())
	return nil
}

func cpuid(r *Report) string {
	return fmt.Sprintf("CPUID family %#x, model %#x, stepping %d", r.Family, r.Model, r.Stepping)
}

// matches compares text with a pattern in which one * stands for one or more
// characters other than a dot.
func matches(pattern, text string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, before)
	if !ok {
		return false
	}
	middle, ok := strings.CutSuffix(rest, after)
	return ok && middle != "" && !strings.Contains(middle, ".")
}

func (v *Verifier) bind(result *evidence.Result, r *Report, ev evidence.Evidence) error {
	if d := ev.RuntimeData; d != nil {
		err := statement.BoundAlone(result, CheckRuntimeData, d, "runtime data", "REPORT_DATA", r.ReportData)
		if err != nil {
			return err
		}
	}
	if ev.Challenge != nil {
		err := statement.Challenged(result, CheckChallenge, ev.Challenge, "REPORT_DATA", r.ReportData)
		if err != nil {
			return err
		}
	}
	if d := ev.InitTimeData; d != nil {
		return statement.Bound(result, CheckInitTimeData, d, "init-time data", "HOST_DATA", r.HostData)
	}
	return nil
}

// endorsements verifies the UVM endorsements that were sent: each must be valid.
func (v *Verifier) endorsements(
	result *evidence.Result, list [][]byte, r *Report,
) (found []*uvm.Endorsement, err error) {
	for _, b := range list {
		e, err := v.uvm.Verify(result, b, r.Measurement)
		if err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, nil
}
