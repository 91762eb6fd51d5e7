// Package policy is the attestation policy language of Microsoft Azure
// Attestation, versions 1.0, 1.1 and 1.2: claim rules that read what is known
// of an attester, decide whether it is accepted, and choose what its token
// says.
//
// [Parse] reads and checks a policy; [Policy.Evaluate] applies it to a claim
// set and gives the verdict, the issued claims and a [Trace] of every rule.
// [Lint] finds what an author of a policy for one attestation type probably did
// not mean, [Format] writes a policy in one form, comments included, and
// [Explain] puts it into plain words.
// [Policy.Settings] reads the configuration rules, which steer the appraisal
// itself. [Default] gives the policy that is in force when none was set, and
// [Hash] the value of the claim x-ms-policy-hash.
//
// A policy cannot loop, call out or read a clock: its work is bounded by its
// size and that of the claims. The package does not verify evidence and knows
// nothing about tokens, except which members a policy may not forge.
package policy
