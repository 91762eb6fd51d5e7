package jmespath

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// function is a built-in function: the types that each argument may have, and
// what it does. Lists of types are separated by |; a trailing [] means an
// array of that type.
type function struct {
	args     []string
	variadic bool
	run      func(e *evaluation, args []any) (any, error)
}

// functions are filled by a call, since they and the evaluator refer to each
// other.
var functions = builtins()

func (f function) check(name string, args []any) error {
	for i, arg := range args {
		want := f.args[min(i, len(f.args)-1)]
		if want != "any" && !slices.ContainsFunc(strings.Split(want, "|"), func(t string) bool { return has(arg, t) }) {
			return fmt.Errorf("jmespath: argument %d of %s is %s, want %s", i+1, name, typeName(arg), want)
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

func builtins() map[string]function {
	f := func(run func(*evaluation, []any) (any, error), args ...string) function {
		return function{args: args, run: run}
	}
	many := func(run func(*evaluation, []any) (any, error), args ...string) function {
		return function{args: args, variadic: true, run: run}
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
		"starts_with":        f(func(_ *evaluation, a []any) (any, error) { return strings.HasPrefix(a[0].(string), a[1].(string)), nil }, "string", "string"),
		"ends_with":          f(func(_ *evaluation, a []any) (any, error) { return strings.HasSuffix(a[0].(string), a[1].(string)), nil }, "string", "string"),
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
	total, err := sum(e, args)
	if err != nil {
		return nil, err
	}
	return numberOf(total.(number).f / float64(len(list))), nil
}

func sum(e *evaluation, args []any) (any, error) {
	total := 0.0
	for _, item := range args[0].([]any) {
		total += item.(number).f
	}
	return numberOf(total), e.spend(len(args[0].([]any)))
}

func contains(e *evaluation, args []any) (any, error) {
	if text, ok := args[0].(string); ok {
		part, ok := args[1].(string)
		return ok && strings.Contains(text, part), e.spend(len(text) / 64)
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
func equalsIgnoreCase(_ *evaluation, args []any) (any, error) {
	a, ok := args[0].(string)
	b, ok2 := args[1].(string)
	if !ok || !ok2 || len(a) != len(b) {
		return false, nil
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
	var parts []string
	size := 0
	for _, item := range args[1].([]any) {
		parts = append(parts, item.(string))
		size += len(item.(string)) + len(args[0].(string))
	}
	if size > MaxResult {
		return nil, ErrResult
	}
	return strings.Join(parts, args[0].(string)), e.spend(size/16 + len(parts))
}

func keys(e *evaluation, args []any) (any, error) {
	out := []any{}
	for _, key := range slices.Sorted(maps.Keys(args[0].(map[string]any))) {
		out = append(out, key)
	}
	return out, e.spend(len(out))
}

func values(e *evaluation, args []any) (any, error) {
	object, out := args[0].(map[string]any), []any{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		out = append(out, object[key])
	}
	return out, e.spend(len(out))
}

func length(_ *evaluation, args []any) (any, error) {
	switch v := args[0].(type) {
	case string:
		return numberOf(float64(utf8.RuneCountInString(v))), nil
	case []any:
		return numberOf(float64(len(v))), nil
	default:
		return numberOf(float64(len(v.(map[string]any)))), nil
	}
}

func mapItems(e *evaluation, args []any) (any, error) {
	out := []any{}
	for _, item := range args[1].([]any) {
		v, err := args[0].(expression).eval(e, item)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, e.spend(len(out))
}

// compare orders two numbers or two strings; the caller made sure of the types.
func compare(a, b any) int {
	if n, ok := a.(number); ok {
		return cmp.Compare(n.f, b.(number).f)
	}
	return cmp.Compare(a.(string), b.(string))
}

func extreme(sign int) func(*evaluation, []any) (any, error) {
	return func(e *evaluation, args []any) (any, error) {
		list := args[0].([]any)
		if len(list) == 0 {
			return nil, nil
		}
		best := list[0]
		for _, item := range list[1:] {
			if sign*compare(item, best) > 0 {
				best = item
			}
		}
		return best, e.spend(len(list))
	}
}

// keyed evaluates an expression for each item; the keys must be all numbers or
// all strings.
func keyed(e *evaluation, args []any) ([]any, error) {
	list := args[0].([]any)
	out := make([]any, 0, len(list))
	for _, item := range list {
		key, err := args[1].(expression).eval(e, item)
		if err != nil {
			return nil, err
		}
		out = append(out, key)
	}
	if !has(out, "number[]") && !has(out, "string[]") {
		return nil, fmt.Errorf("jmespath: the keys are neither all numbers nor all strings")
	}
	return out, e.spend(len(out))
}

func extremeBy(sign int) func(*evaluation, []any) (any, error) {
	return func(e *evaluation, args []any) (any, error) {
		list := args[0].([]any)
		byKey, err := keyed(e, args)
		if err != nil || len(list) == 0 {
			return nil, err
		}
		best := 0
		for i := range list {
			if sign*compare(byKey[i], byKey[best]) > 0 {
				best = i
			}
		}
		return list[best], nil
	}
}

func merge(e *evaluation, args []any) (any, error) {
	out := map[string]any{}
	for _, arg := range args {
		maps.Copy(out, arg.(map[string]any))
	}
	return out, e.spend(len(out))
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
	if text, ok := args[0].(string); ok {
		runes := []rune(text)
		slices.Reverse(runes)
		return string(runes), e.spend(len(runes) / 16)
	}
	out := slices.Clone(args[0].([]any))
	slices.Reverse(out)
	return out, e.spend(len(out))
}

func sortItems(e *evaluation, args []any) (any, error) {
	out := slices.Clone(args[0].([]any))
	slices.SortStableFunc(out, compare)
	return out, e.spend(8 * len(out))
}

func sortBy(e *evaluation, args []any) (any, error) {
	list := args[0].([]any)
	byKey, err := keyed(e, args)
	if err != nil {
		return nil, err
	}
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compare(byKey[a], byKey[b]) })
	out := make([]any, len(list))
	for i, from := range order {
		out[i] = list[from]
	}
	return out, e.spend(8 * len(out))
}

func toArray(_ *evaluation, args []any) (any, error) {
	if list, ok := args[0].([]any); ok {
		return list, nil
	}
	return []any{args[0]}, nil
}

func toNumber(_ *evaluation, args []any) (any, error) {
	switch v := args[0].(type) {
	case number:
		return v, nil
	case string:
		document, err := ParseDocument([]byte(v))
		if err != nil {
			return nil, nil
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
	b, err := e.text(nil, args[0], 0)
	return string(b), err
}
