package tpm

import "github.com/probity-dev/probity/evidence"

// The checks of this package, in the order in which they are made. Compare a refusal with them by
// errors.Is.
var (
	checks evidence.Checks

	CheckFormat = checks.Define("tpm.format",
		"the evidence is a request of Azure Attestation's TPM protocol, or logs and quotes alone",
		"collect it with: probity attest --print-evidence FILE")
	CheckVersion = checks.Define("tpm.request.version",
		"the request is of version 2 of the protocol",
		"update the client: send a request of type attReqV2")
	CheckRequest = checks.Define("tpm.request.signature",
		"the request is signed with the request key that it carries",
		"sign the request with PS256 by the key in request_key.jwk, with the type attReqV2")
	CheckChallenge = checks.Define("tpm.challenge",
		"the evidence was made for the challenge that was given",
		"ask for a challenge, and send the request for it before it expires")
	CheckAK = checks.Define("tpm.ak.key",
		"the attestation key is an RSA key of 2048 to 4096 bits, or an ECC key on P-256, P-384 or P-521",
		"make an attestation key of that kind, and send it as aik_pub")
	CheckAKCert = checks.Define("tpm.ak.certificate",
		"the attestation key has a certificate that leads to a trusted authority, or was enrolled here; "+
			"or the policy sets require_valid_aik_cert to false",
		"enrol the key (probity agent enroll), or add its authority: probity tpm roots import FILE; "+
			"on the command line a key can be trusted by name: --trust-key FILE; simulated evidence "+
			"(probity simulate, probity demo) needs its own: --root FILE, or tpm.authorities of a service")
	CheckQuote = checks.Define("tpm.quote.format",
		"the quote is a TPMS_ATTEST of type quote that a TPM made, with a TPMT_SIGNATURE and registers",
		"send the quote as TPM2_Quote returned it")
	CheckQuoteSignature = checks.Define("tpm.quote.signature",
		"the attestation key signed the quote",
		"send quote, signature and attestation key of one TPM")
	CheckNonce = checks.Define("tpm.quote.nonce",
		"the quote's qualifying data bind the challenge, and the request key where the quote is said to bind it",
		"quote with exactly the qualifying data that the protocol asks for")
	CheckSelection = checks.Define("tpm.quote.selection",
		"the registers sent are those that were quoted, of the same banks in the same order, and at least one",
		"send exactly the registers that were quoted")
	CheckDigest = checks.Define("tpm.quote.pcrs",
		"the digest of the registers sent is the one that the TPM signed",
		"read the registers again: one changed between reading and quoting, or was altered")
	CheckBank = checks.Define("tpm.quote.bank",
		"a bank, and the hash of the signature, are stronger than SHA-1, unless the operator accepts SHA-1",
		"turn on the SHA-256 bank in the firmware, or set tpm.sha1")
	CheckCoverage = checks.Define("tpm.quote.coverage",
		"the quote covers the registers that the policy reads (required_pcr_mask; all unless it is set)",
		"quote more registers, or set required_pcr_mask in the policy to those that it reads")
	CheckKeyCertified = checks.Define("tpm.key.certified",
		"the request key, where it is said to be in the TPM, and every other key were certified by the "+
			"attestation key for this challenge",
		"certify the key with the attestation key and the challenge as qualifying data")
	CheckLog = checks.Define("tpm.event-log",
		"replaying the logs gives the quoted registers, and the logs are well-formed",
		"send the whole log of the running system, read after the last boot, and a quote that is no older")
	CheckHibernation = checks.Define("tpm.boot.cycle",
		"a quote from before hibernation comes with the log of Windows's resume application, is by the "+
			"same key, covers the same registers, and is of the same cycle of power and of an "+
			"earlier restart",
		"send boot_attestation only after a resume from hibernation, and the quote that was saved before it")
)

// Catalogue lists the checks of this package.
func Catalogue() []*evidence.Definition { return checks.All() }
