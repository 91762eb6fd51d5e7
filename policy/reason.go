package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/probity-dev/probity/claims"
)

// Bounds of a reason; the trace names every rule.
const (
	maxReasons = 8
	maxDepth   = 3    // rules that would have added a missing claim, one after the other
	maxReason  = 4096 // text of each
	// maxTelling is how many claims and rules are looked through for all texts of a trace.
	maxTelling = 200_000
)

// Reason says in one line why the verdict is what it is. A denial names the rules
// that deny with the claims that made them, or else each rule that could have
// permitted with the claim that is missing or has the wrong value.
func (t *Trace) Reason() string {
	if t.err != nil {
		return t.err.Error()
	}
	tell := teller{t, maxTelling}
	var reasons []string
	more := 0
	for i := range t.Rules {
		r := &t.Rules[i]
		if r.Section() != Authorization {
			continue
		}
		action := r.Action()
		denies := t.denied && action == "deny" && r.Matched
		permits := !t.denied && t.permitted && action == "permit" && r.Matched && len(reasons) == 0
		fails := !t.denied && !t.permitted && action == "permit"
		switch {
		case !denies && !permits && !fails:
		case len(reasons) == maxReasons:
			more++
		case denies:
			reasons = append(reasons,
				fmt.Sprintf("rule %d (line %d) denies: %s", r.Number(), r.Line(), tell.because(r)))
		case permits:
			reasons = append(reasons, fmt.Sprintf("rule %d (line %d) permits", r.Number(), r.Line()))
		default:
			reasons = append(reasons, fmt.Sprintf("rule %d (line %d) does not permit: %s", r.Number(),
				r.Line(), tell.why(r, maxDepth)))
		}
	}
	if len(reasons) == 0 {
		return "the policy has no rule that permits"
	}
	if more > 0 {
		reasons = append(reasons, fmt.Sprintf("and %d more, see the trace", more))
	}
	return strings.Join(reasons, "; ")
}

// Why says why the condition of a rule was not met: which claim is missing, and which
// rule would have added it, or which value it has. It is "" for a rule that matched.
func (t *Trace) Why(r *RuleTrace) string {
	tell := teller{t, maxTelling}
	return tell.why(r, maxDepth)
}

// teller puts a trace into words. It stops looking through claims and rules after so many;
// what it then says is true, and shorter.
type teller struct {
	*Trace
	left int
}

// look pays for looking through n claims or rules.
func (t *teller) look(n int) bool {
	t.left -= n
	return t.left >= 0
}

func (t *teller) why(r *RuleTrace, depth int) string {
	if r.failed == 0 {
		return ""
	}
	c := r.rule.source.Conditions[r.failed-1]
	if !t.look(int(r.seen)) {
		return fmt.Sprintf("condition %d is not met", r.failed)
	}
	name := conditionType(c)
	found := t.found(r, name)
	switch {
	case c.Negated && found != "":
		return fmt.Sprintf("condition %d: %s, and the rule needs %s", r.failed, found, written(c))
	case c.Negated:
		return fmt.Sprintf("condition %d: a claim meets what the rule excludes, %s", r.failed, written(c))
	case name == "":
		return fmt.Sprintf("condition %d: no claim meets %s", r.failed, written(c))
	case found == "":
		return fmt.Sprintf("condition %d: there is no claim %s%s%s", r.failed, cut(name), absences[name],
			t.missing(r, name, depth))
	default:
		return fmt.Sprintf("condition %d: %s, and the rule needs %s", r.failed, found, written(c))
	}
}

// written is a condition as it is written, if it is not too long.
func written(c *Condition) string { return cut(formatCondition(c)) }

// cut shortens a text that a policy chose.
func cut(text string) string {
	if len(text) <= maxReason {
		return text
	}
	return strings.ToValidUTF8(text[:maxReason], "") + "…"
}

// missing names the earlier rules that would have added the claim, and why they did
// not.
func (t *teller) missing(r *RuleTrace, name string, depth int) string {
	if depth == 0 {
		return ""
	}
	var text strings.Builder
	for i := range t.Rules {
		before := &t.Rules[i]
		if before == r || !t.look(1+len(before.rule.source.Conditions)) {
			break
		}
		if before.Matched || !adds(before.rule.source, name) {
			continue
		}
		fmt.Fprintf(&text, " (rule %d, line %d, which adds it, did not match: %s)", before.Number(),
			before.Line(), t.why(before, depth-1))
		if depth == 1 || text.Len() > 1000 {
			break
		}
	}
	return text.String()
}

func adds(r *Rule, name string) bool {
	if claim := r.Action.Arg("claim"); claim != nil {
		ref, ok := claim.Value.(*Ref)
		return ok && slices.ContainsFunc(r.Conditions,
			func(c *Condition) bool { return c.Name == ref.Name && conditionType(c) == name })
	}
	arg := r.Action.Arg("type")
	if arg == nil {
		return false
	}
	text, ok := literalText(arg.Value)
	return ok && text == name
}

