package jmespath

import (
	"errors"
	"maps"
	"slices"
)

// MaxResult bounds the JSON text of a result in bytes.
const MaxResult = 1 << 20

// The limits of evaluation.
var (
	ErrSteps  = errors.New("jmespath: the query takes too many steps over this document")
	ErrResult = errors.New("jmespath: the result is too large")
)

// Search applies the query and returns the result as compact JSON; null if
// there is none. It takes its work from steps, a budget that the caller may
// share among queries, and fails with [ErrSteps] when that is used up.
func (q *Query) Search(d *Document, steps *int) (string, error) {
	e := &evaluation{steps: steps}
	v, err := q.root.eval(e, d.root)
	if err != nil {
		return "", err
	}
	b, err := e.text(nil, v, 0)
	return string(b), err
}

type evaluation struct{ steps *int }

func (e *evaluation) spend(n int) error {
	if *e.steps -= n; *e.steps < 0 {
		return ErrSteps
	}
	return nil
}

// node is an expression that is applied to a value.
type node interface {
	eval(e *evaluation, v any) (any, error)
}

type (
	field   string
	index   int
	slice   [3]*int
	literal struct{ value any }
	current struct{}
	not     struct{ inner node }
	expref  struct{ inner node }
	// chain applies right to the value of left: a sub-expression or a pipe.
	chain      struct{ left, right node }
	or         struct{ left, right node }
	and        struct{ left, right node }
	flatten    struct{ inner node }
	projection struct{ left, right node }
	// valueProjection projects the values of an object.
	valueProjection  struct{ left, right node }
	filterProjection struct{ left, condition, right node }
	comparison       struct {
		op          tokenKind
		left, right node
	}
	multiList []node
	multiHash []pair
	pair      struct {
		key   string
		value node
	}
	call struct {
		name     string
		function function
		args     []node
	}
)

// expression is the value of &expr: an argument for functions.
type expression struct{ node }

func (n field) eval(e *evaluation, v any) (any, error) {
	if object, ok := v.(map[string]any); ok {
		return object[string(n)], e.spend(1)
	}
	return nil, e.spend(1)
}

func (n index) eval(e *evaluation, v any) (any, error) {
	list, ok := v.([]any)
	i := int(n)
	if i < 0 {
		i += len(list)
	}
	if !ok || i < 0 || i >= len(list) {
		return nil, e.spend(1)
	}
	return list[i], e.spend(1)
}

func (n slice) eval(e *evaluation, v any) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, e.spend(1)
	}
	step := 1
	if n[2] != nil {
		step = *n[2]
	}
	bound := func(p *int, absent, low, high int) int {
		if p == nil {
			return absent
		}
		i := *p
		if i < 0 {
			i += len(list)
		}
		return min(max(i, low), high)
	}
	out := []any{}
	if step > 0 {
		for i, end := bound(n[0], 0, 0, len(list)), bound(n[1], len(list), 0, len(list)); i < end; i += step {
			out = append(out, list[i])
			if step > len(list) {
				break // the next one is beyond the end; do not overflow
			}
		}
	} else {
		for i, end := bound(n[0], len(list)-1, -1, len(list)-1), bound(n[1], -1, -1, len(list)-1); i > end; i += step {
			out = append(out, list[i])
			if -step > len(list) {
				break
			}
		}
	}
	return out, e.spend(1 + len(out))
}

func (n literal) eval(e *evaluation, _ any) (any, error) { return n.value, e.spend(1) }
func (current) eval(_ *evaluation, v any) (any, error)   { return v, nil }

func (n expref) eval(e *evaluation, _ any) (any, error) { return expression{n.inner}, e.spend(1) }

func (n not) eval(e *evaluation, v any) (any, error) {
	inner, err := n.inner.eval(e, v)
	return !truthy(inner), err
}

func (n chain) eval(e *evaluation, v any) (any, error) {
	left, err := n.left.eval(e, v)
	if err != nil {
		return nil, err
	}
	return n.right.eval(e, left)
}

func (n or) eval(e *evaluation, v any) (any, error) {
	left, err := n.left.eval(e, v)
	if err != nil || truthy(left) {
		return left, err
	}
	return n.right.eval(e, v)
}

