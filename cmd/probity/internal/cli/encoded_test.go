package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
)

// simulated is a folder of simulated evidence with what its verification needs.
type simulated struct {
	kind     evidence.Kind
	evidence []byte
	flags    []string
}

var simulatedKinds = []evidence.Kind{
	evidence.SGXEnclave, evidence.OpenEnclave, evidence.TDXVM, evidence.SEVSNPVM,
	evidence.NitroEnclave, evidence.ArmCCA,
	evidence.TPM, evidence.VBSEnclave, evidence.AzureGuest,
}

func simulation(t *testing.T, kind evidence.Kind) simulated {
	t.Helper()
	dir := filepath.Join(t.TempDir(), string(kind))
	if code, _, text := runCLI(t, "simulate", string(kind), "--out", dir); code != 0 {
		t.Fatalf("simulate %s: %s", kind, text)
	}
	s := simulated{kind: kind}
	for _, name := range []string{"evidence.bin", "evidence.json"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			s.evidence = b
		}
	}
	for name, flag := range map[string]string{
		"root.pem": "--root", "cpak.pem": "--root", "ca.pem": "--root", "bundle.json": "--collateral",
		"probity.json": "--config",
	} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			s.flags = append(s.flags, flag, filepath.Join(dir, name))
		}
	}
	if s.evidence == nil {
		t.Fatalf("%s: no evidence in %s", kind, dir)
	}
	return s
}

// runCLI runs the command line and returns its code and outputs.
func runCLI(t *testing.T, args ...string) (code int, out, errText string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), args, term.IO{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func (s simulated) verify(t *testing.T, kind evidence.Kind, b []byte) (code int, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "evidence")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"verify", "evidence", string(kind), file}, s.flags...)
	code, out, errText := runCLI(t, args...)
	return code, out + errText
}

func lines(s string, width int, end string) string {
	var b strings.Builder
	for len(s) > width {
		b.WriteString(s[:width] + end)
		s = s[width:]
	}
	return b.String() + s + end
}

// wrappings are the text encodings in which people send evidence.
func wrappings(raw []byte) map[string][]byte {
	h, b64, url64 := hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw),
		base64.RawURLEncoding.EncodeToString(raw)
	numbers := make([]int, len(raw))
	bytesHex := make([]string, len(raw))
	for i, c := range raw {
		numbers[i], bytesHex[i] = int(c), fmt.Sprintf("0x%02x", c)
	}
	object := func(name string, value any) []byte {
		text, _ := json.Marshal(map[string]any{
			name:          value,
			"runtimeData": map[string]string{"data": "AAAA", "dataType": "Binary"},
		})
		return text
	}
	array, _ := json.Marshal(numbers)
	wide := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(b64 + "\r\n")) {
		wide = append(wide, byte(unit), byte(unit>>8))
	}
	return map[string][]byte{
		"hex":                        []byte(h),
		"upper-case hex":             []byte(strings.ToUpper(h) + "\n"),
		"0x-hex":                     []byte("0x" + h + "\n"),
		"hex in lines with CRLF":     []byte(lines(h, 60, "\r\n")),
		"hex with a byte order mark": []byte("\xef\xbb\xbf" + h),
		"hex of a C array":           []byte("{" + strings.Join(bytesHex, ", ") + "}"),
		"hex with colons":            []byte(strings.ReplaceAll(strings.Join(bytesHex, ":"), "0x", "")),
		"base64":                     []byte(b64),
		"base64 in lines":            []byte(lines(b64, 76, "\n")),
		"base64 in lines with CRLF":  []byte("  \r\n" + lines(b64, 64, "\r\n")),
		"base64url":                  []byte(url64),
		"padded base64url":           []byte(base64.URLEncoding.EncodeToString(raw) + "\n\n"),
		"base64 in UTF-16":           wide,
		"base64 in base64":           []byte(base64.StdEncoding.EncodeToString([]byte(b64))),
		"a JSON string of base64":    []byte(`"` + url64 + `"`),
		"a JSON array of bytes":      array,
		"member quote":               object("quote", url64),
		"member evidence of bytes":   object("evidence", numbers),
		"member report in hex":       object("report", h),
		"member attestation nested":  object("attestation", map[string]any{"quote": b64}),
		"member tdx_quote":           object("tdx_quote", h),
		"a list of one":              append(append([]byte("["), object("quote", url64)...), ']'),
		"PEM": []byte("-----BEGIN EVIDENCE-----\n" + lines(b64, 64,
			"\n") + "-----END EVIDENCE-----\n"),
		"a data URL":           []byte("data:application/octet-stream;base64," + b64),
		"a C string of base64": append([]byte(b64), 0),
		"xxd":                  dump("%08x:", " %02x%02x", "  text abcd ef01", raw),
		"xxd in single bytes":  dump("%08x:", " %02x", "  |{}ab cd", raw),
		"hexdump -C": append(dump("%08x ", " %02x", "  |ab cd|", raw),
			fmt.Sprintf("%08x\n", len(raw))...),
		"hexdump":  words("%07x", raw),
		"od -x":    words("%07o", raw),
		"od -t x1": append(dump("%07o", " %02x", "", raw), fmt.Sprintf("%07o\n", len(raw))...),
		"xxd -i": fmt.Appendf(nil, "unsigned char quote[] = {\n  %s\n};\nunsigned int quote_len = %d;\n",
			strings.Join(bytesHex, ", "), len(raw)),
		"bytes of Python": []byte(pythonBytes(raw)),
		"escapes of C": []byte(`"\x` + strings.Join(strings.Split(strings.Join(bytesHex, ","), ",0x"),
			`\x`)[2:] + `"`),
		"a list of Go":            fmt.Appendf(nil, "%d\n", numbers),
		"a vector of Rust":        append(append([]byte("let quote = vec!"), array...), ';'),
		"an array of JavaScript":  append(fmt.Appendf(nil, "Uint8Array(%d) ", len(raw)), array...),
		"a variable of a shell":   []byte(`export QUOTE="` + b64 + `"` + "\n"),
		"a line of YAML":          []byte("quote: " + url64 + "\n"),
		"base64 in single quotes": []byte("'" + b64 + "'"),
	}
}

