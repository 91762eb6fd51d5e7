// Package token makes and checks attestation results: JSON Web Tokens (RFC
// 7519) in the form of Microsoft Azure Attestation, the key set (RFC 7517) and
// discovery document that relying parties read, and the service's self-signed
// instance certificate.
//
// Relying parties start with [Verify], which checks signature, issuer and times
// with the [KeySet] of the issuer, at a time that the caller names; client.Verify
// also fetches the keys. Issuers start with [NewSigner]; an [Attestation] is the
// content of a token, and [Keys] the key set to publish. What clients submit
// about policies is in package policyjws.
//
// The package does not decide who deserves a token, and it fetches nothing:
// keys come from the caller, never from a token's own header.
package token
