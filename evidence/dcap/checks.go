package dcap

import "github.com/probity-dev/probity/evidence"

const (
	remedyQuote      = "make a new quote on the machine; send its bytes unchanged"
	remedyCollateral = "fetch the collateral for this platform again from Intel's provisioning " +
		"certification service or your PCCS"
	remedyForged    = "treat the sender as hostile: this does not happen to genuine evidence in transit"
	remedyOtherRoot = "simulated evidence (probity simulate, probity demo) needs its own root: --root " +
		"FILE, or development.intelRoot of a service; other quotes with this root are forged or of no " +
		"production platform"
)

// The checks of this package, in the order in which they are made. Compare a refusal with them by
// errors.Is.
var (
	checks evidence.Checks

	CheckQuoteFormat = checks.Define("dcap.quote.format",
		"the quote has the layout of format 3, 4 or 5; every length fits",
		remedyQuote)
	CheckQuoteHeader = checks.Define("dcap.quote.header",
		"version, attestation key type, TEE type and QE vendor are supported",
		remedyQuote)
	CheckQuoteTEE = checks.Define("dcap.quote.tee",
		"the quote is of the TEE that the attestation type names",
		"attest under the type that fits the quote, SgxEnclave for an SGX quote, TdxVm for a TDX quote")
	CheckPCKCertificates = checks.Define("dcap.pck.certificates",
		"a PCK certificate chain of three certificates is available",
		"configure the quote provider to embed the PCK chain (certification data type 5), "+
			"or supply the chain with the collateral")
	CheckPCKRoot = checks.Define("dcap.pck.root",
		"the chain ends in the pinned root key, compared by key and not by name",
		remedyOtherRoot)
	CheckPCKChain = checks.Define("dcap.pck.chain",
		"names, constraints and signatures link the PCK certificate to the root",
		remedyOtherRoot)
	CheckPCKExtension = checks.Define("dcap.pck.extension",
		"the PCK certificate's SGX extension contains every item once",
		remedyOtherRoot)
	CheckPCKValidity = checks.Define("dcap.pck.validity",
		"every certificate of the chain is valid at the time of appraisal",
		"let the platform fetch a new PCK certificate, or appraise at the time of the quote")
	CheckQESignature = checks.Define("dcap.qe-report.signature",
		"the PCK signed the quoting enclave's report",
		remedyForged)
	CheckQEBinding = checks.Define("dcap.qe-report.binding",
		"the quoting enclave's report data is SHA-256(attestation key || QE authentication data), then zeros",
		remedyForged)
	CheckAttestationKey = checks.Define("dcap.attestation-key",
		"the attestation key is a point on P-256",
		remedyForged)
	CheckQuoteSignature = checks.Define("dcap.quote.signature",
		"the attestation key signed header and body",
		remedyForged)
	CheckCollateral = checks.Define("dcap.collateral",
		"collateral for the platform is available and complete",
		remedyCollateral)
	CheckRootCRL = checks.Define("dcap.root-crl.signature",
		"the root CA signed its CRL",
		remedyCollateral)
	CheckPCKCRL = checks.Define("dcap.pck-crl.signature",
		"the CA that issued this PCK certificate signed the PCK CRL",
		remedyCollateral)
	CheckTCBInfoChain = checks.Define("dcap.tcbinfo.chain",
		"the TCB info's signer is an Intel SGX TCB Signing certificate directly under the pinned root",
		remedyCollateral)
	CheckTCBInfoSign = checks.Define("dcap.tcbinfo.signature",
		"the TCB signing key signed the exact bytes of the TCB info",
		remedyCollateral)
	CheckTCBInfoFormat = checks.Define("dcap.tcbinfo.format",
		"the TCB info is well-formed: versions, statuses, sixteen components, levels in order",
		remedyCollateral)
	CheckQEIDChain = checks.Define("dcap.qe-identity.chain",
		"the QE identity's signer is an Intel SGX TCB Signing certificate directly under the pinned root",
		remedyCollateral)
	CheckQEIDSign = checks.Define("dcap.qe-identity.signature",
		"the TCB signing key signed the exact bytes of the QE identity",
		remedyCollateral)
	CheckQEIDFormat = checks.Define("dcap.qe-identity.format",
		"the QE identity is well-formed: version 2, statuses, levels in order",
		remedyCollateral)
	CheckRootCRLFresh = checks.Define("dcap.root-crl.freshness",
		"the time of appraisal is between thisUpdate and nextUpdate of the root CRL",
		remedyCollateral)
	CheckPCKCRLFresh = checks.Define("dcap.pck-crl.freshness",
		"the time of appraisal is between thisUpdate and nextUpdate of the PCK CRL",
		remedyCollateral)
	CheckTCBInfoFresh = checks.Define("dcap.tcbinfo.freshness",
		"the time of appraisal is between issueDate and nextUpdate of the TCB info",
		remedyCollateral)
	CheckQEIDFresh = checks.Define("dcap.qe-identity.freshness",
		"the time of appraisal is between issueDate and nextUpdate of the QE identity",
		remedyCollateral)
	CheckSigningValidity = checks.Define("dcap.tcb-signing.validity",
		"the TCB signing certificates are valid at the time of appraisal",
		remedyCollateral)
	CheckCARevocation = checks.Define("dcap.pck-ca.revocation",
		"the PCK CA is not on the root CRL",
		"the CA was revoked: the platform cannot be trusted any more; contact Intel")
	CheckSigningRevoked = checks.Define("dcap.tcb-signing.revocation",
		"the TCB signing certificates are not on the root CRL",
		remedyCollateral)
	CheckPCKRevocation = checks.Define("dcap.pck.revocation",
		"the PCK certificate is not on the PCK CRL",
		"the platform's key was revoked: it cannot be trusted any more; contact the vendor")
	CheckTCBInfoTEE = checks.Define("dcap.tcbinfo.tee",
		"the TCB info is for the TEE of the quote, in a version that defines it",
		remedyCollateral)
	CheckTCBInfoNumber = checks.Define("dcap.tcbinfo.evaluation-number",
		"the collateral has the TCB evaluation data number that was asked for",
		"provide collateral of that number, or change the policy's x-ms-sgx-tcbidentifier")
	CheckFMSPC = checks.Define("dcap.tcbinfo.fmspc",
		"the TCB info is for the FMSPC of the PCK certificate",
		remedyCollateral)
	CheckPCEID = checks.Define("dcap.tcbinfo.pceid",
		"the TCB info is for the PCE of the PCK certificate",
		remedyCollateral)
	CheckQEIDType = checks.Define("dcap.qe-identity.id",
		"the identity is that of the quoting enclave for the TEE of the quote",
		remedyCollateral)
	CheckQEIdentity = checks.Define("dcap.qe.identity",
		"MRSIGNER, ISVPRODID, MISCSELECT and ATTRIBUTES of the quoting enclave are Intel's",
		"the quote was not made by Intel's quoting enclave; install Intel's DCAP packages")
	CheckQEDebug = checks.Define("dcap.qe.debug",
		"the quoting enclave is not a debug enclave",
		"install the production quoting enclave")
	CheckQETCB = checks.Define("dcap.qe.tcb",
		"the quoting enclave meets a TCB level of its identity",
		"update the DCAP packages that contain the quoting enclave")
	CheckTCBLevel = checks.Define("dcap.tcb.level",
		"the platform meets a TCB level of the TCB info",
		"update the BIOS and microcode; the platform is older than every level that Intel supports")
	CheckTDXModule = checks.Define("dcap.tdx-module.identity",
		"MRSIGNERSEAM and SEAMATTRIBUTES are those of Intel's TDX module, at launch and now",
		"install Intel's TDX module")
	CheckTDXModuleTCB = checks.Define("dcap.tdx-module.tcb",
		"the TDX module meets a TCB level of its identity, at launch and now",
		"update the TDX module")
	CheckTCBRevoked = checks.Define("dcap.tcb.revoked",
		"the converged TCB status is not Revoked",
		"the platform's TCB was revoked; update BIOS and microcode, then re-provision the platform")
)

// Catalogue lists the checks of this package in order.
func Catalogue() []*evidence.Definition { return checks.All() }
