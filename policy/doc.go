// Package policy is the attestation policy language of Microsoft Azure
// Attestation, versions 1.0, 1.1 and 1.2: claim rules that read what is known
// of an attester, decide whether it is accepted, and choose what its token
// says.
//
// Start with [Parse], which reads and checks a policy, and [Policy.Evaluate],
// which applies it to a claim set and gives an [Outcome]: whether it permits, the
// issued claims, and a [Trace] of every rule, whose [Trace.Reason] says in one
// line why. Package appraisal does both with evidence.
//
// For authors, [Lint] finds what one probably did not mean, [Vocabulary] lists the
// claims of an attestation type, [Explain] puts a policy into plain words, and
// [Format] writes it in one form, comments included. [Policy.Settings] reads the
// configuration rules, which steer the appraisal itself. [Default] gives the policy
// that is in force when none was set, and [Hash] the value of the claim
// x-ms-policy-hash.
//
// A policy cannot loop, call out or read a clock: its work is bounded by its
// size and that of the claims. The package does not verify evidence and knows
// nothing about tokens, except which members a policy may not forge.
package policy
