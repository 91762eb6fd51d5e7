package forms

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
)

// Bounds of decoding: how much text is read, in bytes, how many wrappings are taken
// off, and how many pieces are looked at.
const (
	MaxText   = 6 * evidence.MaxSize
	maxDepth  = 5
	maxPieces = 64
)

// Decoded is evidence that was taken out of its text.
type Decoded struct {
	Bytes []byte
	Form  Form
	// Steps says how, from the outside in: "hex", "JSON member quote, base64".
	Steps []string
	// Others are members beside the one with the evidence, which were not used.
	Others []string
}

// How writes the steps for people.
func (d Decoded) How() string { return strings.Join(d.Steps, ", then ") }

// Decode takes evidence out of its text encodings: hex (with 0x, separators, line
// breaks), hex dumps, literals of programming languages, base64 in either alphabet,
// JSON strings and arrays of bytes, JSON objects with evidence in a member, PEM,
// UTF-16, percent-encoding, each inside the other to a bounded depth. It reports
// false for bytes that are evidence of the kind as they are, and for those in which
// it finds no evidence. The kind "" stands for any. Members of different content
// that are evidence of the same kind are an error.
func Decode(kind evidence.Kind, b []byte) (Decoded, bool, error) {
	if len(b) > MaxText {
		return Decoded{}, false, nil
	}
	whole := Recognize(b)
	if d, ok := fromLatin1Evidence(b, whole); ok {
		return d, true, nil
	}
	if Fits(kind, whole.Kind) || kind == "" && whole.Kind != "" {
		d, ok := withoutMarks(b, whole)
		return d, ok, nil
	}
	s := search{kind: kind, whole: whole}
	level := []piece{{bytes: b}}
	for range maxDepth {
		var found []Decoded
		if found, level = s.unwrap(level); len(found) > 0 {
			d, err := theOnly(found)
			return d, err == nil, err
		}
	}
	if s.other != nil {
		return *s.other, true, nil
	}
	return Decoded{}, false, nil
}

// fromLatin1Evidence undoes an encoding as UTF-8 that left the bytes recognisable.
func fromLatin1Evidence(b []byte, whole Form) (Decoded, bool) {
	plain, ok := fromLatin1(b)
	if !ok || whole.Kind == "" || len(b) == 0 || b[0] >= ' ' {
		return Decoded{}, false
	}
	f := Recognize(plain)
	if f.Kind != whole.Kind || f.Cut != "" {
		return Decoded{}, false
	}
	return Decoded{Bytes: plain, Form: f, Steps: []string{latin1Step}}, true
}

// withoutMarks takes the byte order mark and the NULs off JSON that is evidence already.
func withoutMarks(b []byte, whole Form) (Decoded, bool) {
	clean := trim(b)
	if len(clean) == 0 || clean[0] != '{' || !bytes.HasPrefix(b, byteOrderMark) && b[len(b)-1] != 0 {
		return Decoded{}, false
	}
	return Decoded{Bytes: clean, Form: whole, Steps: []string{"text with a byte order mark or NUL"}}, true
}

// search looks for evidence of a kind below the wrappings of a text.
type search struct {
	kind  evidence.Kind
	whole Form
	seen  int
	other *Decoded // the first piece that has a name, and is not of the kind
}

// unwrap takes one wrapping off each piece. It returns the evidence that comes out, and the
// pieces to unwrap next.
func (s *search) unwrap(level []piece) (found []Decoded, next []piece) {
	for _, p := range level {
		for _, inner := range unwrapOnce(p) {
			if s.seen++; s.seen > maxPieces {
				break
			}
			f := Recognize(inner.bytes)
			d := Decoded{Bytes: inner.bytes, Form: f, Steps: inner.steps, Others: inner.others}
			switch {
			case inner.short && f.Cut == "":
			case Fits(s.kind, f.Kind):
				found = append(found, d)
			case f.Name != "" && s.other == nil && s.whole.Name == "":
				s.other = &d
			}
			next = append(next, inner)
		}
	}
	return found, next
}

// theOnly returns the evidence that was found, in however many ways.
func theOnly(found []Decoded) (Decoded, error) {
	for _, d := range found {
		if !bytes.Equal(d.Bytes, found[0].Bytes) {
			return Decoded{}, fmt.Errorf(
				"it contains two different pieces of evidence (%s; %s): send the one to be verified",
				found[0].How(), d.How(),
			)
		}
	}
	return found[0], nil
}

