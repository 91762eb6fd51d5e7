package dcap

import "fmt"

// Status is a TCB status as Intel's collateral spells it.
type Status string

// The statuses. The two relaunch statuses arise only when the launch-time and
// the current TCB of a TD are compared; collateral never contains them.
const (
	UpToDate                          Status = "UpToDate"
	SWHardeningNeeded                 Status = "SWHardeningNeeded"
	ConfigurationNeeded               Status = "ConfigurationNeeded"
	ConfigurationAndSWHardeningNeeded Status = "ConfigurationAndSWHardeningNeeded"
	OutOfDate                         Status = "OutOfDate"
	OutOfDateConfigurationNeeded      Status = "OutOfDateConfigurationNeeded"
	Revoked                           Status = "Revoked"

	TDRelaunchAdvised                    Status = "TDRelaunchAdvised"
	TDRelaunchAdvisedConfigurationNeeded Status = "TDRelaunchAdvisedConfigurationNeeded"
)

// parseStatus accepts the statuses that collateral may contain and nothing else.
func parseStatus(s string) (Status, error) {
	switch status := Status(s); status {
	case UpToDate, SWHardeningNeeded, ConfigurationNeeded, ConfigurationAndSWHardeningNeeded,
		OutOfDate, OutOfDateConfigurationNeeded, Revoked:
		return status, nil
	default:
		return "", fmt.Errorf("unknown TCB status %q", s)
	}
}

// converge merges the platform's status with those of its other parts (QE, TDX
// module): a part that is out of date makes the whole out of date, a revoked
// one revokes it (Intel QVL, TCB evaluation).
func converge(platform Status, parts ...Status) Status {
	merged := platform
	for _, part := range parts {
		switch {
		case part == Revoked || merged == Revoked:
			merged = Revoked
		case part != OutOfDate:
		case merged == UpToDate || merged == SWHardeningNeeded:
			merged = OutOfDate
		case merged == ConfigurationNeeded || merged == ConfigurationAndSWHardeningNeeded:
			merged = OutOfDateConfigurationNeeded
		}
	}
	return merged
}
