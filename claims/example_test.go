package claims_test

import (
	"encoding/json"
	"fmt"

	"github.com/probity-dev/probity/claims"
)

// Read claims by their names, and write them as JSON.
func ExampleSet() {
	set, err := claims.ParseSet([]byte(`{"x-ms-sgx-svn": 3, "dbgstat": "disabled"}`), claims.AttestationService)
	if err != nil {
		fmt.Println(err)
		return
	}
	status, ok := set.Text("dbgstat")
	fmt.Println(status, ok)
	_, ok = set.Text("x-ms-sgx-svn") // a number
	fmt.Println(ok)
	_, ok = set.Text("x-ms-sgx-mrsigner")
	fmt.Println(ok)
	text, err := json.Marshal(set)
	fmt.Println(string(text), err)
	// Output:
	// disabled true
	// false
	// false
	// {"dbgstat":"disabled","x-ms-sgx-svn":3} <nil>
}
