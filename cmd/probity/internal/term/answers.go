package term

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/wording/plainerror"
)

// Verdicts in JSON output.
const (
	VerdictAccepted = "accepted"
	VerdictRejected = "rejected"
	VerdictError    = "error"
)

// verdictJSON is what verify evidence and policy eval print with --format json. The
// guide documents it; programs rely on it.
type verdictJSON struct {
	Verdict string `json:"verdict"`
	// Code is the id of the failed check, or "".
	Code string `json:"code"`
	// See is the place in the guide of the failed check.
	See    string           `json:"see,omitzero"`
	Checks []evidence.Check `json:"checks"`
	TCB    *evidence.TCB    `json:"tcb"`
	// Claims are those that the evidence proves and a token carries.
	Claims claims.Set `json:"claims"`
	// Incoming are all claims that a policy can read.
	Incoming claims.Set `json:"incoming"`
	// Issued are the claims that the policy issued.
	Issued     claims.Set     `json:"issued"`
	Properties claims.Set     `json:"properties"`
	Policy     *policy.Report `json:"policy,omitzero"`
}

// errorJSON is printed with --format json by a command that could not answer.
type errorJSON struct {
	Verdict     string    `json:"verdict"`
	Code        string    `json:"code"`
	Message     string    `json:"message"`
	Diagnostics []Finding `json:"diagnostics,omitzero"`
}

func PrintVerdict(e *Env, v *appraisal.Verdict) error {
	out := verdictJSON{
		Verdict: VerdictAccepted, Checks: v.Checks, TCB: v.TCB, Claims: v.Claims, Incoming: v.Known,
		Issued: v.Issued, Properties: v.Properties,
	}
	if !v.Accepted {
		out.Verdict, out.Code = VerdictRejected, v.Rejection.Check.ID
		out.See = CheckPage(out.Code)
	}
	if len(v.Policy.Rules) > 0 {
		report := v.Policy.Report()
		out.Policy = &report
	}
	return PrintJSON(e.Out, out)
}

// UsageFault is a command line that contradicts itself.
type UsageFault string

func (u UsageFault) Error() string { return string(u) }

func Usage(format string, args ...any) error { return UsageFault(fmt.Sprintf(format, args...)) }

// policyFault is a policy file that does not parse.
type policyFault struct {
	file        string
	diagnostics []policy.Diagnostic
}

func (p *policyFault) Error() string { return p.file + ": the policy does not parse" }

// PrintError writes an error as JSON for a program that asked for JSON.
func PrintError(w io.Writer, err error) {
	out := errorJSON{Verdict: VerdictError, Code: "input", Message: plainerror.Text(err)}
	var usage UsageFault
	var parse *policyFault
	var path *fs.PathError
	switch {
	case errors.As(err, &usage):
		out.Code = "usage"
	case errors.As(err, &parse):
		out.Code = "policy"
		for _, d := range parse.diagnostics {
			out.Diagnostics = append(out.Diagnostics, FindingOf(parse.file, d))
		}
	case errors.As(err, &path):
		out.Code = "file"
	}
	_ = PrintJSON(w, out) // the exit code already says that there is no answer
}

// WantsJSON reports whether the command line asks for JSON, even if it is faulty
// otherwise.
func WantsJSON(args []string) bool {
	for i, arg := range args {
		if arg == "--" {
			return false
		}
		if arg == "--format=json" || arg == "--format" && i+1 < len(args) && args[i+1] == "json" {
			return !slices.ContainsFunc(args,
				func(a string) bool { return strings.HasPrefix(a, "--format=") && a != "--format=json" })
		}
	}
	return false
}

// Counted is a writer that knows whether something was written.
type Counted struct {
	io.Writer
	N int64
}

func (c *Counted) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.N += int64(n)
	return n, err
}

func PrintJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v, jsontext.WithIndent("  "), json.Deterministic(true),
		jsontext.AllowInvalidUTF8(true)) // what was found may be bytes of a file
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(b))
	return err
}

// Finding is a diagnostic for programs.
type Finding struct {
	File       string `json:"file"`
	Line       int    `json:"line"`
	Column     int    `json:"column"`
	Severity   string `json:"severity"`
	Message    string `json:"message"`
	Found      string `json:"found,omitzero"`
	Expected   string `json:"expected,omitzero"`
	Suggestion string `json:"suggestion,omitzero"`
}

func FindingOf(file string, d policy.Diagnostic) Finding {
	return Finding{
		file, d.Pos.Line, d.Pos.Column, string(d.Severity), d.Message, d.Found, d.Expected,
		d.Suggestion,
	}
}
