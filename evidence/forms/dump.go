package forms

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// dumpLine takes a line of a hex dump apart: the offset, groups of hex digits, and
// perhaps the same bytes as text, which is after two spaces with xxd, whose
// offsets end with a colon, and between marks with hexdump and od.
func dumpLine(line []byte) (offset, groups []byte, colon, ok bool) {
	end := 0
	for end < len(line) && strings.IndexByte(hexDigits, line[end]) >= 0 {
		end++
	}
	if end < 4 || end > 16 {
		return nil, nil, false, false
	}
	offset, groups = line[:end], line[end:]
	if colon = bytes.HasPrefix(groups, []byte(":")); colon {
		groups, _, _ = bytes.Cut(groups[1:], []byte("  "))
	} else if at := bytes.IndexAny(groups, "|>"); at >= 0 {
		groups = groups[:at]
	}
	return offset, groups, colon, len(groups) == 0 || groups[0] == ' '
}

// maxRepeated bounds, in bytes, what the asterisks of one dump stand for.
const maxRepeated = 64 << 10

// maxLine bounds the bytes of one line.
const maxLine = 256

// dumped is what the lines of a hex dump say.
type dumped struct {
	bytes []byte
	group int // hex digits of a group
	colon bool
	odd   bool // of words: the last one has one byte
}

// fromDump reads a hex dump with offsets, which lead from line to line in one base. A
// line with an asterisk stands for repetitions of the line before it.
func fromDump(text []byte) (dumped, bool) {
	for _, base := range []int{16, 8, 10} {
		if d, ok := readDump(text, base); ok {
			return d, true
		}
	}
	return dumped{}, false
}

func readDump(text []byte, base int) (dumped, bool) {
	r := dumpReader{base: base}
	for line := range bytes.Lines(text) {
		if !r.line(bytes.TrimRight(line, "\r\n ")) {
			return dumped{}, false
		}
	}
	return r.dumped, r.lines > 1
}

// dumpReader reads a hex dump line by line.
type dumpReader struct {
	dumped
	base     int
	lines    int    // with bytes
	last     []byte // of the line before
	repeats  bool   // the line before this one is an asterisk
	repeated int    // bytes that asterisks stood for
}

// line reads one line, and reports whether it goes on where the one before it ended.
func (r *dumpReader) line(line []byte) bool {
	if string(line) == "*" {
		r.repeats = true
		return true
	}
	digits, hexes, colon, ok := dumpLine(line)
	if r.lines == 0 {
		r.colon = colon
	}
	if !ok || colon != r.colon {
		return false
	}
	offset, err := strconv.ParseUint(string(digits), r.base, 32)
	if err != nil || offset > MaxText || r.lines == 0 && offset != 0 {
		return false
	}
	r.repeatUpTo(offset)
	groups := bytes.Fields(hexes[:min(len(hexes), maxLine)])
	if len(groups) == 0 && r.group == 4 && !r.colon && offset+1 == uint64(len(r.bytes)) {
		r.odd = true // the last word stands for one byte
		offset++
	}
	if offset != uint64(len(r.bytes)) {
		return false
	}
	if len(groups) == 0 { // the end
		return true
	}
	if r.lines == 0 {
		r.group = len(groups[0])
	}
	if r.last, ok = fromHex(hexes); !ok || len(r.last) > maxLine {
		return false
	}
	r.bytes = append(r.bytes, r.last...)
	r.lines++
	return true
}

// repeatUpTo writes the line before an asterisk as often as fits before the offset.
func (r *dumpReader) repeatUpTo(offset uint64) {
	if r.repeats && len(r.last) > 0 {
		for r.repeated < maxRepeated && uint64(len(r.bytes)+len(r.last)) <= offset {
			r.bytes = append(r.bytes, r.last...)
			r.repeated += len(r.last)
		}
	}
	r.repeats = false
}

