package collateral

import "github.com/alecthomas/kong"

// LongHelp has the texts of flags that do not fit into their tags, by the names that the tags
// give them.
func LongHelp() kong.Vars {
	return kong.Vars{
		"fileHelp": "Bundle, or other collateral: a JSON set, responses of Intel's service, " +
			"platform_collaterals.json, Open Enclave endorsements, AMD's revocation list, or a " +
			"folder of these.",
		"pckCAHelp": "Issuer of the PCK certificates, with --fmspc: platform or processor.",
	}
}
