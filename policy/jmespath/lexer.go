package jmespath

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// MaxQuery bounds the text of a query in bytes, maxDepth its nesting.
const (
	MaxQuery = 16 << 10
	maxDepth = 64
)

// SyntaxError is a query that cannot be read.
type SyntaxError struct {
	Offset  int // in bytes
	Message string
}

// Error gives the offset and what is wrong there.
func (e *SyntaxError) Error() string { return fmt.Sprintf("jmespath: at %d: %s", e.Offset, e.Message) }

type tokenKind uint8

const (
	tEOF tokenKind = iota
	tIdentifier
	tNumber
	tLiteral // `json` or 'raw'
	tDot
	tStar
	tFlatten // []
	tFilter  // [?
	tLBracket
	tRBracket
	tLBrace
	tRBrace
	tLParen
	tRParen
	tComma
	tColon
	tCurrent
	tExpref
	tPipe
	tOr
	tAnd
	tNot
	tEQ
	tNE
	tLT
	tLE
	tGT
	tGE
)

type token struct {
	kind   tokenKind
	text   string
	value  any // of a literal
	offset int
	quoted bool // an identifier in quotes: never a function's name
}

func lex(query string) ([]token, error) {
	if len(query) > MaxQuery {
		return nil, &SyntaxError{0, fmt.Sprintf("query of %d bytes, at most %d are allowed", len(query), MaxQuery)}
	}
	if !utf8.ValidString(query) {
		return nil, &SyntaxError{0, "not UTF-8"}
	}
	tokens := make([]token, 0, len(query)/4+4)
	for i := 0; i < len(query); {
		if strings.IndexByte(" \t\r\n", query[i]) >= 0 {
			i++
			continue
		}
		t, n, err := lexOne(query[i:])
		if err != nil {
			err.Offset += i
			return nil, err
		}
		t.offset = i
		tokens = append(tokens, t)
		i += n
	}
	return append(tokens, token{kind: tEOF, offset: len(query)}), nil
}

// symbols are the fixed tokens, longer ones before their beginnings.
var symbols = []struct {
	text string
	kind tokenKind
}{
	{"[?", tFilter}, {"[]", tFlatten}, {"||", tOr}, {"&&", tAnd}, {"==", tEQ}, {"!=", tNE}, {"<=", tLE},
	{">=", tGE},
	{"[", tLBracket}, {"]", tRBracket}, {"{", tLBrace}, {"}", tRBrace}, {"(", tLParen}, {")", tRParen},
	{",", tComma}, {":", tColon},
	{".", tDot}, {"*", tStar}, {"@", tCurrent}, {"&", tExpref}, {"|", tPipe}, {"!", tNot},
	{"<", tLT}, {">", tGT},
}

func lexOne(s string) (token, int, *SyntaxError) {
	switch c := s[0]; {
	case letter(c):
		n := 1
		for n < len(s) && (letter(s[n]) || digit(s[n])) {
			n++
		}
		return token{kind: tIdentifier, text: s[:n]}, n, nil
	case digit(c) || c == '-':
		n := 1
		for n < len(s) && digit(s[n]) {
			n++
		}
		if s[:n] == "-" {
			return token{}, 0, &SyntaxError{0, "a minus without a number"}
		}
		return token{kind: tNumber, text: s[:n]}, n, nil
	case c == '"':
		return lexQuoted(s)
	case c == '\'':
		return lexRaw(s)
	case c == '`':
		return lexJSON(s)
	}
	for _, symbol := range symbols {
		if strings.HasPrefix(s, symbol.text) {
			return token{kind: symbol.kind, text: symbol.text}, len(symbol.text), nil
		}
	}
	r, _ := utf8.DecodeRuneInString(s)
	return token{}, 0, &SyntaxError{0, fmt.Sprintf("unexpected character %q", r)}
}

// closing returns the offset of the unescaped closing quote.
func closing(s string, quote byte) (int, *SyntaxError) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			return i, nil
		}
	}
	return 0, &SyntaxError{0, fmt.Sprintf("no closing %c", quote)}
}

func lexQuoted(s string) (token, int, *SyntaxError) {
	end, err := closing(s, '"')
	if err != nil {
		return token{}, 0, err
	}
	var name string
	if err := json.Unmarshal([]byte(s[:end+1]), &name); err != nil {
		return token{}, 0, &SyntaxError{0, "the quoted identifier is not a JSON string"}
	}
	return token{kind: tIdentifier, text: name, quoted: true}, end + 1, nil
}

var rawEscapes = strings.NewReplacer(`\'`, `'`, `\\`, `\`)

func lexRaw(s string) (token, int, *SyntaxError) {
	end, err := closing(s, '\'')
	if err != nil {
		return token{}, 0, err
	}
	// \' and \\ are the only escapes of a raw string.
	text := rawEscapes.Replace(s[1:end])
	return token{kind: tLiteral, text: s[:end+1], value: text}, end + 1, nil
}

func lexJSON(s string) (token, int, *SyntaxError) {
	end, err := closing(s, '`')
	if err != nil {
		return token{}, 0, err
	}
	text := strings.TrimSpace(strings.ReplaceAll(s[1:end], "\\`", "`"))
	value, docErr := parseLiteral(text)
	if docErr != nil {
		// An older form leaves the quotes of a string out.
		if value, docErr = parseLiteral(`"` + text + `"`); docErr != nil || text == "" {
			return token{}, 0, &SyntaxError{0, "the literal is not JSON"}
		}
	}
	return token{kind: tLiteral, text: s[:end+1], value: value}, end + 1, nil
}

func letter(c byte) bool { return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }
