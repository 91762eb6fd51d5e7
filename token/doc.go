// Package token makes and checks attestation results: JSON Web Tokens (RFC
// 7519) in the form of Microsoft Azure Attestation, the key set (RFC 7517) and
// discovery document that relying parties read, and the service's self-signed
// instance certificate.
//
// A [Signer] signs; an [Attestation] is the content of an attestation token;
// [Verify] checks a token as a relying party does.
//
// The package does not decide who deserves a token, and it fetches nothing:
// keys come from the caller, never from a token's own header.
package token
