package snp

import (
	"slices"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/uvm"
)

const (
	checkFormat       = "snp.report.format"
	checkAlgorithm    = "snp.report.signature-algorithm"
	checkSigningKey   = "snp.report.signing-key"
	checkReserved     = "snp.report.reserved"
	checkPolicy       = "snp.report.policy"
	checkVMPL         = "snp.report.vmpl"
	checkCertificates = "snp.certificates"
	checkCollateral   = "snp.collateral"
	checkProduct      = "snp.product"
	checkLine         = "snp.product.refused"
	checkChip         = "snp.chip.refused"
	checkTCBOrder     = "snp.report.tcb-order"
	checkFirmware     = "snp.report.firmware-order"
	checkLeafFormat   = "snp.vcek.format"
	checkLeafKind     = "snp.vcek.kind"
	checkIntermediate = "snp.ask.signature"
	checkASKValidity  = "snp.ask.validity"
	checkRevoked      = "snp.ask.revoked"
	checkCRL          = "snp.crl"
	checkLeaf         = "snp.vcek.signature"
	checkLeafValidity = "snp.vcek.validity"
	checkHWID         = "snp.vcek.hwid"
	checkTCB          = "snp.vcek.tcb"
	checkCSP          = "snp.vlek.csp-id"
	checkSignature    = "snp.report.signature"
	checkRuntimeData  = "snp.report-data.runtime-data"
	checkInitTimeData = "snp.host-data.init-time-data"
	checkJSON         = "snp.runtime-data.json"
	// CheckDebug is the reservation about debug guests.
	checkDebug = "snp.policy.debug"
)

const remedyChain = "send VcekCertChain as AMD's service or the host gave it: VCEK or VLEK, then its CA"

// Catalogue lists the checks of this package and of package uvm.
func Catalogue() []evidence.Definition {
	return slices.Concat([]evidence.Definition{
		{ID: checkFormat, Meaning: "the evidence is an SEV-SNP report of 1184 bytes, version 2 to 5, in a known frame", Remedy: "send the report as the guest device returned it"},
		{ID: checkAlgorithm, Meaning: "the report is signed with ECDSA P-384 and SHA-384", Remedy: "send a report of a production part"},
		{ID: checkSigningKey, Meaning: "the report is signed with a VCEK or a VLEK", Remedy: "ask the host to leave MASK_CHIP_KEY off, or to load a VLEK"},
		{ID: checkReserved, Meaning: "everything that must be zero in this version is zero", Remedy: "send the report as the guest device returned it"},
		{ID: checkPolicy, Meaning: "the guest policy has its one bit set and no undefined bit", Remedy: "send the report as the guest device returned it"},
		{ID: checkVMPL, Meaning: "the guest asked for the report, at VMPL 0 to 3", Remedy: "ask for the report inside the guest; those that the host asks for prove nothing about report data"},
		{ID: checkCertificates, Meaning: "the certificates sent along can be read", Remedy: remedyChain},
		{ID: checkCollateral, Meaning: "the certificate of the key that signed the report is at hand", Remedy: "send the VCEK along, or fetch it: probity collateral fetch --evidence FILE; a VLEK must always be sent along"},
		{ID: checkProduct, Meaning: "report, certificate and CA agree on a product line that is known", Remedy: "send the certificate of the machine that made the report"},
		{ID: checkLine, Meaning: "the product line is not one that the configuration refuses", Remedy: "use a machine of another line, or take the line from snp.refuseLines"},
		{ID: checkChip, Meaning: "the chip is not one that the configuration refuses", Remedy: "use another machine, or take the chip from snp.refuseChips"},
		{ID: checkTCBOrder, Meaning: "no component of REPORTED_TCB is above COMMITTED_TCB, none of that above CURRENT_TCB", Remedy: "send the report as the guest device returned it"},
		{ID: checkFirmware, Meaning: "the committed firmware version is not above the current one", Remedy: "send the report as the guest device returned it"},
		{ID: checkLeafFormat, Meaning: "the VCEK or VLEK has a P-384 key and AMD's extensions, each once", Remedy: remedyChain},
		{ID: checkLeafKind, Meaning: "the certificate is of the kind that the report names", Remedy: "send the VLEK for reports signed with a VLEK, else the VCEK"},
		{ID: checkIntermediate, Meaning: "the CA of the certificate's own line and branch is signed by AMD's pinned root of that line", Remedy: "simulated evidence (probity simulate, probity demo) needs its own root: --root FILE, or development.amdRoots of a service; otherwise " + remedyChain},
		{ID: checkASKValidity, Meaning: "root and intermediate CA are valid at the evaluation time", Remedy: "compare the clocks"},
		{ID: checkRevoked, Meaning: "the intermediate CA is not revoked", Remedy: "get a new VCEK from AMD; the old CA must not be used any more"},
		{ID: checkCRL, Meaning: "the revocation list is signed by AMD's root and, where the configuration asks for one, there and current", Remedy: "run: probity collateral fetch --amd LINE, or leave snp.requireCRL off"},
		{ID: checkLeaf, Meaning: "the VCEK or VLEK is signed by that CA", Remedy: remedyChain},
		{ID: checkLeafValidity, Meaning: "the VCEK or VLEK is valid at the evaluation time", Remedy: "get a new one: AMD issues VCEKs at any time, VLEKs come from the cloud provider and live a year"},
		{ID: checkHWID, Meaning: "the VCEK is that of the chip that the report names", Remedy: "send the VCEK of this machine"},
		{ID: checkTCB, Meaning: "every patch level in the certificate is the one in REPORTED_TCB", Remedy: "get the VCEK for the TCB that the report names; the host updated its firmware since"},
		{ID: checkCSP, Meaning: "the VLEK was lent to a cloud provider that is on the list", Remedy: "add the provider to snp.cloudProviders if you trust it"},
		{ID: checkSignature, Meaning: "the key of the certificate signed the report", Remedy: "send the report as it was made, with the certificate of its machine"},
		{ID: checkRuntimeData, Meaning: "SHA-256 of the runtime data is the first half of REPORT_DATA, the second half is zero", Remedy: "send exactly the bytes that the guest hashed"},
		{ID: checkInitTimeData, Meaning: "SHA-256 of the init-time data is HOST_DATA", Remedy: "send exactly the bytes whose hash was given at launch, for instance the decoded security policy"},
		{ID: checkJSON, Meaning: "data of type JSON are one JSON object without duplicate members", Remedy: "send a JSON object, or dataType Binary"},
		{ID: checkDebug, Meaning: "the guest policy does not allow debugging, or the provider accepts DebugGuest", Remedy: "launch the guest without the debug policy; the host can read all of its memory"},
	}, uvm.Catalogue())
}
