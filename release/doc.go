// Package release is secure key release: it decides whether the token of an attested machine
// opens a key, by the release policy grammar of Azure Key Vault and Managed HSM, version 1.0.0,
// and finds the key of the machine to which the released key is wrapped.
//
// Start with [Parse], which reads a policy strictly and lists every problem with its place, and
// [ParseClaims], which reads the payload of a token that package token has verified.
// [Policy.Evaluate] applies one to the other and gives a [Decision]: whether the policy is
// satisfied, the reason in one line, and every condition with what was expected and found.
// [Policy.Lint] warns of policies that no token can satisfy. [Claims.WrappingKey] is the key of
// the machine.
//
// Package keywrap wraps the released key, and package document is the signed answer that carries
// it. This package does not verify tokens: a token must be verified, and its issuer known, before
// its claims are worth anything.
package release
