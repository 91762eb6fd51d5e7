// Package settings is what a provider may choose for itself, read strictly and within bounds.
package settings

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
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/strict/bounds"
	"github.com/probity-dev/probity/token"
	"github.com/probity-dev/probity/wording/jsonerror"
	"github.com/probity-dev/probity/wording/spelling"
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
	// MaxValidity caps how long tokens are valid, in minutes. Zero means the service's cap.
	MaxValidity int `json:"maxTokenValidityMinutes,omitzero"`
	// Audience, if not empty, is in tokens as aud; Azure's have none.
	Audience []string `json:"audience,omitzero"`
	// Subject, if not empty, is the claim whose value is in tokens as sub.
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
	// means forever.
	Retention int `json:"ledgerRetentionDays,omitzero"`
	// BoundChanges, at an Isolated provider, takes only signed changes that say what
	// they are for: purpose, provider, type, version, time (policyjws.Binding).
	BoundChanges bool `json:"requireBoundChanges,omitzero"`
	// Approvals is how many callers must agree to a change of a policy, the one who
	// proposes it included. Zero and one mean that no other caller must.
	Approvals int `json:"approvals,omitzero"`
	// Vault is about the release of keys.
	Vault Vault `json:"vault,omitzero"`
}

// Vault is what a provider may choose about the release of its keys.
type Vault struct {
	// Challenge wants the attestation to answer a challenge of POST /keys:challenge: "token" takes the
	// nonce of the request for attestation or of the runtime data, "evidence" that of the runtime data
	// alone, which the evidence covers. Empty wants none.
	Challenge string `json:"challenge,omitzero"`
	// Once lets a token release a version of a key once.
	Once bool `json:"releaseOnce,omitzero"`
	// MinimumWrapping is the weakest wrapping that is accepted, for instance RSA_AES_KEY_WRAP_256. Empty
	// accepts all.
	MinimumWrapping string `json:"minimumWrapping,omitzero"`
	// Explain shows callers which condition of a release policy failed.
	Explain bool `json:"explainReleases,omitzero"`
	// Anonymous releases keys to callers without a credential: the release policy decides alone.
	Anonymous bool `json:"anonymousRelease,omitzero"`
}

// Modes of [Vault.Challenge].
const (
	ChallengeToken    = "token"
	ChallengeEvidence = "evidence"
)

// Modes of the ledger.
const (
	LedgerFailClosed = "failClosed"
	LedgerCount      = "count"
)

// Read reads settings strictly.
func Read(text jsontext.Value) (Settings, error) {
	var s Settings
	if len(text) == 0 {
		return s, nil
	}
	if len(text) > maxSettings {
		return s, fmt.Errorf("%d bytes of settings; want at most %d", len(text), maxSettings)
	}
	if err := json.Unmarshal(text, &s, json.RejectUnknownMembers(true)); err != nil {
		return Settings{}, errors.New(jsonerror.Text(err))
	}
	if err := s.check(); err != nil {
		// Security: nothing is built with values that are out of bounds.
		return Settings{}, err
	}
	return s, nil
}

var claimName = regexp.MustCompile(`^[!-~]{1,128}$`)

const (
	maxApprovals = 16
	// maxSettings bounds the text of all settings, in bytes.
	maxSettings = 16 << 10
)

func (s *Settings) check() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if _, err := appraisal.ParseTCBPolicy(s.TCB); err != nil {
		problem("tcb: %w", err)
	}
	if s.Algorithm != "" && !slices.Contains(token.Algorithms(), s.Algorithm) {
		problem("signingAlgorithm: %q; want one of %s%s", s.Algorithm,
			strings.Join(token.Algorithms(), ", "), spelling.After("; ", s.Algorithm, token.Algorithms()))
	}
	if s.Ledger != "" && s.Ledger != LedgerFailClosed && s.Ledger != LedgerCount {
		problem("ledger: %q; want %s or %s", s.Ledger, LedgerFailClosed, LedgerCount)
	}
	problems = append(problems,
		bounds.Text("tcb", s.TCB, 1024),
		bounds.Optional("maxTokenValidityMinutes", s.MaxValidity, 1, int(bounds.MaxTokenValidity/time.Minute)),
		bounds.Optional("requestsPerSecond", s.Rate, bounds.MinRate, bounds.MaxRate),
		bounds.Optional("burst", s.Burst, 1, bounds.MaxBurst),
		bounds.Optional("concurrent", s.Concurrent, 1, bounds.MaxConcurrent),
		bounds.Optional("ledgerRetentionDays", s.Retention, 1, bounds.MaxRetention),
		bounds.Optional("approvals", s.Approvals, 1, maxApprovals))
	if c := s.Vault.Challenge; c != "" && c != ChallengeToken && c != ChallengeEvidence {
		problem("vault.challenge: %.40q; want %s or %s", c, ChallengeToken, ChallengeEvidence)
	}
	if w := s.Vault.MinimumWrapping; w != "" {
		if _, err := keywrap.ParseAlgorithm(w); err != nil {
			problem("vault.minimumWrapping: %.60q; want one of %v", w, keywrap.Algorithms())
		}
	}
	if s.Subject != "" && !claimName.MatchString(s.Subject) {
		problem("subjectClaim: %.140q is not the name of a claim", s.Subject)
	}
	if len(s.Audience) > 16 || slices.ContainsFunc(s.Audience, func(a string) bool {
		return a == "" || bounds.Text("", a, 256) != nil
	}) {
		problem("audience: want at most 16 texts of 1 to 256 bytes without control characters")
	}
	return errors.Join(problems...)
}

// SigningAlgorithm is the one that signs.
func (s *Settings) SigningAlgorithm() string {
	if s.Algorithm == "" {
		return "RS256"
	}
	return s.Algorithm
}
