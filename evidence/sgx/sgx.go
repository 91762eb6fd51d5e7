// Package sgx verifies quotes of Intel SGX enclaves (DCAP, ECDSA) and states
// their claims in the names of the Azure Attestation wire protocol.
//
// Start with [New] and [Verifier.Verify]. The work on the quote itself is that of
// package dcap; this package adds the binding of runtime data (REPORTDATA) and
// init-time data (CONFIGID), and the claims.
//
// It does not judge the enclave: measurements, product and SVN are claims, and the TCB status
// is a fact for the caller to judge. A debug enclave is refused unless the caller accepts it by name.
package sgx

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/internal/statement"
	"github.com/probity-dev/probity/evidence/ratls"
)

// The checks of this package, in the order in which they are made. Compare a refusal with them by
// errors.Is.
var (
	checks evidence.Checks

	CheckRuntimeData = checks.Define("sgx.report-data.runtime-data",
		"SHA-256 of the runtime data is the first half of REPORTDATA",
		"send exactly the bytes that the enclave hashed, with every trailing NUL or line break")
	CheckJSON = checks.Define("sgx.runtime-data.json",
		"runtime or init-time data of type JSON are a JSON object without duplicate members",
		"send a JSON object, or give dataType Binary")
	CheckKSS = checks.Define("sgx.config-id.kss",
		"the enclave uses key separation and sharing, so that CONFIGID means something",
		"build the enclave with KSS, or leave the init-time data out")
	CheckDebug = checks.Define("sgx.debug",
		"the enclave is not debuggable, or DebugGuest is accepted; in the service the provider's policy "+
			"judges it, as in Azure Attestation",
		"build the enclave for production, or accept DebugGuest by name (on the command line --tcb "+
			"DebugGuest); the operator of the machine can read and change a debug enclave")
	CheckInitTimeData = checks.Define("sgx.config-id.init-time-data",
		"SHA-256 of the init-time data is the first half of CONFIGID",
		"send exactly the bytes whose hash the loader put into CONFIGID")
)

// Catalogue lists the checks that this package adds to those of package dcap.
func Catalogue() []*evidence.Definition { return checks.All() }

// Verifier verifies SGX quotes.
type Verifier struct {
	dcap *dcap.Verifier
}

// New returns a verifier on the given engine.
func New(engine *dcap.Verifier) *Verifier {
	return &Verifier{dcap: engine}
}

// Kind returns SgxEnclave.
func (v *Verifier) Kind() evidence.Kind { return evidence.SGXEnclave }

// Verify verifies ev.Raw as a bare quote, or as a certificate of attested TLS that carries
// one. Runtime and init-time data must be bound where ev has them. The error is an
// *[evidence.Rejection] if the evidence is refused.
func (v *Verifier) Verify(ctx context.Context, ev evidence.Evidence) (*evidence.Result, error) {
	result := &evidence.Result{}
	quote, cert, err := dcap.OpenCertificate(result, ev.Raw)
	if err != nil {
		return &evidence.Result{Checks: result.Checks}, err
	}
	return result, result.Conclude(ev, v.verify(ctx, result, quote, cert, ev))
}

// VerifyQuote verifies a quote that was taken out of a framing, adding to the checks and facts
// that result contains already. The caller ends it with [evidence.Result.Conclude].
func (v *Verifier) VerifyQuote(
	ctx context.Context, result *evidence.Result, quote []byte, ev evidence.Evidence,
) error {
	return v.verify(ctx, result, quote, nil, ev)
}

func (v *Verifier) verify(
	ctx context.Context, result *evidence.Result, quote []byte, cert *ratls.Certificate,
	ev evidence.Evidence,
) error {
	proof, err := v.dcap.Verify(ctx, result, quote, collateral.SGX, ev)
	if err != nil {
		if proof != nil {
			result.TCB = proof.TCB
		}
		return err
	}
	report, err := dcap.ParseReport(proof.Quote.Body)
	if err != nil {
		return err // the parser has fixed the body's size
	}
	if cert != nil {
		if err := cert.CheckKey(result, ratls.CheckKey, "REPORTDATA", report.ReportData[:]); err != nil {
			return err
		}
	}
	if err := v.bind(result, report, ev); err != nil {
		return err
	}
	result.TCB, result.Stale = proof.TCB, proof.Stale
	if report.Debug() {
		result.Reservations = append(result.Reservations, evidence.Reservation{
			Accept: evidence.DebugGuest, ByPolicy: true,
			Check: CheckDebug.Failed("ATTRIBUTES without DEBUG", "a debug enclave"),
		})
	}
	result.Claims, err = v.claims(result, proof, report, ev)
	if err != nil {
		return err
	}
	result.Aliases = aliases(result.Claims, proof)
	return nil
}

