package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy/jmespath"
	"github.com/probity-dev/probity/wording/spelling"
)

// arity gives the functions of version 1.2 and how many arguments each takes.
var arity = map[string]int{
	"JmesPath": 2, "JsonToClaimValue": 1, "IsSubsetOf": 2, "AppendString": 2, "NegateBool": 1,
	"ContainsOnlyValue": 2,
}

// allowed gives the actions of each section.
var allowed = map[string][]string{
	Configuration: {"issueproperty"},
	Authorization: {"permit", "deny", "add"},
	Issuance:      {"add", "issue", "issueproperty"},
}

// settings are the properties that configurationrules may set, with their
// value types.
var settings = map[string]claims.Type{
	"x-ms-sgx-tcbidentifier": claims.String,
	"require_valid_aik_cert": claims.Boolean,
	"required_pcr_mask":      claims.Integer,
}

// check applies the static rules of the language to a text that parses.
func (p *parser) check() {
	for _, s := range p.policy.Sections {
		if s.Name == Configuration && !p.policy.Version.AtLeast(1, 1) {
			p.errorAt(s.Pos, "policy", "configurationrules need version 1.1")
		}
		for _, r := range s.Rules {
			p.checkRule(s, r)
		}
	}
}

func (p *parser) checkRule(s *Section, r *Rule) {
	bound := map[string]bool{}
	for _, c := range r.Conditions {
		for i := range c.Properties {
			p.checkProperty(&c.Properties[i], bound)
		}
		switch {
		case c.Negated && !p.policy.Version.AtLeast(1, 2):
			p.errorAt(c.Pos, "condition", "negation needs version 1.2")
		case c.Negated && c.Name != "":
			p.errorAt(c.Pos, "condition", "a negated condition matches no claim, so it cannot bind "+c.Name)
		case c.Name != "" && bound[c.Name]:
			p.errorAt(c.Pos, "condition", "identifier "+c.Name+" is bound twice in this rule")
		}
		if c.Name != "" {
			bound[c.Name] = true
		}
	}
	p.checkAction(s, &r.Action, bound)
}

func (p *parser) checkProperty(prop *Property, bound map[string]bool) {
	p.checkExpr(prop.Value, bound)
	literal, ok := prop.Value.(*Literal)
	if !ok {
		return
	}
	typ := literal.Value.Type()
	if prop.Name != "value" && typ != claims.String {
		p.errorAt(prop.Pos, "property",
			fmt.Sprintf("%s is a string, it cannot be compared with %s", prop.Name, literal.Text))
	}
	if typ != claims.Integer && prop.Op != "==" && prop.Op != "!=" {
		p.errorAt(prop.Pos, "property",
			fmt.Sprintf("%s orders integers; %s is %s", prop.Op, literal.Text, withArticle(typ)))
	}
}

func (p *parser) checkExpr(e Expr, bound map[string]bool) {
	switch e := e.(type) {
	case *Ref:
		if !bound[e.Name] {
			d := Diagnostic{Pos: e.Pos, Severity: Error, Rule: "expression", Found: e.Name,
				Message: "identifier " + e.Name + " is not bound by an earlier condition of this rule"}
			if names := slices.Sorted(maps.Keys(bound)); len(names) > 0 {
				d.Suggestion = spelling.Hint(e.Name, names)
			}
			p.report(d)
		}
	case *Call:
		want, known := arity[e.Name]
		switch {
		case !known:
			p.report(Diagnostic{
				Pos:        e.Pos,
				Severity:   Error,
				Rule:       "expression",
				Found:      e.Name,
				Message:    "unknown function " + e.Name,
				Suggestion: spelling.Hint(e.Name, slices.Sorted(maps.Keys(arity))),
			})
		case len(e.Args) != want:
			p.errorAt(e.Pos, "expression", fmt.Sprintf("%s takes %d arguments, not %d", e.Name, want, len(e.Args)))
		case !p.policy.Version.AtLeast(1, 2):
			p.errorAt(e.Pos, "expression", "functions need version 1.2")
		case e.Name == "JmesPath":
			p.checkQuery(e)
		}
		for _, arg := range e.Args {
			p.checkExpr(arg, bound)
		}
	}
}