// isDump reports whether the first line is one of a hex dump, whatever follows.
func isDump(text []byte) bool {
	line, _, more := bytes.Cut(trim(text), []byte("\n"))
	_, groups, _, ok := dumpLine(line)
	_, digits := fromHex(groups)
	return more && ok && digits
}

// swapped turns words that a little-endian machine printed back into bytes: hexdump
// and od print two bytes as one number, unless told otherwise.
func (d dumped) swapped() []byte {
	out := bytes.Clone(d.bytes)
	for i := 0; i+1 < len(out); i += 2 {
		out[i], out[i+1] = out[i+1], out[i]
	}
	if d.odd {
		out = out[:len(out)-1]
	}
	return out
}

// assignment is the head of a line such as "quote = " or "unsigned char quote[] = ".
var assignment = regexp.MustCompile(`^(?:[A-Za-z_][\w<>*&\[\]'.-]{0,40} ?){1,4}(?:=|:=|:) *`)

// literalHead is the head of a list of numbers as programs print or declare it, and the first digit:
// "[]byte{1", "Uint8Array(4238) [ 1", "vec![1", "new byte[] {1", "&[1".
var literalHead = regexp.MustCompile(`^[&\w :!\[\]().;]{0,40}[\[{]\s*[0-9]`)

// fromLiteral reads how programming languages write bytes down, and the value of one
// assignment.
func fromLiteral(p piece, text []byte) (list []piece) {
	if at := assignment.FindIndex(text); at != nil {
		list = append(list, p.inside(bytes.TrimRight(text[at[1]:], "; \r\n\t,"), "an assignment"))
	}
	// xxd -i declares the length after the array.
	if at := bytes.IndexByte(text, '{'); at >= 0 {
		if end := bytes.IndexByte(text, '}'); end > at {
			if b, ok := fromHex(text[at+1 : end]); ok && bytes.Contains(text[at:end], []byte("0x")) {
				list = append(list, p.inside(b, "an array in C"))
			}
		}
	}
	if s, ok := quoted(text); ok {
		list = append(list, p.inside(s, "a quoted string"))
	}
	if head := literalHead.FindIndex(text); head != nil {
		if b, ok := decimals(bytes.TrimRight(text[head[1]-1:], "]}); \r\n")); ok {
			list = append(list, p.inside(b, "a list of numbers"))
		}
	}
	return list
}

// decimals reads numbers from 0 to 255 between spaces or commas.
func decimals(text []byte) ([]byte, bool) {
	var out []byte
	number, digits := 0, 0
	for _, c := range append(text[:len(text):len(text)], ' ') {
		switch {
		case '0' <= c && c <= '9' && digits < 3:
			number, digits = 10*number+int(c-'0'), digits+1
		case c != ' ' && c != ',' && c != '\n' && c != '\r' && c != '\t' || number > 255:
			return nil, false
		case digits > 0:
			out = append(out, byte(number))
			number, digits = 0, 0
		}
	}
	return out, len(out) >= 16
}

// quoted reads a string in quotes with the escapes that Python, C, Go and Rust share,
// after the b of bytes.
func quoted(text []byte) ([]byte, bool) {
	text = bytes.TrimPrefix(text, []byte("b"))
	if len(text) < 2 || text[0] != '\'' && text[0] != '"' && text[0] != '`' || text[len(text)-1] != text[0] {
		return nil, false
	}
	mark, text := text[0], text[1:len(text)-1]
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == mark {
			return nil, false
		}
		if c != '\\' || i+1 == len(text) {
			out = append(out, c)
			continue
		}
		i++
		switch c = text[i]; c {
		case 'x':
			if i+2 >= len(text) {
				return nil, false
			}
			n, err := strconv.ParseUint(string(text[i+1:i+3]), 16, 8)
			if err != nil {
				return nil, false
			}
			out = append(out, byte(n))
			i += 2
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case '0':
			out = append(out, 0)
		case '\\', '\'', '"', '`':
			out = append(out, c)
		default:
			return nil, false
		}
	}
	return out, len(out) > 0
}