// Fits reports whether bytes of a form are what a kind's verifier reads.
func Fits(kind, form evidence.Kind) bool {
	switch {
	case form == "":
		return false
	case kind == evidence.VBSEnclave:
		return form == evidence.TPM
	case kind == evidence.OpenEnclave:
		return form == evidence.OpenEnclave || form == evidence.SGXEnclave
	}
	return kind == form
}

type piece struct {
	bytes  []byte
	steps  []string
	others []string
	// short says that the text ends inside a byte: what it contains was cut off.
	short bool
}

// inside makes the piece that is inside p.
func (p piece) inside(b []byte, step string) piece {
	return piece{b, append(slices.Clone(p.steps), step), p.others, p.short}
}

// unwrapOnce takes off one wrapping, in each way in which it may be read.
func unwrapOnce(p piece) (list []piece) {
	if wide, ok := fromUTF16(p.bytes); ok {
		return []piece{p.inside(wide, "UTF-16 text")}
	}
	if isSNPResponse(p.bytes) {
		return []piece{p.inside(p.bytes[snpResponseHead:snpResponseHead+snpReportSize], "the firmware's response")}
	}
	text := trim(p.bytes)
	if len(text) == 0 {
		return nil
	}
	if list = fromSyntax(p, text); list != nil {
		return list
	}
	if bytes.IndexByte(text, '%') >= 0 && isText(text) {
		if plain, err := url.PathUnescape(string(text)); err == nil && plain != string(text) {
			list = append(list, p.inside([]byte(plain), "percent-encoding"))
		}
	}
	if d, ok := fromDump(text); ok {
		if list = append(list, p.inside(d.bytes, "a hex dump")); d.group == 4 && !d.colon {
			list = append(list, p.inside(d.swapped(), "a hex dump of little-endian words"))
		}
		return list
	}
	list = append(list, fromDigits(p, text)...)
	if list = append(list, fromLiteral(p, text)...); len(list) == 0 {
		if b, ok := fromLatin1(p.bytes); ok {
			list = append(list, p.inside(b, latin1Step))
		}
	}
	return list
}

// fromSyntax reads JSON and PEM, which their first character tells.
func fromSyntax(p piece, text []byte) []piece {
	switch text[0] {
	case '{':
		return fromObject(p, text)
	case '[':
		if b, ok := byteArray(text); ok {
			return []piece{p.inside(b, "JSON array of bytes")}
		}
		return fromArray(p, text)
	case '"':
		var s string
		if json.Unmarshal(text, &s) == nil {
			return []piece{p.inside([]byte(s), "JSON string")}
		}
	case '-':
		if block, rest := pem.Decode(text); block != nil && len(trim(rest)) == 0 {
			return []piece{p.inside(block.Bytes, "PEM")}
		} else if block != nil && block.Type == "CERTIFICATE" {
			return []piece{p.inside(block.Bytes, "PEM, first certificate")}
		}
	}
	return nil
}

// fromDigits reads hex and base64, also where the last digit is the first one of a byte.
func fromDigits(p piece, text []byte) (list []piece) {
	for _, try := range []struct {
		decode func([]byte) ([]byte, bool)
		name   string
		shape  string
	}{{fromHex, "hex", hexDigits}, {fromBase64, "base64", base64Digits}} {
		if b, ok := try.decode(text); ok {
			list = append(list, p.inside(b, try.name))
		} else if b, ok := try.decode(text[:len(text)-1]); ok &&
			strings.IndexByte(try.shape, text[len(text)-1]) >= 0 {
			cut := p.inside(b, try.name)
			cut.short = true
			list = append(list, cut)
		}
	}
	return list
}

// The digits that may be the first ones of a byte that was cut off.
const (
	hexDigits    = "0123456789abcdefABCDEF"
	base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
)

const latin1Step = "bytes written as UTF-8 text"

// fromLatin1 undoes what happens when bytes are taken for Latin-1 text and written as
// UTF-8: each byte from 0x80 became two.
func fromLatin1(b []byte) ([]byte, bool) {
	if !utf8.Valid(b) {
		return nil, false
	}
	out := make([]byte, 0, len(b))
	for _, r := range string(b) {
		if r > 0xff {
			return nil, false
		}
		out = append(out, byte(r))
	}
	return out, len(out) < len(b)
}

func isText(b []byte) bool {
	return !slices.ContainsFunc(b,
		func(c byte) bool { return c < ' ' && c != '\n' && c != '\r' && c != '\t' || c > '~' })
}

