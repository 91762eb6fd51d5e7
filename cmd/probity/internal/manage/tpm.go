package manage

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/config"
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

type tpmRootsImportCommand struct {
	dataFlag
	File    string `arg:"" help:"PEM file with authorities; - reads standard input, azure means those of Azure's virtual TPMs."`
	For     string `help:"${forHelp}" placeholder:"USE" enum:"attestation,endorsement" required:""`
	Unknown bool   `help:"Trust roots too that are in no list of vendors: those of clouds, of a site, of simulators."`
	term.Output
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
	imported, err := keepAuthorities(folder, set)
	if err != nil {
		return err
	}
	if e.JSON {
		return term.PrintJSON(e.Out, imported)
	}
	for _, a := range imported.Authorities {
		fmt.Fprintf(e.Out, "%s %s\n  SHA-256 %s\n  until %s, %s\n", e.UI.Good("✓"), a.Name, a.Fingerprint,
			phrase.Stamp(a.NotAfter), a.Description)
	}
	for _, name := range imported.RevocationLists {
		fmt.Fprintf(e.Out, "%s revocation list, kept as %s\n", e.UI.Good("✓"), name)
	}
	if !e.Quiet {
		fmt.Fprintln(e.Err, "A service that runs reads them at its next start.")
	}
	return nil
}

// importedRoots is what an import kept.
type importedRoots struct {
	Authorities     []authority `json:"authorities"`
	RevocationLists []string    `json:"revocationLists,omitzero"`
}

// authority is a certificate of an authority, for programs.
type authority struct {
	Fingerprint string    `json:"fingerprint"`
	Name        string    `json:"name"`
	NotAfter    time.Time `json:"notAfter"`
	Description string    `json:"description"`
}

// authorities describes the certificates of a set.
func authorities(set *tpmca.Roots) []authority {
	list := []authority{}
	for _, cert := range set.All() {
		list = append(list, authority{
			tpmca.Fingerprint(cert), tpmca.Name(cert), cert.NotAfter, describeRoot(set, cert.Raw),
		})
	}
	return list
}

// keepAuthorities writes the certificates and revocation lists of a set into a folder.
func keepAuthorities(folder string, set *tpmca.Roots) (importedRoots, error) {
	kept := importedRoots{Authorities: authorities(set)}
	for _, cert := range set.All() {
		var out bytes.Buffer
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
			return kept, err
		}
		err := os.WriteFile(filepath.Join(folder, tpmca.Fingerprint(cert)+".pem"), out.Bytes(), 0o600)
		if err != nil {
			return kept, err
		}
	}
	for _, der := range set.Lists() {
		name := fmt.Sprintf("%x.crl.pem", sha256.Sum256(der))
		err := os.WriteFile(filepath.Join(folder, name),
			pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o600)
		if err != nil {
			return kept, err
		}
		kept.RevocationLists = append(kept.RevocationLists, name)
	}
	return kept, nil
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

type tpmRootsListCommand struct {
	dataFlag
	term.Output
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
	trusted := map[string][]authority{
		"attestation": authorities(attestation.Authorities), "endorsement": authorities(endorsement),
	}
	if e.JSON {
		return term.PrintJSON(e.Out, trusted)
	}
	for _, use := range slices.Sorted(maps.Keys(trusted)) {
		fmt.Fprintf(e.Out, "%s\n", e.UI.Bold("authorities of "+use+" keys"))
		if len(trusted[use]) == 0 {
			fmt.Fprintln(e.Out, "  none")
		}
		for _, a := range trusted[use] {
			fmt.Fprintf(e.Out, "  %s  %s  until %s, %s\n", a.Fingerprint[:16], a.Name,
				a.NotAfter.Format(time.DateOnly), a.Description)
		}
	}
	return nil
}

type tpmRootsVendorsCommand struct{ term.Output }

// published is an authority in the list of vendors, for programs.
type published struct {
	Fingerprint string `json:"fingerprint"`
	NotAfter    string `json:"notAfter"`
	Vendor      string `json:"vendor"`
	Subject     string `json:"subject"`
	Issuer      string `json:"issuer,omitzero"`
}

// Run lists what vendors publish.
func (tpmRootsVendorsCommand) Run(e *term.Env) error {
	if e.JSON {
		list := []published{}
		for _, v := range tpmca.Vendors() {
			list = append(list, published{v.Fingerprint, v.NotAfter, v.Vendor, v.Subject, v.Issuer})
		}
		return term.PrintJSON(e.Out, list)
	}
	for _, v := range tpmca.Vendors() {
		fmt.Fprintf(e.Out, "%s  %s  %s\n  %s\n", v.Fingerprint, v.NotAfter, v.Vendor, v.Subject)
	}
	return nil
}
