package provider

import (
	"fmt"
	"slices"
	"strings"

	"github.com/probity-dev/probity/appraisal"
)

// baselineHeld refuses a policy that pins a TCB baseline without available collateral: no
// evidence could pass it.
func (r *Registry) baselineHeld(in *PolicyInForce) error {
	if r.cfg.Baselines == nil {
		return nil
	}
	settings, err := in.Policy.Settings()
	if err != nil {
		return err
	}
	number, refused := appraisal.TCBBaseline(settings)
	if number == 0 && refused == nil {
		return nil
	}
	var held []string
	for _, about := range r.cfg.Baselines() {
		if refused == nil && about.EvaluationNumber == number {
			return nil
		}
		if n := fmt.Sprint(about.EvaluationNumber); !slices.Contains(held, n) {
			held = append(held, n)
		}
	}
	found := fmt.Sprint(number)
	if refused != nil {
		found = refused.Check.Found
	}
	return refuse(Invalid, appraisal.CheckTCBIdentifier,
		"azuredefault, or a TCB evaluation data number with collateral: "+strings.Join(held, ", "), found,
		"provide collateral of that number first")
}
