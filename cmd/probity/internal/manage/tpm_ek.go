package manage

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/evidence/tpmfiles"
	"github.com/probity-dev/probity/internal/describe"
	"github.com/probity-dev/probity/wording/phrase"
)

type tpmEKCommand struct {
	File string   `arg:"" help:"Certificate of an endorsement key: DER as it is in the TPM, or PEM; - reads standard input."`
	Root []string `help:"PEM file with roots and intermediates of the vendor." placeholder:"FILE" required:""`
	At   string   `help:"Judge at this time (RFC 3339) instead of now." placeholder:"TIME"`
	term.Output
}

// Run verifies the certificate.
func (c *tpmEKCommand) Run(e *term.Env) error {
	at := time.Now()
	var err error
	if c.At != "" {
		if at, err = time.Parse(time.RFC3339, c.At); err != nil {
			return fmt.Errorf("--at: %q is not a time such as 2025-06-11T19:18:17Z", c.At)
		}
	}
	b, err := e.ReadLimited(c.File, evidence.MaxSize)
	if err != nil {
		return err
	}
	file, _ := tpmfiles.Identify(b)
	if file.Type != tpmfiles.EKCertificate && file.Type != tpmfiles.Certificate {
		return fmt.Errorf("%s: not a certificate of a key; probity inspect %s says what it is", c.File, c.File)
	}
	var files [][]byte
	for _, path := range c.Root {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files = append(files, b)
	}
	roots, err := tpmca.Parse(files...)
	if err != nil {
		return fmt.Errorf("--root: %w", err)
	}
	cert, err := tpm.VerifyEK(roots, file.Bytes, at)
	if err != nil {
		const remedy = "give the vendor's root and all intermediates with --root; compare their " +
			"fingerprints with: probity tpm roots vendors"
		answer := map[string]string{"verdict": term.VerdictRejected, "found": err.Error(), "remedy": remedy}
		return errors.Join(e.Answer(answer, "%s\n\n  found     %s\n  remedy    %s\n", e.UI.Bad("refused"),
			err, remedy), term.Exit(term.No))
	}
	chain, err := roots.Verify(cert, at)
	if err != nil {
		return err
	}
	root := chain[len(chain)-1]
	f := describe.Fields{
		{Name: "issuer", Value: cert.Issuer.String()},
		{Name: "notAfter", Value: phrase.Stamp(cert.NotAfter)},
		{Name: "key", Value: describe.KeyFields(cert.PublicKey)},
		{Name: "root", Value: tpmca.Name(root)},
		{Name: "rootSHA256", Value: tpmca.Fingerprint(root)},
	}
	if v, ok := tpmca.VendorOf(root); ok {
		f.Add("publishedBy", v.Vendor)
	} else {
		f.Add("publishedBy", "no vendor in the list: you vouch for this root")
	}
	if names := tpmOf(cert); len(names) > 0 {
		f.Add("tpm", names)
	}
	if e.JSON {
		return append(describe.Fields{{Name: "verdict", Value: term.VerdictAccepted}}, f...).Write(e.Out)
	}
	fmt.Fprintf(e.Out, "%s\n\n", e.UI.Good("verified"))
	f.Print(e.Out, e.UI.Bold, "  ")
	if !e.Quiet {
		fmt.Fprintln(e.Err, "\nThis says nothing about attestation keys: a TPM proves that a key is in "+
			"it when it opens a credential (probity agent enroll).")
	}
	return nil
}

// tpmOf reads manufacturer, model and version from the alternative name (TCG EK Credential
// Profile 2.5, section 3.2.9).
func tpmOf(cert *x509.Certificate) (f describe.Fields) {
	names := []struct {
		oid  asn1.ObjectIdentifier
		name string
	}{
		{asn1.ObjectIdentifier{2, 23, 133, 2, 1}, "manufacturer"},
		{asn1.ObjectIdentifier{2, 23, 133, 2, 2}, "model"},
		{asn1.ObjectIdentifier{2, 23, 133, 2, 3}, "version"},
	}
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		for _, n := range names {
			der, err := asn1.Marshal(n.oid)
			if err != nil {
				continue
			}
			_, rest, found := bytes.Cut(ext.Value, der)
			var text asn1.RawValue
			if _, err := asn1.Unmarshal(rest, &text); found && err == nil && len(text.Bytes) <= 64 {
				f.Add(n.name, string(text.Bytes))
			}
		}
	}
	return f
}
