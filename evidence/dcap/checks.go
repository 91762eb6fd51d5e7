package dcap

import "github.com/probity-dev/probity/evidence"

// The checks of this package, in the order in which they are made.
const (
	checkQuoteFormat     = "dcap.quote.format"
	checkQuoteHeader     = "dcap.quote.header"
	checkQuoteTEE        = "dcap.quote.tee"
	checkPCKCertificates = "dcap.pck.certificates"
	checkPCKRoot         = "dcap.pck.root"
	checkPCKChain        = "dcap.pck.chain"
	checkPCKExtension    = "dcap.pck.extension"
	checkPCKValidity     = "dcap.pck.validity"
	checkQESignature     = "dcap.qe-report.signature"
	checkQEBinding       = "dcap.qe-report.binding"
	checkAttestationKey  = "dcap.attestation-key"
	checkQuoteSignature  = "dcap.quote.signature"
	checkCollateral      = "dcap.collateral"
	checkRootCRL         = "dcap.root-crl.signature"
	checkPCKCRL          = "dcap.pck-crl.signature"
	checkTCBInfoChain    = "dcap.tcbinfo.chain"
	checkTCBInfoSign     = "dcap.tcbinfo.signature"
	checkTCBInfoFormat   = "dcap.tcbinfo.format"
	checkQEIDChain       = "dcap.qe-identity.chain"
	checkQEIDSign        = "dcap.qe-identity.signature"
	checkQEIDFormat      = "dcap.qe-identity.format"
	checkRootCRLFresh    = "dcap.root-crl.freshness"
	checkPCKCRLFresh     = "dcap.pck-crl.freshness"
	checkTCBInfoFresh    = "dcap.tcbinfo.freshness"
	checkQEIDFresh       = "dcap.qe-identity.freshness"
	checkSigningValidity = "dcap.tcb-signing.validity"
	checkCARevocation    = "dcap.pck-ca.revocation"
	checkSigningRevoked  = "dcap.tcb-signing.revocation"
	checkPCKRevocation   = "dcap.pck.revocation"
	checkTCBInfoTEE      = "dcap.tcbinfo.tee"
	checkTCBInfoNumber   = "dcap.tcbinfo.evaluation-number"
	checkFMSPC           = "dcap.tcbinfo.fmspc"
	checkPCEID           = "dcap.tcbinfo.pceid"
	checkQEIDType        = "dcap.qe-identity.id"
	checkQEIdentity      = "dcap.qe.identity"
	checkQEDebug         = "dcap.qe.debug"
	checkQETCB           = "dcap.qe.tcb"
	checkTCBLevel        = "dcap.tcb.level"
	checkTDXModule       = "dcap.tdx-module.identity"
	checkTDXModuleTCB    = "dcap.tdx-module.tcb"
	checkTCBRevoked      = "dcap.tcb.revoked"
)

const (
	remedyQuote      = "make a new quote on the machine; send its bytes unchanged"
	remedyCollateral = "fetch the collateral for this platform again from Intel's provisioning certification service or your PCCS"
	remedyForged     = "treat the sender as hostile: this does not happen to genuine evidence in transit"
	remedyOtherRoot  = "simulated evidence (probity simulate, probity demo) needs its own root: --root FILE, or development.intelRoot of a service; other quotes with this root are forged or of no production platform"
)

