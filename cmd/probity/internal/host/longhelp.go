package host

import "github.com/alecthomas/kong"

// LongHelp has the texts of flags that do not fit into their tags, by the names that the tags
// give them.
func LongHelp() kong.Vars {
	return kong.Vars{
		"healthHelp": "Address at which the agent says how it is, for instance localhost:9797: 200 while " +
			"healthy, otherwise 503.",
		"hostKindHelp": "Attestation type: Tpm, AzureGuest, SevSnpVm, TdxVm; by default what the host has.",
		"nonceHelp": "Text that comes back in the token: rp_data of a TPM's, nonce of a guest's. Without " +
			"--service it is the challenge: text, or hex:HEX.",
		"outHelp": "File in which the token is kept, for its owner alone; by default /run/probity/token." +
			" It is removed when the service refuses.",
		"printEvidenceHelp": "Write the evidence to this file, which verify evidence reads; without --service " +
			"nothing is sent.",
		"runtimeDataHelp": "File with the data that the report of a guest binds, or that come back in the token " +
			"of an Azure guest (JSON).",
		"serviceHelp": "URL of the attestation service; by default that of $PROBITY_URL, unless --print-evidence " +
			"is given.",
		"stateHelp": "Folder in which the attestation key is kept; by default /var/lib/probity.",
		"tpmHelp": "TPM device, or the socket of a simulator: tcp:HOST:PORT, unix:PATH; by default " +
			"/dev/tpmrm0.",
	}
}
