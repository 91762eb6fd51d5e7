// Package policyjws reads and makes what clients of the service submit about policies: a
// policy, its reset, and the certificates of those who may sign policies, each as a compact
// JWS (RFC 7515), signed or unsecured, in the form of Microsoft Azure Attestation.
//
// [Parse] and [ParseCertificate] read a submission and verify its signature; [Wrap],
// [WrapReset] and [WrapCertificate] make one. A [Binding] says what a change was signed
// for, so that it cannot be submitted for something else, elsewhere, later or again.
//
// The package does not decide who may sign: the provider compares the signer's
// certificates with those that are registered.
package policyjws
