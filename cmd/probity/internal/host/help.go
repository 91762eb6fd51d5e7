package host

import "github.com/probity-dev/probity/cmd/probity/internal/term"

// What --help says about each command of this package.

func (AttestCommand) Page() term.Page {
	return term.Page{
		About: `Collects evidence of this host, has it appraised, and prints the token.

A TPM's attestation key is made at the first use and kept in --state, encrypted by the TPM. A
service takes it once it has a certificate, or was enrolled: probity agent enroll.

With --exec, the exit code is that of the command after --.`,
		Examples: `
probity attest --service https://attest.example.org --out token.jwt
probity attest --service https://attest.example.org --nonce "$NONCE" --exec -- ./server --listen :8080
probity attest --tpm tcp:127.0.0.1:2321 --state ./state --print-evidence evidence.json --nonce challenge
probity verify evidence Tpm evidence.json --challenge challenge --root roots.pem`,
		Yes:     "the host was attested",
		No:      "the service refused, with the check that failed",
		Trouble: "no verdict: wrong usage, no evidence, or the service cannot be reached",
	}
}

func (agentEnrollCommand) Page() term.Page {
	return term.Page{
		About: `The service checks the endorsement key of the TPM, which its maker certified, and seals a secret
that only this TPM can open, and only while it contains the attestation key. Once it was opened,
evidence by that key is accepted. The name belongs to the first TPM that takes it.`,
		Examples: "probity agent enroll --service https://attest.example.org",
		Yes:      "the key is enrolled",
		No:       "the service refused, with the check that failed",
		Trouble:  "no verdict: wrong usage, no TPM, or the service cannot be reached",
	}
}

func (agentRunCommand) Page() term.Page {
	return term.Page{
		About: `States: pending (nothing was attested yet), healthy, unhealthy (the service refused; the token is
removed), unreachable (the service or the evidence was not available; the last token stays until it
expires). Each change is in the log with the failed check.`,
		Examples: `
probity agent run --service https://attest.example.org --health localhost:9797
probity agent run --service https://attest.example.org --bearer-file bearer-token \
  --out /run/probity/token --every 30m`,
		Yes:     "the agent was asked to stop",
		Trouble: "the agent could not start",
	}
}

func (UnlockCommand) Page() term.Page {
	return term.Page{
		About: `Makes a key for this call alone, attests with it, has the key released to it, verifies the answer and
unwraps it. A guest on Azure uses the key of its TPM instead. Nothing is written, and no command runs,
unless all of it succeeded.

The key is the bytes of a symmetric key, or PKCS #8 in PEM. It is never in arguments, in the
environment or in the output. With --exec, the exit code is that of the command after --.`,
		Examples: `
probity key unlock disk --service https://attest.example.org --out /run/disk.key
probity key unlock disk --service https://attest.example.org --exec -- \
  cryptsetup open --key-file - /dev/sdb1 data
probity key unlock tls --service https://attest.example.org --fd 3 --exec -- ./server --key /dev/fd/3`,
		Yes:     "the key was released to this host",
		No:      "the service refused, with the check that failed",
		Trouble: "there is no key: wrong usage, no evidence, or the service cannot be reached",
	}
}
