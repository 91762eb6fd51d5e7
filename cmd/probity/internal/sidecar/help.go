package sidecar

import (
	"github.com/alecthomas/kong"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// Page is what --help says about the command.
func (Command) Page() term.Page {
	return term.Page{
		About: `Answers the calls of Microsoft's side-car for secure key release, so that pods that were written for
Azure's confidential containers run elsewhere as they are:

  GET  /status
  POST /attest/raw        a report of this guest over runtime data
  POST /attest/combined   the report with what verifies it
  POST /attest/maa        a token of the attestation service maa_endpoint
  POST /key/release       a key of the vault akv_endpoint, as a JSON Web Key

Evidence comes from this guest (SEV-SNP or TDX, by the kernel's configfs-tsm). A key is released to an RSA
key that is made for the call, and the answer is verified under --ca before it is passed on.

Who can call gets the keys: the address is one of this guest alone, unless --allow-remote says otherwise.`,
		Examples: `
probity sidecar --ca /etc/probity/ca.pem
probity sidecar --endpoint keys.example.org --bearer-file /run/secrets/vault-token
probity sidecar --listen localhost:9000 --security-context /security-context-abc
probity simulate SevSnpVm --signing-key --out guest
probity sidecar --ca probity-data/ca.pem --evidence-from guest`,
		Yes:     "the side-car was asked to stop",
		Trouble: "the side-car could not start",
	}
}

// LongHelp has the texts of flags that do not fit into their tags, by the names that the tags
// give them.
func LongHelp() kong.Vars {
	return kong.Vars{
		"sidecarCAHelp": "PEM file with the CA of the attestation service and of the vault, also of the " +
			"certificate that signs released keys, instead of the system's.",
		"sidecarBearerHelp": "File with the access token for the vault, for calls without access_token; it is " +
			"read each time. It needs --endpoint.",
		"endpointHelp": "Endpoint that calls may name, as they name it: HOST, HOST:PORT or HOST/p/PROVIDER; may " +
			"be repeated. By default all.",
		"contextHelp": "Folder with host-amd-cert-base64 and reference-info-base64, as hosts of confidential " +
			"containers hand them out; by default that of UVM_SECURITY_CONTEXT_DIR.",
		"certsHelp": "File with the certificate of the processor's key and its chain, for hosts that send " +
			"none: PEM, DER, or the JSON of Azure's host.",
		"evidenceFromHelp": "For tests: reports signed by the key of this folder, which probity simulate " +
			"SevSnpVm --signing-key wrote, instead of the processor's.",
	}
}
