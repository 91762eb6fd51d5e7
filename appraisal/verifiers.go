package appraisal

import (
	"slices"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/openenclave"
	"github.com/probity-dev/probity/evidence/sgx"
)

// Verifiers returns a verifier for every kind of evidence that this build
// understands. Intel's kinds share one engine and so one memory of what was
// verified.
func Verifiers(intel dcap.Config) []evidence.Verifier {
	quotes := sgx.New(dcap.New(intel))
	return []evidence.Verifier{
		quotes,
		openenclave.New(quotes),
	}
}

// Checks lists every check that an appraisal can make.
func Checks() []evidence.Definition {
	return slices.Concat(dcap.Catalogue(), sgx.Catalogue(), openenclave.Catalogue(), Catalogue())
}
