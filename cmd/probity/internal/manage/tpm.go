package manage

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/node"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/postgres"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/wording/phrase"
)

type TpmCommands struct {
	Roots tpmRootsCommands `cmd:"" help:"Authorities that certify the keys of TPMs."`
	Keys  tpmKeysCommands  `cmd:"" help:"Attestation keys that were enrolled."`
	EK    tpmEKCommand     `cmd:"" name:"ek" help:"Verify a certificate of an endorsement key, offline."`
}

type tpmRootsCommands struct {
	Import  tpmRootsImportCommand  `cmd:"" help:"Trust the authorities in a file."`
	List    tpmRootsListCommand    `cmd:"" help:"List the authorities that are trusted."`
	Vendors tpmRootsVendorsCommand `cmd:"" help:"List the roots and intermediates that vendors of TPMs and clouds publish, by fingerprint."`
}

type tpmKeysCommands struct {
	List   tpmKeysListCommand   `cmd:"" help:"List the enrolled keys."`
	Remove tpmKeysRemoveCommand `cmd:"" help:"Remove the keys of a machine; its evidence is refused from then on."`
}

// dataFlag names the data directory of a service.
type dataFlag struct{ term.DataFlags }

func (f dataFlag) dir() (string, error) {
	cfg, err := f.Settings()
	return cfg.DataDir, err
}

type tpmRootsImportCommand struct {
	dataFlag
	File    string `arg:"" help:"PEM file with authorities; - reads standard input, azure stands for those of Azure's virtual TPMs."`
	For     string `help:"${forHelp}" placeholder:"USE" enum:"attestation,endorsement" required:""`
	Unknown bool   `help:"Trust roots too that are in no list of vendors: those of clouds, of a site, of simulators."`
}

// Help gives the examples of the help text.
func (tpmRootsImportCommand) Help() string {
	return `Roots of endorsement keys are compared with the list of what vendors publish; others need
--unknown. A service reads them at its next start.

Examples:
  probity tpm roots import infineon.pem --for endorsement
  probity tpm roots import azure --for attestation
  probity tpm roots import site-root.pem --for attestation --unknown`
}

// Run imports the authorities.
func (c *tpmRootsImportCommand) Run(e *term.Env) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	b := tpmca.Named(c.File)
	if b == nil {
		if b, err = e.ReadLimited(c.File, 4*evidence.MaxSize); err != nil {
			return err
		}
	}
	set, err := tpmca.Parse(b)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	for _, cert := range set.All() {
		if _, published := tpmca.VendorOf(cert); tpmca.SelfIssued(cert) && !published && !c.Unknown {
			return fmt.Errorf("%s (SHA-256 %s) is in no list of vendors: nothing was imported; compare "+
				"its fingerprint with its owner's, and trust it with --unknown", tpmca.Name(cert),
				tpmca.Fingerprint(cert))
		}
	}
	folder := filepath.Join(dir,
		filepath.FromSlash(map[string]string{
			"attestation": config.AttestationRoots, "endorsement": config.EndorsementRoots,
		}[c.For]))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for _, cert := range set.All() {
		var out bytes.Buffer
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
			return err
		}
		err := os.WriteFile(filepath.Join(folder, tpmca.Fingerprint(cert)+".pem"), out.Bytes(), 0o600)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.Out, "%s %s\n  SHA-256 %s\n  until %s, %s\n", e.UI.Good("✓"), tpmca.Name(cert),
			tpmca.Fingerprint(cert), phrase.Stamp(cert.NotAfter), describeRoot(set, cert.Raw))
	}
	for _, der := range set.Lists() {
		name := fmt.Sprintf("%x.crl.pem", sha256.Sum256(der))
		err := os.WriteFile(filepath.Join(folder, name),
			pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o600)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.Out, "%s revocation list, kept as %s\n", e.UI.Good("✓"), name)
	}
	if !e.Quiet {
		fmt.Fprintln(e.Err, "A service that runs reads them at its next start.")
	}
	return nil
}

