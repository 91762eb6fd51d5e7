package policy

import (
	"slices"

	"github.com/probity-dev/probity/claims"
)

// call evaluates a function of version 1.2. Arguments are evaluated left to
// right.
func (e *evaluation) call(c *Call, bound bindings) ([]claims.Value, error) {
	args := make([][]claims.Value, len(c.Args))
	for i, arg := range c.Args {
		var err error
		if args[i], err = e.eval(arg, bound); err != nil {
			return nil, err
		}
	}
	one := func(v claims.Value) ([]claims.Value, error) { return []claims.Value{v}, nil }
	contains := func(set []claims.Value, v claims.Value) bool {
		return slices.ContainsFunc(set, func(m claims.Value) bool { return equal(m, v) })
	}
	switch c.Name {
	case "IsSubsetOf":
		subset := !slices.ContainsFunc(args[0], func(v claims.Value) bool { return !contains(args[1], v) })
		return one(claims.BooleanValue(subset))
	case "ContainsOnlyValue":
		v, err := e.scalar(c.Args[1].Start(), c.Name, args[1])
		if err != nil {
			return nil, err
		}
		only := len(args[0]) > 0 && !slices.ContainsFunc(args[0], func(m claims.Value) bool { return !equal(m, v) })
		return one(claims.BooleanValue(only))
	case "AppendString":
		var joined string
		for i, set := range args {
			v, err := e.scalar(c.Args[i].Start(), c.Name, set)
			if err != nil {
				return nil, err
			}
			text, ok := v.Text()
			if !ok {
				return nil, e.fail(c.Args[i].Start(), "AppendString needs strings, not %s", v)
			}
			joined += text
		}
		return one(claims.StringValue(joined))
	case "NegateBool":
		v, err := e.scalar(c.Args[0].Start(), c.Name, args[0])
		if err != nil {
			return nil, err
		}
		b, ok := v.Bool()
		if !ok {
			return nil, e.fail(c.Args[0].Start(), "NegateBool needs a boolean, not %s", v)
		}
		return one(claims.BooleanValue(!b))
	default:
		return nil, e.fail(c.Pos, "function %s is not supported by this version", c.Name)
	}
}
