package policy

import (
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy/jmespath"
)

// Policy is a parsed policy. It must not be changed.
type Policy struct {
	Text    string
	Version Version
	// VersionEnd is after the semicolon of the version statement.
	VersionEnd Pos
	// Sections in source order; at most one of each name.
	Sections []*Section
	Comments []Comment
	// Warnings are findings that do not stop the policy from being used.
	Warnings []Diagnostic

	program *program
}

// Version is a version of the policy language.
type Version struct{ Major, Minor int }

// AtLeast reports whether v is the given version or a later one.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// The names of sections.
const (
	Configuration = "configurationrules"
	Authorization = "authorizationrules"
	Issuance      = "issuancerules"
)

// Section returns the section of the given name, or nil.
func (p *Policy) Section(name string) *Section {
	for _, s := range p.Sections {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Reads reports whether a rule may look at claims of the given type: one with a
// condition that does not ask for another type.
func (p *Policy) Reads(typ string) bool {
	for _, s := range p.Sections {
		for _, r := range s.Rules {
			for _, c := range r.Conditions {
				if !c.excludes(typ) {
					return true
				}
			}
		}
	}
	return false
}

// excludes reports whether no claim of the type can satisfy the condition.
func (c *Condition) excludes(typ string) bool {
	for _, p := range c.Properties {
		literal, ok := p.Value.(*Literal)
		if !ok || p.Name != "type" || p.Op != "==" {
			continue
		}
		if text, isText := literal.Value.Text(); isText && text != typ {
			return true
		}
	}
	return false
}

// Section is a named list of rules.
type Section struct {
	Pos   Pos
	Name  string
	Open  Pos // after the opening brace
	Rules []*Rule
	End   Pos // of the closing brace
	Close Pos // after the semicolon
}

// Rule is: conditions => action.
type Rule struct {
	Pos        Pos
	Conditions []*Condition
	Action     Action
	End        Pos // after the semicolon
}

// Condition is true if at least one claim satisfies all its properties, or,
// negated, if none does.
type Condition struct {
	Pos        Pos
	Negated    bool
	Name       string // the identifier that it binds, or ""
	Properties []Property
}

// Property compares one property of a claim.
type Property struct {
	Pos   Pos
	Name  string // type, value, valueType or issuer
	Op    string
	Value Expr
}

// Action is what a rule does.
type Action struct {
	Pos  Pos
	Name string
	Args []Argument
}

// Argument is a named argument of an action.
type Argument struct {
	Pos   Pos
	Name  string // type, value, valueType, issuer or claim
	Value Expr
}

// Arg returns the argument of the given name, or nil.
func (a *Action) Arg(name string) *Argument {
	for i := range a.Args {
		if a.Args[i].Name == name {
			return &a.Args[i]
		}
	}
	return nil
}

// Expr is an expression: a [*Literal], a [*Ref] or a [*Call].
type Expr interface{ Start() Pos }

// Literal is a string, an integer or a boolean.
type Literal struct {
	Pos   Pos
	Text  string // as written
	Value claims.Value
}

// Ref is a property of the claims that an identifier is bound to; Property is
// empty in claim=identifier.
type Ref struct {
	Pos      Pos
	Name     string
	Property string
}

// Call is a call of a function.
type Call struct {
	Pos  Pos
	Name string
	Args []Expr

	query *jmespath.Query // of JmesPath, if it is a literal that compiles
}

// Start returns where the expression begins.
func (e *Literal) Start() Pos { return e.Pos }

// Start returns where the expression begins.
func (e *Ref) Start() Pos { return e.Pos }

// Start returns where the expression begins.
func (e *Call) Start() Pos { return e.Pos }