// Catalogue lists the checks of this package in order.
func Catalogue() []evidence.Definition {
	return []evidence.Definition{
		{ID: checkQuoteFormat, Meaning: "the quote has the layout of format 3, 4 or 5; every length fits", Remedy: remedyQuote},
		{ID: checkQuoteHeader, Meaning: "version, attestation key type, TEE type and QE vendor are supported", Remedy: remedyQuote},
		{ID: checkQuoteTEE, Meaning: "the quote is of the TEE that the attestation type names", Remedy: "attest under the type that fits the quote, SgxEnclave for an SGX quote, TdxVm for a TDX quote"},
		{ID: checkPCKCertificates, Meaning: "a PCK certificate chain of three certificates is at hand", Remedy: "configure the quote provider to embed the PCK chain (certification data type 5), or supply the chain with the collateral"},
		{ID: checkPCKRoot, Meaning: "the chain ends in the pinned root key, compared by key and not by name", Remedy: remedyOtherRoot},
		{ID: checkPCKChain, Meaning: "names, constraints and signatures link the PCK certificate to the root", Remedy: remedyOtherRoot},
		{ID: checkPCKExtension, Meaning: "the PCK certificate's SGX extension holds every item once", Remedy: remedyOtherRoot},
		{ID: checkPCKValidity, Meaning: "every certificate of the chain is valid at the time of appraisal", Remedy: "let the platform fetch a new PCK certificate, or appraise at the time of the quote"},
		{ID: checkQESignature, Meaning: "the PCK signed the quoting enclave's report", Remedy: remedyForged},
		{ID: checkQEBinding, Meaning: "the quoting enclave's report data is SHA-256(attestation key || QE authentication data), then zeros", Remedy: remedyForged},
		{ID: checkAttestationKey, Meaning: "the attestation key is a point on P-256", Remedy: remedyForged},
		{ID: checkQuoteSignature, Meaning: "the attestation key signed header and body", Remedy: remedyForged},
		{ID: checkCollateral, Meaning: "collateral for the platform is at hand and complete", Remedy: remedyCollateral},
		{ID: checkRootCRL, Meaning: "the root CA signed its CRL", Remedy: remedyCollateral},
		{ID: checkPCKCRL, Meaning: "the CA that issued this PCK certificate signed the PCK CRL", Remedy: remedyCollateral},
		{ID: checkTCBInfoChain, Meaning: "the TCB info's signer is an Intel SGX TCB Signing certificate directly under the pinned root", Remedy: remedyCollateral},
		{ID: checkTCBInfoSign, Meaning: "the TCB signing key signed the exact bytes of the TCB info", Remedy: remedyCollateral},
		{ID: checkTCBInfoFormat, Meaning: "the TCB info is well-formed: versions, statuses, sixteen components, levels in order", Remedy: remedyCollateral},
		{ID: checkQEIDChain, Meaning: "the QE identity's signer is an Intel SGX TCB Signing certificate directly under the pinned root", Remedy: remedyCollateral},
		{ID: checkQEIDSign, Meaning: "the TCB signing key signed the exact bytes of the QE identity", Remedy: remedyCollateral},
		{ID: checkQEIDFormat, Meaning: "the QE identity is well-formed: version 2, statuses, levels in order", Remedy: remedyCollateral},
		{ID: checkRootCRLFresh, Meaning: "the time of appraisal is between thisUpdate and nextUpdate of the root CRL", Remedy: remedyCollateral},
		{ID: checkPCKCRLFresh, Meaning: "the time of appraisal is between thisUpdate and nextUpdate of the PCK CRL", Remedy: remedyCollateral},
		{ID: checkTCBInfoFresh, Meaning: "the time of appraisal is between issueDate and nextUpdate of the TCB info", Remedy: remedyCollateral},
		{ID: checkQEIDFresh, Meaning: "the time of appraisal is between issueDate and nextUpdate of the QE identity", Remedy: remedyCollateral},
		{ID: checkSigningValidity, Meaning: "the TCB signing certificates are valid at the time of appraisal", Remedy: remedyCollateral},
		{ID: checkCARevocation, Meaning: "the PCK CA is not on the root CRL", Remedy: "the CA was revoked: the platform cannot be trusted any more; contact Intel"},
		{ID: checkSigningRevoked, Meaning: "the TCB signing certificates are not on the root CRL", Remedy: remedyCollateral},
		{ID: checkPCKRevocation, Meaning: "the PCK certificate is not on the PCK CRL", Remedy: "the platform's key was revoked: it cannot be trusted any more; contact the vendor"},
		{ID: checkTCBInfoTEE, Meaning: "the TCB info is for the TEE of the quote, in a version that defines it", Remedy: remedyCollateral},
		{ID: checkTCBInfoNumber, Meaning: "the collateral has the TCB evaluation data number that was asked for", Remedy: "provide collateral of that number, or change the policy's x-ms-sgx-tcbidentifier"},
		{ID: checkFMSPC, Meaning: "the TCB info is for the FMSPC of the PCK certificate", Remedy: remedyCollateral},
		{ID: checkPCEID, Meaning: "the TCB info is for the PCE of the PCK certificate", Remedy: remedyCollateral},
		{ID: checkQEIDType, Meaning: "the identity is that of the quoting enclave for the TEE of the quote", Remedy: remedyCollateral},
		{ID: checkQEIdentity, Meaning: "MRSIGNER, ISVPRODID, MISCSELECT and ATTRIBUTES of the quoting enclave are Intel's", Remedy: "the quote was not made by Intel's quoting enclave; install Intel's DCAP packages"},
		{ID: checkQEDebug, Meaning: "the quoting enclave is not a debug enclave", Remedy: "install the production quoting enclave"},
		{ID: checkQETCB, Meaning: "the quoting enclave meets a TCB level of its identity", Remedy: "update the DCAP packages that bring the quoting enclave"},
		{ID: checkTCBLevel, Meaning: "the platform meets a TCB level of the TCB info", Remedy: "update the BIOS and microcode; the platform is older than every level that Intel supports"},
		{ID: checkTDXModule, Meaning: "MRSIGNERSEAM and SEAMATTRIBUTES are those of Intel's TDX module, at launch and now", Remedy: "install Intel's TDX module"},
		{ID: checkTDXModuleTCB, Meaning: "the TDX module meets a TCB level of its identity, at launch and now", Remedy: "update the TDX module"},
		{ID: checkTCBRevoked, Meaning: "the converged TCB status is not Revoked", Remedy: "the platform's TCB was revoked; update BIOS and microcode, then re-provision the platform"},
	}
}
