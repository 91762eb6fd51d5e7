package jmespath

import (
	"fmt"
	"slices"
	"strconv"
)

// Query is a compiled query. It is safe for concurrent use.
type Query struct {
	text string
	root node
}

// String returns the query as it was written.
func (q *Query) String() string { return q.text }

// Compile reads a query. The error is a *[SyntaxError].
func Compile(text string) (*Query, error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	root, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if p.peek().kind != tEOF {
		return nil, p.unexpected()
	}
	return &Query{text, root}, nil
}

// power is how tightly a token binds what stands to its left (the grammar's
// precedence).
var power = map[tokenKind]int{
	tPipe: 1, tOr: 2, tAnd: 3, tEQ: 5, tNE: 5, tLT: 5, tLE: 5, tGT: 5, tGE: 5,
	tFlatten: 9, tStar: 20, tFilter: 21, tDot: 40, tNot: 45, tLBrace: 50, tLBracket: 55, tLParen: 60,
}

// projectionStop is the power below which a projection ends.
const projectionStop = 10

type parser struct {
	tokens []token
	at     int
	depth  int
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tEOF {
		p.at++
	}
	return t
}

func (p *parser) unexpected() error {
	t := p.peek()
	if t.kind == tEOF {
		return &SyntaxError{t.offset, "the query ends too early"}
	}
	return &SyntaxError{t.offset, fmt.Sprintf("unexpected %q", t.text)}
}

func (p *parser) expect(kind tokenKind) error {
	if p.peek().kind != kind {
		return p.unexpected()
	}
	p.next()
	return nil
}

func (p *parser) expression(binding int) (node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, &SyntaxError{p.peek().offset, fmt.Sprintf("nested deeper than %d", maxDepth)}
	}
	defer func() { p.depth-- }()
	left, err := p.prefix()
	for err == nil && binding < power[p.peek().kind] {
		left, err = p.infix(left)
	}
	return left, err
}

func (p *parser) prefix() (node, error) {
	t := p.peek()
	switch t.kind {
	case tIdentifier:
		p.next()
		if p.peek().kind == tLParen && !t.quoted {
			return p.call(t)
		}
		return field(t.text), nil
	case tLiteral:
		p.next()
		return literal{t.value}, nil
	case tCurrent:
		p.next()
		return current{}, nil
	case tStar:
		p.next()
		return p.valueProjection(current{})
	case tFilter:
		return p.filter(current{})
	case tFlatten:
		p.next()
		return p.project(flatten{current{}})
	case tLBrace:
		p.next()
		return p.multiHash()
	case tLBracket:
		return p.bracket(current{}, true)
	case tNot:
		p.next()
		inner, err := p.expression(power[tNot])
		return not{inner}, err
	case tExpref:
		p.next()
		inner, err := p.expression(0)
		return expref{inner}, err
	case tLParen:
		p.next()
		inner, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		return inner, p.expect(tRParen)
	default:
		return nil, p.unexpected()
	}
}

func (p *parser) infix(left node) (node, error) {
	t := p.next()
	switch t.kind {
	case tDot:
		if p.peek().kind == tStar {
			p.next()
			return p.valueProjection(left)
		}
		right, err := p.afterDot(power[tDot])
		return chain{left, right}, err
	case tPipe:
		right, err := p.expression(power[tPipe])
		return chain{left, right}, err
	case tOr:
		right, err := p.expression(power[tOr])
		return or{left, right}, err
	case tAnd:
		right, err := p.expression(power[tAnd])
		return and{left, right}, err
	case tEQ, tNE, tLT, tLE, tGT, tGE:
		right, err := p.expression(power[t.kind])
		return comparison{t.kind, left, right}, err
	case tFlatten:
		return p.project(flatten{left})
	case tFilter:
		p.at--
		return p.filter(left)
	case tLBracket:
		p.at--
		return p.bracket(left, false)
	default:
		p.at--
		return nil, p.unexpected()
	}
}

// afterDot reads what may follow a dot.
func (p *parser) afterDot(binding int) (node, error) {
	switch t := p.peek(); t.kind {
	case tIdentifier, tStar:
		return p.expression(binding)
	case tLBracket:
		p.next()
		return p.multiList()
	case tLBrace:
		p.next()
		return p.multiHash()
	default:
		return nil, p.unexpected()
	}
}

