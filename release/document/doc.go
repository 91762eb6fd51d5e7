// Package document is the answer that releases a key: a compact JWS (RFC 7515) in the form of Azure Key
// Vault and Managed HSM, which repeats the request and contains the key, wrapped to the key of an
// attested machine.
//
// A service fills a [Document], wraps the key into it with [Document.Seal], and signs it with a
// [Signer]. A client starts with [Verify], which checks the signature, the certificates and that the
// answer is for its own request, and then calls [Document.Open] with its private key, which gives the
// [Material].
//
// The package does not decide whether a key is released: package release does.
package document
