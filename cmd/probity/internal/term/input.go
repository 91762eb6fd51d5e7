package term

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/forms"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/policy/policyjws"
)

// ReadLimited reads a file of at most limit bytes; "-" is standard input.
func (e *Env) ReadLimited(path string, limit int64) ([]byte, error) {
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

// Evidence reads a file with evidence. Evidence in a text encoding is taken out of
// it, with a note on standard error. The kind "" stands for any.
func (e *Env) Evidence(path string, kind evidence.Kind) ([]byte, error) {
	b, err := e.ReadLimited(path, forms.MaxText)
	if err != nil {
		return nil, err
	}
	return e.Decoded(b, path, kind)
}

// Decoded takes evidence out of its text encoding, with a note on standard error.
func (e *Env) Decoded(b []byte, path string, kind evidence.Kind) ([]byte, error) {
	d, ok, err := forms.Decode(kind, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if ok {
		if !e.Quiet {
			fmt.Fprintf(e.Err, "probity: %s: %s, decoded from %s (%d bytes)\n", path, d.Form.Name, d.How(),
				len(d.Bytes))
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

// Source returns a source of the collateral at the paths: each is anything that
// [collateral.Loader] reads, or the data directory of a service.
func (e *Env) Source(paths []string, more ...*collateral.AMD) (collateral.Source, error) {
	bundle := &collateral.Bundle{}
	for _, path := range paths {
		read := func() (*collateral.Bundle, error) { return e.LoadBundle(path) }
		if _, err := os.Stat(filepath.Join(path, sqlite.FileName)); err == nil {
			read = func() (*collateral.Bundle, error) { return files.Stored(e.Ctx, path) }
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
	e.Notes(bundle)
	if bundle.Len() == 0 && len(paths) == 0 {
		return nil, nil
	}
	if len(bundle.Intel) == 1 && bundle.Len() == 1+len(bundle.PCK) {
		return collateral.Fixed(bundle.Intel[0], bundle.PCK...), nil
	}
	return collateral.NewStatic(bundle)
}

// LoadBundle reads collateral, and says which files it did not use.
func (e *Env) LoadBundle(path string) (*collateral.Bundle, error) {
	bundle, err := files.Collateral(path)
	if err != nil {
		if b, readErr := e.ReadLimited(path, forms.MaxText); readErr == nil {
			if len(bytes.TrimSpace(b)) == 0 {
				return nil, fmt.Errorf("%s is empty", path)
			}
			if f := forms.Recognize(b); f.Kind != "" {
				return nil, fmt.Errorf("%s: %s, which is evidence and not collateral", path, f.Name)
			}
			err = files.InsteadOf(b, err)
		}
	}
	if err == nil {
		e.Notes(bundle)
	}
	return bundle, err
}

// Notes says which files of collateral are not used, and why.
func (e *Env) Notes(b *collateral.Bundle) {
	if b == nil || e.Quiet {
		return
	}
	for _, note := range b.Notes {
		fmt.Fprintln(e.Err, "probity: collateral:", note)
	}
}

var errNoPolicy = errors.New("not a policy")

// NoPolicy says what a file is that cannot be a policy, or returns nil. A policy that does not parse is
// one.
func NoPolicy(path string, b []byte) error {
	text := strings.TrimSpace(string(b))
	if strings.HasPrefix(text, "version") {
		return nil
	}
	if _, err := policyjws.Parse(strings.Trim(text, `"`)); err == nil {
		return fmt.Errorf("%w: a policy in a JWS; take the text out first: probity policy unwrap %s", errNoPolicy, path)
	}
	other := files.InsteadOf(b, errNoPolicy)
	//nolint:errorlint // the error itself comes back where no other file is recognised
	if other == errNoPolicy && utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 {
		return nil
	}
	//nolint:errorlint // as above
	if other == errNoPolicy {
		return fmt.Errorf("%w: %d bytes that are not text", errNoPolicy, len(b))
	}
	return other
}

// ReadPolicy reads a policy file; what is wrong with it goes to standard error.
func (e *Env) ReadPolicy(file string, lenient bool) (*policy.Policy, error) {
	text, err := e.ReadLimited(file, policy.MaxText)
	if err != nil {
		return nil, err
	}
	p, err := policy.ParseMode(string(text), Mode(lenient))
	var parse *policy.ParseError
	if errors.As(err, &parse) {
		if other := NoPolicy(file, text); other != nil {
			return nil, fmt.Errorf("%s: %w", file, other)
		}
		for _, d := range parse.Diagnostics {
			fmt.Fprintf(e.Err, "%s:%s\n", file, d)
		}
		return nil, &policyFault{file, parse.Diagnostics}
	}
	return p, err
}

// ChallengeBytes reads the challenge of a flag: text, or hex after "hex:".
func ChallengeBytes(flag, text string) ([]byte, error) {
	rest, ok := strings.CutPrefix(text, "hex:")
	if !ok {
		return []byte(text), nil
	}
	b, err := hex.DecodeString(rest)
	if err != nil {
		return nil, fmt.Errorf("%s: %q after hex: is not hex", flag, rest)
	}
	return b, nil
}

func Mode(lenient bool) policy.Mode {
	if lenient {
		return policy.Lenient
	}
	return policy.Strict
}