// bind checks that the report binds the data that came with it.
func (v *Verifier) bind(result *evidence.Result, report *dcap.Report, ev evidence.Evidence) error {
	if d := ev.RuntimeData; d != nil {
		err := statement.Bound(result, CheckRuntimeData, d, "runtime data", "REPORTDATA",
			report.ReportData[:])
		if err != nil {
			return err
		}
	}
	if d := ev.InitTimeData; d != nil {
		if !report.KSS() {
			return result.Fail(CheckKSS, "an enclave with key separation and sharing", "ATTRIBUTES.KSS is not set")
		}
		return statement.Bound(result, CheckInitTimeData, d, "init-time data", "CONFIGID", report.ConfigID[:])
	}
	return nil
}

// claims states what the token says about an enclave, deprecated twins included.
func (v *Verifier) claims(
	result *evidence.Result, proof *dcap.Proof, report *dcap.Report, ev evidence.Evidence,
) (claims.Set, error) {
	b := statement.List{}
	b.Text("x-ms-attestation-type", "sgx")
	b.Boolean("x-ms-sgx-is-debuggable", report.Debug())
	b.Hex("x-ms-sgx-mrenclave", report.MREnclave[:])
	b.Hex("x-ms-sgx-mrsigner", report.MRSigner[:])
	b.Integer("x-ms-sgx-product-id", int64(report.ISVProdID))
	b.Integer("x-ms-sgx-svn", int64(report.ISVSVN))
	b.Hex("x-ms-sgx-report-data", report.ReportData[:])
	if report.KSS() {
		b.Hex("x-ms-sgx-config-id", report.ConfigID[:])
		b.Integer("x-ms-sgx-config-svn", int64(report.ConfigSVN))
		b.Hex("x-ms-sgx-isv-extended-product-id", report.ISVExtProdID[:])
		b.Hex("x-ms-sgx-isv-family-id", report.ISVFamilyID[:])
	}
	hashes := collateralClaim(proof)
	b.Add("x-ms-sgx-collateral", hashes)
	b.Add("maa-attestationcollateral", hashes)
	if d := ev.RuntimeData; d != nil && d.Type == evidence.Binary {
		for _, name := range []string{"x-ms-sgx-ehd", "maa-ehd", "aas-ehd"} {
			b.Text(name, base64.RawURLEncoding.EncodeToString(d.Bytes))
		}
	}
	if err := b.BoundJSON(result, CheckJSON, ev); err != nil {
		return claims.Set{}, err
	}
	return b.Set, nil
}

func collateralClaim(proof *dcap.Proof) claims.Value {
	h := proof.Hashes
	quote := sha256.Sum256(proof.Quote.Raw)
	return claims.JSONValue(fmt.Sprintf(
		`{"qeidcertshash":"%x","qeidcrlhash":"%x","qeidhash":"%x","quotehash":"%x",`+
			`"tcbinfocertshash":"%x","tcbinfocrlhash":"%x","tcbinfohash":"%x"}`,
		h.QEIdentityCerts, h.QEIdentityCRL, h.QEIdentity, quote, h.TCBInfoCerts, h.TCBInfoCRL, h.TCBInfo))
}

// aliases are what policies may read besides the token's claims: the old names
// with a dollar sign, and what is known of the platform.
func aliases(set claims.Set, proof *dcap.Proof) claims.Set {
	b := statement.List{Set: statement.TCB(proof.TCB)}
	for _, pair := range [][2]string{
		{"$is-debuggable", "x-ms-sgx-is-debuggable"},
		{"$product-id", "x-ms-sgx-product-id"},
		{"$sgx-mrsigner", "x-ms-sgx-mrsigner"},
		{"$sgx-mrenclave", "x-ms-sgx-mrenclave"},
		{"$svn", "x-ms-sgx-svn"},
		{"$tee", "x-ms-attestation-type"},
		{"$maa-ehd", "x-ms-sgx-ehd"},
		{"$aas-ehd", "x-ms-sgx-ehd"},
		{"$maa-attestationcollateral", "x-ms-sgx-collateral"},
	} {
		if value, ok := set.Get(pair[1]); ok {
			b.Add(pair[0], value)
		}
	}
	if p := proof.PCK.Platform; p != nil {
		b.Boolean("x-probity-pck-dynamic-platform", p.DynamicPlatform)
		b.Boolean("x-probity-pck-cached-keys", p.CachedKeys)
		b.Boolean("x-probity-pck-smt-enabled", p.SMTEnabled)
	}
	return b.Set
}
