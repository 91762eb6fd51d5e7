package policy

import (
	"fmt"
	"strings"
)

// maxLine is the width from which a rule's conditions get a line each.
const maxLine = 100

// Format writes a policy in one form: a tab before each rule, one rule a line,
// or a line for each condition where that is too long. Comments stay, and so
// do single blank lines between rules. Formatting what was formatted changes
// nothing.
func Format(p *Policy) string {
	f := &formatter{policy: p}
	f.item("", Pos{}, p.VersionEnd, fmt.Sprintf("version= %d.%d;", p.Version.Major, p.Version.Minor))
	for _, s := range p.Sections {
		f.item("", s.Pos, s.Open, s.Name+"{")
		for _, r := range s.Rules {
			f.item("\t", r.Pos, r.End, formatRule(r))
		}
		f.comments("\t", s.End)
		f.line = 0 // no blank line before a closing brace
		f.item("", s.End, s.Close, "};")
	}
	f.comments("", Pos{Offset: len(p.Text) + 1})
	return f.b.String()
}

type formatter struct {
	policy *Policy
	b      strings.Builder
	next   int // the next comment
	line   int // the source line on which what was written last ended; 0 for none
}

// item writes one statement with the comments that belong to it: those before
// and inside it on lines of their own, one after it on its line.
func (f *formatter) item(indent string, from, to Pos, text string) {
	f.comments(indent, to)
	f.gap(from.Line)
	f.b.WriteString(indent)
	f.b.WriteString(strings.ReplaceAll(text, "\n", "\n"+indent))
	c := f.comment()
	if c != nil && !c.Own && strings.TrimLeft(f.policy.Text[to.Offset:c.Pos.Offset], " \t") == "" {
		f.b.WriteString(" " + strings.TrimRight(c.Text, " \t"))
		f.next++
	}
	f.b.WriteString("\n")
	f.line = to.Line
}

// comments writes those before the given place.
func (f *formatter) comments(indent string, before Pos) {
	for c := f.comment(); c != nil && c.Pos.Offset < before.Offset; c = f.comment() {
		f.gap(c.Pos.Line)
		f.b.WriteString(indent + strings.TrimRight(c.Text, " \t") + "\n")
		f.line = c.Pos.Line
		f.next++
	}
}

func (f *formatter) comment() *Comment {
	if f.next == len(f.policy.Comments) {
		return nil
	}
	return &f.policy.Comments[f.next]
}

// gap keeps one of the blank lines that stood before the given line.
func (f *formatter) gap(line int) {
	if f.line > 0 && line > f.line+1 {
		f.b.WriteString("\n")
	}
}

func formatRule(r *Rule) string {
	conditions := make([]string, len(r.Conditions))
	for i, c := range r.Conditions {
		conditions[i] = formatCondition(c)
	}
	action := "=> " + formatAction(&r.Action) + ";"
	if len(conditions) == 0 {
		return action
	}
	short := strings.Join(conditions, " && ") + " " + action
	if len(short) <= maxLine || len(conditions) == 1 && len(conditions[0]) <= maxLine/2 {
		return short
	}
	return strings.Join(conditions, " &&\n") + "\n\t" + action
}

func formatCondition(c *Condition) string {
	var b strings.Builder
	if c.Negated {
		b.WriteString("!")
	}
	if c.Name != "" {
		b.WriteString(c.Name + ":")
	}
	b.WriteString("[")
	for i, prop := range c.Properties {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(prop.Name + prop.Op + formatExpr(prop.Value))
	}
	b.WriteString("]")
	return b.String()
}

func formatAction(a *Action) string {
	args := make([]string, len(a.Args))
	for i, arg := range a.Args {
		args[i] = arg.Name + "=" + formatExpr(arg.Value)
	}
	return a.Name + "(" + strings.Join(args, ", ") + ")"
}

func formatExpr(x Expr) string {
	switch x := x.(type) {
	case *Literal:
		return x.Text
	case *Ref:
		if x.Property == "" {
			return x.Name
		}
		return x.Name + "." + x.Property
	case *Call:
		args := make([]string, len(x.Args))
		for i, arg := range x.Args {
			args[i] = formatExpr(arg)
		}
		return x.Name + "(" + strings.Join(args, ", ") + ")"
	}
	return ""
}
