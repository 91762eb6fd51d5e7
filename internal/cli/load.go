package cli

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/forms"
	"github.com/probity-dev/probity/evidence/openenclave"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/strict/pubkey"
)

// readLimited reads a file of at most limit bytes; "-" is standard input.
func (e *env) readLimited(path string, limit int64) ([]byte, error) {
	var r io.Reader = e.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return b, nil
}

// evidence reads a file with evidence. Evidence in a text encoding is taken out of
// it, with a note on standard error. The kind "" stands for any.
func (e *env) evidence(path string, kind evidence.Kind) ([]byte, error) {
	b, err := e.readLimited(path, forms.MaxText)
	if err != nil {
		return nil, err
	}
	return e.decoded(b, path, kind)
}

// decoded takes evidence out of its text encoding, with a note on standard error.
func (e *env) decoded(b []byte, path string, kind evidence.Kind) ([]byte, error) {
	d, ok, err := forms.Decode(kind, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if ok {
		if !e.quiet {
			fmt.Fprintf(e.Err, "probity: %s: %s, decoded from %s (%d bytes)\n", path, d.Form.Name, d.How(), len(d.Bytes))
			if len(d.Others) > 0 {
				fmt.Fprintf(e.Err, "probity: %s: not used beside it: %s\n", path, strings.Join(d.Others, ", "))
			}
		}
		b = d.Bytes
	}
	if len(b) > evidence.MaxSize {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read as evidence", path, len(b), evidence.MaxSize)
	}
	return b, nil
}

// source returns a source of the collateral at the paths: each is anything that
// [collateral.Loader] reads, or the data directory of a service.
func (e *env) source(paths []string, more ...*collateral.AMD) (collateral.Source, error) {
	bundle := &collateral.Bundle{}
	for _, path := range paths {
		read := func() (*collateral.Bundle, error) { return e.loadBundle(path) }
		if _, err := os.Stat(filepath.Join(path, sqlite.FileName)); err == nil {
			read = func() (*collateral.Bundle, error) { return storedBundle(e.ctx, path) }
		}
		b, err := read()
		if err != nil {
			return nil, fmt.Errorf("collateral: %w", err)
		}
		b.Notes = nil // they have been printed
		bundle.Add(b)
	}
	bundle.AMD = append(bundle.AMD, more...)
	if err := bundle.Settle(); err != nil {
		return nil, fmt.Errorf("collateral: %w", err)
	}
	e.notes(bundle)
	if bundle.Len() == 0 && len(paths) == 0 {
		return nil, nil
	}
	if len(bundle.Intel) == 1 && bundle.Len() == 1+len(bundle.PCK) {
		return collateral.Fixed(bundle.Intel[0], bundle.PCK...), nil
	}
	return collateral.NewStatic(bundle)
}

// loader reads collateral in every form that some kind of evidence brings.
var loader = collateral.Loader{Endorsements: openenclave.ParseEndorsements, VCEK: snp.VCEKOf}

// loadBundle reads collateral, and says which files it did not use.
func (e *env) loadBundle(path string) (*collateral.Bundle, error) {
	bundle, err := loader.Load(path)
	if err != nil {
		if b, readErr := e.readLimited(path, forms.MaxText); readErr == nil {
			if f := forms.Recognize(b); f.Kind != "" {
				return nil, fmt.Errorf("%s: %s, which is evidence and not collateral", path, f.Name)
			}
			err = insteadOf(b, err)
		}
	}
	if err == nil {
		e.notes(bundle)
	}
	return bundle, err
}

// insteadOf adds to the error of a file's reader what the file is.
func insteadOf(b []byte, err error) error {
	if err == nil {
		return nil
	}
	if f := forms.Recognize(b); f.Name != "" {
		return fmt.Errorf("%w (the file is %s)", err, f.Name)
	}
	for _, f := range inspect(b) {
		if what, ok := f.Value.(string); ok && f.Name == "what" {
			return fmt.Errorf("%w (the file is: %s)", err, strings.TrimSuffix(strings.TrimSuffix(what, " (not verified)"), " (signatures not verified)"))
		}
	}
	return err
}

// notes says which files of collateral are not used, and why.
func (e *env) notes(b *collateral.Bundle) {
	if b == nil || e.quiet {
		return
	}
	for _, note := range b.Notes {
		fmt.Fprintln(e.Err, "probity: collateral:", note)
	}
}

// roots reads the CAs in a PEM file; nil stands for the system's.
func roots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool, err := pubkey.Pool(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, insteadOf(b, err))
	}
	return pool, nil
}
