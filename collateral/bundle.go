package collateral

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/wording/jsonerror"
)

// Bundle is any mix of collateral of all vendors: what a file for a site
// without a network carries. Every piece is signed by its vendor, so the file
// needs no signature of its own; those who import it verify the pieces.
type Bundle struct {
	// Created is when the bundle was written.
	Created time.Time
	Intel   []*Intel
	AMD     []*AMD
	VCEK    []*VCEK
	// PCK are PCK certificate chains in PEM, for quotes that do not carry their own.
	// Those in Intel's sets are further ones.
	PCK [][]byte
	// Notes say which files a [Loader] did not use, and why. They are not written.
	Notes []string
}

// bundleFormat names the form of bundle files.
const bundleFormat = "probity-collateral/1"

type bundleJSON struct {
	Format  string           `json:"format"`
	Created time.Time        `json:"created"`
	Intel   []jsontext.Value `json:"intel,omitempty"`
	AMD     []amdJSON        `json:"amd,omitempty"`
	VCEK    []vcekJSON       `json:"vcek,omitempty"`
	PCK     []string         `json:"pck,omitempty"`
}

type amdJSON struct {
	Line   string `json:"line"`
	Branch string `json:"branch"`
	Chain  string `json:"chain,omitzero"`
	CRL    string `json:"crl,omitzero"`
}

type vcekJSON struct {
	Path        string `json:"path"`
	Certificate string `json:"certificate"`
}

// ErrNoBundle is returned for what is not a bundle file.
var ErrNoBundle = errors.New(`not a collateral bundle: no "format":"` + bundleFormat + `"`)

// Add appends the content of other.
func (b *Bundle) Add(other *Bundle) {
	b.Intel = append(b.Intel, other.Intel...)
	b.AMD = append(b.AMD, other.AMD...)
	b.VCEK = append(b.VCEK, other.VCEK...)
	b.PCK = append(b.PCK, other.PCK...)
	b.Notes = append(b.Notes, other.Notes...)
}

// Len is the number of pieces.
func (b *Bundle) Len() int { return len(b.Intel) + len(b.AMD) + len(b.VCEK) + len(b.PCK) }

// ParseBundle reads a bundle file: a JSON object with the members format,
// created, intel (sets as of [ParseSet]), amd (line, branch "vcek" or "vlek",
// chain and crl in PEM), vcek (path, certificate in PEM) and pck (chains in PEM).
// Unknown and duplicate members are refused.
func ParseBundle(text []byte) (*Bundle, error) {
	var probe struct {
		Format string `json:"format"`
	}
	if json.Unmarshal(text, &probe) != nil || probe.Format != bundleFormat {
		return nil, ErrNoBundle
	}
	var in bundleJSON
	if err := json.Unmarshal(text, &in, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("collateral bundle: %s", jsonerror.Text(err))
	}
	b := &Bundle{Created: in.Created}
	for i, f := range in.Intel {
		c, err := ParseSet(f)
		if err != nil {
			return nil, fmt.Errorf("collateral bundle: intel %d: %w", i+1, err)
		}
		b.Intel = append(b.Intel, c)
	}
	for i, a := range in.AMD {
		crl, err := DecodeCRL([]byte(a.CRL))
		if err != nil || a.Branch != "vcek" && a.Branch != "vlek" || a.Line == "" {
			return nil, fmt.Errorf("collateral bundle: amd %d: line, branch or crl is wrong", i+1)
		}
		b.AMD = append(b.AMD, &AMD{
			AMDQuery: AMDQuery{Line: a.Line, VLEK: a.Branch == "vlek"},
			Chain:    []byte(a.Chain),
			CRL:      crl,
		})
	}
	for i, v := range in.VCEK {
		block, rest := pem.Decode([]byte(v.Certificate))
		if block == nil || len(bytes.TrimSpace(rest)) > 0 || !strings.HasPrefix(v.Path, "vcek/v1/") {
			return nil, fmt.Errorf("collateral bundle: vcek %d: want a path and one PEM certificate", i+1)
		}
		b.VCEK = append(b.VCEK, &VCEK{Path: v.Path, Certificate: block.Bytes})
	}
	for i, chain := range in.PCK {
		if block, _ := pem.Decode([]byte(chain)); block == nil || block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("collateral bundle: pck %d: want a certificate chain in PEM", i+1)
		}
		b.PCK = append(b.PCK, []byte(chain))
	}
	return b, nil
}

// pckChains returns the PCK certificate chains of the bundle and of its sets, each once.
func (b *Bundle) pckChains() [][]byte {
	var list [][]byte
	add := func(chain []byte) {
		if len(chain) > 0 &&
			!slices.ContainsFunc(list, func(other []byte) bool { return bytes.Equal(other, chain) }) {
			list = append(list, chain)
		}
	}
	for _, chain := range b.PCK {
		add(chain)
	}
	for _, c := range b.Intel {
		add(c.PCKCertificateChain)
	}
	return list
}

// Marshal writes the bundle in the form that [ParseBundle] reads.
func (b *Bundle) Marshal() ([]byte, error) {
	out := bundleJSON{Format: bundleFormat, Created: b.Created.UTC()}
	for _, c := range b.Intel {
		set, err := c.Marshal()
		if err != nil {
			return nil, err
		}
		out.Intel = append(out.Intel, set)
	}
	for _, a := range b.AMD {
		crl := ""
		if len(a.CRL) > 0 {
			crl = string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: a.CRL}))
		}
		out.AMD = append(out.AMD, amdJSON{Line: a.Line, Branch: a.Branch(), Chain: string(a.Chain), CRL: crl})
	}
	for _, v := range b.VCEK {
		out.VCEK = append(out.VCEK, vcekJSON{Path: v.Path,
			Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.Certificate}))})
	}
	for _, chain := range b.PCK {
		out.PCK = append(out.PCK, string(chain))
	}
	return json.Marshal(out, jsontext.WithIndent("  "))
}
