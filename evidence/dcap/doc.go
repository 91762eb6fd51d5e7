// Package dcap verifies what Intel's DCAP quotes have in common, for SGX and
// TDX alike: quote formats 3, 4 and 5, the PCK certificate chain, revocation
// lists, TCB info (versions 2 and 3), the quoting enclave's identity, the
// binding of the attestation key, and the platform's TCB level.
//
// [ParseQuote] reads a quote. [Verifier.Verify] proves it against collateral
// and returns a [Proof]. The packages sgx, openenclave and tdx turn proofs into
// claims; they add no second engine.
//
// A proof states the TCB status as a fact: everything but Revoked is returned,
// and the caller judges it. Measurements, debug flags and report data of the
// attested body are not judged here either. There is no network, no clock and
// no configuration other than the root of trust.
package dcap
