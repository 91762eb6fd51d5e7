package jmespath

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// function is a built-in function: the types that each argument may have, and
// what it does.
type function struct {
	args     [][]string
	variadic bool
	run      func(e *evaluation, args []any) (any, error)
}

// functions are filled by a call, since they and the evaluator refer to each
// other.
var functions = builtins()

func (f function) check(e *evaluation, name string, args []any) error {
	for i, arg := range args {
		want := f.args[min(i, len(f.args)-1)]
		if list, ok := arg.([]any); ok {
			// Each element may be looked at for each type.
			if err := e.spend(len(want)*len(list), 0); err != nil {
				return err
			}
		}
		if want[0] != "any" && !slices.ContainsFunc(want, func(t string) bool { return has(arg, t) }) {
			return fmt.Errorf("jmespath: argument %d of %s is %s, want %s", i+1, name, typeName(arg),
				strings.Join(want, "|"))
		}
	}
	return nil
}

func has(v any, typ string) bool {
	element, isArray := strings.CutSuffix(typ, "[]")
	if !isArray {
		return typeName(v) == typ
	}
	list, ok := v.([]any)
	return ok && !slices.ContainsFunc(list, func(item any) bool { return typeName(item) != element })
}

// builtins lists the functions. The types that an argument may have are separated by |; a
// trailing [] means an array of that type.
func builtins() map[string]function {
	types := func(args []string) (lists [][]string) {
		for _, arg := range args {
			lists = append(lists, strings.Split(arg, "|"))
		}
		return lists
	}
	f := func(run func(*evaluation, []any) (any, error), args ...string) function {
		return function{args: types(args), run: run}
	}
	many := func(run func(*evaluation, []any) (any, error), args ...string) function {
		return function{args: types(args), variadic: true, run: run}
	}
	numeric := func(op func(float64) float64) func(*evaluation, []any) (any, error) {
		return func(_ *evaluation, args []any) (any, error) { return numberOf(op(args[0].(number).f)), nil }
	}
	return map[string]function{
		"abs":                f(numeric(math.Abs), "number"),
		"ceil":               f(numeric(math.Ceil), "number"),
		"floor":              f(numeric(math.Floor), "number"),
		"avg":                f(average, "number[]"),
		"sum":                f(sum, "number[]"),
		"contains":           f(contains, "array|string", "any"),
		"starts_with":        f(affix(strings.HasPrefix), "string", "string"),
		"ends_with":          f(affix(strings.HasSuffix), "string", "string"),
		"equals_ignore_case": f(equalsIgnoreCase, "string|null", "string|null"),
		"join":               f(join, "string", "string[]"),
		"keys":               f(keys, "object"),
		"values":             f(values, "object"),
		"length":             f(length, "string|array|object"),
		"map":                f(mapItems, "expression", "array"),
		"max":                f(extreme(1), "number[]|string[]"),
		"min":                f(extreme(-1), "number[]|string[]"),
		"max_by":             f(extremeBy(1), "array", "expression"),
		"min_by":             f(extremeBy(-1), "array", "expression"),
		"merge":              many(merge, "object"),
		"not_null":           many(notNull, "any"),
		"reverse":            f(reverse, "array|string"),
		"sort":               f(sortItems, "number[]|string[]"),
		"sort_by":            f(sortBy, "array", "expression"),
		"to_array":           f(toArray, "any"),
		"to_number":          f(toNumber, "any"),
		"to_string":          f(toString, "any"),
		"type":               f(func(_ *evaluation, a []any) (any, error) { return typeName(a[0]), nil }, "any"),
	}
}

func average(e *evaluation, args []any) (any, error) {
	list := args[0].([]any)
	if len(list) == 0 {
		return nil, nil
	}
	return numberOf(total(list) / float64(len(list))), nil
}

func sum(_ *evaluation, args []any) (any, error) { return numberOf(total(args[0].([]any))), nil }

// total adds numbers up, which the check of the types has paid for.
func total(list []any) float64 {
	total := 0.0
	for _, item := range list {
		total += item.(number).f
	}
	return total
}

func affix(has func(text, part string) bool) func(*evaluation, []any) (any, error) {
	return func(e *evaluation, args []any) (any, error) {
		text, part := args[0].(string), args[1].(string)
		if len(part) > len(text) {
			return false, nil
		}
		if err := e.spend(0, Long(len(part))); err != nil {
			return nil, err
		}
		return has(text, part), nil
	}
}

