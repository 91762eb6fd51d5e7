// Package tdx verifies quotes of Intel TDX trust domains (DCAP, formats 4 and
// 5; TD reports 1.0, 1.5 and extended) and states their claims in the names of
// Azure Attestation's EAT profile for TDX.
//
// Start with [New] and [Verifier.Verify]. The work on the quote, including the TDX
// module's identity and the TCB at launch and now, is that of package dcap;
// this package adds the binding of runtime data (REPORTDATA) and init-time data
// (MRCONFIGID), the attributes that must not be there, and the claims.
//
// It does not judge the TD: measurements are claims, and the TCB status is a fact
// for the caller to judge. A TD in debug mode, or with a bound service TD, is
// refused unless the caller accepts that by name. An event log, if one is sent, must lead to the registers of the quote.
package tdx

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"fmt"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/internal/statement"
	"github.com/probity-dev/probity/evidence/paravisor"
	"github.com/probity-dev/probity/evidence/ratls"
)

// The checks of this package, in the order in which they are made. Compare a refusal with them by
// errors.Is.
var (
	checks evidence.Checks

	CheckAttributes = checks.Define("tdx.attributes.reserved",
		"no reserved bit of the TD-under-debug attributes is set",
		"launch the TD without attributes that are not defined")
	CheckRuntimeData = checks.Define("tdx.report-data.runtime-data",
		"SHA-256 of the runtime data is the first half of REPORTDATA",
		"send exactly the bytes that the guest hashed")
	CheckChallenge = checks.Define("tdx.report-data.challenge",
		"where one is asked for: REPORTDATA is the challenge, followed by zeros",
		"ask for the quote with the challenge as its report data")
	CheckInitTimeData = checks.Define("tdx.mrconfigid.init-time-data",
		"MRCONFIGID is SHA-384 of the init-time data, or SHA-256 and zeros",
		"send exactly the bytes whose hash was given at launch")
	CheckJSON = checks.Define("tdx.runtime-data.json",
		"runtime or init-time data of type JSON are a JSON object without duplicate members",
		"send a JSON object, or give dataType Binary")
	CheckServiceTD = checks.Define("tdx.service-td",
		"no service TD is bound to the TD, or the provider accepts BoundServiceTD",
		"launch the TD without a service TD, or accept BoundServiceTD and compare "+
			"x-probity-tdx-mrservicetd in the policy")
	CheckDebug = checks.Define("tdx.attributes.debug",
		"the TD is not under debug, or the provider accepts DebugGuest",
		"launch the TD without the debug attribute; the host can read all of its memory")
	CheckEventLog = checks.Define("tdx.event-log",
		"replaying the event log that was sent gives the RTMRs of the quote",
		"send the CCEL data area of the running TD (/sys/firmware/acpi/tables/data/CCEL), "+
			"and a quote that is no older")
)

// Catalogue lists the checks that this package adds to those of package dcap.
func Catalogue() []*evidence.Definition { return checks.All() }

// Verifier verifies TDX quotes.
type Verifier struct {
	dcap       *dcap.Verifier
	paravisors paravisor.List
}

// New returns a verifier on the given engine, with the paravisors that are trusted. Without
// them no trust domain is said to have one.
func New(engine *dcap.Verifier, trusted ...paravisor.Trust) *Verifier {
	return &Verifier{dcap: engine, paravisors: trusted}
}

// Kind returns TdxVm.
func (v *Verifier) Kind() evidence.Kind { return evidence.TDXVM }

// Verify verifies ev.Raw as a bare quote, or as a certificate of attested TLS that carries
// one. Runtime and init-time data must be bound where ev has them. The error is an
// *[evidence.Rejection] if the evidence is refused.
func (v *Verifier) Verify(ctx context.Context, ev evidence.Evidence) (*evidence.Result, error) {
	result := &evidence.Result{}
	return result, result.Conclude(ev, v.verify(ctx, result, ev))
}

func (v *Verifier) verify(ctx context.Context, result *evidence.Result, ev evidence.Evidence) error {
	quote, cert, err := dcap.OpenCertificate(result, ev.Raw)
	if err != nil {
		return err
	}
	proof, err := v.dcap.Verify(ctx, result, quote, collateral.TDX, ev)
	if err != nil {
		if proof != nil {
			result.TCB = proof.TCB
		}
		return err
	}
	td, err := dcap.ParseTDReport(proof.Quote.Body)
	if err != nil {
		return err // the parser has fixed the body's size
	}
	if td.ReservedAttributes() {
		return result.Fail(CheckAttributes, "TDATTRIBUTES with zero bits 1 to 7",
			"TDATTRIBUTES "+hex.EncodeToString(td.TDAttributes[:]))
	}
	result.Pass(CheckAttributes, "bits 1 to 7 of TDATTRIBUTES zero", "zero")
	if cert != nil {
		if err := cert.CheckKey(result, ratls.CheckKey, "REPORTDATA", td.ReportData[:]); err != nil {
			return err
		}
	}
	if err := v.bind(result, td, ev); err != nil {
		return err
	}
	result.TCB, result.Stale = proof.TCB, proof.Stale
	if td.HasServiceTD() {
		result.Reserve(evidence.BoundServiceTD, CheckServiceTD, "MRSERVICETD of zero", "a bound service TD")
	}
	if td.Debug() {
		result.Reserve(evidence.DebugGuest, CheckDebug, "TDATTRIBUTES without DEBUG",
			"TDATTRIBUTES "+hex.EncodeToString(td.TDAttributes[:]))
	}
	if result.Claims, err = v.claims(result, proof, td, ev); err != nil {
		return err
	}
	result.Aliases = aliases(td, proof)
	if len(ev.EventLog) == 0 {
		return nil
	}
	return v.replay(result, td, ev.EventLog)
}