// checkQuery compiles a literal query. A mistake is a warning: published
// policies have some, in rules that never run.
func (p *parser) checkQuery(c *Call) {
	text, ok := literalText(c.Args[1])
	if !ok {
		return
	}
	var err error
	if c.query, err = jmespath.Compile(text); err != nil {
		p.warn(c.Args[1].Start(), "expression", "this query does not compile, the rule will fail: "+err.Error(), "")
	}
}

func (p *parser) checkAction(s *Section, a *Action, bound map[string]bool) {
	if p.mode == Lenient && s.Name == Authorization && a.Name == "issue" {
		p.warn(a.Pos, "action", "nothing can be issued from authorizationrules; issue is read as add",
			"write add, and issue in issuancerules")
		a.Name = "add"
	}
	if !slices.Contains(allowed[s.Name], a.Name) {
		p.report(Diagnostic{Pos: a.Pos, Severity: Error, Rule: "action", Found: a.Name,
			Message: a.Name + " is not allowed in " + s.Name, Expected: strings.Join(allowed[s.Name], ", ")})
		return
	}
	for i := range a.Args {
		p.checkExpr(a.Args[i].Value, bound)
	}
	if a.Name == "permit" || a.Name == "deny" {
		if len(a.Args) > 0 {
			p.errorAt(a.Pos, "action", a.Name+" takes no arguments")
		}
		return
	}
	claim, typ, value := a.Arg("claim"), a.Arg("type"), a.Arg("value")
	switch {
	case a.Arg("issuer") != nil:
		p.errorAt(a.Arg("issuer").Pos, "argument",
			"a policy cannot choose the issuer of a claim; it is AttestationPolicy")
	case claim != nil && len(a.Args) > 1:
		p.errorAt(a.Pos, "action", "claim= cannot be combined with other arguments")
	case claim == nil && (typ == nil || value == nil):
		p.errorAt(a.Pos, "action", a.Name+" needs type= and value=, or claim=")
	}
	p.checkNames(s, a, typ, value)
	p.checkValueType(a, value)
}

// checkNames checks the type of the claim that an action makes, where it is a
// literal.
func (p *parser) checkNames(s *Section, a *Action, typ, value *Argument) {
	if typ == nil {
		return
	}
	name, ok := typ.Value.(*Literal)
	if !ok {
		return
	}
	text, isText := name.Value.Text()
	switch {
	case !isText || text == "":
		p.errorAt(typ.Pos, "argument", "type= needs a claim name")
	case a.Name == "issue" && standingOf(text) == serviceOwn:
		p.errorAt(typ.Pos, "argument", "the service itself writes "+text+" into tokens; a policy cannot issue it")
	case s.Name == Configuration:
		want, known := settings[text]
		if !known {
			p.report(Diagnostic{
				Pos:        typ.Pos,
				Severity:   Error,
				Rule:       "argument",
				Found:      text,
				Message:    "unknown configuration property " + text,
				Suggestion: spelling.Hint(text, slices.Sorted(maps.Keys(settings))),
			})
			return
		}
		if value == nil {
			return
		}
		if l, ok := value.Value.(*Literal); ok && l.Value.Type() != want {
			p.errorAt(value.Pos, "argument", fmt.Sprintf("%s is of type %s", text, want))
		}
	}
}

func (p *parser) checkValueType(a *Action, value *Argument) {
	arg := a.Arg("valueType")
	if arg == nil || value == nil {
		return
	}
	want, ok := arg.Value.(*Literal)
	have, isLiteral := value.Value.(*Literal)
	if !ok || isLiteral && want.Value != claims.StringValue(string(have.Value.Type())) {
		p.errorAt(arg.Pos, "argument", "valueType does not agree with the value")
	}
}
