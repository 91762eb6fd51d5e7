// Package simulated knows the mark that root certificates of simulated evidence have. Messages name
// such roots, and nothing is trusted for the mark.
package simulated

import (
	"crypto/x509"
	"encoding/asn1"
)

// OID is the extension that marks roots; it is not critical. It is below the arc of UUIDs
// (ITU-T X.667), so that no one else uses it.
func OID() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 25, 1480614, 77} }

// Root reports whether a root says about itself that it is one of simulated evidence.
func Root(root *x509.Certificate) bool {
	for _, e := range root.Extensions {
		if e.Id.Equal(OID()) {
			return true
		}
	}
	return false
}
