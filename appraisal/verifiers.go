package appraisal

import (
	"slices"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/cca"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/nitro"
	"github.com/probity-dev/probity/evidence/openenclave"
	"github.com/probity-dev/probity/evidence/ratls"
	"github.com/probity-dev/probity/evidence/sgx"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/tdx"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/evidence/vbs"
)

// Trust is what the verifiers trust, vendor by vendor. Its zero value is for
// production.
type Trust struct {
	Intel dcap.Config
	AMD   snp.Config
	AWS   nitro.Config
	Arm   cca.Config
	TPM   tpm.Config
	Azure azureguest.Config
}

// Verifiers returns a verifier for every kind of evidence that this build
// understands. Intel's kinds share one engine and so one memory of what was
// verified.
func Verifiers(trust Trust) []evidence.Verifier {
	engine := dcap.New(trust.Intel)
	enclaves, domains, guests, tpms := sgx.New(engine), tdx.New(engine,
		trust.AMD.Paravisors...), snp.New(trust.AMD), tpm.New(trust.TPM)
	return []evidence.Verifier{
		enclaves,
		openenclave.New(enclaves),
		domains,
		guests,
		azureguest.New(guests, domains, trust.Azure),
		tpms,
		vbs.New(tpms),
		nitro.New(trust.AWS),
		cca.New(trust.Arm),
	}
}

// Checks lists every check that an appraisal can make.
func Checks() []*evidence.Definition {
	return slices.Concat(dcap.Catalogue(), sgx.Catalogue(), tdx.Catalogue(), openenclave.Catalogue(),
		ratls.Catalogue(), snp.Catalogue(),
		nitro.Catalogue(), cca.Catalogue(), tpm.Catalogue(), vbs.Catalogue(), azureguest.Catalogue(), Catalogue())
}
