package jmespath

import (
	"slices"
)

// MaxResult bounds the JSON text of a result in bytes.
const MaxResult = 1 << 20

// Search applies the query and returns the result as compact JSON; null if
// there is none. It takes its work from the budget, and fails with [ErrSteps] or
// [ErrBytes] when that is used up.
func (q *Query) Search(d *Document, budget *Budget) (string, error) {
	e := &evaluation{budget}
	v, err := q.root.eval(e, d.root)
	if err != nil {
		return "", err
	}
	return e.text(v)
}

type evaluation struct{ *Budget }

func (e *evaluation) spend(steps, bytes int) error { return e.Spend(steps, bytes) }

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
	// multiHash makes an object of size members.
	multiHash struct {
		pairs []pair
		size  int
	}
	pair struct {
		key   string
		value node
		at    int // among the keys in order
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
	o, ok := v.(object)
	if !ok {
		return nil, e.spend(1, 0)
	}
	if err := e.spend(o.looking(string(n))); err != nil {
		return nil, err
	}
	return o.get(string(n)), nil
}

func (n index) eval(e *evaluation, v any) (any, error) {
	list, ok := v.([]any)
	i := int(n)
	if i < 0 {
		i += len(list)
	}
	if !ok || i < 0 || i >= len(list) {
		return nil, e.spend(1, 0)
	}
	return list[i], e.spend(1, 0)
}

func (n slice) eval(e *evaluation, v any) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, e.spend(1, 0)
	}
	step := 1
	if n[2] != nil {
		step = min(max(*n[2], -len(list)-1), len(list)+1) // beyond the end is beyond the end
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
	var from, size int
	if step > 0 {
		from = bound(n[0], 0, 0, len(list))
		size = (bound(n[1], len(list), 0, len(list)) - from + step - 1) / step
	} else {
		from = bound(n[0], len(list)-1, -1, len(list)-1)
		size = (from - bound(n[1], -1, -1, len(list)-1) - step - 1) / -step
	}
	size = max(size, 0)
	if err := e.spend(1+size, size*itemBytes); err != nil {
		return nil, err
	}
	out := make([]any, size)
	for i := range out {
		out[i] = list[from+i*step]
	}
	return out, nil
}

func (n literal) eval(e *evaluation, _ any) (any, error) { return n.value, e.spend(1, 0) }
func (current) eval(e *evaluation, v any) (any, error)   { return v, e.spend(1, 0) }

func (n expref) eval(e *evaluation, _ any) (any, error) { return expression{n.inner}, e.spend(1, 0) }

func (n not) eval(e *evaluation, v any) (any, error) {
	inner, err := n.inner.eval(e, v)
	if err != nil {
		return nil, err
	}
	return !truthy(inner), e.spend(1, 0)
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
	if err := e.spend(1, 0); err != nil {
		return nil, err
	}
	a, ok := left.(number)
	b, ok2 := right.(number)
	if !ok || !ok2 {
		return nil, nil
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
	if err := e.spend(1+len(list), 0); err != nil {
		return nil, err
	}
	size := 0
	for _, item := range list {
		if nested, ok := item.([]any); ok {
			size += len(nested)
		} else {
			size++
		}
	}
	if err := e.spend(size, size*itemBytes); err != nil {
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
	if err := e.spend(1+len(list), 0); err != nil {
		return nil, err
	}
	_, same := right.(current)
	if same && !slices.ContainsFunc(list, func(item any) bool { return item == nil }) {
		return list, nil
	}
	out := []any{}
	for _, item := range list {
		v, err := right.eval(e, item)
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		if out, err = e.grow(out, v, len(list)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// grow appends to a list that is being made of at most so many items, and pays for its room.
func (e *evaluation) grow(out []any, v any, most int) ([]any, error) {
	if len(out) == cap(out) {
		room := min(max(2*cap(out), 4), most)
		if err := e.spend(0, room*itemBytes); err != nil {
			return nil, err
		}
		out = slices.Grow(out, room-len(out))
	}
	return append(out, v), nil
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
	o, ok := left.(object)
	if err != nil || !ok {
		return nil, err
	}
	list, err := e.valuesOf(o)
	if err != nil {
		return nil, err
	}
	return e.each(list, n.right)
}

// valuesOf lists the values of an object, by the names of their members.
func (e *evaluation) valuesOf(o object) ([]any, error) {
	if err := e.spend(len(o), len(o)*itemBytes); err != nil {
		return nil, err
	}
	list := make([]any, len(o))
	for i := range o {
		list[i] = o[i].value
	}
	return list, nil
}

func (n filterProjection) eval(e *evaluation, v any) (any, error) {
	left, err := n.left.eval(e, v)
	list, ok := left.([]any)
	if err != nil || !ok {
		return nil, err
	}
	if err := e.spend(1+len(list), 0); err != nil {
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
		if result == nil {
			continue
		}
		if out, err = e.grow(out, result, len(list)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (n multiList) eval(e *evaluation, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	if err := e.spend(1+len(n), len(n)*itemBytes); err != nil {
		return nil, err
	}
	out := make([]any, 0, len(n))
	for _, item := range n {
		value, err := item.eval(e, v)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	return out, nil
}

func (n multiHash) eval(e *evaluation, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	if err := e.spend(1+len(n.pairs), n.size*memberBytes); err != nil {
		return nil, err
	}
	out := make(object, n.size)
	for _, item := range n.pairs {
		value, err := item.value.eval(e, v)
		if err != nil {
			return nil, err
		}
		out[item.at] = member{item.key, value}
	}
	return out, nil
}

func (n call) eval(e *evaluation, v any) (any, error) {
	if err := e.spend(1+len(n.args), (2+len(n.args))*itemBytes); err != nil {
		return nil, err
	}
	args := make([]any, 0, len(n.args))
	for _, arg := range n.args {
		value, err := arg.eval(e, v)
		if err != nil {
			return nil, err
		}
		args = append(args, value)
	}
	if err := n.function.check(e, n.name, args); err != nil {
		return nil, err
	}
	return n.function.run(e, args)
}
