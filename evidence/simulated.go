package evidence

import (
	"crypto/x509"
	"encoding/asn1"
)

// OIDSimulated marks root certificates of simulated evidence, in an extension that is
// not critical. It is below the arc of UUIDs (ITU-T X.667), so that no one else uses it.
func OIDSimulated() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 25, 1480614, 77} }

// Simulated reports whether a root says about itself that it is one of simulated evidence.
// Messages name it then; nothing is trusted for it.
func Simulated(root *x509.Certificate) bool {
	for _, e := range root.Extensions {
		if e.Id.Equal(OIDSimulated()) {
			return true
		}
	}
	return false
}
