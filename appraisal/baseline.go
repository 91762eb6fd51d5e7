package appraisal

import (
	"strconv"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
)

// TCBBaseline returns the TCB evaluation data number that the configuration rules of a policy
// pin (the property x-ms-sgx-tcbidentifier, see [policy.Policy.Settings]); 0 stands for the
// newest one available. A value that is neither "azuredefault" nor such a number in decimal
// digits is refused.
func TCBBaseline(settings map[string]claims.Value) (number uint32, refused *evidence.Rejection) {
	value, pinned := settings["x-ms-sgx-tcbidentifier"]
	text, _ := value.Text()
	if !pinned || text == "azuredefault" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != text {
		return 0, &evidence.Rejection{Cause: err,
			Check: CheckTCBIdentifier.Failed("azuredefault or a TCB evaluation data number", value.String())}
	}
	return uint32(n), nil
}
