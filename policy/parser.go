package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/probity-dev/probity/wording/spelling"
)

// Limits on a policy text. The largest public policy is about 13 KB.
const (
	MaxText       = 64 << 10
	maxRules      = 1000
	maxConditions = 32
	maxNesting    = 32
	maxReported   = 50
)

// Mode says how strictly a policy is read.
type Mode uint8

// The modes.
const (
	// Strict reads the language as it is documented.
	Strict Mode = iota
	// Lenient also reads what published policies get wrong and everyone
	// understands, with a warning: a single = in a condition, and issue in
	// authorizationrules, which then means add.
	Lenient
)

// Parse reads a policy of version 1.0, 1.1 or 1.2 and checks its static rules.
// The error is a *[ParseError] that contains every finding; parsing goes on after
// an error where it safely can.
func Parse(text string) (*Policy, error) { return ParseMode(text, Strict) }

// ParseMode is Parse in the given mode.
func ParseMode(text string, mode Mode) (*Policy, error) {
	p := &parser{policy: &Policy{Text: text}, mode: mode}
	if len(text) > MaxText {
		p.errorAt(Pos{Line: 1, Column: 1}, "policy",
			fmt.Sprintf("the policy is %d bytes, at most %d are allowed", len(text), MaxText))
		return nil, &ParseError{p.found}
	}
	p.lex = newLexer(text, p.report)
	p.advance()
	p.advance()
	p.parsePolicy()
	p.policy.Comments = p.lex.comments
	if p.policy.Version == (Version{}) {
		p.policy.Version = Version{1, 2} // it was reported; do not complain of everything else
	}
	p.check()
	slices.SortStableFunc(p.found, func(a, b Diagnostic) int { return a.Pos.Offset - b.Pos.Offset })
	if p.failed {
		return nil, &ParseError{p.found}
	}
	p.policy.Warnings = p.found
	p.policy.program = compile(p.policy)
	return p.policy, nil
}

type parser struct {
	lex       *lexer
	tok, peek token
	policy    *Policy
	found     []Diagnostic
	failed    bool
	rules     int
	mode      Mode
}

// warn reports what does not stop the policy from being used.
func (p *parser) warn(at Pos, rule, message, suggestion string) {
	p.report(Diagnostic{Pos: at, Severity: Warning, Rule: rule, Message: message, Suggestion: suggestion})
}

// behind returns the place behind the current token, which is one character.
func (p *parser) behind() Pos {
	at := p.tok.pos
	at.Offset++
	at.Column++
	return at
}

func (p *parser) report(d Diagnostic) {
	if d.Severity == Error {
		p.failed = true
	}
	if len(p.found) < maxReported {
		p.found = append(p.found, d)
	}
}

func (p *parser) errorAt(at Pos, rule, message string) {
	p.report(Diagnostic{Pos: at, Severity: Error, Message: message, Rule: rule})
}

func (p *parser) advance() token {
	t := p.tok
	p.tok, p.peek = p.peek, p.lex.next()
	return t
}

// unexpected reports the current token; a bad one was reported by the lexer.
func (p *parser) unexpected(rule, expected, suggestion string) {
	if p.tok.kind == tokBad {
		return
	}
	found := p.tok.text
	message := "unexpected " + strconv.Quote(clip(found))
	if p.tok.kind == tokEOF {
		message = "unexpected end of the policy"
	}
	p.report(Diagnostic{Pos: p.tok.pos, Severity: Error, Message: message, Found: clip(found),
		Expected: expected, Suggestion: suggestion, Rule: rule})
}

func (p *parser) is(text string) bool { return p.tok.kind == tokPunct && p.tok.text == text }

// accept takes the punctuation if it is next.
func (p *parser) accept(text string) bool {
	if p.is(text) {
		p.advance()
		return true
	}
	return false
}

// expect takes the punctuation or reports its absence.
func (p *parser) expect(text, rule, suggestion string) bool {
	if p.accept(text) {
		return true
	}
	p.unexpected(rule, strconv.Quote(text), suggestion)
	return false
}

func (p *parser) parsePolicy() {
	if !p.parseVersion() {
		p.skipTo(Configuration, Authorization, Issuance)
	}
	order := []string{Configuration, Authorization, Issuance}
	next := 0
	for p.tok.kind != tokEOF {
		name := strings.ToLower(p.tok.text)
		at := slices.Index(order, name)
		switch {
		case p.tok.kind != tokIdent || at < 0:
			suggestion := ""
			if p.tok.kind == tokIdent {
				suggestion = spelling.Hint(p.tok.text, order)
			}
			p.unexpected("policy", strings.Join(order[next:], ", "), suggestion)
			p.advance()
			p.skipTo(order...)
			continue
		case p.policy.Section(name) != nil:
			p.errorAt(p.tok.pos, "policy", "section "+name+" appears twice")
		case at < next:
			p.errorAt(p.tok.pos, "policy", "section "+name+" must come before "+order[next-1])
		}
		next = max(next, at+1)
		p.parseSection(name)
	}
	if p.policy.Section(Authorization) == nil && !p.failed {
		p.errorAt(p.tok.pos, "policy", "the policy has no authorizationrules")
	}
}

// skipTo goes on at the next of the given words, or at the end.
func (p *parser) skipTo(words ...string) {
	for p.tok.kind != tokEOF &&
		!(p.tok.kind == tokIdent && slices.Contains(words, strings.ToLower(p.tok.text))) {
		p.advance()
	}
}

