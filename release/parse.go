package release

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/probity-dev/probity/strict/base64text"
	"github.com/probity-dev/probity/wording/spelling"
)

// The names of members.
const (
	anyOf     = "anyOf"
	allOf     = "allOf"
	version   = "version"
	authority = "authority"
	claim     = "claim"
)

// Versions are the versions of the grammar that a policy may name. "0.2" and "1.0" are older
// spellings of the same grammar.
func Versions() []string { return []string{"1.0.0", "1.0", "0.2"} }

const (
	// maxDiagnostics is after how many problems the reader stops.
	maxDiagnostics = 100
	// Each group is an array of objects; above them are the policy, its list and the authority.
	maxDepth  = 2*MaxNesting + 8
	maxValues = 8192
)

// Parse reads a release policy: one JSON object of at most [MaxPolicySize] bytes. It refuses what it does
// not know, members that occur twice, and empty groups, which would release a key to every token.
// The error is a [*ParseError] with everything that is wrong.
func Parse(text []byte) (*Policy, error) {
	p := &parser{locate: newLocator(text)}
	policy := p.read(text)
	if len(p.found) > 0 {
		sortByPlace(p.found)
		return nil, &ParseError{p.found}
	}
	return policy, nil
}

// ParseData reads a release policy as keys carry it, in the member data of release_policy:
// base64url without padding, or what other clients write, with padding or in the standard alphabet.
// The error is a [*ParseError].
func ParseData(data string) (*Policy, error) {
	if len(data) > 2*MaxPolicySize {
		return Parse(make([]byte, len(data)))
	}
	text, err := base64text.Decode([]byte(data))
	if err != nil {
		return nil, &ParseError{[]Diagnostic{{
			Pos: Pos{0, 1, 1}, Severity: Error, Message: "the policy is not base64url",
			Expected: "the JSON of the policy in base64url", Found: quoted(data),
			Suggestion: "encode the JSON, without line breaks",
		}}}
	}
	return Parse(text)
}

type parser struct {
	locate     *locator
	found      []Diagnostic
	conditions int
}

func (p *parser) read(text []byte) *Policy {
	if len(text) > MaxPolicySize {
		p.add(0, Diagnostic{
			Message: "the policy is too long", Expected: fmt.Sprintf("at most %d bytes", MaxPolicySize),
			Found: fmt.Sprintf("%d bytes", len(text)), Suggestion: "leave out white space, or split the key's users",
		})
		return nil
	}
	top, err := readTree(text, maxDepth, maxValues, p.twice)
	var place *placedError
	if errors.As(err, &place) {
		p.add(place.offset, Diagnostic{Message: place.text})
		return nil
	}
	return p.policy(top)
}

// add notes a problem at a byte of the text.
func (p *parser) add(offset int, d Diagnostic) {
	if len(p.found) < maxDiagnostics {
		d.Pos, d.Severity = p.locate.pos(offset), Error
		p.found = append(p.found, d)
	}
}

func (p *parser) twice(name string, first, second int) error {
	p.add(second, Diagnostic{
		Message:    "the member " + quoted(name) + " occurs twice",
		Suggestion: "the first one is at " + p.locate.pos(first).String() + "; leave one out",
	})
	return nil
}

// want notes that a value has the wrong kind.
func (p *parser) want(n *node, what, expected, suggestion string) {
	found := kindName(n.kind)
	if n.kind != '{' && n.kind != '[' && n.kind != 'n' {
		found += " (" + n.String() + ")"
	}
	p.add(n.at, Diagnostic{
		Message: what + " is of the wrong kind", Expected: expected, Found: found,
		Suggestion: suggestion,
	})
}

