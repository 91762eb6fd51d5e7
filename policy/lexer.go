package policy

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is the kind of a token.
type kind uint8

const (
	tokEOF kind = iota
	tokIdent
	tokString
	tokInteger
	tokPunct
	tokBad // a lexical error; reported already
)

// Pos is a place in a policy text.
type Pos struct {
	Offset int // in bytes, from 0
	Line   int // from 1
	Column int // in characters, from 1
}

// token is one lexeme. text is the source text; value is the decoded string
// of a string literal.
type token struct {
	kind  kind
	text  string
	value string
	pos   Pos
}

// Comment is a // comment with its text, without line break.
type Comment struct {
	Pos  Pos
	Text string
	// Own reports whether the comment is on a line of its own.
	Own bool
}

type lexer struct {
	src      string
	pos      Pos
	comments []Comment
	report   func(Diagnostic)
	fresh    bool // only white space on this line so far
}

func newLexer(src string, report func(Diagnostic)) *lexer {
	return &lexer{src: src, pos: Pos{Line: 1, Column: 1}, report: report, fresh: true}
}

func (l *lexer) rest() string { return l.src[l.pos.Offset:] }

// advance moves over n bytes of the current line.
func (l *lexer) advance(n int) string {
	text := l.src[l.pos.Offset : l.pos.Offset+n]
	l.pos.Offset += n
	l.pos.Column += utf8.RuneCountInString(text)
	return text
}

func (l *lexer) skipSpace() {
	for {
		rest := l.rest()
		switch {
		case rest == "":
			return
		case rest[0] == '\n':
			l.pos.Offset++
			l.pos.Line++
			l.pos.Column = 1
			l.fresh = true
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r':
			l.advance(1)
		case l.pos.Offset == 0 && strings.HasPrefix(rest, "\ufeff"):
			l.pos.Offset += len("\ufeff")
		case strings.HasPrefix(rest, "//"):
			end := strings.IndexAny(rest, "\r\n")
			if end < 0 {
				end = len(rest)
			}
			at := l.pos
			l.comments = append(l.comments, Comment{Pos: at, Text: l.advance(end), Own: l.fresh})
		default:
			return
		}
	}
}

var punctuation = []string{
	"=>", "==", "!=", "<=", ">=", "&&", "<", ">", "=", "!", "[", "]", "{", "}", "(", ")", ",", ";",
	":", ".",
}

func (l *lexer) next() token {
	l.skipSpace()
	l.fresh = false
	rest := l.rest()
	at := l.pos
	if rest == "" {
		return token{kind: tokEOF, pos: at}
	}
	c := rest[0]
	switch {
	case isLetter(c):
		n := 1
		for n < len(rest) && (isLetter(rest[n]) || isDigit(rest[n])) {
			n++
		}
		return token{kind: tokIdent, text: l.advance(n), pos: at}
	case isDigit(c) || c == '-' && len(rest) > 1 && isDigit(rest[1]):
		n := 1
		for n < len(rest) && isDigit(rest[n]) {
			n++
		}
		return token{kind: tokInteger, text: l.advance(n), pos: at}
	case c == '"':
		return l.str(at)
	}
	for _, p := range punctuation {
		if strings.HasPrefix(rest, p) {
			return token{kind: tokPunct, text: l.advance(len(p)), pos: at}
		}
	}
	return l.bad(at)
}

// bad reports a character that begins no token.
func (l *lexer) bad(at Pos) token {
	r, n := utf8.DecodeRuneInString(l.rest())
	text := l.advance(n)
	if r == '|' && strings.HasPrefix(l.rest(), "|") {
		text += l.advance(1) // one mistake, one finding
	}
	d := Diagnostic{
		Pos: at, Severity: Error, Found: text, Message: "unexpected character " + strconv.QuoteRune(r),
	}
	switch {
	case strings.ContainsRune("“”„«»", r):
		d.Suggestion = `use the plain quote "`
	case r == '\'':
		d.Suggestion = `put strings in double quotes`
	case r == '&':
		d.Suggestion = "did you mean &&?"
	case r == '|':
		d.Suggestion = "there is no OR: write two rules"
	case strings.HasPrefix(l.src[at.Offset:], "/*"):
		d.Suggestion = "comments begin with //"
	case r == utf8.RuneError && n == 1:
		d.Message = "the text is not UTF-8"
	}
	l.report(d)
	return token{kind: tokBad, text: text, pos: at}
}

// str reads a string. \" and \\ stand for the character; every other
// backslash stands for itself, as in the paths that policies compare with.
func (l *lexer) str(at Pos) token {
	rest := l.rest()
	var value strings.Builder
	for i := 1; i < len(rest); {
		switch c := rest[i]; {
		case c == '"':
			return token{kind: tokString, text: l.advance(i + 1), value: value.String(), pos: at}
		case c == '\r' || c == '\n':
			l.advance(i)
			return l.unclosed(at, value.String())
		case c == '\\' && i+1 < len(rest) && (rest[i+1] == '"' || rest[i+1] == '\\'):
			value.WriteByte(rest[i+1])
			i += 2
		default:
			r, n := utf8.DecodeRuneInString(rest[i:])
			if r == utf8.RuneError && n == 1 {
				l.report(Diagnostic{Pos: at, Severity: Error, Found: "string", Message: "the string is not UTF-8"})
			}
			value.WriteString(rest[i : i+n])
			i += n
		}
	}
	l.advance(len(rest))
	return l.unclosed(at, value.String())
}

func (l *lexer) unclosed(at Pos, value string) token {
	d := Diagnostic{
		Pos: at, Severity: Error, Found: `"` + clip(value),
		Message: "the string does not end on its line", Expected: `a closing "`,
	}
	if strings.ContainsAny(value, "“”") {
		d.Suggestion = `a curly quote does not close a string; use the plain quote "`
	}
	l.report(d)
	return token{kind: tokString, text: `"` + value, value: value, pos: at}
}

func isLetter(c byte) bool { return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
