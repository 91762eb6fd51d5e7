// Package describe says what a file is, and decodes it. It verifies nothing.
package describe

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Fields is an ordered list of named values, each name once: strings, numbers, booleans,
// bytes, texts, fields, lists of fields, or JSON text. It is printed and written as JSON
// from the one tree.
type Fields []Field

// Field is one named value.
type Field struct {
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

func (f *Fields) Add(name string, value any) { *f = append(*f, Field{name, value}) }

// addBytes adds bytes that may be absent, which null says.
func (f *Fields) addBytes(name string, b []byte) { f.Add(name, octets(b)) }

// addList adds what there is one or more of; nothing for an empty list.
func (f *Fields) addList(name string, list []Fields) {
	if len(list) > 0 {
		f.Add(name, list)
	}
}

// Write writes JSON. Text that is not UTF-8, which names of files can be, has the
// replacement character.
func (f Fields) Write(w io.Writer) error {
	return json.MarshalEncode(jsontext.NewEncoder(w, jsontext.WithIndent("  "),
		jsontext.AllowInvalidUTF8(true)), f)
}

// visible is text without what a terminal obeys: the file chose it.
func visible(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return s
	}
	return strconv.QuoteToGraphic(s)
}

// MarshalJSONTo writes the list as an object in its order.
func (f Fields) MarshalJSONTo(enc *jsontext.Encoder) error {
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

func (f Fields) Print(w io.Writer, bold func(string) string, indent string) {
	width := 0
	for _, item := range f {
		width = max(width, len(item.Name))
	}
	for _, item := range f {
		switch v := item.Value.(type) {
		case Fields:
			fmt.Fprintf(w, "%s%s\n", indent, bold(item.Name))
			v.Print(w, bold, indent+"  ")
		case []Fields:
			for i, one := range v {
				fmt.Fprintf(w, "%s%s\n", indent, bold(fmt.Sprintf("%s %d", item.Name, i+1)))
				one.Print(w, bold, indent+"  ")
			}
		case jsontext.Value:
			pretty := v.Clone()
			if err := pretty.Indent(jsontext.WithIndentPrefix(indent+"  "), jsontext.WithIndent("  ")); err != nil {
				pretty = v
			}
			fmt.Fprintf(w, "%s%s\n%s  %s\n", indent, bold(item.Name), indent, pretty)
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