// fromUTF16 reads text that PowerShell redirected: UTF-16 with a byte order mark.
func fromUTF16(b []byte) ([]byte, bool) {
	little, big := bytes.HasPrefix(b, []byte{0xff, 0xfe}), bytes.HasPrefix(b, []byte{0xfe, 0xff})
	if !little && !big || len(b)%2 != 0 || len(b) < 4 || bytes.HasPrefix(b, []byte{0xff, 'T'}) {
		return nil, false
	}
	units := make([]uint16, 0, len(b)/2-1)
	for i := 2; i < len(b); i += 2 {
		if little {
			units = append(units, uint16(b[i])|uint16(b[i+1])<<8)
		} else {
			units = append(units, uint16(b[i])<<8|uint16(b[i+1]))
		}
	}
	return []byte(string(utf16.Decode(units))), true
}

// fromHex reads hex with or without 0x, one prefix for all or one a byte, and with
// white space, commas, colons and braces between the bytes.
func fromHex(text []byte) ([]byte, bool) {
	digits := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case (c == '0' || c == '\\') && i+1 < len(text) && (text[i+1] == 'x' || text[i+1] == 'X'):
			i++
		case strings.IndexByte(" \t\r\n,:;{}[]-", c) >= 0:
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F':
			digits = append(digits, c)
		default:
			return nil, false
		}
	}
	if len(digits) < 2 || len(digits)%2 != 0 {
		return nil, false
	}
	out := make([]byte, len(digits)/2)
	if _, err := hex.Decode(out, digits); err != nil {
		return nil, false
	}
	return out, true
}

// fromBase64 reads base64 in either alphabet, padded or not, in lines or in one, and
// after the head of a data URL.
func fromBase64(text []byte) ([]byte, bool) {
	at := bytes.Index(text[:min(len(text), 128)], []byte(";base64,"))
	if at >= 0 && bytes.HasPrefix(text, []byte("data:")) {
		text = text[at+len(";base64,"):]
	}
	clean := bytes.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\r', '\n':
			return -1
		case '-':
			return '+'
		case '_':
			return '/'
		}
		return r
	}, text)
	for range 2 {
		clean = bytes.TrimSuffix(clean, []byte("="))
	}
	if len(clean) < 4 {
		return nil, false
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, err := base64.RawStdEncoding.Decode(out, clean)
	return out[:n], err == nil
}

// byteArray reads a JSON array of numbers from 0 to 255, or, as Java writes bytes,
// from -128 to 127.
func byteArray(text []byte) ([]byte, bool) {
	var numbers []int16
	if json.Unmarshal(text, &numbers) != nil || len(numbers) == 0 {
		return nil, false
	}
	out := make([]byte, len(numbers))
	for i, n := range numbers {
		if n < -128 || n > 255 {
			return nil, false
		}
		out[i] = byte(n)
	}
	return out, true
}

// evidenceMembers are the names, folded, under which tools and services write
// evidence.
var evidenceMembers = []string{
	"quote", "evidence", "report", "attestation", "attestationreport", "attestationdocument", "document",
	"token", "data", "attestationinfo",
	"tdxquote", "tdquote", "sgxquote", "intelquote", "rawquote", "quotehex", "quotebase64", "quoteb64",
	"snpreport", "sevsnpreport", "rawreport", "rawevidence", "raw",
	"outblob", "nitrodocument", "ccatoken", "quotedata", "evidencedata", "value", "result", "body",
	"attestationquote", "oereport", "enclavequote", "hwreport", "hardwarereport",
}

func fromObject(p piece, text []byte) (list []piece) {
	members, err := members(text)
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.Contains(evidenceMembers, fold(name)) {
			continue
		}
		inner := fromValue(p, members[name], "JSON member "+name)
		for _, other := range names {
			if len(inner.others) == 8 {
				break
			}
			if other != name {
				inner.others = append(slices.Clone(inner.others), other)
			}
		}
		list = append(list, inner)
	}
	return list
}

// fromArray looks into the first few values of a list.
func fromArray(p piece, text []byte) (list []piece) {
	if !jsontext.Value(text).IsValid() {
		return nil
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	if _, err := dec.ReadToken(); err != nil {
		return nil
	}
	for i := 1; i <= 8 && dec.PeekKind() != ']'; i++ {
		value, err := dec.ReadValue()
		if err != nil {
			return nil
		}
		list = append(list, fromValue(p, value.Clone(), fmt.Sprintf("JSON item %d", i)))
	}
	return list
}

// fromValue takes strings out of their quotes with the same step.
func fromValue(p piece, value jsontext.Value, step string) piece {
	var s string
	if value.Kind() == '"' && json.Unmarshal(value, &s) == nil {
		return p.inside([]byte(s), step)
	}
	return p.inside(value, step)
}