// members finds the known members of an object. The grammar of Azure prints anyof and allof, and its
// samples anyOf and allOf; both are read as the latter.
func (p *parser) members(n *node, what string, known []string) map[string]member {
	found := map[string]member{}
	for _, m := range n.members {
		name := m.name
		if name == "anyof" || name == "allof" {
			name = name[:3] + "Of"
		}
		first, twice := found[name]
		switch {
		case !slices.Contains(known, name):
			p.add(m.at, Diagnostic{
				Message:  what + " has the unknown member " + quoted(m.name),
				Expected: list(known), Suggestion: "nearest: " + spelling.Nearest(m.name, known),
			})
		case twice:
			_ = p.twice(m.name, first.at, m.at)
		default:
			found[name] = m
		}
	}
	return found
}

// list joins names for a sentence.
func list(names []string) string {
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

func (p *parser) policy(top *node) *Policy {
	if top.kind != '{' {
		p.want(top, "the policy", "an object such as "+
			`{"version": "1.0.0", "anyOf": [{"authority": "https://…", "allOf": […]}]}`, "")
		return nil
	}
	if group := top.member(allOf); group != nil {
		p.add(group.at, Diagnostic{
			Message:    "the authorities are in allOf, and a token has one issuer",
			Suggestion: "write the list of authorities as anyOf",
		})
		return nil
	}
	members := p.members(top, "the policy", []string{version, anyOf})
	policy := &Policy{}
	if m, ok := members[version]; ok {
		policy.Version = p.version(m.value)
	}
	authorities, ok := members[anyOf]
	if !ok {
		p.add(top.at, Diagnostic{
			Message:    "the policy names no authority",
			Suggestion: `add "anyOf": [{"authority": "https://…", "allOf": […]}]`,
		})
		return nil
	}
	for _, n := range p.items(authorities.value, "the policy's anyOf", "authority") {
		if a, ok := p.authority(n); ok {
			policy.Authorities = append(policy.Authorities, a)
		}
	}
	return policy
}

func (p *parser) version(n *node) string {
	if n.kind == '"' && slices.Contains(Versions(), n.text) {
		return n.text
	}
	p.add(n.at, Diagnostic{
		Message: "the version of the policy is unknown", Expected: `the string "1.0.0" (or "1.0" or "0.2")`,
		Found: n.String(), Suggestion: `write "version": "1.0.0"`,
	})
	return ""
}

// items returns the members of a list that has at least one.
func (p *parser) items(n *node, what, of string) []*node {
	switch {
	case n.kind != '[':
		p.want(n, what, "a list", "put it in brackets: […]")
	case len(n.items) == 0:
		p.add(n.at, Diagnostic{
			Message: what + " is empty", Expected: "at least one " + of,
			Suggestion: "add one: an empty list would decide nothing",
		})
	}
	return n.items
}

func (p *parser) authority(n *node) (Authority, bool) {
	const what = "an authority"
	if n.kind != '{' {
		p.want(n, what, `an object such as {"authority": "https://…", "allOf": […]}`, "")
		return Authority{}, false
	}
	if n.member(claim) != nil && n.member(authority) == nil {
		p.add(n.at, Diagnostic{
			Message:    "a condition is where an authority belongs",
			Suggestion: `put it into the allOf of an authority: {"authority": "https://…", "allOf": [{"claim": …}]}`,
		})
		return Authority{}, false
	}
	members := p.members(n, what, []string{authority, anyOf, allOf})
	a := Authority{Pos: p.locate.pos(n.at)}
	if m, ok := members[authority]; !ok {
		p.add(n.at, Diagnostic{
			Message:    "an entry of anyOf names no authority",
			Suggestion: `add "authority": the issuer of the tokens, such as "https://attest.example.org"`,
		})
	} else {
		a.URL, a.URLPos = p.issuer(m.value), p.locate.pos(m.value.at)
	}
	a.Conditions = p.group(n, what, members, MaxNesting)
	return a, a.Conditions != nil
}

// issuer reads the URL of an authority. Query and fragment never occur in an issuer (OpenID
// Connect Discovery 1.0, section 3), so such an authority could never match.
func (p *parser) issuer(n *node) string {
	if n.kind != '"' {
		p.want(n, "the authority", "a string with the issuer's URL", "")
		return ""
	}
	u, err := url.Parse(n.text)
	reason := ""
	switch {
	case err != nil:
		reason = "is not a URL"
	case u.Scheme != "https" && u.Scheme != "http":
		reason = "is not an https URL"
	case u.Host == "" || u.Hostname() == "":
		reason = "has no host"
	case u.User != nil:
		reason = "has a user name"
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(n.text, "#"):
		reason = "has a query or fragment, and no issuer has one"
	case len(n.text) > MaxClaimName:
		reason = fmt.Sprintf("is longer than %d bytes", MaxClaimName)
	default:
		return n.text
	}
	p.add(n.at, Diagnostic{
		Message: "the authority " + reason, Expected: `the tokens' iss, such as "https://attest.example.org"`,
		Found: quoted(n.text), Suggestion: "copy the iss of a token",
	})
	return ""
}

// group reads the one anyOf or allOf of an object, or returns nil.
func (p *parser) group(n *node, what string, members map[string]member, left int) *Group {
	any, hasAny := members[anyOf]
	all, hasAll := members[allOf]
	switch {
	case hasAny && hasAll:
		p.add(max(any.at, all.at), Diagnostic{
			Message:    what + " has both anyOf and allOf",
			Expected:   "exactly one of the two",
			Suggestion: `nest one in the other: "allOf": [{"anyOf": […]}, …]`,
		})
		return nil
	case !hasAny && !hasAll && len(n.members) > len(members):
		return nil // the name is misspelt, which was noted
	case !hasAny && !hasAll:
		p.add(n.at, Diagnostic{
			Message: what + " has no conditions", Expected: "anyOf or allOf",
			Suggestion: `add "allOf": [{"claim": …, "equals": …}]`,
		})
		return nil
	case hasAll:
		any = all
	}
	g := &Group{Pos: p.locate.pos(any.at), All: hasAll}
	if left == 0 {
		p.add(any.at, Diagnostic{
			Message:    fmt.Sprintf("groups are nested more than %d deep", MaxNesting),
			Suggestion: "join nested groups of the same name: an allOf in an allOf needs no group",
		})
		return nil
	}
	for _, item := range p.items(any.value, g.Name(), "condition") {
		if c := p.condition(item, left-1); c != nil {
			g.Conditions = append(g.Conditions, c)
		}
	}
	return g
}

func (p *parser) condition(n *node, left int) Condition {
	const what = "a condition"
	if p.conditions++; p.conditions > MaxConditions {
		if p.conditions == MaxConditions+1 {
			p.add(n.at, Diagnostic{
				Message: "the policy has too many conditions", Suggestion: "split the key's users",
				Expected: fmt.Sprintf("at most %d, groups included", MaxConditions),
			})
		}
		return nil
	}
	if n.kind != '{' {
		p.want(n, what, `an object such as {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"}`, "")
		return nil
	}
	members := p.members(n, what, conditionMembers())
	_, hasAny := members[anyOf]
	_, hasAll := members[allOf]
	name, hasClaim := members[claim]
	switch {
	case hasAny || hasAll:
		if len(members) > 1 && (!hasAny || !hasAll) {
			p.add(n.at, Diagnostic{
				Message:    "a condition has a group beside other members",
				Expected:   "a group alone, or a claim with one operator",
				Suggestion: "put each into an object of its own",
			})
			return nil
		}
		if g := p.group(n, what, members, left); g != nil {
			return g
		}
	case !hasClaim && len(n.members) > len(members):
		return nil // likewise
	case !hasClaim:
		p.add(n.at, Diagnostic{
			Message: "a condition names no claim", Expected: "claim with an operator, or anyOf or allOf",
			Suggestion: `add "claim": the name of a claim of the token`,
		})
	default:
		if c := p.comparison(n, name.value, members); c != nil {
			return c
		}
	}
	return nil
}

func conditionMembers() []string {
	names := []string{claim, anyOf, allOf}
	for _, o := range Operators() {
		names = append(names, string(o))
	}
	return names
}
