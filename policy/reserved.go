package policy

import (
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/probity-dev/probity/claims"
)

// standing says what a policy may issue under a name.
type standing uint8

const (
	// free names are the policy's.
	free standing = iota
	// serviceOwn names are in tokens as the service's word: a policy issues none of them.
	serviceOwn
	// stated names are told to policies only. A policy may pass on what the verifier stated,
	// and nothing else.
	stated
	// family names begin as those that the service's verifiers state. A policy may pass on what
	// a verifier stated, or a client claimed, under exactly that name.
	family
	// computed names are facts about a boot that Azure's documentation has policies compute from
	// the events. A policy may do so, and may not contradict a verifier that denies the fact.
	computed
)

// members are what the service writes into tokens besides the claims of verifiers, and names
// of registered claims with the same meaning (RFC 7519, RFC 7800, RFC 9711).
var members = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "nonce", "cnf", "ver", "rp_data",
	"eat_nonce", "eat_profile", "submods", "dbgstat", "intuse", "attester_tcb_status",
	"x-ms-ver", "x-ms-policy", "x-ms-policy-hash", "x-ms-policy-signer",
}

// ownFamilies and statedFamilies are beginnings of names: also what a verifier of a later
// version adds to them is no policy's.
var (
	ownFamilies = []string{
		"x-ms-sgx-", "x-ms-sevsnpvm-", "x-ms-azurevm-", "x-ms-policy", "tdx_", "nitro_", "cca-",
		"psa-",
	}
	statedFamilies = []string{"x-ms-", "x-probity-"}
)

// passedOn are names in tokens that published policies issue, too, with the verifier's value.
var passedOn = []string{"aas-ehd", "maa-ehd"}

var computedNames = []string{
	"secureBootEnabled", "iommuEnabled", "bootDebuggingDisabled", "notSafeMode", "notWinPE",
	"vbsEnabled",
}

// types are the attestation types that have a vocabulary.
var types = []string{
	"SgxEnclave", "OpenEnclave", "SevSnpVm", "TdxVm", "NitroEnclave", "ArmCca", "AzureGuest", "Tpm",
	"VbsEnclave",
}

// standings has the standing of each name of each vocabulary, by its folded spelling, and
// the folded beginnings of names.
var standings = sync.OnceValue(func() (s struct {
	names       map[string]standing
	own, stated []string
}) {
	table := map[string]standing{}
	for _, typ := range types {
		for _, term := range Vocabulary(typ) {
			name, as := fold(term.Name), serviceOwn
			if term.PolicyOnly {
				as = stated
			}
			if table[name] != serviceOwn {
				table[name] = as
			}
		}
	}
	for as, names := range map[standing][]string{
		serviceOwn: members,
		stated:     passedOn,
		computed:   computedNames,
	} {
		for _, name := range names {
			table[fold(name)] = as
		}
	}
	s.names = table
	for _, prefix := range ownFamilies {
		s.own = append(s.own, fold(prefix))
	}
	for _, prefix := range statedFamilies {
		s.stated = append(s.stated, fold(prefix))
	}
	return s
})

// longest bounds what is looked at of a name, in bytes. It is more than any name of a
// vocabulary has in any spelling.
const longest = 256

func standingOf(name string) standing {
	name = fold(name[:min(len(name), longest)])
	known := standings()
	if as := known.names[name]; as != free {
		return as
	}
	begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	switch {
	case slices.ContainsFunc(known.own, begins):
		return serviceOwn
	case slices.ContainsFunc(known.stated, begins):
		return family
	}
	return free
}

// fold returns the spelling that all names have in common that are equal but for the case of
// letters, in Unicode's sense: the widest in which readers compare names of members.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' && r != 'k' && r != 's' {
			return r - 'a' + 'A'
		}
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

// Reserved reports whether the service or one of its verifiers states claims of this name, in
// any spelling: a policy must not make them up. Which ones it may pass on, the comments of the
// standings tell.
func Reserved(name string) bool { return standingOf(name) != free }

// mayIssue reports whether a policy may issue the claim, given what was stated before the policy
// made claims of its own.
func (e *evaluation) mayIssue(a *compiledAction, c *claims.Claim) (bool, error) {
	var as standing
	if a.named != nil {
		as = *a.named
	} else {
		as = standingOf(c.Type)
	}
	switch as {
	case free:
		return true, nil
	case serviceOwn:
		return false, nil
	default: // it depends on what was stated
	}
	all := e.in.All()
	if err := e.budget.Spend(len(all), 0); err != nil {
		return false, err
	}
	yes, isTruth := c.Value.Bool()
	fromEvents := false
	for i := range all {
		have := &all[i]
		switch {
		case have.Issuer == claims.AttestationService && strings.EqualFold(have.Type, c.Type):
		case have.Issuer == claims.CustomClaim && as == family && have.Type == c.Type:
		default:
			fromEvents = fromEvents || have.Issuer == claims.AttestationService && have.Type == "events"
			continue
		}
		same, err := e.same(&have.Value, &c.Value)
		if same || err != nil {
			return same, err
		}
		if as == computed && isTruth && yes {
			return false, nil
		}
	}
	return as == computed && isTruth && fromEvents, nil
}
