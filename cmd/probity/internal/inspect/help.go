package inspect

import "github.com/probity-dev/probity/cmd/probity/internal/term"

// What --help says about each command of this package.

func (Command) Page() term.Page {
	return term.Page{
		About: `Knows SGX and TDX quotes, SEV-SNP reports, UVM endorsements, Nitro documents, CCA and PSA tokens,
evidence of TPMs and Azure guests, of confidential containers (Trustee), reports of Azure's
paravisor, logs of measured boot (TCG, IMA), collateral bundles, Open Enclave reports, evidence and
endorsements, certificates and CRLs (PEM or DER), collateral, TCB info, enclave identities, tokens
and policies. It verifies nothing: what it prints is what the file says about itself.

JSON has the names of the vendors' documents, with numbers, booleans and lists as such; bytes are
hex.`,
		Examples: `
probity inspect quote.bin
probity inspect token.jwt --format json`,
		Yes:     "the file is decoded",
		Trouble: "the file is of no known form, or cannot be read",
	}
}