func (v *Verifier) bind(result *evidence.Result, td *dcap.TDReport, ev evidence.Evidence) error {
	if d := ev.RuntimeData; d != nil {
		err := statement.Bound(result, CheckRuntimeData, d, "runtime data", "REPORTDATA", td.ReportData[:])
		if err != nil {
			return err
		}
	}
	if ev.Challenge != nil {
		err := statement.Challenged(result, CheckChallenge, ev.Challenge, "REPORTDATA", td.ReportData[:])
		if err != nil {
			return err
		}
	}
	if d := ev.InitTimeData; d != nil {
		long := sha512.Sum384(d.Bytes)
		var short [48]byte
		sum := sha256.Sum256(d.Bytes)
		copy(short[:], sum[:])
		if subtle.ConstantTimeCompare(long[:], td.MRConfigID[:])|
			subtle.ConstantTimeCompare(short[:], td.MRConfigID[:]) != 1 {
			return result.Fail(CheckInitTimeData, fmt.Sprintf("SHA-384 %x of the %d bytes sent", long, len(d.Bytes)),
				fmt.Sprintf("%x in MRCONFIGID", td.MRConfigID))
		}
		result.Pass(CheckInitTimeData, "the hash of the init-time data in MRCONFIGID",
			fmt.Sprintf("hash of %d bytes", len(d.Bytes)))
	}
	return nil
}

// claims states what the token says about a TD (EAT profile of Azure Attestation
// for TDX VMs).
func (v *Verifier) claims(
	result *evidence.Result, proof *dcap.Proof, td *dcap.TDReport, ev evidence.Evidence,
) (claims.Set, error) {
	s := statement.List{}
	s.Text("x-ms-attestation-type", "tdxvm")
	s.Text("attester_tcb_status", proof.TCB.Status)
	s.Text("eat_profile", "https://aka.ms/maa-eat-profile-tdxvm")
	s.Text("intuse", "generic")
	s.Text("dbgstat", map[bool]string{false: "disabled", true: "enabled"}[td.Debug()])
	for i, register := range td.RTMR {
		s.Hex(fmt.Sprintf("tdx_rtmr%d", i), register[:])
	}
	s.Hex("tdx_mrconfigid", td.MRConfigID[:])
	s.Hex("tdx_mrowner", td.MROwner[:])
	s.Hex("tdx_mrownerconfig", td.MROwnerConfig[:])
	s.Hex("tdx_mrseam", td.MRSEAM[:])
	s.Hex("tdx_mrsignerseam", td.MRSignerSEAM[:])
	s.Hex("tdx_mrtd", td.MRTD[:])
	s.Hex("tdx_report_data", td.ReportData[:])
	s.Hex("tdx_seam_attributes", td.SEAMAttributes[:])
	s.Hex("tdx_tee_tcb_svn", td.TEETCBSVN[:])
	s.Hex("tdx_xfam", td.XFAM[:])
	s.Integer("tdx_seamsvn", int64(td.TEETCBSVN[0]))
	s.Hex("tdx_td_attributes", td.TDAttributes[:])
	s.Boolean("tdx_td_attributes_debug", td.Debug())
	s.Boolean("tdx_td_attributes_key_locker", td.KeyLocker())
	s.Boolean("tdx_td_attributes_perfmon", td.Perfmon())
	s.Boolean("tdx_td_attributes_protection_keys", td.ProtectionKeys())
	s.Boolean("tdx_td_attributes_septve_disable", td.SEPTVEDisable())
	if v.paravisors.TDX(td.MRTD[:], td.MRSEAM[:]) != "" {
		s.Text("x-ms-compliance-status", paravisor.Compliant)
	}
	if err := s.BoundJSON(result, CheckJSON, ev); err != nil {
		return claims.Set{}, err
	}
	return s.Set, nil
}

// aliases are what policies may read besides the token's claims.
func aliases(td *dcap.TDReport, proof *dcap.Proof) claims.Set {
	s := statement.List{Set: statement.TCB(proof.TCB)}
	if td.V15 {
		s.Hex("x-probity-tdx-mrservicetd", td.MRServiceTD[:])
		s.Hex("x-probity-tdx-tee-tcb-svn-2", td.TEETCBSVN2[:])
	}
	return s.Set
}
