package tpm

import "github.com/probity-dev/probity/evidence"

const (
	checkFormat         = "tpm.format"
	checkVersion        = "tpm.request.version"
	checkRequest        = "tpm.request.signature"
	checkChallenge      = "tpm.challenge"
	checkAK             = "tpm.ak.key"
	checkAKCert         = "tpm.ak.certificate"
	checkQuote          = "tpm.quote.format"
	checkQuoteSignature = "tpm.quote.signature"
	checkNonce          = "tpm.quote.nonce"
	checkSelection      = "tpm.quote.selection"
	checkDigest         = "tpm.quote.pcrs"
	checkBank           = "tpm.quote.bank"
	checkCoverage       = "tpm.quote.coverage"
	checkKeyCertified   = "tpm.key.certified"
	checkLog            = "tpm.event-log"
	checkHibernation    = "tpm.boot.cycle"
)

// Catalogue lists the checks of this package.
func Catalogue() []evidence.Definition {
	return []evidence.Definition{
		{ID: checkFormat, Meaning: "the evidence is a request of Azure Attestation's TPM protocol, or logs and quotes alone", Remedy: "collect it with: probity attest --print-evidence FILE"},
		{ID: checkVersion, Meaning: "the request is of version 2 of the protocol", Remedy: "update the client: send a request of type attReqV2"},
		{ID: checkRequest, Meaning: "the request is signed with the request key that it carries", Remedy: "sign the request with PS256 by the key in request_key.jwk, with the type attReqV2"},
		{ID: checkChallenge, Meaning: "the evidence was made for the challenge that was given", Remedy: "ask for a challenge, and send the request for it before it expires"},
		{ID: checkAK, Meaning: "the attestation key is an RSA key of 2048 to 4096 bits, or an ECC key on P-256, P-384 or P-521", Remedy: "make an attestation key of that kind, and send it as aik_pub"},
		{ID: checkAKCert, Meaning: "the attestation key has a certificate that leads to a trusted authority, or was enrolled here; or the policy sets require_valid_aik_cert to false", Remedy: "enrol the key (probity agent enroll), or add its authority: probity tpm roots import FILE; on the command line a key can be trusted by name: --trust-key FILE; simulated evidence (probity simulate, probity demo) needs its own: --root FILE, or tpm.authorities of a service"},
		{ID: checkQuote, Meaning: "the quote is a TPMS_ATTEST of type quote that a TPM made, with a TPMT_SIGNATURE and registers", Remedy: "send the quote as TPM2_Quote returned it"},
		{ID: checkQuoteSignature, Meaning: "the attestation key signed the quote", Remedy: "send quote, signature and attestation key of one TPM"},
		{ID: checkNonce, Meaning: "the quote's qualifying data bind the challenge, and the request key where the quote is said to bind it", Remedy: "quote with exactly the qualifying data that the protocol asks for"},
		{ID: checkSelection, Meaning: "the registers sent are those that were quoted, of the same banks in the same order, and at least one", Remedy: "send every register that was quoted, and no other"},
		{ID: checkDigest, Meaning: "the digest of the registers sent is the one that the TPM signed", Remedy: "read the registers again: one changed between reading and quoting, or was altered"},
		{ID: checkBank, Meaning: "a bank, and the hash of the signature, are stronger than SHA-1, unless the operator accepts SHA-1", Remedy: "turn on the SHA-256 bank in the firmware, or set tpm.sha1"},
		{ID: checkCoverage, Meaning: "the quote covers the registers that the policy reads (required_pcr_mask; all unless it is set)", Remedy: "quote more registers, or set required_pcr_mask in the policy to those that it reads"},
		{ID: checkKeyCertified, Meaning: "the request key, where it is said to be in the TPM, and every other key were certified by the attestation key for this challenge", Remedy: "certify the key with the attestation key and the challenge as qualifying data"},
		{ID: checkLog, Meaning: "replaying the logs gives the quoted registers, and the logs are well-formed", Remedy: "send the whole log of the running system, read after the last boot, and a quote that is no older"},
		{ID: checkHibernation, Meaning: "a quote from before hibernation comes with the log of Windows's resume application, is by the same key, covers the same registers, and is of the same cycle of power and of an earlier restart", Remedy: "send boot_attestation only after a resume from hibernation, and the quote that was saved before it"},
	}
}

// QuoteIDs are the ids of a quote's checks.
func QuoteIDs() QuoteChecks {
	return QuoteChecks{checkQuote, checkQuoteSignature, checkSelection, checkDigest, checkBank}
}
