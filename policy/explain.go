package policy

import (
	"fmt"
	"strings"
)

// Explain puts a policy into plain words, a line for each rule.
func Explain(p *Policy) string {
	var b strings.Builder
	fmt.Fprintf(&b, "This is a policy of version %d.%d.\n", p.Version.Major, p.Version.Minor)
	for _, s := range p.Sections {
		if len(s.Rules) == 0 {
			continue
		}
		b.WriteString("\n" + map[string]string{
			Configuration: "Before the evidence is looked at:",
			Authorization: "Whether the evidence is accepted (any deny wins; without a permit the answer is no):",
			Issuance:      "What the token says besides the service's own claims:",
		}[s.Name] + "\n")
		for i, r := range s.Rules {
			fmt.Fprintf(&b, "  %d. %s\n", i+1, explainRule(r))
		}
	}
	return b.String()
}

func explainRule(r *Rule) string {
	names := map[string]string{}
	conditions := make([]string, len(r.Conditions))
	for i, c := range r.Conditions {
		conditions[i] = explainCondition(c, names)
		if c.Name != "" {
			names[c.Name] = conditionType(c)
		}
	}
	action := explainAction(&r.Action, names)
	if len(conditions) == 0 {
		return "Always " + action + "."
	}
	return "If " + strings.Join(conditions, ", and ") + ": " + action + "."
}

var words = map[string]string{
	"==": "is", "!=": "is not", "<": "is below", "<=": "is at most", ">": "is above",
	">=": "is at least",
}

func explainCondition(c *Condition, names map[string]string) string {
	subject := "any claim"
	if name := conditionType(c); name != "" {
		subject = name
	}
	var tests []string
	for _, prop := range c.Properties {
		if prop.Name == "type" && prop.Op == "==" && subject != "any claim" {
			continue
		}
		test := words[prop.Op] + " " + explainExpr(prop.Value, names)
		if prop.Name == "issuer" && prop.Op == "==" {
			test = "comes from " + explainExpr(prop.Value, names)
		} else if prop.Name != "value" {
			test = "has a " + prop.Name + " that " + test
		}
		tests = append(tests, test)
	}
	if len(tests) == 0 {
		tests = []string{"exists"}
	}
	text := subject + " " + strings.Join(tests, " and ")
	if c.Negated {
		return "not: " + text
	}
	return text
}

func explainAction(a *Action, names map[string]string) string {
	switch a.Name {
	case "permit":
		return "accept"
	case "deny":
		return "refuse"
	}
	verb := map[string]string{
		"add":           "note for later rules",
		"issue":         "put into the token",
		"issueproperty": "set the property",
	}[a.Name]
	if claim := a.Arg("claim"); claim != nil {
		return verb + " " + explainExpr(claim.Value, names) + " as it is"
	}
	typ, _ := literalText(a.Arg("type").Value)
	if typ == "" {
		typ = explainExpr(a.Arg("type").Value, names)
	}
	return verb + " " + typ + " = " + explainExpr(a.Arg("value").Value, names)
}

func explainExpr(x Expr, names map[string]string) string {
	switch x := x.(type) {
	case *Literal:
		return clip(x.Text)
	case *Ref:
		name := names[x.Name]
		if name == "" {
			name = "what " + x.Name + " matched"
		}
		if x.Property == "" || x.Property == "value" {
			return "the value of " + name
		}
		return "the " + x.Property + " of " + name
	}
	call := x.(*Call)
	args := make([]string, len(call.Args))
	for i, arg := range call.Args {
		args[i] = explainExpr(arg, names)
	}
	switch call.Name {
	case "JmesPath":
		return "what " + args[1] + " finds in " + args[0]
	case "JsonToClaimValue":
		return args[0] + ", read as JSON"
	case "IsSubsetOf":
		return "whether " + args[0] + " is among " + args[1]
	case "AppendString":
		return args[0] + " followed by " + args[1]
	case "NegateBool":
		return "the opposite of " + args[0]
	default:
		return "whether " + args[0] + " is only " + args[1]
	}
}
