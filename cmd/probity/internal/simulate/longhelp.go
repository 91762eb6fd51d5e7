package simulate

import "github.com/alecthomas/kong"

// LongHelp has the texts of flags that do not fit into their tags, by the names that the tags
// give them.
func LongHelp() kong.Vars {
	return kong.Vars{
		"tcbHelp": "TCB status of the platform: OutOfDate with SgxEnclave, OpenEnclave, TdxVm and " +
			"SevSnpVm; TDRelaunchAdvised with TdxVm.",
	}
}
