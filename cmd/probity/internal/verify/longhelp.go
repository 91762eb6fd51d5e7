package verify

import "github.com/alecthomas/kong"

// LongHelp has the texts of flags that do not fit into their tags, by the names that the tags
// give them.
func LongHelp() kong.Vars {
	return kong.Vars{
		"certsHelp": "Certificates that go with an SEV-SNP report, and AMD's revocation list: a file (PEM," +
			" DER, certificate table, THIM JSON) or a folder.",
		"collateralHelp": "Collateral: a bundle, a JSON file, responses of Intel's service, the PCCS admin " +
			"tool's file, Open Enclave endorsements, AMD's revocation list, a folder of these, or" +
			" a data directory.",
		"configHelp": "Take snp, cca, tpm, and collateral unless --collateral is given, from the " +
			"configuration of a service.",
		"kindHelp": "Attestation type: SgxEnclave, OpenEnclave, TdxVm, SevSnpVm, Tpm, VbsEnclave, " +
			"AzureGuest, NitroEnclave, ArmCca.",
		"moreHelp": "Further files of a recorded TPM quote, in any order: signature, PCR values, " +
			"attestation key or its certificate, logs.",
		"rootHelp": "PEM file with a root to trust instead of the vendor's, for simulated evidence; for " +
			"ArmCca the platform's public key; for TPMs and Azure guests the authorities, or " +
			"azure for those of Azure's virtual TPMs.",
		"trustKeyHelp": "Attestation key of a TPM to trust by name: PEM, TPM2B_PUBLIC, or a certificate.",
	}
}
