// Package vbs verifies reports of enclaves of Windows's virtualization-based
// security, and states their claims in the names of Azure Attestation.
//
// Start with [New] and [Verifier.Verify]. A report proves nothing by itself: the key that
// signs reports is made by the secure kernel and measured at boot, so the evidence is
// that of package tpm, with the report over it. The chain is: attestation key → quote
// → registers → log → signing key of the secure kernel → report → enclave, and from
// the report back to the very bytes of the TPM evidence. It does not judge the
// enclave's author, image or version, nor who signed the hypervisor.
package vbs

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/internal/statement"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/strict/base64text"
	"github.com/probity-dev/probity/strict/pubkey"
)

// The checks of this package, in the order in which they are made. Compare a refusal with them by
// errors.Is.
var (
	checks evidence.Checks

	CheckFormat = checks.Define("vbs.format",
		"the report is one of a VBS enclave (VBS_ENCLAVE_REPORT_PKG_HEADER), signed by RSA-PSS with SHA-256",
		"send the report as EnclaveGetAttestationReport returned it")
	CheckKey = checks.Define("vbs.signing-key",
		"the proven log of Windows holds one key with which the secure kernel signs reports "+
			"(VSM_IDKS_INFO, PCR 12), and Windows's boot loader alone was allowed to run (PCR 7)",
		"turn secure boot and virtualization-based security on, let no authority other than Windows's "+
			"allow a boot loader, quote PCR 7, 12 and 13, and send the whole log")
	CheckSignature = checks.Define("vbs.signature",
		"the secure kernel signed the report",
		"send report and log of one boot")
	CheckBinding = checks.Define("vbs.enclave-data",
		"the data of the report are the SHA-512 of the TPM evidence, byte for byte",
		"give the enclave the SHA-512 of report_signed exactly as it is sent, braces included")
	CheckFlags = checks.Define("vbs.flags.known",
		"the enclave has no flag that is not known",
		"update this program; a flag of a new kind may give others access to the enclave")
	CheckDebug = checks.Define("vbs.flags.debug",
		"the enclave cannot be debugged, now or later (flags 1, 2 and 4), or the provider accepts DebugGuest",
		"build the enclave without the debug policy; a debugger can read all of its memory")
)

// Catalogue lists the checks that this package adds to those of package tpm.
func Catalogue() []*evidence.Definition { return checks.All() }

// Verifier verifies enclaves. It is safe for concurrent use.
type Verifier struct {
	tpm *tpm.Verifier
}

// New returns a verifier on that of TPMs.
func New(t *tpm.Verifier) *Verifier {
	return &Verifier{tpm: t}
}

// Kind returns VbsEnclave.
func (v *Verifier) Kind() evidence.Kind { return evidence.VBSEnclave }

// Verify verifies ev.Raw, a request of the TPM protocol with att_type vbs. The error is an
// *[evidence.Rejection] if the evidence is refused.
func (v *Verifier) Verify(_ context.Context, ev evidence.Evidence) (*evidence.Result, error) {
	result := &evidence.Result{}
	return result, result.Conclude(ev, v.verify(result, ev))
}

