package luks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// TokenType is the type of the tokens that enrolments leave in headers.
const TokenType = "probity"

// Binding says where the passphrase of a key slot comes from: a key of a vault.
type Binding struct {
	// URL is that of the service, without a slash at its end.
	URL string `json:"url"`
	// Provider is the attestation provider whose vault has the key; empty means the one of URL.
	Provider string `json:"provider,omitzero"`
	// Key is the name of the key.
	Key string `json:"key"`
	// Kind is the kind of evidence to attest with; empty means what the machine has.
	Kind string `json:"kind,omitzero"`
	// Version is the version of the key, as the rotation of a key does not change a disk. A machine that
	// names none takes that of the disk.
	Version string `json:"version,omitzero"`
}

// Covers reports whether other is what b names: the same, with any version if b names none.
func (b Binding) Covers(other Binding) bool {
	if b.Version == "" {
		other.Version = ""
	}
	return b == other
}

// String is the binding for people.
func (b Binding) String() string {
	s := fmt.Sprintf("key %.130s at %.300s", b.Key, b.URL)
	if b.Provider != "" {
		s += fmt.Sprintf(", provider %.70s", b.Provider)
	}
	if b.Kind != "" {
		s += fmt.Sprintf(", as %.30s", b.Kind)
	}
	if b.Version != "" {
		s += fmt.Sprintf(", version %.40s", b.Version)
	}
	return s
}

// Enrolment is a token of Probity: a key slot, and where its passphrase comes from.
type Enrolment struct {
	Token, Slot int
	Binding     Binding
}

// token is the JSON of an enrolment (section 3.7 of the specification: type and keyslots, then what the type
// has).
type token struct {
	Type     string   `json:"type"`
	Keyslots []string `json:"keyslots"`
	Binding
}

// Token returns the JSON of a token for a key slot.
func (b Binding) Token(slot int) ([]byte, error) {
	return json.Marshal(token{Type: TokenType, Keyslots: []string{fmt.Sprint(slot)}, Binding: b})
}

func (i *inspection) checkTokens() error {
	types := append([]string{TokenType}, i.want.TokenTypes...)
	want := strings.Join(types, " or ")
	for _, n := range numbers(i.meta.Tokens) {
		raw := i.meta.Tokens[fmt.Sprint(n)]
		kind := typeOf(raw)
		if !slices.Contains(types, kind) {
			return i.Fail(CheckTokens, want, fmt.Sprintf("token %d of the type %.60q", n, kind))
		}
		var t token
		if kind == TokenType {
			if err := i.object("a token of Probity", raw, &t); err != nil {
				return err
			}
		} else if err := json.Unmarshal(raw, &struct {
			Keyslots *[]string `json:"keyslots"`
		}{&t.Keyslots}); err != nil {
			return i.metadataFault("keyslots of a token", err)
		}
		for _, name := range t.Keyslots {
			if _, ok := i.meta.Keyslots[name]; !ok {
				return i.Fail(CheckTokens, "key slots that exist", fmt.Sprintf("token %d for key slot %.20q", n, name))
			}
		}
		if kind != TokenType {
			for _, name := range t.Keyslots {
				slot, _ := slotNumber(name)
				i.machine[slot] = true
			}
			continue
		}
		if len(t.Keyslots) != 1 || t.URL == "" || t.Key == "" {
			return i.Fail(CheckTokens, "one key slot, a URL and a key", fmt.Sprintf("token %d with %d key slots, %s",
				n, len(t.Keyslots), t.Binding))
		}
		slot, err := slotNumber(t.Keyslots[0])
		if err != nil {
			return i.Fail(CheckTokens, "one key slot", err.Error())
		}
		i.device.Enrolments = append(i.device.Enrolments, Enrolment{Token: n, Slot: slot, Binding: t.Binding})
	}
	i.Pass(CheckTokens, want, fmt.Sprintf("%d tokens, %d of them enrolments", len(i.meta.Tokens), len(i.device.Enrolments)))
	return nil
}

// Security: what a token says is the word of anyone who can write to the disk. A token that names another
// service, or another key, would make the machine take a passphrase that an attacker chose, and open the
// attacker's disk. So it is compared with what the machine knows from elsewhere, and never used instead.
func (i *inspection) checkBinding() error {
	if i.want.Binding == nil {
		found := "no enrolment"
		for n, e := range i.device.Enrolments {
			if n == 0 {
				found = e.Binding.String() + ", not compared"
			}
		}
		i.Pass(CheckBinding, "any, as none was named", found)
		return nil
	}
	var others []string
	for _, e := range i.device.Enrolments {
		if !i.want.Binding.Covers(e.Binding) {
			others = append(others, e.Binding.String())
			continue
		}
		if i.device.Enrolled != nil {
			return i.Fail(CheckBinding, "one token", "tokens "+fmt.Sprintf("%d and %d that say the same",
				i.device.Enrolled.Token, e.Token))
		}
		i.device.Enrolled = &e
	}
	if i.device.Enrolled == nil {
		if len(others) == 0 {
			return i.FailWith(CheckBinding, i.want.Binding.String(), "no enrolment",
				"enrol the disk with: probity disk enroll DEVICE; if it was enrolled before, "+altered)
		}
		return i.Fail(CheckBinding, i.want.Binding.String(), strings.Join(others[:min(len(others), 3)], "; "))
	}
	i.Pass(CheckBinding, i.want.Binding.String(), i.device.Enrolled.Binding.String())
	return nil
}
