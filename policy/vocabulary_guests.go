package policy

import "fmt"

func snpTerms() []Term {
	const prefix = "x-ms-sevsnpvm-"
	return append(common(),
		text("x-ms-compliance-status",
			"azure-compliant-cvm or azure-compliant-uvm, if the firmware is a known one"),
		truth(prefix+"is-debuggable", "the guest policy allows debugging"),
		truth(prefix+"migration-allowed", "the guest policy allows a migration agent"),
		truth(prefix+"smt-allowed", "the guest policy allows simultaneous multithreading"),
		count(prefix+"bootloader-svn", "the version of the boot loader in the reported TCB"),
		count(prefix+"tee-svn", "the version of the TEE in the reported TCB"),
		count(prefix+"snpfw-svn", "the version of the SNP firmware in the reported TCB"),
		count(prefix+"microcode-svn", "the version of the microcode in the reported TCB"),
		count(prefix+"guestsvn", "the guest's security version"),
		count(prefix+"vmpl", "the privilege level that asked for the report"),
		hexed(prefix+"authorkeydigest", "the hash of the key that signed the id key"),
		hexed(prefix+"idkeydigest", "the hash of the id key"),
		hexed(prefix+"launchmeasurement", "the measurement of the guest at launch"),
		hexed(prefix+"hostdata", "what the host bound at launch (HOST_DATA)"),
		hexed(prefix+"reportdata", "the 64 bytes that the guest put into its report"),
		hexed(prefix+"reportid", "the id of this guest's reports"),
		hexed(prefix+"familyId", "the family id of the guest"),
		hexed(prefix+"imageId", "the image id of the guest"),
		text("x-probity-snp-product", "the product line: Milan, Genoa or Turin"),
		count("x-probity-snp-report-version", "the version of the report, 2 to 5"),
		text("x-probity-snp-signing-key", "VCEK (the chip's key) or VLEK (one lent to a cloud provider)"),
		text("x-probity-snp-csp-id", "the cloud provider that the VLEK was lent to"),
		text("x-probity-snp-revocation", "good, stale or unknown: what AMD's revocation list said"),
		hexed("x-probity-snp-chip-id", "the chip's id; zeros if it is masked"),
		count("x-probity-snp-fmc-svn", "the version of the FMC in the reported TCB (Turin)"),
		count("x-probity-snp-committed-snpfw-svn", "the SNP firmware below which the platform cannot go back"),
		count("x-probity-snp-committed-microcode-svn", "the microcode below which the platform cannot go back"),
		count("x-probity-snp-current-snpfw-svn", "the SNP firmware that runs"),
		count("x-probity-snp-current-microcode-svn", "the microcode that runs"),
		count("x-probity-snp-launch-snpfw-svn", "the SNP firmware at launch"),
		count("x-probity-snp-launch-microcode-svn", "the microcode at launch"),
		count("x-probity-snp-guest-policy", "the guest policy as a number"),
		truth("x-probity-snp-smt-enabled", "simultaneous multithreading is on"),
		truth("x-probity-snp-tsme-enabled", "transparent memory encryption is on"),
		truth("x-probity-snp-ecc-memory", "the memory has error correction"),
		truth("x-probity-snp-rapl-disabled", "power measurement is off"),
		truth("x-probity-snp-ciphertext-hiding", "ciphertext of guests is hidden from the host"),
		truth("x-probity-snp-alias-check-complete", "memory was checked for aliases since boot (AMD-SB-3015)"),
		hexed("x-probity-snp-launch-mitigations", "the mitigations at launch, 8 bytes (version 5)"),
		hexed("x-probity-snp-current-mitigations", "the mitigations now, 8 bytes (version 5)"),
		text("x-probity-uvm-issuer", "who endorsed the utility VM (did:x509)"),
		text("x-probity-uvm-feed", "the feed of that endorsement"),
		count("x-probity-uvm-svn", "the security version of that endorsement"),
	)
}

// bound are the claims of types without a TCB status.
func bound() []Term {
	return []Term{
		text("x-ms-attestation-type", "the kind of evidence in the token's words"),
		text("dbgstat", "enabled in debug mode, else disabled"),
		text("x-ms-runtime", "JSON text of the runtime data that the evidence binds (dataType JSON)"),
	}
}

func nitroTerms() []Term {
	terms := append(bound(),
		text("nitro_module_id", "the id of the enclave"),
		count("nitro_timestamp", "when the document was made, in milliseconds since 1970"),
		text("nitro_digest", "SHA384"),
		truth("nitro_debug", "the enclave runs in debug mode: PCR 0, 1 and 2 are zero"),
		hexed("nitro_public_key", "what the enclave put in as public_key"),
		hexed("nitro_user_data", "what the enclave put in as user_data"),
		hexed("nitro_nonce", "what the enclave put in as nonce"))
	for i := range 32 {
		meaning := map[int]string{
			0: "the measurement of the whole image",
			1: "the measurement of kernel and boot ramdisk",
			2: "the measurement of the application",
			3: "the hash of the parent's IAM role",
			4: "the hash of the parent's instance id",
			8: "the hash of the image's signing certificate",
		}[i]
		if meaning == "" {
			meaning = "a register of the application's"
		}
		terms = append(terms, hexed(fmt.Sprintf("nitro_pcr%d", i), meaning))
	}
	return terms
}

func ccaTerms() []Term {
	terms := append(
		bound(),
		text("x-ms-inittime", "JSON text of the init-time data that the evidence binds (dataType JSON)"),
		hexed("cca-platform-config", "the platform's configuration"),
		text("cca-platform-hash-algo-id", "the hash of the platform's measurements"),
		hexed("cca-realm-challenge", "the 64 bytes that the realm put into its token"),
		hexed("cca-realm-personalization-value", "the 64 bytes given at the realm's creation"),
		hexed("cca-realm-initial-measurement", "the measurement of the realm at its start (RIM)"),
		text("cca-realm-hash-algo-id", "the hash of the realm's measurements"),
		hexed("cca-realm-public-key", "the realm's key as it is in the token"),
		text("cca-realm-public-key-hash-algo-id", "the hash that binds the realm's key"),
		count("psa-client-id", "the caller that asked for a PSA token"),
		hexed("psa-boot-seed", "random per boot (PSA)"),
		text("psa-certification-reference", "the certificate of the product (PSA)"),
	)
	for i := range 4 {
		terms = append(terms, hexed(fmt.Sprintf("cca-realm-extensible-measurement-%d", i),
			"what the realm measured at run time"))
	}
	for _, prefix := range []string{"cca-platform-", "psa-"} {
		terms = append(
			terms, text(prefix+"profile", "the profile of the token"),
			hexed(prefix+"challenge", "what the platform's token binds"),
			hexed(prefix+"instance-id", "the platform's instance"),
			hexed(prefix+"implementation-id", "the platform's make"),
			count(prefix+"lifecycle", "the lifecycle state; 0x30xx is secured"),
			text(prefix+"service-indicator", "who can verify the token, by its maker"),
			text(prefix+"sw-components", "JSON text of the measured software components"),
		)
	}
	return terms
}
