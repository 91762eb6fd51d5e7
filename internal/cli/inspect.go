package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
)

type inspectCommand struct {
	File   string `arg:"" help:"File to look at; - reads standard input."`
	Format string `help:"Output: text or json." enum:"text,json" default:"text"`
}

// Help gives the examples of the help text.
func (inspectCommand) Help() string {
	return `Knows SGX and TDX quotes, SEV-SNP reports, UVM endorsements, Nitro documents, CCA and PSA tokens, evidence of TPMs and Azure guests, reports of Azure's paravisor, logs of measured boot (TCG, IMA), collateral bundles, Open Enclave reports, evidence and endorsements, certificates and CRLs (PEM or DER), collateral, TCB info, enclave identities, tokens and policies. It verifies nothing: what it prints is what the file says of itself.

Examples:
  probity inspect quote.bin
  probity inspect token.jwt --format json`
}

// Run decodes the file and prints what it is.
func (c *inspectCommand) Run(e *env) error {
	b, err := e.readLimited(c.File, evidence.MaxSize*4)
	if err != nil {
		return err
	}
	found := inspect(b)
	if found == nil {
		return fmt.Errorf("%s: %d bytes of no form that is known here", c.File, len(b))
	}
	if c.Format == "json" {
		enc := jsontext.NewEncoder(e.Out, jsontext.WithIndent("  "))
		return json.MarshalEncode(enc, found)
	}
	found.print(e.Out, e.ui, "")
	return nil
}

// fields is an ordered list of named values: strings, numbers, booleans,
// fields, lists of fields, or JSON text.
type fields []field

type field struct {
	Name  string
	Value any
}

func (f *fields) add(name string, value any) { *f = append(*f, field{name, value}) }

// MarshalJSONTo writes the list as an object in its order.
func (f fields) MarshalJSONTo(enc *jsontext.Encoder) error {
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, item := range f {
		if err := enc.WriteToken(jsontext.String(item.Name)); err != nil {
			return err
		}
		if err := json.MarshalEncode(enc, item.Value); err != nil {
			return err
		}
	}
	return enc.WriteToken(jsontext.EndObject)
}

func (f fields) print(w io.Writer, u ui, indent string) {
	width := 0
	for _, item := range f {
		width = max(width, len(item.Name))
	}
	for _, item := range f {
		switch v := item.Value.(type) {
		case fields:
			fmt.Fprintf(w, "%s%s\n", indent, u.bold(item.Name))
			v.print(w, u, indent+"  ")
		case []fields:
			for i, one := range v {
				fmt.Fprintf(w, "%s%s\n", indent, u.bold(fmt.Sprintf("%s %d", item.Name, i+1)))
				one.print(w, u, indent+"  ")
			}
		case jsontext.Value:
			pretty := v.Clone()
			if err := pretty.Indent(jsontext.WithIndentPrefix(indent+"  "), jsontext.WithIndent("  ")); err != nil {
				pretty = v
			}
			fmt.Fprintf(w, "%s%s\n%s  %s\n", indent, u.bold(item.Name), indent, pretty)
		case []string:
			fmt.Fprintf(w, "%s%-*s  %s\n", indent, width, item.Name, strings.Join(v, ", "))
		default:
			fmt.Fprintf(w, "%s%-*s  %v\n", indent, width, item.Name, v)
		}
	}
}