// tail reads what is applied to each element of a projection.
func (p *parser) tail(binding int) (node, error) {
	switch t := p.peek(); {
	case power[t.kind] < projectionStop:
		return current{}, nil
	case t.kind == tLBracket, t.kind == tFilter:
		return p.expression(binding)
	case t.kind == tDot:
		p.next()
		return p.afterDot(binding)
	}
	return nil, p.unexpected()
}

func (p *parser) project(left node) (node, error) {
	right, err := p.tail(power[tFlatten])
	return projection{left, right}, err
}

func (p *parser) valueProjection(left node) (node, error) {
	right, err := p.tail(power[tStar])
	return valueProjection{left, right}, err
}

func (p *parser) filter(left node) (node, error) {
	p.next()
	condition, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if err := p.expect(tRBracket); err != nil {
		return nil, err
	}
	var right node = current{}
	if p.peek().kind != tFlatten {
		if right, err = p.tail(power[tFilter]); err != nil {
			return nil, err
		}
	}
	return filterProjection{left, condition, right}, nil
}

// bracket reads [n], [a:b:c], [*], or, at the beginning of an expression, a
// multi-select list.
func (p *parser) bracket(left node, atStart bool) (node, error) {
	p.next()
	switch t := p.peek(); {
	case t.kind == tNumber || t.kind == tColon:
		return p.indexOrSlice(left)
	case t.kind == tStar && p.tokens[p.at+1].kind == tRBracket:
		p.next()
		p.next()
		right, err := p.tail(power[tStar])
		return projection{left, right}, err
	case atStart:
		return p.multiList()
	}
	return nil, p.unexpected()
}

func (p *parser) indexOrSlice(left node) (node, error) {
	var parts [3]*int
	part, colons := 0, 0
	for p.peek().kind != tRBracket {
		switch t := p.next(); {
		case t.kind == tNumber && parts[part] == nil:
			n, err := strconv.Atoi(t.text)
			if err != nil {
				return nil, &SyntaxError{t.offset, "the index is too large"}
			}
			parts[part] = &n
		case t.kind == tColon && colons < 2:
			colons++
			part++
		default:
			p.at--
			return nil, p.unexpected()
		}
	}
	p.next()
	if colons == 0 {
		return chain{left, index(*parts[0])}, nil
	}
	if parts[2] != nil && *parts[2] == 0 {
		return nil, &SyntaxError{p.peek().offset, "the step of a slice cannot be 0"}
	}
	right, err := p.tail(power[tStar])
	return projection{chain{left, slice(parts)}, right}, err
}

func (p *parser) multiList() (node, error) {
	var list multiList
	for {
		item, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
		if p.peek().kind == tComma {
			p.next()
			continue
		}
		return list, p.expect(tRBracket)
	}
}

func (p *parser) multiHash() (node, error) {
	var hash []pair
	for {
		key := p.peek()
		if err := p.expect(tIdentifier); err != nil {
			return nil, err
		}
		if err := p.expect(tColon); err != nil {
			return nil, err
		}
		item, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		hash = append(hash, pair{key: key.text, value: item})
		if p.peek().kind == tComma {
			p.next()
			continue
		}
		return ordered(hash), p.expect(tRBrace)
	}
}

// ordered finds the place of each key; of equal keys the last one stays.
func ordered(pairs []pair) multiHash {
	keys := make([]string, len(pairs))
	for i := range pairs {
		keys[i] = pairs[i].key
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	for i := range pairs {
		pairs[i].at, _ = slices.BinarySearch(keys, pairs[i].key)
	}
	return multiHash{pairs, len(keys)}
}

func (p *parser) call(name token) (node, error) {
	f, known := functions[name.text]
	if !known {
		return nil, &SyntaxError{name.offset, "unknown function " + name.text}
	}
	p.next()
	c := call{name: name.text, function: f}
	for p.peek().kind != tRParen {
		arg, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, arg)
		if p.peek().kind == tComma {
			p.next()
			if p.peek().kind == tRParen {
				return nil, p.unexpected()
			}
			continue
		}
		if p.peek().kind != tRParen {
			return nil, p.unexpected()
		}
	}
	p.next()
	if len(c.args) < len(f.args) || len(c.args) > len(f.args) && !f.variadic {
		return nil, &SyntaxError{
			name.offset,
			fmt.Sprintf("%s takes %d arguments, not %d", name.text, len(f.args), len(c.args)),
		}
	}
	return c, nil
}
