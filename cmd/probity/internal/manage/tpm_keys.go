package manage

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/wording/phrase"
)

type tpmKeysListCommand struct {
	dataFlag
	Provider string `help:"Attestation provider." default:"default" placeholder:"NAME"`
	term.Output
}

// enrolledKey is an enrolled key, for programs.
type enrolledKey struct {
	Name           string    `json:"name"`
	Created        time.Time `json:"created"`
	AttestationKey string    `json:"attestationKey"`
	EndorsementKey string    `json:"endorsementKey"`
}

// Run lists the keys.
func (c *tpmKeysListCommand) Run(e *term.Env) error {
	db, err := c.openStore(e)
	if err != nil {
		return err
	}
	defer db.Close()
	list, err := db.TPMKeys(e.Ctx, c.Provider)
	if err != nil {
		return err
	}
	if e.JSON {
		keys := []enrolledKey{}
		for _, k := range list {
			keys = append(keys, enrolledKey{k.Name, k.Created, k.Key, k.EndorsementKey})
		}
		return term.PrintJSON(e.Out, keys)
	}
	if len(list) == 0 {
		fmt.Fprintln(e.Out, "no keys are enrolled")
	}
	for _, k := range list {
		fmt.Fprintf(e.Out, "%s  since %s\n  attestation key  %s\n  endorsement key  %s\n", e.UI.Bold(k.Name),
			phrase.Stamp(k.Created), k.Key, k.EndorsementKey)
	}
	return nil
}

type tpmKeysRemoveCommand struct {
	dataFlag
	Provider string `help:"Attestation provider." default:"default" placeholder:"NAME"`
	Name     string `arg:"" help:"Name of the machine."`
	term.Output
}

// Run removes the keys of a name.
func (c *tpmKeysRemoveCommand) Run(e *term.Env) error {
	db, err := c.openStore(e)
	if err != nil {
		return err
	}
	defer db.Close()
	sealed, err := c.sealed(e, db)
	if err != nil {
		return err
	}
	err = provider.RemoveTPM(e.Ctx, sealed, c.Provider, c.Name, &ledger.Entry{
		Time: time.Now().UTC(), Type: ledger.Change, Action: "tpm.remove", Subject: c.Name,
		By: "operator",
	})
	if errors.Is(err, store.ErrNotFound) {
		var names []string
		list, _ := db.TPMKeys(e.Ctx, c.Provider) // the first error counts
		for _, k := range list {
			names = append(names, k.Name)
		}
		return fmt.Errorf("no machine is named %q; enrolled: %s", c.Name, strings.Join(names, ", "))
	}
	if err != nil {
		return err
	}
	return e.Say("removed "+c.Name+"; a service that runs knows within seconds", map[string]any{"name": c.Name})
}