// describeRoot says what a certificate in a set is.
func describeRoot(set *tpmca.Roots, raw []byte) string {
	for _, cert := range set.All() {
		if !bytes.Equal(cert.Raw, raw) {
			continue
		}
		if v, ok := tpmca.VendorOf(cert); ok && v.Issuer != "" {
			return "an intermediate of " + v.Vendor
		} else if ok {
			return "a root of " + v.Vendor
		}
		if tpmca.SelfIssued(cert) {
			return "a root that no vendor of the list publishes"
		}
	}
	return "an intermediate"
}

type tpmRootsListCommand struct{ dataFlag }

// Help gives the examples of the help text.
func (tpmRootsListCommand) Help() string {
	return "Example:\n" +
		"  probity tpm roots list --data /var/lib/probity"
}

// Run lists the authorities.
func (c *tpmRootsListCommand) Run(e *term.Env) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	cfg, err := config.Read(c.Config)
	if err != nil {
		return err
	}
	attestation, err := cfg.TPM.Verifier(dir)
	if err != nil {
		return err
	}
	endorsement, err := cfg.TPM.Endorsement(dir)
	if err != nil {
		return err
	}
	for _, item := range []struct {
		what string
		set  *tpmca.Roots
	}{{"attestation keys", attestation.Authorities}, {"endorsement keys", endorsement}} {
		fmt.Fprintf(e.Out, "%s\n", e.UI.Bold("authorities of "+item.what))
		if item.set.Len() == 0 {
			fmt.Fprintln(e.Out, "  none")
		}
		for _, cert := range item.set.All() {
			fmt.Fprintf(e.Out, "  %s  %s  until %s, %s\n", tpmca.Fingerprint(cert)[:16], tpmca.Name(cert),
				cert.NotAfter.Format(time.DateOnly), describeRoot(item.set, cert.Raw))
		}
	}
	return nil
}

type tpmRootsVendorsCommand struct{}

// Help gives the examples of the help text.
func (tpmRootsVendorsCommand) Help() string {
	return "Example:\n" +
		"  probity tpm roots vendors"
}

// Run lists what vendors publish.
func (tpmRootsVendorsCommand) Run(e *term.Env) error {
	for _, v := range tpmca.Vendors() {
		fmt.Fprintf(e.Out, "%s  %s  %s\n  %s\n", v.Fingerprint, v.NotAfter, v.Vendor, v.Subject)
	}
	return nil
}

// openStore opens the database of a service that is there.
func (f dataFlag) openStore(e *term.Env) (store.Store, error) {
	cfg, err := f.Settings()
	if err != nil {
		return nil, err
	}
	if url, err := cfg.Store.Postgres(); f.Data == "" && (url != "" || err != nil) {
		if err != nil {
			return nil, err
		}
		return postgres.Open(e.Ctx, url)
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, sqlite.FileName)); err != nil {
		return nil, fmt.Errorf("%s is not the data directory of a service; name it with --data, or its configuration "+
			"with --config: %w", cfg.DataDir, err)
	}
	return sqlite.Open(e.Ctx, cfg.DataDir)
}

// sealed returns the store of a service with sealed changes, for which its master key is
// needed.
func (f dataFlag) sealed(e *term.Env, db store.Store) (store.Store, error) {
	cfg, err := f.Settings()
	if err != nil {
		return nil, err
	}
	atRest, err := node.KeysAtRest(e.Ctx, db, cfg)
	if err != nil {
		return nil, err
	}
	seals, err := node.OpenSeals(e.Ctx, db, cfg, atRest)
	if err != nil {
		return nil, err
	}
	return seals.Guard(db), nil
}

type tpmKeysListCommand struct {
	dataFlag
	Provider string `help:"Attestation provider." default:"default" placeholder:"NAME"`
}

// Help gives the examples of the help text.
func (tpmKeysListCommand) Help() string {
	return "Example:\n" +
		"  probity tpm keys list --provider team-a"
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
}

// Help gives the examples of the help text.
func (tpmKeysRemoveCommand) Help() string {
	return "Example:\n" +
		"  probity tpm keys remove host-7 --provider team-a"
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
	if err == nil {
		fmt.Fprintf(e.Out, "removed %s; a service that runs knows within seconds\n", c.Name)
	}
	return err
}
