package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/wording/spelling"
)

var actionNames = []string{"permit", "deny", "add", "issue", "issueproperty"}

// otherWords are what other languages call these actions.
var otherWords = map[string]string{
	"allow": "permit", "accept": "permit", "grant": "permit", "reject": "deny", "refuse": "deny",
	"block": "deny", "forbid": "deny",
}

func hintOfAction(name string) string {
	if known, ok := otherWords[strings.ToLower(name)]; ok {
		return "did you mean " + known + "?"
	}
	return spelling.Hint(name, actionNames)
}

func (p *parser) parseAction(a *Action) bool {
	const rule = "action"
	a.Pos = p.tok.pos
	if p.tok.kind != tokIdent || !slices.Contains(actionNames, p.tok.text) {
		suggestion := ""
		if p.tok.kind == tokIdent {
			suggestion = hintOfAction(p.tok.text)
		}
		p.unexpected(rule, strings.Join(actionNames, ", "), suggestion)
		return false
	}
	a.Name = p.advance().text
	if !p.expect("(", rule, "") {
		return false
	}
	if p.accept(")") {
		return true
	}
	for {
		if !p.parseArgument(a) {
			return false
		}
		if p.accept(",") {
			continue
		}
		return p.expect(")", rule, "")
	}
}

var argumentNames = []string{"type", "value", "valueType", "issuer", "claim"}

func (p *parser) parseArgument(a *Action) bool {
	const rule = "argument"
	arg := Argument{Pos: p.tok.pos}
	if p.tok.kind != tokIdent || !slices.Contains(argumentNames, p.tok.text) {
		suggestion := ""
		if p.tok.kind == tokString {
			suggestion = "name the argument: type=" + clip(p.tok.text)
		}
		p.unexpected(rule, "type=, value= or claim=", suggestion)
		return false
	}
	arg.Name = p.advance().text
	if !p.expect("=", rule, "") {
		return false
	}
	if arg.Name == "claim" {
		if p.tok.kind != tokIdent {
			p.unexpected(rule, "an identifier", "")
			return false
		}
		t := p.advance()
		arg.Value = &Ref{Pos: t.pos, Name: t.text}
	} else {
		var ok bool
		if arg.Value, ok = p.parseExpr(0); !ok {
			return false
		}
	}
	if a.Arg(arg.Name) != nil {
		p.errorAt(arg.Pos, rule, "argument "+arg.Name+" appears twice")
	}
	a.Args = append(a.Args, arg)
	return true
}

func (p *parser) parseExpr(depth int) (Expr, bool) {
	const rule = "expression"
	t := p.tok
	switch {
	case depth > maxNesting:
		p.errorAt(t.pos, rule, fmt.Sprintf("calls are nested deeper than %d", maxNesting))
		return nil, false
	case t.kind == tokString:
		p.advance()
		return &Literal{t.pos, t.text, claims.StringValue(t.value)}, true
	case t.kind == tokInteger:
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			p.errorAt(t.pos, rule, t.text+" is not a 64-bit integer")
		}
		p.advance()
		return &Literal{t.pos, t.text, claims.IntegerValue(n)}, true
	case t.kind == tokIdent && (t.text == "true" || t.text == "false"):
		p.advance()
		return &Literal{t.pos, t.text, claims.BooleanValue(t.text == "true")}, true
	case t.kind == tokIdent && p.peek.kind == tokPunct && p.peek.text == ".":
		p.advance()
		p.advance()
		if p.tok.kind != tokIdent || !slices.Contains(propertyNames, p.tok.text) {
			p.unexpected(rule, "type, value, valueType or issuer", "")
			return nil, false
		}
		return &Ref{t.pos, t.text, p.advance().text}, true
	case t.kind == tokIdent && p.peek.kind == tokPunct && p.peek.text == "(":
		p.advance()
		p.advance()
		return p.parseCall(&Call{Pos: t.pos, Name: t.text}, depth)
	}
	p.unexpected(rule, "a string, an integer, true, false, identifier.value or a function", "")
	return nil, false
}

func (p *parser) parseCall(c *Call, depth int) (Expr, bool) {
	if p.accept(")") {
		return c, true
	}
	for {
		arg, ok := p.parseExpr(depth + 1)
		if !ok {
			return nil, false
		}
		c.Args = append(c.Args, arg)
		if p.accept(",") {
			continue
		}
		return c, p.expect(")", "expression", "")
	}
}