func (n and) eval(e *evaluation, v any) (any, error) {
	left, err := n.left.eval(e, v)
	if err != nil || !truthy(left) {
		return left, err
	}
	return n.right.eval(e, v)
}

func (n comparison) eval(e *evaluation, v any) (any, error) {
	left, err := n.left.eval(e, v)
	if err != nil {
		return nil, err
	}
	right, err := n.right.eval(e, v)
	if err != nil {
		return nil, err
	}
	if n.op == tEQ || n.op == tNE {
		same, err := e.equal(left, right)
		return same == (n.op == tEQ), err
	}
	a, ok := left.(number)
	b, ok2 := right.(number)
	if !ok || !ok2 {
		return nil, e.spend(1)
	}
	switch n.op {
	case tLT:
		return a.f < b.f, nil
	case tLE:
		return a.f <= b.f, nil
	case tGT:
		return a.f > b.f, nil
	default:
		return a.f >= b.f, nil
	}
}

func (n flatten) eval(e *evaluation, v any) (any, error) {
	inner, err := n.inner.eval(e, v)
	list, ok := inner.([]any)
	if err != nil || !ok {
		return nil, err
	}
	size := 1
	for _, item := range list {
		if nested, ok := item.([]any); ok {
			size += len(nested)
		} else {
			size++
		}
	}
	if err := e.spend(size); err != nil {
		return nil, err
	}
	out := make([]any, 0, size)
	for _, item := range list {
		if nested, ok := item.([]any); ok {
			out = append(out, nested...)
		} else {
			out = append(out, item)
		}
	}
	return out, nil
}

// each applies right to all items and leaves null results out.
func (e *evaluation) each(list []any, right node) (any, error) {
	if err := e.spend(1 + len(list)); err != nil {
		return nil, err
	}
	if _, same := right.(current); same && !slices.ContainsFunc(list, func(item any) bool { return item == nil }) {
		return list, nil
	}
	out := make([]any, 0, len(list))
	for _, item := range list {
		v, err := right.eval(e, item)
		if err != nil {
			return nil, err
		}
		if v != nil {
			out = append(out, v)
		}
	}
	return out, nil
}

func (n projection) eval(e *evaluation, v any) (any, error) {
	left, err := n.left.eval(e, v)
	list, ok := left.([]any)
	if err != nil || !ok {
		return nil, err
	}
	return e.each(list, n.right)
}

func (n valueProjection) eval(e *evaluation, v any) (any, error) {
	left, err := n.left.eval(e, v)
	object, ok := left.(map[string]any)
	if err != nil || !ok {
		return nil, err
	}
	list := make([]any, 0, len(object))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		list = append(list, object[key])
	}
	return e.each(list, n.right)
}

func (n filterProjection) eval(e *evaluation, v any) (any, error) {
	left, err := n.left.eval(e, v)
	list, ok := left.([]any)
	if err != nil || !ok {
		return nil, err
	}
	if err := e.spend(1 + len(list)); err != nil {
		return nil, err
	}
	out := []any{}
	for _, item := range list {
		holds, err := n.condition.eval(e, item)
		if err != nil {
			return nil, err
		}
		if !truthy(holds) {
			continue
		}
		result, err := n.right.eval(e, item)
		if err != nil {
			return nil, err
		}
		if result != nil {
			out = append(out, result)
		}
	}
	return out, nil
}

func (n multiList) eval(e *evaluation, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	out := make([]any, 0, len(n))
	for _, item := range n {
		value, err := item.eval(e, v)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	return out, e.spend(1 + len(n))
}

func (n multiHash) eval(e *evaluation, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	out := make(map[string]any, len(n))
	for _, item := range n {
		value, err := item.value.eval(e, v)
		if err != nil {
			return nil, err
		}
		out[item.key] = value
	}
	return out, e.spend(1 + len(n))
}

func (n call) eval(e *evaluation, v any) (any, error) {
	args := make([]any, 0, len(n.args))
	for _, arg := range n.args {
		value, err := arg.eval(e, v)
		if err != nil {
			return nil, err
		}
		args = append(args, value)
	}
	if err := n.function.check(n.name, args); err != nil {
		return nil, err
	}
	if err := e.spend(1 + len(args)); err != nil {
		return nil, err
	}
	return n.function.run(e, args)
}
