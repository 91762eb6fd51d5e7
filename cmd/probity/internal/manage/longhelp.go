package manage

import "github.com/alecthomas/kong"

// LongHelp has the texts of flags that do not fit into their tags, by the names that the tags
// give them.
func LongHelp() kong.Vars {
	return kong.Vars{
		"exportHelp": "Verify this export instead of a database; --data or --config then names the data " +
			"directory whose key verifies it.",
		"forHelp": "What they certify: attestation (keys that sign quotes) or endorsement (TPMs that may" +
			" enrol).",
		"nowHelp": "Sign with the new key at once. Clients that hold key sets may refuse its tokens " +
			"until they fetch the key set again.",
		"publicNetworkAccessHelp": "Enabled: clients of any network; Disabled: of private networks only.",
		"signerHelp": "PEM files with certificates that may sign policies; with any, the provider is " +
			"Isolated.",
		"tpmAuthenticationHelp": "Enabled, the default: only callers with the role reader may attest TPMs; Disabled: " +
			"anyone may.",
	}
}