func contains(e *evaluation, args []any) (any, error) {
	if text, ok := args[0].(string); ok {
		part, ok := args[1].(string)
		if !ok || len(part) > len(text) {
			return false, nil
		}
		if err := e.spend(0, len(text)); err != nil {
			return nil, err
		}
		return strings.Contains(text, part), nil
	}
	for _, item := range args[0].([]any) {
		if same, err := e.equal(item, args[1]); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

// equalsIgnoreCase folds ASCII only; null equals nothing, since projections
// meet entries without the member.
func equalsIgnoreCase(e *evaluation, args []any) (any, error) {
	a, ok := args[0].(string)
	b, ok2 := args[1].(string)
	if !ok || !ok2 || len(a) != len(b) {
		return false, nil
	}
	if err := e.spend(0, Long(len(a))); err != nil {
		return nil, err
	}
	fold := func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false, nil
		}
	}
	return true, nil
}

func join(e *evaluation, args []any) (any, error) {
	list, between := args[1].([]any), args[0].(string)
	size := max(len(list)-1, 0) * len(between)
	for _, item := range list {
		size += len(item.(string))
	}
	if size > MaxResult {
		return nil, ErrResult
	}
	if err := e.spend(len(list), size); err != nil {
		return nil, err
	}
	var b strings.Builder
	b.Grow(size)
	for i, item := range list {
		if i > 0 {
			b.WriteString(between)
		}
		b.WriteString(item.(string))
	}
	return b.String(), nil
}

func keys(e *evaluation, args []any) (any, error) {
	o := args[0].(object)
	if err := e.spend(len(o), 2*itemBytes*len(o)); err != nil {
		return nil, err
	}
	out := make([]any, len(o))
	for i := range o {
		out[i] = o[i].key
	}
	return out, nil
}

func values(e *evaluation, args []any) (any, error) { return e.valuesOf(args[0].(object)) }

func length(e *evaluation, args []any) (any, error) {
	switch v := args[0].(type) {
	case string:
		if err := e.spend(0, Long(len(v))); err != nil {
			return nil, err
		}
		return numberOf(float64(utf8.RuneCountInString(v))), nil
	case []any:
		return numberOf(float64(len(v))), nil
	default:
		return numberOf(float64(len(v.(object)))), nil
	}
}

// applied evaluates an expression for each item.
func applied(e *evaluation, list []any, by expression) ([]any, error) {
	if err := e.spend(len(list), len(list)*itemBytes); err != nil {
		return nil, err
	}
	out := make([]any, 0, len(list))
	for _, item := range list {
		v, err := by.eval(e, item)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func mapItems(e *evaluation, args []any) (any, error) {
	return applied(e, args[1].([]any), args[0].(expression))
}

func notNull(_ *evaluation, args []any) (any, error) {
	for _, arg := range args {
		if arg != nil {
			return arg, nil
		}
	}
	return nil, nil
}

func reverse(e *evaluation, args []any) (any, error) {
	text, ok := args[0].(string)
	if !ok {
		list := args[0].([]any)
		if err := e.spend(len(list), len(list)*itemBytes); err != nil {
			return nil, err
		}
		out := slices.Clone(list)
		slices.Reverse(out)
		return out, nil
	}
	if err := e.spend(0, 3*len(text)); err != nil { // going backwards is slow
		return nil, err
	}
	var b strings.Builder
	b.Grow(len(text))
	for len(text) > 0 {
		_, n := utf8.DecodeLastRuneInString(text)
		b.WriteString(text[len(text)-n:])
		text = text[:len(text)-n]
	}
	return b.String(), nil
}

func toArray(_ *evaluation, args []any) (any, error) {
	if list, ok := args[0].([]any); ok {
		return list, nil
	}
	return []any{args[0]}, nil
}

func toNumber(e *evaluation, args []any) (any, error) {
	switch v := args[0].(type) {
	case number:
		return v, nil
	case string:
		if text := strings.TrimLeft(v, " \t\r\n"); text == "" || text[0] != '-' && !digit(text[0]) {
			return nil, nil
		}
		document, err := ParseDocument(v, e.Budget)
		if err != nil {
			return nil, e.spend(0, 0) // nothing, unless the budget is used up
		}
		if n, ok := document.root.(number); ok {
			return n, nil
		}
	}
	return nil, nil
}

func toString(e *evaluation, args []any) (any, error) {
	if text, ok := args[0].(string); ok {
		return text, nil
	}
	return e.text(args[0])
}
