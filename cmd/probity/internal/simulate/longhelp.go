package simulate

import "github.com/alecthomas/kong"

// LongHelp has the texts of flags that do not fit into their tags, by the names that the tags
// give them.
func LongHelp() kong.Vars {
	return kong.Vars{
		"machineKeyHelp": "Bind an RSA key of the machine, to which keys are released; it is in machine-key.pem.",
		"signingKeyHelp": "Also write the key that signs reports, with SevSnpVm: probity sidecar --evidence-from " +
			"then makes a report for each call.",
		"tcbHelp": "TCB status of the platform: OutOfDate with SgxEnclave, OpenEnclave, TdxVm and " +
			"SevSnpVm; TDRelaunchAdvised with TdxVm.",
	}
}
