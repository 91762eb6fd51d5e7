package policyjws

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The purposes of signed changes.
const (
	PurposeSet               = "policy.set"
	PurposeReset             = "policy.reset"
	PurposeAddCertificate    = "certificate.add"
	PurposeRemoveCertificate = "certificate.remove"
)

// bindingHeader is the member of the JWS header that contains a [Binding]. It is in
// the header, because the payload of a reset is empty; the signature covers both.
const bindingHeader = "probity-change"

// Binding says what a signed change is for, so that no one can submit it for
// something else, elsewhere, later or again. Azure's clients write none. Members that
// are absent bind nothing.
type Binding struct {
	// Purpose is one of the purposes above.
	Purpose string `json:"purpose,omitzero"`
	// Provider is the attest URI of the provider, as its tokens name their issuer.
	Provider string `json:"provider,omitzero"`
	// Kind is the attestation type; certificates have none.
	Kind string `json:"type,omitzero"`
	// Version is the version of the policy that is in force before the change, 0 for
	// the default policy.
	Version *int64 `json:"version,omitzero"`
	// Issued and Expires are in seconds since 1970.
	Issued  int64 `json:"iat,omitzero"`
	Expires int64 `json:"exp,omitzero"`
}

const (
	// maxBindingLife bounds how long a fully bound change is valid.
	maxBindingLife = 31 * 24 * time.Hour
	// bindingSkew is how far clocks of signers may be ahead.
	bindingSkew = 5 * time.Minute
)

func readBinding(header jsontext.Value) (*Binding, error) {
	if header == nil {
		return nil, nil
	}
	var b Binding
	if header.Kind() != '{' {
		return nil, errors.New("the header's " + bindingHeader + " is not an object")
	}
	if err := json.Unmarshal(header, &b, json.RejectUnknownMembers(true)); err != nil {
		return nil, errors.New("the header's " + bindingHeader +
			" is not as documented: purpose, provider, type, version, iat, exp")
	}
	return &b, nil
}

// Check returns an error that says for what the change was signed, unless that is
// what it is used for. A nil Binding binds nothing.
func (b *Binding) Check(use Binding, now time.Time) error {
	if b == nil {
		return nil
	}
	if b.Purpose != "" && b.Purpose != use.Purpose {
		return fmt.Errorf("it was signed for %.40q, not for %s", b.Purpose, use.Purpose)
	}
	if b.Provider != "" && strings.TrimSuffix(b.Provider, "/") != use.Provider {
		return fmt.Errorf("it was signed for the provider %.200q, not for %s", b.Provider, use.Provider)
	}
	if b.Kind != "" && b.Kind != use.Kind {
		return fmt.Errorf("it was signed for the type %.40q, not for %q", b.Kind, use.Kind)
	}
	if b.Version != nil && (use.Version == nil || *b.Version != *use.Version) {
		if use.Version == nil {
			return errors.New("it was signed for a version of a policy, and certificates have none")
		}
		return fmt.Errorf("it was signed to replace version %d, and version %d is in force", *b.Version,
			*use.Version)
	}
	if b.Issued != 0 && time.Unix(b.Issued, 0).After(now.Add(bindingSkew)) {
		return errors.New("it was signed in the future: " + moment(b.Issued))
	}
	if b.Expires != 0 && !now.Before(time.Unix(b.Expires, 0)) {
		return errors.New("it expired at " + moment(b.Expires))
	}
	return nil
}

// Complete returns an error that names what is missing for the change to be valid
// once, in one place, for a short time.
func (b *Binding) Complete(use Binding) error {
	var missing []string
	if b == nil {
		b = &Binding{}
	}
	need := func(name string, present bool) {
		if !present {
			missing = append(missing, name)
		}
	}
	need("purpose", b.Purpose != "")
	need("provider", b.Provider != "")
	need("type", b.Kind != "" || use.Kind == "")
	need("version", b.Version != nil || use.Version == nil)
	need("iat", b.Issued != 0)
	need("exp", b.Expires != 0)
	if len(missing) > 0 {
		return fmt.Errorf("the header's %s lacks what the provider requires: %s", bindingHeader,
			strings.Join(missing, ", "))
	}
	life := b.Expires - b.Issued
	if b.Issued < 0 || b.Expires < 0 || life <= 0 || life > int64(maxBindingLife/time.Second) {
		return fmt.Errorf("iat and exp are %d seconds apart; want 1 to %d", life, int64(maxBindingLife/time.Second))
	}
	return nil
}

func moment(seconds int64) string {
	if seconds < 0 || seconds > 253_402_300_799 { // the year 9999
		return fmt.Sprintf("%d seconds after 1970", seconds)
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}
