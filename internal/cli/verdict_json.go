package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/wording/plainerror"
)

// Verdicts in JSON output.
const (
	verdictAccepted = "accepted"
	verdictRejected = "rejected"
	verdictError    = "error"
)

// verdictJSON is what verify evidence and policy eval print with --format json. The
// guide documents it; programs rely on it.
type verdictJSON struct {
	Verdict string `json:"verdict"`
	// Code is the id of the failed check, or "".
	Code   string           `json:"code"`
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
	Diagnostics []finding `json:"diagnostics,omitzero"`
}

func printVerdict(e *env, v *appraisal.Verdict) error {
	out := verdictJSON{Verdict: verdictAccepted, Checks: v.Checks, TCB: v.TCB, Claims: v.Claims, Incoming: v.Known, Issued: v.Issued, Properties: v.Properties}
	if !v.Accepted {
		out.Verdict, out.Code = verdictRejected, v.Rejection.Check.ID
	}
	if len(v.Policy.Rules) > 0 {
		report := v.Policy.Report()
		out.Policy = &report
	}
	return printJSON(e.Out, out)
}

// usageFault is a command line that contradicts itself.
type usageFault string

func (u usageFault) Error() string { return string(u) }

func usage(format string, args ...any) error { return usageFault(fmt.Sprintf(format, args...)) }

// policyFault is a policy file that does not parse.
type policyFault struct {
	file        string
	diagnostics []policy.Diagnostic
}

func (p *policyFault) Error() string { return p.file + ": the policy does not parse" }

// printError writes an error as JSON for a program that asked for JSON.
func printError(w io.Writer, err error) {
	out := errorJSON{Verdict: verdictError, Code: "input", Message: plainerror.Text(err)}
	var usage usageFault
	var parse *policyFault
	var path *fs.PathError
	switch {
	case errors.As(err, &usage):
		out.Code = "usage"
	case errors.As(err, &parse):
		out.Code = "policy"
		for _, d := range parse.diagnostics {
			out.Diagnostics = append(out.Diagnostics, findingOf(parse.file, d))
		}
	case errors.As(err, &path):
		out.Code = "file"
	}
	_ = printJSON(w, out) // the exit code already says that there is no answer
}

// wantsJSON reports whether the command line asks for JSON, even if it is faulty
// otherwise.
func wantsJSON(args []string) bool {
	for i, arg := range args {
		if arg == "--" {
			return false
		}
		if arg == "--format=json" || arg == "--format" && i+1 < len(args) && args[i+1] == "json" {
			return !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--format=") && a != "--format=json" })
		}
	}
	return false
}

// counted is a writer that knows whether something was written.
type counted struct {
	io.Writer
	n int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n += int64(n)
	return n, err
}