func (v *Verifier) verify(result *evidence.Result, ev evidence.Evidence) error {
	proof, err := v.tpm.Prove(result, ev, true)
	if err != nil {
		return err
	}
	raw, err := enclaveReport(proof.Request)
	if err != nil {
		return result.FailErr(CheckFormat, "the report of a VBS enclave", err)
	}
	r, err := ParseReport(raw)
	if err != nil {
		return result.FailErr(CheckFormat, "the report of a VBS enclave", err)
	}
	result.Pass(CheckFormat, "the report of a VBS enclave", fmt.Sprintf("%d modules", len(r.Modules)))
	key, err := signingKey(proof.Boot.SigningKey)
	if err != nil {
		if len(proof.Boot.LeftOut) > 0 {
			err = fmt.Errorf("%w; not used: %s", err, strings.Join(proof.Boot.LeftOut, "; "))
		}
		return result.FailErr(CheckKey, "one signing key of the secure kernel in the proven log", err)
	}
	result.Pass(CheckKey, "one signing key of the secure kernel in the proven log",
		fmt.Sprintf("RSA-%d", key.N.BitLen()))
	digest := sha256.Sum256(r.Signed)
	err = rsa.VerifyPSS(key, crypto.SHA256, digest[:], r.Signature,
		&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto})
	if err != nil {
		return result.Fail(CheckSignature, "a signature of the secure kernel", "signature verification failed")
	}
	result.Pass(CheckSignature, "a signature of the secure kernel", "verified")
	want := sha512.Sum512(proof.Request.Signed)
	if subtle.ConstantTimeCompare(want[:], r.Data) != 1 {
		return result.Fail(CheckBinding, fmt.Sprintf("SHA-512 %x of report_signed", want),
			fmt.Sprintf("%x", r.Data))
	}
	result.Pass(CheckBinding, "SHA-512 of report_signed", "equal")
	if unknown := r.Identity.Flags &^ debugFlags; unknown != 0 {
		return result.Fail(CheckFlags, fmt.Sprintf("flags within %#x", uint32(debugFlags)),
			fmt.Sprintf("%#x", r.Identity.Flags))
	}
	result.Pass(CheckFlags, fmt.Sprintf("flags within %#x", uint32(debugFlags)),
		fmt.Sprintf("%#x", r.Identity.Flags))
	if r.Identity.Flags&debugFlags != 0 {
		result.Reserve(evidence.DebugGuest, CheckDebug,
			"flags without full or dynamic debugging, active or not", fmt.Sprintf("%#x", r.Identity.Flags))
	}
	state(result, r)
	return nil
}

// enclaveReport takes the report out of vsm_report.
func enclaveReport(r *tpm.Request) ([]byte, error) {
	var in struct {
		Enclave struct {
			Report base64text.Bytes `json:"report"`
		} `json:"enclave"`
	}
	if err := json.Unmarshal(r.Report, &in); err != nil || len(in.Enclave.Report) == 0 {
		return nil, errors.New("no vsm_report.enclave.report in base64url")
	}
	return in.Enclave.Report, nil
}

// signingKey reads the payload of VSM_IDKS_INFO: algorithm, bits, sizes of exponent
// and modulus (little-endian), exponent and modulus (big-endian).
func signingKey(b []byte) (*rsa.PublicKey, error) {
	if len(b) == 0 {
		return nil, errors.New("no key, or two")
	}
	if len(b) < 16 {
		return nil, errors.New("a key that is cut short")
	}
	u := binary.LittleEndian.Uint32
	bits, exponent, modulus := u(b[4:]), u(b[8:]), u(b[12:])
	if exponent == 0 || exponent > 4 || modulus > 512 || uint64(16+exponent+modulus) != uint64(len(b)) {
		return nil, fmt.Errorf("an exponent of %d bytes and a modulus of %d in %d", exponent, modulus, len(b))
	}
	e := new(big.Int).SetBytes(b[16 : 16+exponent])
	n := new(big.Int).SetBytes(b[16+exponent:])
	if uint32(n.BitLen()) != bits || bits < 2048 || e.BitLen() > 31 {
		return nil, fmt.Errorf("an RSA key of %d bits", n.BitLen())
	}
	key := &rsa.PublicKey{N: n, E: int(e.Int64())}
	return key, pubkey.Check(key)
}

// state adds the enclave's claims to those of the TPM.
func state(result *evidence.Result, r *Report) {
	token := statement.List{}
	for _, c := range result.Claims.All() {
		if c.Type == "x-ms-attestation-type" {
			c.Value = claims.StringValue("vbs")
		}
		token.Set.Add(c)
	}
	known := statement.List{Set: result.Aliases}
	encode := base64.RawURLEncoding.EncodeToString
	id := r.Identity
	known.Text("enclaveAuthorId", encode(id.AuthorID))
	known.Text("enclaveImageId", encode(id.ImageID))
	known.Text("enclaveOwnerId", encode(id.OwnerID))
	known.Text("enclaveFamilyId", encode(id.FamilyID))
	known.Integer("enclaveSvn", int64(id.SVN))
	known.Integer("enclavePlatformSvn", int64(id.PlatformSVN))
	known.Integer("enclaveFlags", int64(id.Flags))
	known.Text("x-probity-vbs-unique-id", encode(id.UniqueID))
	known.Integer("x-probity-vbs-secure-kernel-svn", int64(id.SecureKernelSVN))
	result.Claims, result.Aliases = token.Set, known.Set
}
