package policy

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/token"
	"github.com/probity-dev/probity/wording/phrase"
)

type historyCommand struct{ policyFlags }

// Run lists the versions.
func (c *historyCommand) Run(e *term.Env) error {
	api, kind, err := c.open()
	if err != nil {
		return err
	}
	history, err := api.PolicyHistory(e.Ctx, kind)
	if err != nil {
		return remote.Refused(e, err)
	}
	if e.JSON {
		return term.PrintJSON(e.Out, history)
	}
	if len(history) == 0 {
		fmt.Fprintf(e.Out, "the policy of %s was never changed\n", kind)
		return nil
	}
	fmt.Fprintf(e.Out, "%7s  %-20s  %-10s  %s\n", "VERSION", "TIME", "CHANGE", "BY")
	for i, v := range history {
		what := v.Action
		if v.From > 0 {
			what = fmt.Sprintf("back to %d", v.From)
		}
		more := ""
		if v.Signer != "" {
			more = ", signed by " + phrase.Shorten(v.Signer, 17)
		}
		switch {
		case v.Altered:
			more += "; altered in the database: it cannot be put in force again"
		case i == 0:
			more += "  in force"
		}
		fmt.Fprintf(e.Out, "%7d  %s  %-10s  %s%s\n", v.Version, phrase.Stamp(v.At), what, v.By, more)
	}
	return nil
}

type showCommand struct {
	policyFlags
	Version int64 `arg:"" optional:"" help:"Number of the version; by default the policy in force."`
}

// Run prints the text of a version.
func (c *showCommand) Run(e *term.Env) error {
	api, kind, err := c.open()
	if err != nil {
		return err
	}
	var v *client.PolicyVersion
	if c.Version == 0 {
		v, err = inForce(e, api, kind)
	} else {
		v, err = api.PolicyVersion(e.Ctx, kind, c.Version)
	}
	if err != nil {
		return remote.Refused(e, err)
	}
	if v.Text == "" && c.Version == 0 {
		return remote.No(e, "policy.set", "no policy is in force for %s; set one with: probity policy set %[1]s FILE",
			kind)
	}
	if e.JSON {
		return term.PrintJSON(e.Out, v)
	}
	fmt.Fprintln(e.Out, strings.TrimSuffix(v.Text, "\n"))
	if v.Version == 0 {
		fmt.Fprintln(e.Err, "the default policy, never changed")
	} else {
		fmt.Fprintf(e.Err, "version %d, %s, of %s by %s\n", v.Version, v.Action, phrase.Stamp(v.At), v.By)
	}
	return nil
}

// inForce returns the policy in force with its version; the default that was never changed has version 0.
func inForce(e *term.Env, api *client.Client, kind evidence.Kind) (*client.PolicyVersion, error) {
	history, err := api.PolicyHistory(e.Ctx, kind)
	if err != nil {
		return nil, err
	}
	v := &client.PolicyVersion{Action: "default"}
	if len(history) > 0 {
		*v = history[0]
	}
	compact, err := api.Policy(e.Ctx, kind)
	if err != nil {
		return nil, err
	}
	_, payload, err := token.Decode(compact)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Policy string `json:"x-ms-policy"`
	}
	if err := json.Unmarshal(payload, &answer); err != nil {
		return nil, err
	}
	if answer.Policy == "" {
		return v, nil
	}
	in, err := policyjws.Parse(answer.Policy)
	if err != nil {
		return nil, err
	}
	v.Text, v.JWS = in.Text, cmp.Or(v.JWS, answer.Policy)
	return v, nil
}

type rollbackCommand struct {
	changeFlags
	Version int64 `arg:"" help:"Number of the version to put in force again."`
}

// Run rolls back.
func (c *rollbackCommand) Run(e *term.Env) error {
	api, kind, err := c.open()
	if err != nil {
		return err
	}
	if err := api.Rollback(e.Ctx, kind, c.Version); err != nil {
		return remote.Refused(e, err)
	}
	return e.Say(fmt.Sprintf("version %d of the policy of %s is in force, as a new version", c.Version, kind),
		map[string]any{"type": kind, "version": c.Version})
}
