package disk

import (
	"errors"
	"fmt"

	"github.com/probity-dev/probity/agent/luks"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
)

type checkCommand struct {
	Device  string `arg:"" help:"Encrypted device, or a file with an image."`
	Service string `help:"URL of the service that a token of the disk must name." placeholder:"URL"`
	Key     string `help:"Key that a token of the disk must name." placeholder:"NAME"`
	Vault   string `name:"provider" help:"Provider that a token of the disk must name." placeholder:"NAME"`
	Kind    string `help:"Kind of evidence that a token of the disk must name." placeholder:"KIND"`
	Shape
	term.Output
}

// checked is what check prints with --format json.
type checked struct {
	Verdict string `json:"verdict"`
	// Code is the id of the failed check, or "".
	Code   string           `json:"code"`
	Checks []evidence.Check `json:"checks"`
	Disk   *summary         `json:"disk,omitzero"`
}

// summary is a header that was accepted.
type summary struct {
	UUID       string           `json:"uuid"`
	Label      string           `json:"label,omitzero"`
	Cipher     string           `json:"cipher"`
	Integrity  string           `json:"integrity,omitzero"`
	Slots      []int            `json:"slots"`
	Enrolments []luks.Enrolment `json:"enrolments"`
}

// Run checks the header.
func (c *checkCommand) Run(e *term.Env) error {
	var b *luks.Binding
	if c.Service != "" || c.Key != "" {
		d := Disk{Binding: luks.Binding{URL: c.Service, Provider: c.Vault, Key: c.Key, Kind: c.Kind}}
		if err := d.check(); err != nil {
			return err
		}
		b = &d.Binding
	}
	o, err := open(c.Device, c.expectation(b))
	if o == nil {
		return err
	}
	var r *evidence.Rejection
	if err != nil && !errors.As(err, &r) {
		return err
	}
	answer := checked{Verdict: term.VerdictAccepted, Checks: o.checks}
	if r != nil {
		answer.Verdict, answer.Code = term.VerdictRejected, r.Check.ID
	} else {
		defer o.close()
		d := o.device
		answer.Disk = &summary{d.UUID, d.Label, d.Cipher, d.Integrity, d.Slots, d.Enrolments}
	}
	if e.JSON {
		if err := term.PrintJSON(e.Out, answer); err != nil || r == nil {
			return err
		}
		return term.Exit(term.No)
	}
	e.UI.Checks(e.Out, "", o.checks)
	fmt.Fprintln(e.Out)
	if r != nil {
		return refused(&term.Env{IO: term.IO{Err: e.Out}, UI: e.UI}, c.Device, r)
	}
	c.sayAccepted(e, o)
	return nil
}

func (c *checkCommand) sayAccepted(e *term.Env, o *opened) {
	fmt.Fprintf(e.Out, "%s %s: %s, key slots %v\n", e.UI.Good("accepted:"), c.Device, o.device.Cipher, o.device.Slots)
	if o.device.Enrolled == nil && !e.Quiet {
		for _, b := range o.device.Enrolments {
			fmt.Fprintf(e.Err, "probity: the disk says that slot %d opens with %s; compare it with --service and --key\n",
				b.Slot, b.Binding)
		}
	}
}
