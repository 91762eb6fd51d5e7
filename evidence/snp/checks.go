package snp

import (
	"slices"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/uvm"
)

const remedyChain = "send VcekCertChain as AMD's service or the host gave it: VCEK or VLEK, then its CA"

// The checks of this package, in the order in which they are made. Compare a refusal with them by
// errors.Is.
var (
	checks evidence.Checks

	CheckFormat = checks.Define("snp.report.format",
		"the evidence is an SEV-SNP report of 1184 bytes, version 2 to 5, in a known frame",
		"send the report as the guest device returned it")
	CheckAlgorithm = checks.Define("snp.report.signature-algorithm",
		"the report is signed with ECDSA P-384 and SHA-384",
		"send a report of a production part")
	CheckSigningKey = checks.Define("snp.report.signing-key",
		"the report is signed with a VCEK or a VLEK",
		"ask the host to leave MASK_CHIP_KEY off, or to load a VLEK")
	CheckReserved = checks.Define("snp.report.reserved",
		"everything that must be zero in this version is zero",
		"send the report as the guest device returned it")
	CheckPolicy = checks.Define("snp.report.policy",
		"the guest policy has bit 17 set and no undefined bit",
		"send the report as the guest device returned it")
	CheckVMPL = checks.Define("snp.report.vmpl",
		"the guest asked for the report, at VMPL 0 to 3",
		"ask for the report inside the guest;"+
			" a report that the host asked for proves nothing about its report data")
	CheckCertificates = checks.Define("snp.certificates",
		"the certificates sent along can be read",
		remedyChain)
	CheckCollateral = checks.Define("snp.collateral",
		"the certificate of the key that signed the report is available",
		"send the VCEK along, or fetch it: probity collateral fetch --evidence FILE; "+
			"a VLEK must always be sent along")
	CheckProduct = checks.Define("snp.product",
		"report, certificate and CA are of the same known product line",
		"send the certificate of the machine that made the report")
	CheckLine = checks.Define("snp.product.refused",
		"the product line is not one that the configuration refuses",
		"use a machine of another line, or remove the line from snp.refuseLines")
	CheckChip = checks.Define("snp.chip.refused",
		"the chip is not one that the configuration refuses",
		"use another machine, or remove the chip from snp.refuseChips")
	CheckTCBOrder = checks.Define("snp.report.tcb-order",
		"no component of REPORTED_TCB is above COMMITTED_TCB, none of that above CURRENT_TCB",
		"send the report as the guest device returned it")
	CheckFirmware = checks.Define("snp.report.firmware-order",
		"the committed firmware version is not above the current one",
		"send the report as the guest device returned it")
	CheckLeafFormat = checks.Define("snp.vcek.format",
		"the VCEK or VLEK has a P-384 key and AMD's extensions, each once",
		remedyChain)
	CheckLeafKind = checks.Define("snp.vcek.kind",
		"the certificate is of the kind that the report names",
		"send the VLEK for reports signed with a VLEK, else the VCEK")
	CheckIntermediate = checks.Define("snp.ask.signature",
		"the CA of the certificate's own line and branch is signed by AMD's pinned root of that line",
		"simulated evidence (probity simulate, probity demo) needs its own root: --root FILE, "+
			"or development.amdRoots of a service; otherwise "+remedyChain)
	CheckASKValidity = checks.Define("snp.ask.validity",
		"root and intermediate CA are valid at the evaluation time",
		"compare the clocks")
	CheckRevoked = checks.Define("snp.ask.revoked",
		"the intermediate CA is not revoked",
		"get a new VCEK from AMD; the old CA must not be used any more")
	CheckCRL = checks.Define("snp.crl",
		"the revocation list is signed by AMD's root and, if the configuration requires one, available and current",
		"run: probity collateral fetch --amd LINE, or leave snp.requireCRL off")
	CheckLeaf = checks.Define("snp.vcek.signature",
		"the VCEK or VLEK is signed by that CA",
		remedyChain)
	CheckLeafValidity = checks.Define("snp.vcek.validity",
		"the VCEK or VLEK is valid at the evaluation time",
		"get a new one: AMD issues VCEKs at any time, VLEKs come from the cloud provider and are valid for a year")
	CheckHWID = checks.Define("snp.vcek.hwid",
		"the VCEK is that of the chip that the report names",
		"send the VCEK of this machine")
	CheckTCB = checks.Define("snp.vcek.tcb",
		"every patch level in the certificate is the one in REPORTED_TCB",
		"get the VCEK for the TCB that the report names; the host updated its firmware since")
	CheckCSP = checks.Define("snp.vlek.csp-id",
		"the VLEK was lent to a cloud provider that is on the list",
		"add the provider to snp.cloudProviders if you trust it")
	CheckSignature = checks.Define("snp.report.signature",
		"the key of the certificate signed the report",
		"send the report as it was made, with the certificate of its machine")
	CheckRuntimeData = checks.Define("snp.report-data.runtime-data",
		"SHA-256 of the runtime data is the first half of REPORT_DATA, the second half is zero",
		"send exactly the bytes that the guest hashed")
	CheckChallenge = checks.Define("snp.report-data.challenge",
		"where one is asked for: REPORT_DATA is the challenge, followed by zeros",
		"ask for the report with the challenge as its report data")
	CheckInitTimeData = checks.Define("snp.host-data.init-time-data",
		"SHA-256 of the init-time data is HOST_DATA",
		"send exactly the bytes whose hash was given at launch, for instance the decoded security policy")
	CheckJSON = checks.Define("snp.runtime-data.json",
		"data of type JSON are one JSON object without duplicate members",
		"send a JSON object, or dataType Binary")
	CheckDebug = checks.Define("snp.policy.debug",
		"the guest policy does not allow debugging, or the provider accepts DebugGuest",
		"launch the guest without the debug policy; the host can read all of its memory")
)

// Catalogue lists the checks of this package and of package uvm.
func Catalogue() []*evidence.Definition { return slices.Concat(checks.All(), uvm.Catalogue()) }
