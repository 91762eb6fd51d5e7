package key

import (
	"errors"
	"fmt"
	"os"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/wording/jsonerror"
)

type showCommand struct {
	named
	KeyVersion string `name:"key-version" help:"Version, instead of the newest one." placeholder:"ID"`
	Deleted    bool   `help:"Show a deleted key."`
}

// Run shows a key.
func (c *showCommand) Run(e *term.Env) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	if c.Deleted && c.KeyVersion != "" {
		return term.Usage("--deleted and --key-version do not go together")
	}
	var k *client.Key
	if c.Deleted {
		k, err = v.GetDeleted(e.Ctx, c.Name)
	} else {
		k, err = v.Get(e.Ctx, c.Name, c.KeyVersion)
	}
	if err != nil {
		return remote.Refused(e, err)
	}
	return show(e, k)
}

type listCommand struct {
	keyFlags
	Deleted bool `help:"List deleted keys that can be recovered."`
}

// Run lists the keys.
func (c *listCommand) Run(e *term.Env) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	if c.Deleted {
		return list(e, v.Deleted(e.Ctx))
	}
	return list(e, v.List(e.Ctx))
}

type versionsCommand struct{ named }

// Run lists the versions of a key.
func (c *versionsCommand) Run(e *term.Env) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	return list(e, v.Versions(e.Ctx, c.Name))
}

type updateCommand struct {
	named
	KeyVersion string `name:"key-version" help:"Version, instead of the newest one." placeholder:"ID"`
	Enable     bool   `help:"Release the version again." xor:"enabled"`
	Disable    bool   `help:"Do not release the version." xor:"enabled"`
	attributeFlags
	policyFlags
}

// Run changes a key.
func (c *updateCommand) Run(e *term.Env) error {
	policy, err := c.read(e)
	if err != nil {
		return err
	}
	u := client.KeyUpdate{Operations: c.Op, Tags: c.Tag, Policy: policy}
	if u.Attributes, err = c.attributes(); err != nil {
		return err
	}
	if c.Enable || c.Disable {
		u.Attributes.Enabled = &c.Enable
	}
	v, err := c.vault()
	if err != nil {
		return err
	}
	k, err := v.Update(e.Ctx, c.Name, c.KeyVersion, u)
	return put(e, k, err)
}

type rotateCommand struct{ named }

// Run rotates a key.
func (c *rotateCommand) Run(e *term.Env) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	k, err := v.Rotate(e.Ctx, c.Name)
	return put(e, k, err)
}

type rotationCommand struct {
	named
	Every   string `help:"Give the key a new version so long after the last one, as P90D." placeholder:"DURATION" xor:"every"`
	Before  string `help:"Give the key a new version so long before the last one expires." placeholder:"DURATION" xor:"every"`
	Expires string `help:"Let each new version expire after so long." placeholder:"DURATION"`
	File    string `help:"JSON file with the whole rotation policy, as Azure Key Vault has it; - reads standard input." placeholder:"FILE"`
}

// maxRotation bounds a file with a rotation policy, in bytes.
const maxRotation = 64 << 10

// Run shows or sets the rotation policy.
func (c *rotationCommand) Run(e *term.Env) error {
	want, err := c.wanted(e)
	if err != nil {
		return err
	}
	v, err := c.vault()
	if err != nil {
		return err
	}
	var p *client.RotationPolicy
	if want == nil {
		p, err = v.RotationPolicy(e.Ctx, c.Name)
	} else {
		p, err = v.SetRotationPolicy(e.Ctx, c.Name, *want)
	}
	if err != nil {
		return remote.Refused(e, err)
	}
	if e.JSON {
		return term.PrintJSON(e.Out, p)
	}
	for _, a := range p.Actions {
		when := a.Trigger.AfterCreate + " after a version was made"
		if a.Trigger.BeforeExpiry != "" {
			when = a.Trigger.BeforeExpiry + " before a version expires"
		}
		fmt.Fprintf(e.Out, "%-6s  %s\n", a.Action.Type, when)
	}
	if p.Attributes.ExpiryTime != "" {
		fmt.Fprintf(e.Out, "new versions expire after %s\n", p.Attributes.ExpiryTime)
	}
	return nil
}

// wanted is the rotation policy to set, or nil.
func (c *rotationCommand) wanted(e *term.Env) (*client.RotationPolicy, error) {
	if c.File != "" {
		if c.Every+c.Before+c.Expires != "" {
			return nil, term.Usage("--file is the whole rotation policy, and goes with no other flag of it")
		}
		b, err := e.ReadLimited(c.File, maxRotation)
		if err != nil {
			return nil, err
		}
		var p client.RotationPolicy
		if err := json.Unmarshal(b, &p, json.RejectUnknownMembers(true)); err != nil {
			return nil, fmt.Errorf("%s: %s", c.File, jsonerror.Text(err))
		}
		return &p, nil
	}
	if c.Every+c.Before+c.Expires == "" {
		return nil, nil
	}
	p := &client.RotationPolicy{Actions: []client.LifetimeAction{}}
	p.Attributes.ExpiryTime = c.Expires
	if c.Every+c.Before != "" {
		p.Actions = append(p.Actions, client.LifetimeAction{
			Trigger: client.RotationTrigger{AfterCreate: c.Every, BeforeExpiry: c.Before},
			Action:  client.RotationAction{Type: "Rotate"},
		})
	}
	return p, nil
}

type deleteCommand struct{ named }

// Run deletes a key.
func (c *deleteCommand) Run(e *term.Env) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	k, err := v.Delete(e.Ctx, c.Name)
	return put(e, k, err)
}

type recoverCommand struct{ named }

// Run recovers a key.
func (c *recoverCommand) Run(e *term.Env) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	k, err := v.Recover(e.Ctx, c.Name)
	return put(e, k, err)
}

type purgeCommand struct{ named }

// Run purges a key.
func (c *purgeCommand) Run(e *term.Env) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	if err := v.Purge(e.Ctx, c.Name); err != nil {
		return remote.Refused(e, err)
	}
	return e.Say(c.Name+" is removed permanently", map[string]any{"key": c.Name})
}

type backupCommand struct {
	named
	Out string `required:"" help:"File to write; one that is there is not replaced." placeholder:"FILE"`
}

// Run writes a backup.
func (c *backupCommand) Run(e *term.Env) error {
	v, err := c.vault()
	if err != nil {
		return err
	}
	b, err := v.Backup(e.Ctx, c.Name)
	if err != nil {
		return remote.Refused(e, err)
	}
	f, err := create(c.Out)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(c.Out))
	}
	return e.Say(fmt.Sprintf("%s is in %s; only this service can restore it", c.Name, c.Out),
		map[string]any{"key": c.Name, "out": c.Out, "bytes": len(b)})
}

// maxBackup bounds a backup that is read, in bytes.
const maxBackup = 72 << 20

type restoreCommand struct {
	keyFlags
	File string `arg:"" help:"File that key backup wrote; - reads standard input."`
}

// Run restores a key.
func (c *restoreCommand) Run(e *term.Env) error {
	b, err := e.ReadLimited(c.File, maxBackup)
	if err != nil {
		return err
	}
	v, err := c.vault()
	if err != nil {
		return err
	}
	k, err := v.Restore(e.Ctx, b)
	return put(e, k, err)
}
