package appraisal_test

import (
	"errors"
	"testing"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
)

func TestTCBBaselines(t *testing.T) {
	for name, tc := range map[string]struct {
		value   claims.Value
		number  uint32
		refused bool
	}{
		"a number":       {claims.StringValue("17"), 17, false},
		"the newest":     {claims.StringValue("azuredefault"), 0, false},
		"an integer":     {claims.IntegerValue(17), 0, true},
		"empty":          {claims.StringValue(""), 0, true},
		"zero":           {claims.StringValue("0"), 0, true},
		"a leading zero": {claims.StringValue("017"), 0, true},
		"a sign":         {claims.StringValue("+17"), 0, true},
		"spaces":         {claims.StringValue(" 17"), 0, true},
		"another case":   {claims.StringValue("AzureDefault"), 0, true},
		"too large":      {claims.StringValue("4294967296"), 0, true},
	} {
		number, refused := appraisal.TCBBaseline(map[string]claims.Value{"x-ms-sgx-tcbidentifier": tc.value})
		if number != tc.number || (refused != nil) != tc.refused ||
			tc.refused && !errors.Is(refused, appraisal.CheckTCBIdentifier) {
			t.Errorf("%s: %d, %v", name, number, refused)
		}
	}
	if number, refused := appraisal.TCBBaseline(nil); number != 0 || refused != nil {
		t.Errorf("not set: %d, %v", number, refused)
	}
}