// dump writes a hex dump of 16 bytes a line: the offset, the bytes, and the text.
func dump(offset, group, text string, raw []byte) []byte {
	var out []byte
	size := strings.Count(group, "%")
	for at := 0; at < len(raw); at += 16 {
		line := raw[at:min(at+16, len(raw))]
		out = fmt.Appendf(out, offset, at)
		for len(line) >= size {
			values := make([]any, size)
			for i := range values {
				values[i] = line[i]
			}
			out, line = fmt.Appendf(out, group, values...), line[size:]
		}
		if len(line) > 0 {
			out = fmt.Appendf(out, " %02x", line)
		}
		out = append(append(out, text...), '\n')
	}
	return out
}

// words writes a dump of little-endian words, as hexdump and od do, with an asterisk for
// repeated lines.
func words(offset string, raw []byte) []byte {
	var out []byte
	last := ""
	for at := 0; at < len(raw); at += 16 {
		line := raw[at:min(at+16, len(raw))]
		text := ""
		for i := 0; i < len(line); i += 2 {
			if i+1 < len(line) {
				text += fmt.Sprintf(" %02x%02x", line[i+1], line[i])
			} else {
				text += fmt.Sprintf(" 00%02x", line[i])
			}
		}
		switch {
		case text != last:
			out = append(fmt.Appendf(out, offset, at), text+"\n"...)
		case !bytes.HasSuffix(out, []byte("*\n")):
			out = append(out, "*\n"...)
		}
		last = text
	}
	return append(fmt.Appendf(out, offset, len(raw)), '\n')
}

