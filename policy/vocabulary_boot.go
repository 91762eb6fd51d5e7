package policy

import "slices"

func guestTerms() []Term {
	const prefix = "x-ms-azurevm-"
	terms := []Term{truth("secureboot", "secure boot is on"), text("x-ms-attestation-type", "azurevm"),
		count(prefix+"attested-pcrs", "a PCR that the quote covers; one claim for each")}
	for _, name := range []string{
		"default-securebootkeysvalidated", "debuggersdisabled", "signingdisabled", "dbvalidated",
		"dbxvalidated", "bootdebug-enabled",
		"hypervisordebug-enabled", "kerneldebug-enabled",
		"testsigning-enabled", "flightsigning-enabled", "elam-enabled", "is-windows",
	} {
		terms = append(terms, truth(prefix+name, "from the guest's measured boot: "+name))
	}
	for _, name := range []string{"hvci-policy", "osversion-major", "osversion-minor"} {
		terms = append(terms, count(prefix+name, "from the guest: "+name))
	}
	for _, name := range []string{
		"vmid", "osbuild", "osdistro", "ostype", "attestation-protocol-ver", "os-provisioning",
	} {
		terms = append(terms, text(prefix+name, "from the guest: "+name))
	}
	terms = append(terms,
		text("x-ms-isolation-tee", "JSON text of the claims about the hardware, for confidential machines"),
		text("x-ms-runtime", "JSON text of the ephemeral key and of what the client sent"))
	terms = append(terms, bootTerms()...)
	terms = append(terms, policyOnly(text("x-probity-azurevm-isolation",
		"TrustedLaunch, SevSnp or Tdx: what vouches for the attestation key, "+
			"a certificate or the hardware"))...)
	// A policy reads the hardware's claims under their own names too.
	return slices.Concat(terms, policyOnly(slices.Concat(snpTerms(), tdxTerms())...))
}

// bootTerms are the claims that measured boot gives.
func bootTerms() []Term {
	return policyOnly(
		text("events", "JSON text of the replayed event log: {\"Events\":[…]}"),
		text("pcrs", "JSON text of the PCRs (read-only): {\"PCRs\":[…]}"),
		text("x-probity-boot-not-secure", "why secure boot is not proven to be on; absent if it is"),
		text("x-probity-boot-kernel-command-line",
			"the command line of the kernel, as the boot loader measured it"),
	)
}

func tpmTerms() []Term {
	terms := []Term{
		text("x-ms-attestation-type", "tpm, or vbs for enclaves"),
		text("x-ms-tpm-request-key", "JSON text of the request key"),
		text("cnf", "JSON text of the attested key (RFC 7800)"),
		text("rp_data", "what the relying party gave, in base64url"),
	}
	return slices.Concat(terms, bootTerms(), policyOnly(
		truth("aikValidated", "the attestation key's certificate is valid"),
		text("aikPubHash", "base64 SHA-256 of the attestation key"),
		count("tpmVersion", "the version of the TPM"), truth("secureBootEnabled", "secure boot was on"),
		truth("iommuEnabled", "the IOMMU was on"),
		truth("bootDebuggingDisabled", "boot debugging was off"),
		truth("notSafeMode", "the system did not boot into safe mode"),
		truth("notWinPE", "the system did not boot WinPE"),
		truth("vbsEnabled", "virtualization-based security was on"),
		truth("vbsReportPresent", "a VBS enclave report came along"),
		truth("vsmReportPresent", "former name of vbsReportPresent"),
		text("bootEvents", "JSON text of the events before hibernation"),
		text("x-ms-tpm-other-keys", "JSON text of the other keys"),
		hexed("x-probity-tpm-ek", "the SHA-256 of the endorsement key that an enrolled key was bound to"),
		count("x-probity-tpm-explained-pcr", "a PCR whose value the logs lead to; one claim for each"),
		count("x-probity-tpm-reset-count", "how often the TPM was reset"),
		count("x-probity-tpm-restart-count", "how often it was restarted or resumed"),
		count("x-probity-tpm-clock", "how many milliseconds it has run"),
		hexed("x-probity-tpm-firmware", "the version of its firmware"),
	))
}

func vbsTerms() []Term {
	return policyOnly(
		text("enclaveAuthorId", "base64url of the enclave's author"),
		text("enclaveImageId", "base64url of the enclave's image id"),
		text("enclaveOwnerId", "base64url of the enclave's owner"),
		text("enclaveFamilyId", "base64url of the enclave's family"),
		count("enclaveSvn", "the enclave's security version"),
		count("enclavePlatformSvn", "the platform's security version"),
		count("enclaveFlags", "the enclave's flags: 1 full debug, 2 dynamic debug, 4 dynamic debug active"),
		text("x-probity-vbs-unique-id", "base64url of the enclave's contents (UniqueId)"),
		count("x-probity-vbs-secure-kernel-svn", "the secure kernel's security version"),
	)
}