func (p *parser) parseVersion() bool {
	const rule = "versionInfo"
	if p.tok.kind != tokIdent || p.tok.text != "version" {
		p.unexpected(rule, `"version"`, "a policy begins with: version= 1.0;")
		return false
	}
	p.advance()
	if !p.expect("=", rule, "") {
		return false
	}
	at := p.tok.pos
	major, minor := p.tok, token{}
	ok := p.tok.kind == tokInteger
	if ok {
		p.advance()
		ok = p.expect(".", rule, "versions are 1.0, 1.1 and 1.2")
		minor = p.tok
	}
	if !ok || minor.kind != tokInteger {
		p.unexpected(rule, "1.0, 1.1 or 1.2", "")
		return false
	}
	p.advance()
	switch text := major.text + "." + minor.text; text {
	case "1.0", "1.1", "1.2":
		p.policy.Version = Version{1, int(minor.text[0] - '0')}
	default:
		p.report(Diagnostic{
			Pos: at, Severity: Error, Found: text, Rule: rule,
			Message: "version " + text + " is not known", Expected: "1.0, 1.1 or 1.2",
		})
		p.policy.Version = Version{1, 2}
	}
	p.policy.VersionEnd = p.behind()
	return p.expect(";", rule, "")
}

func (p *parser) parseSection(name string) {
	s := &Section{Pos: p.tok.pos, Name: name}
	p.policy.Sections = append(p.policy.Sections, s)
	p.advance()
	s.Open = p.behind()
	if !p.expect("{", name, "") {
		p.skipTo(Configuration, Authorization, Issuance)
		return
	}
	for !p.is("}") && p.tok.kind != tokEOF {
		if p.rules++; p.rules > maxRules {
			p.errorAt(p.tok.pos, name, fmt.Sprintf("more than %d rules", maxRules))
			p.skipTo()
			return
		}
		if r, ok := p.parseRule(); ok {
			s.Rules = append(s.Rules, r)
		} else {
			p.recover()
		}
	}
	s.End = p.tok.pos
	if p.expect("}", name, "close the section") {
		s.Close = p.behind()
		p.expect(";", name, "a section ends with };")
	}
}

// recover goes on after the next semicolon, or at a closing brace.
func (p *parser) recover() {
	for p.tok.kind != tokEOF && !p.is("}") {
		if p.accept(";") {
			return
		}
		p.advance()
	}
}

func (p *parser) parseRule() (*Rule, bool) {
	r := &Rule{Pos: p.tok.pos}
	for !p.is("=>") {
		if len(r.Conditions) == maxConditions {
			p.errorAt(p.tok.pos, "rule", fmt.Sprintf("more than %d conditions in a rule", maxConditions))
			return nil, false
		}
		c, ok := p.parseCondition()
		if !ok {
			return nil, false
		}
		r.Conditions = append(r.Conditions, c)
		if p.is("=>") {
			break
		}
		if !p.accept("&&") {
			p.unexpected("rule", `"=>" or "&&"`, "")
			return nil, false
		}
		if p.is("=>") {
			p.unexpected("rule", "a condition", "")
			return nil, false
		}
	}
	p.advance()
	if !p.parseAction(&r.Action) {
		return nil, false
	}
	end := p.behind()
	r.End = end
	// Where the next rule begins right away, only the semicolon was forgotten.
	return r, p.expect(";", "rule", "every rule ends with a semicolon") || p.is("[") || p.is("!") ||
		p.is("=>") || p.is("}") ||
		p.tok.kind == tokIdent && p.peek.text == ":"
}

func (p *parser) parseCondition() (*Condition, bool) {
	const rule = "condition"
	c := &Condition{Pos: p.tok.pos}
	c.Negated = p.accept("!")
	if p.tok.kind == tokIdent {
		c.Name = p.advance().text
		if !p.expect(":", rule, "") {
			return nil, false
		}
	}
	if !p.expect("[", rule, "a condition looks like c:[type==\"…\"]") {
		return nil, false
	}
	for {
		prop, ok := p.parseProperty()
		if !ok {
			return nil, false
		}
		c.Properties = append(c.Properties, prop)
		if p.accept(",") {
			continue
		}
		suggestion := ""
		if p.tok.kind == tokIdent {
			suggestion = "put commas between properties"
		}
		return c, p.expect("]", rule, suggestion)
	}
}

var (
	propertyNames = []string{"type", "value", "valueType", "issuer"}
	operators     = []string{"==", "!=", "<", "<=", ">", ">="}
)

func (p *parser) parseProperty() (Property, bool) {
	const rule = "property"
	prop := Property{Pos: p.tok.pos}
	if p.tok.kind != tokIdent || !slices.Contains(propertyNames, p.tok.text) {
		suggestion := ""
		if p.tok.kind == tokIdent {
			suggestion = spelling.Hint(p.tok.text, propertyNames)
		}
		p.unexpected(rule, "type, value, valueType or issuer", suggestion)
		return prop, false
	}
	prop.Name = p.advance().text
	if p.tok.kind != tokPunct || !slices.Contains(operators, p.tok.text) {
		if p.is("=") && p.mode == Lenient {
			p.warn(p.tok.pos, rule, `a single "=" in a condition is read as "=="`, `write "=="`)
			p.tok.text = "=="
		} else if p.is("=") {
			p.report(Diagnostic{Pos: p.tok.pos, Severity: Error, Rule: rule, Found: "=",
				Message: `unknown operator "=" in a condition`, Suggestion: `did you mean "=="?`})
			return prop, false
		} else {
			p.unexpected(rule, "a comparison: == != < <= > >=", "")
			return prop, false
		}
	}
	prop.Op = p.advance().text
	var ok bool
	prop.Value, ok = p.parseExpr(0)
	return prop, ok
}