// pythonBytes writes bytes as Python prints them.
func pythonBytes(raw []byte) string {
	out := "b'"
	for _, c := range raw {
		switch {
		case c == '\'' || c == '\\':
			out += `\` + string(rune(c))
		case c == '\n':
			out += `\n`
		case c < ' ' || c > '~':
			out += fmt.Sprintf(`\x%02x`, c)
		default:
			out += string(rune(c))
		}
	}
	return out + "'"
}

func TestEvidenceAsPeopleSendIt(t *testing.T) {
	for _, kind := range simulatedKinds {
		s := simulation(t, kind)
		t.Run(string(kind)+" is read in every text encoding", s.isReadInEveryEncoding)
		t.Run(string(kind)+" sent as another kind is named", s.isNamedAsAnotherKind)
		t.Run(string(kind)+" that was cut off says so", s.saysWhereItWasCut)
	}
}

func (s simulated) isReadInEveryEncoding(t *testing.T) {
	if code, text := s.verify(t, s.kind, s.evidence); code != 0 {
		t.Fatalf("as it is: exit %d\n%s", code, text)
	}
	for name, b := range wrappings(s.evidence) {
		code, text := s.verify(t, s.kind, b)
		if code != 0 || !strings.Contains(text, "decoded from") {
			t.Errorf("%s: exit %d\n%s", name, code, text)
		}
	}
}

func (s simulated) isNamedAsAnotherKind(t *testing.T) {
	protocol := []evidence.Kind{evidence.TPM, evidence.VBSEnclave} // the same messages
	named := s.kind
	if named == evidence.VBSEnclave {
		named = evidence.TPM
	}
	for _, as := range simulatedKinds {
		if s.kind == as || s.kind == evidence.SGXEnclave && as == evidence.OpenEnclave ||
			slices.Contains(protocol, s.kind) && slices.Contains(protocol, as) {
			continue
		}
		code, text := s.verify(t, as, s.evidence)
		if code != 1 || !strings.Contains(text, "verify it as "+string(named)) {
			t.Errorf("as %s: exit %d\n%s", as, code, text)
		}
	}
}

func (s simulated) saysWhereItWasCut(t *testing.T) {
	for _, keep := range []int{100, len(s.evidence) / 4, len(s.evidence) / 2, len(s.evidence) - 1} {
		cut := s.evidence[:keep]
		for name, b := range map[string][]byte{"raw": cut, "hex": []byte(hex.EncodeToString(cut))} {
			code, text := s.verify(t, s.kind, b)
			if code != 1 || !strings.Contains(text, "cut off") {
				t.Errorf("%s, %d of %d bytes: exit %d\n%s", name, keep, len(s.evidence), code, text)
			}
		}
	}
}

func TestWhatIsNoEvidenceIsNamed(t *testing.T) {
	s := simulation(t, evidence.SGXEnclave)
	s.flags = nil
	for text, want := range map[string]string{
		"":                                   "empty",
		"<html><body>404</body></html>":      "web page",
		"version https://git-lfs.github.com": "Git LFS",
		"\x1f\x8b\x08\x00\x00\x00":           "gzip",
		"hello, this is some text":           "no evidence in it",
		"\x00\x11\x22\x33\x44\x55\x66\x77":   "no known form",
		"version=1.0;authorizationrules{};":  "policy",
		"00000000: 0300 0200 0000 0000 0000 0000 939a 7233  ................\n00000010: 0300 0200\n":             "hex dump",
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00":                                       "zero bytes",
		"\x03\ufffd\x02\ufffd\ufffd\x00\ufffd\x01\ufffd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00": "some are lost",
		"H4sIAAAAAAAA/wEAAP//AAAAAAAAAAA=":                                                   "gzip data",
		"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----\n": "private key",
		`{"quote":"` + hex.EncodeToString(s.evidence) + `","evidence":"` +
			hex.EncodeToString(flip(s.evidence)) + `"}`: "two different pieces",
	} {
		for _, kind := range simulatedKinds {
			if strings.HasPrefix(want, "two") && kind != evidence.SGXEnclave {
				continue
			}
			code, out := s.verify(t, kind, []byte(text))
			if !strings.Contains(out, want) || code == 0 {
				t.Errorf("%q as %s: exit %d, want %q\n%s", text[:min(len(text), 20)], kind, code, want, out)
			}
		}
	}
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[400] ^= 1
	return b
}

// TestInspectNamesWhatItCannotRead and takes it for nothing else.
func TestInspectNamesWhatItCannotRead(t *testing.T) {
	s := simulation(t, evidence.SGXEnclave)
	nitro := simulation(t, evidence.NitroEnclave)
	for name, tc := range map[string]struct {
		b         []byte
		want, not string
		code      int
	}{
		"an empty file":   {nil, "is empty", "no form", 2},
		"an empty object": {[]byte("{}"), "JSON document", "collateral", 0},
		"a quote and a line feed": {
			append(bytes.Clone(s.evidence), '\n'), "1 byte too many", "Open Enclave", 0,
		},
		"a document and two letters": {
			append(bytes.Clone(nitro.evidence), "ab"...), "2 bytes too many", "Open Enclave", 0,
		},
		"a quote and zero padding": {
			append(bytes.Clone(s.evidence), 0, 0, 0), "SGX quote, version 3", "too many", 0,
		},
	} {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, tc.b, 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errText := runCLI(t, "inspect", file)
		text := out + errText
		if code != tc.code || !strings.Contains(text, tc.want) || strings.Contains(text, tc.not) {
			t.Errorf("%s: exit %d\n%.600s", name, code, text)
		}
	}
}
