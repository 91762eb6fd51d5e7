package tenant

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/internal/jsonerror"
	"github.com/probity-dev/probity/internal/spelling"
	"github.com/probity-dev/probity/token"
)

// Settings are what a provider may choose for itself. The zero value is that of
// Azure's service.
type Settings struct {
	// TCB is the accepted TCB statuses, separated by commas. Empty means the
	// service's.
	TCB string `json:"tcb,omitzero"`
	// Explain lets clients see, rule by rule, why a policy denied.
	Explain bool `json:"explainDenials,omitzero"`
	// Algorithm signs tokens: RS256 (the default), PS256, ES256, ES384 or EdDSA.
	Algorithm string `json:"signingAlgorithm,omitzero"`
	// OwnKeys gives the provider keys that no other one signs with.
	OwnKeys bool `json:"ownKeys,omitzero"`
	// MaxValidity caps what policies may ask for with report_validity_in_minutes,
	// in minutes. Zero means the service's cap.
	MaxValidity int `json:"maxTokenValidityMinutes,omitzero"`
	// Audience, if not empty, stands in tokens as aud; Azure's have none.
	Audience []string `json:"audience,omitzero"`
	// Subject, if not empty, is the claim whose value stands in tokens as sub.
	Subject string `json:"subjectClaim,omitzero"`
	// Rate is how many attestations a second are taken, Burst how many at once
	// above that, Concurrent how many run at the same time. Zero means the
	// service's default.
	Rate       float64 `json:"requestsPerSecond,omitzero"`
	Burst      int     `json:"burst,omitzero"`
	Concurrent int     `json:"concurrent,omitzero"`
	// Ledger is "failClosed": no token without an entry in the ledger; or "count":
	// entries that find no place are counted as lost. Empty means "count".
	Ledger string `json:"ledger,omitzero"`
	// Retention is for how many days the text of the ledger's entries is kept. Zero
	// means for ever.
	Retention int `json:"ledgerRetentionDays,omitzero"`
	// Approvals is how many callers must agree to a change of a policy, the one who
	// proposes it included. Zero and one mean that nobody else must.
	Approvals int `json:"approvals,omitzero"`
}

// Modes of the ledger.
const (
	LedgerFailClosed = "failClosed"
	LedgerCount      = "count"
)

// ReadSettings reads settings strictly.
func ReadSettings(text jsontext.Value) (Settings, error) {
	var s Settings
	if len(text) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(text, &s, json.RejectUnknownMembers(true)); err != nil {
		return s, errors.New(jsonerror.Text(err))
	}
	return s, s.check()
}

var claimName = regexp.MustCompile(`^[!-~]{1,128}$`)

// maxValidity is the longest that a token may be good for.
const maxValidity = 365 * 24 * time.Hour

func (s *Settings) check() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if _, err := appraisal.ParseTCBPolicy(s.TCB); err != nil {
		problem("tcb: %w", err)
	}
	if s.Algorithm != "" && !slices.Contains(token.Algorithms(), s.Algorithm) {
		problem("signingAlgorithm: %q; want one of %s; did you mean %s?", s.Algorithm, strings.Join(token.Algorithms(), ", "), spelling.Nearest(s.Algorithm, token.Algorithms()))
	}
	if s.Ledger != "" && s.Ledger != LedgerFailClosed && s.Ledger != LedgerCount {
		problem("ledger: %q; want %s or %s", s.Ledger, LedgerFailClosed, LedgerCount)
	}
	if s.MaxValidity < 0 || time.Duration(s.MaxValidity)*time.Minute > maxValidity {
		problem("maxTokenValidityMinutes: %d; want 0 to %d", s.MaxValidity, int(maxValidity/time.Minute))
	}
	if s.Rate < 0 || s.Burst < 0 || s.Concurrent < 0 || s.Retention < 0 || s.Approvals < 0 || s.Approvals > 16 {
		problem("a number is negative, or approvals are more than 16")
	}
	if s.Subject != "" && !claimName.MatchString(s.Subject) {
		problem("subjectClaim: %q is not the name of a claim", s.Subject)
	}
	if len(s.Audience) > 16 || slices.ContainsFunc(s.Audience, func(a string) bool { return a == "" || len(a) > 256 }) {
		problem("audience: at most 16 of 1 to 256 characters")
	}
	return errors.Join(problems...)
}

// algorithm is the one that signs.
func (s *Settings) algorithm() string {
	if s.Algorithm == "" {
		return "RS256"
	}
	return s.Algorithm
}
