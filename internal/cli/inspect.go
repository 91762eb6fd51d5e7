package cli

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

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
	return `Knows SGX and TDX quotes, SEV-SNP reports, UVM endorsements, Nitro documents, CCA and PSA tokens, evidence of TPMs and Azure guests, of confidential containers (Trustee), reports of Azure's paravisor, logs of measured boot (TCG, IMA), collateral bundles, Open Enclave reports, evidence and endorsements, certificates and CRLs (PEM or DER), collateral, TCB info, enclave identities, tokens and policies. It verifies nothing: what it prints is what the file says of itself.

JSON has the names of the vendors' documents, with numbers, booleans and lists as such; bytes are hex.

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
	if len(b) == 0 {
		return fmt.Errorf("%s is empty", c.File)
	}
	found := inspect(b)
	if found == nil {
		return fmt.Errorf("%s: %d bytes of no form that is known here", c.File, len(b))
	}
	if c.Format == "json" {
		return found.write(e.Out)
	}
	found.print(e.Out, e.ui, "")
	return nil
}

// fields is an ordered list of named values, each name once: strings, numbers, booleans,
// bytes, texts, fields, lists of fields, or JSON text. It is printed and written as JSON
// from the one tree.
type fields []field

type field struct {
	Name  string
	Value any
}

// octets are bytes, shown as hex. Nil is a value that is not there.
type octets []byte

// MarshalJSONTo writes hex, or null.
func (o octets) MarshalJSONTo(enc *jsontext.Encoder) error {
	if o == nil {
		return enc.WriteToken(jsontext.Null)
	}
	return enc.WriteToken(jsontext.String(hex.EncodeToString(o)))
}

func (o octets) String() string {
	if o == nil {
		return "none"
	}
	return hex.EncodeToString(o)
}

// bits is a bit field, shown as a number in hex.
type bits uint64

// MarshalJSONTo writes 0x and hex: JSON numbers are not exact from 2^53 on.
func (v bits) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteToken(jsontext.String(v.String()))
}

func (v bits) String() string { return fmt.Sprintf("%#x", uint64(v)) }

func (f *fields) add(name string, value any) { *f = append(*f, field{name, value}) }

// addBytes adds bytes that may be absent, which null says.
func (f *fields) addBytes(name string, b []byte) { f.add(name, octets(b)) }

// addList adds what there is one or more of; nothing for an empty list.
func (f *fields) addList(name string, list []fields) {
	if len(list) > 0 {
		f.add(name, list)
	}
}

// write writes JSON. Text that is not UTF-8, which names of files can be, has the
// replacement character.
func (f fields) write(w io.Writer) error {
	return json.MarshalEncode(jsontext.NewEncoder(w, jsontext.WithIndent("  "), jsontext.AllowInvalidUTF8(true)), f)
}

// visible is text without what a terminal obeys: the file chose it.
func visible(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return s
	}
	return strconv.QuoteToGraphic(s)
}

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
			seen := make([]string, len(v))
			for i := range v {
				seen[i] = visible(v[i])
			}
			fmt.Fprintf(w, "%s%-*s  %s\n", indent, width, item.Name, strings.Join(seen, ", "))
		case string:
			fmt.Fprintf(w, "%s%-*s  %s\n", indent, width, item.Name, visible(v))
		default:
			fmt.Fprintf(w, "%s%-*s  %v\n", indent, width, item.Name, v)
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