// because says which claims met the conditions of a rule.
func (t *teller) because(r *RuleTrace) string {
	conditions := r.rule.source.Conditions
	if len(conditions) == 0 {
		return "it has no condition"
	}
	list := make([]string, 0, len(conditions))
	for _, c := range conditions {
		if !t.look(int(r.seen)) {
			return "all its conditions are met"
		}
		name := conditionType(c)
		switch found := t.found(r, name); {
		case c.Negated && found == "" && name != "":
			list = append(list, "there is no claim "+cut(name))
		case c.Negated:
			list = append(list, "no claim meets "+strings.TrimPrefix(written(c), "!"))
		case found == "":
			list = append(list, "a claim meets "+written(c))
		default:
			list = append(list, found)
		}
	}
	return cut(strings.Join(list, ", and "))
}

// found says which values the claims of a name had when the rule ran; "" if there was
// none. What a known value means is said as well.
func (t *teller) found(r *RuleTrace, name string) string {
	if name == "" {
		return ""
	}
	all := t.claims.All()
	var values []string
	meaning := ""
	for _, claim := range all[:min(int(r.seen), len(all))] {
		if claim.Type != name {
			continue
		}
		if len(values) == 10 {
			values = append(values, "…")
			break
		}
		values = append(values, shown(claim.Value))
		meaning = t.meaning(claim)
	}
	name = cut(name)
	switch len(values) {
	case 0:
		return ""
	case 1:
		if meaning != "" {
			return fmt.Sprintf("claim %s is %s (%s)", name, values[0], meaning)
		}
		return fmt.Sprintf("claim %s is %s", name, values[0])
	}
	return fmt.Sprintf("the claims %s are %s", name, strings.Join(values, ", "))
}

// meaning is the reason for a claim's value that another claim gives, or else what the value
// tells in general.
func (t *teller) meaning(claim claims.Claim) string {
	general := Meaning(claim)
	reason, ok := t.claims.Get(reasons[claim.Type])
	if text, isText := reason.Text(); ok && isText && general != "" {
		return cut(text)
	}
	return general
}

// reasons name the claims that say why a claim has its value.
var reasons = map[string]string{
	"secureboot":        "x-probity-boot-not-secure",
	"secureBootEnabled": "x-probity-boot-not-secure",
}

// meanings say what a value that the default policies refuse tells of a machine, and
// where in its evidence that stands.
var meanings = map[string]map[string]string{
	"secureboot": {"false": "secure boot is off, or the log does not prove it: PCR 7, " +
		"events of the variable SecureBoot and of the authorities that signed the boot loader"},
	"x-ms-azurevm-default-securebootkeysvalidated": {"false": "the secure boot keys and databases are " +
		"not those that Azure installs: PCR 7, events of the variables PK, KEK, db and dbx"},
	"x-ms-azurevm-dbvalidated": {"false": "the secure boot database db is not one that Azure " +
		"installs: PCR 7, event of the variable db"},
	"x-ms-azurevm-dbxvalidated": {"false": "the list of forbidden boot loaders, dbx, " +
		"is not one that is accepted: PCR 7, event of the variable dbx"},
	"x-ms-azurevm-debuggersdisabled": {"false": "a boot, kernel or hypervisor debugger of Windows is on, " +
		"or the log does not prove that all are off: the boot events of Windows in PCR 12 and 13"},
	"x-ms-azurevm-signingdisabled": {"false": "test or flight signing is on, " +
		"or the log does not prove that both are off: the boot events of Windows in PCR 12 and 13"},
	"dbgstat": {
		"enabled": "the enclave or machine can be debugged, so its memory is readable from outside",
	},
	"secureBootEnabled": {"false": "secure boot is off, or the log does not prove it: PCR 7, " +
		"events of the variable SecureBoot and of the authorities that signed the boot loader"},
	"x-ms-sgx-is-debuggable": {
		"true": "the enclave runs in debug mode, so its memory is readable from outside",
	},
	"x-ms-sevsnpvm-is-debuggable": {
		"true": "the guest's policy allows debugging, so its memory is readable from outside",
	},
	"tdx_td_attributes_debug": {
		"true": "the trust domain can be debugged, so its memory is readable from outside",
	},
}

// absences say what it tells of a machine that a claim is not there.
var absences = map[string]string{
	"x-ms-compliance-status": " (the firmware that asked for the hardware report is not known: the " +
		"operator lists trusted paravisors in tpm.paravisors, and who may endorse utility VMs in snp.uvm)",
}

// Meaning says in plain words what a claim's value tells of a machine, if it is one
// that policies commonly refuse; "" otherwise.
func Meaning(c claims.Claim) string {
	values, ok := meanings[c.Type]
	if !ok {
		return ""
	}
	text, isText := c.Value.Text()
	if !isText {
		text = c.Value.String()
	}
	return values[text]
}
