package appraisal

import (
	"slices"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/openenclave"
	"github.com/probity-dev/probity/evidence/sgx"
	"github.com/probity-dev/probity/evidence/tdx"
)

// Verifiers returns a verifier for every kind of evidence that this build
// understands. Intel's kinds share one engine and so one memory of what was
// verified.
func Verifiers(intel dcap.Config) []evidence.Verifier {
	engine := dcap.New(intel)
	enclaves := sgx.New(engine)
	return []evidence.Verifier{
		enclaves,
		openenclave.New(enclaves),
		tdx.New(engine),
	}
}

// Checks lists every check that an appraisal can make.
func Checks() []evidence.Definition {
	return slices.Concat(dcap.Catalogue(), sgx.Catalogue(), tdx.Catalogue(), openenclave.Catalogue(), Catalogue())
}
