package release

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/wording/plainerror"
)

// scalar is a JSON value without parts. The kinds are those of package jsontext: '"', '0', 't',
// 'f' and 'n'.
type scalar struct {
	kind   jsontext.Kind
	text   string  // the decoded string, or the text of a number
	number decimal // of a number, or of a whole number that a policy writes as a string
	whole  bool    // a string that is such a number; set for values of policies alone
}

// node is a JSON value with its place in the text.
type node struct {
	scalar
	at      int // byte offset
	members []member
	index   map[string]int
	items   []*node
}

// member is a member of an object.
type member struct {
	name  string
	at    int
	value *node
}

// member returns the member of an object, or nil.
func (n *node) member(name string) *node {
	if i, ok := n.index[name]; ok {
		return n.members[i].value
	}
	return nil
}

// placedError is what is wrong at a place of a text.
type placedError struct {
	offset int
	text   string
}

func (e *placedError) Error() string { return fmt.Sprintf("at byte %d: %s", e.offset, e.text) }

// treeReader reads one JSON text (RFC 8259) within bounds.
type treeReader struct {
	dec       *jsontext.Decoder
	depth     int // how many more levels there may be
	values    int // how many more values
	duplicate func(name string, first, second int) error
}

// readTree reads exactly one JSON value. Objects and arrays are nested at most depth deep, and there
// are at most that many values. A member that an object has twice is shown to duplicate, which may
// end the reading with its error.
func readTree(text []byte, depth, values int, duplicate func(string, int, int) error) (*node, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
	r := &treeReader{dec: dec, depth: depth, values: values, duplicate: duplicate}
	if bytes.HasPrefix(text, []byte("\ufeff")) {
		return nil, &placedError{0, "the text begins with a byte order mark; save it without one"}
	}
	top, err := r.node()
	if err != nil {
		return nil, placed(err, len(text))
	}
	end := int(dec.InputOffset())
	rest := bytes.TrimLeft(text[end:], " \t\r\n")
	if len(rest) > 0 {
		return nil, &placedError{len(text) - len(rest), "there is more text after the end of the JSON value; " +
			"one value is expected"}
	}
	return top, nil
}

// placed gives an error of the JSON library its place.
func placed(err error, end int) error {
	var own *placedError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &placedError{end, "the JSON text ends early"}
	case errors.As(err, &syntactic):
		return &placedError{int(syntactic.ByteOffset), "not JSON: " + plainerror.Text(syntactic.Err)}
	default:
		return &placedError{0, "not JSON: " + plainerror.Text(err)}
	}
}

func (r *treeReader) node() (*node, error) {
	kind := r.dec.PeekKind()
	if r.values--; r.values < 0 {
		return nil, &placedError{int(r.dec.InputOffset()), "there are too many values"}
	}
	if kind != '{' && kind != '[' {
		return r.scalar()
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, err
	}
	n := &node{scalar: scalar{kind: kind}, at: int(r.dec.InputOffset()) - 1}
	if r.depth--; r.depth < 0 {
		return nil, &placedError{n.at, "objects and arrays are nested too deeply"}
	}
	defer func() { r.depth++ }()
	if kind == '{' {
		return n, r.object(n)
	}
	for r.dec.PeekKind() != ']' {
		item, err := r.node()
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
	}
	_, err := r.dec.ReadToken()
	return n, err
}

func (r *treeReader) object(n *node) error {
	n.index = map[string]int{}
	for r.dec.PeekKind() != '}' {
		name, err := r.scalar()
		if err != nil {
			return err
		}
		value, err := r.node()
		if err != nil {
			return err
		}
		if first, twice := n.index[name.text]; twice {
			if err := r.duplicate(name.text, n.members[first].at, name.at); err != nil {
				return err
			}
			continue
		}
		n.index[name.text] = len(n.members)
		n.members = append(n.members, member{name.text, name.at, value})
	}
	_, err := r.dec.ReadToken()
	return err
}

func (r *treeReader) scalar() (*node, error) {
	raw, err := r.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	n := &node{scalar: scalar{kind: raw.Kind()}, at: int(r.dec.InputOffset()) - len(raw)}
	switch n.kind {
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return nil, err
		}
		n.text = string(text)
	case '0':
		n.text = string(raw)
		n.number = newDecimal(n.text)
	}
	return n, nil
}

// locator gives byte offsets their lines and columns. It is fast for offsets that grow.
type locator struct {
	text []byte
	last Pos
}

func newLocator(text []byte) *locator { return &locator{text, Pos{0, 1, 1}} }

func (l *locator) pos(offset int) Pos {
	offset = min(max(offset, 0), len(l.text))
	if offset < l.last.Offset {
		l.last = Pos{0, 1, 1}
	}
	between := l.text[l.last.Offset:offset]
	l.last.Offset = offset
	if lines := bytes.Count(between, []byte("\n")); lines > 0 {
		l.last.Line += lines
		l.last.Column = 1
		between = between[bytes.LastIndexByte(between, '\n')+1:]
	}
	l.last.Column += utf8.RuneCount(between)
	return l.last
}
