// Package tpm verifies what a TPM 2.0 attests: quotes, certified keys, the
// attestation key (AK) and its certificate, and the logs of measured boot that
// the quoted registers vouch for. It states the claims of Azure Attestation's
// TPM type.
//
// Start with [New] and [Verifier.Verify]. The flow is: message, proof of possession of the
// request key, challenge, AK, quote, registers, logs, keys, claims. [Quote],
// [Public] and [Certificate] serve other kinds of evidence that have a TPM in
// them; [MakeCredential] and [ActivatedBy] are the verifier's part of binding an
// AK to a TPM's endorsement key.
//
// It does not judge a boot: what is measured are claims for a policy. It does not look
// for revocation of keys, and says nothing of registers that no log explains.
//
// Structures are those of the TPM 2.0 Library, part 2; all are read strictly, and
// what a signature covers is read from the very bytes it covers.
package tpm
