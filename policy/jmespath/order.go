package jmespath

import (
	"cmp"
	"fmt"
	"slices"
)

// compare orders two numbers or two strings; the caller made sure of the types.
func compare(a, b any) int {
	if n, ok := a.(number); ok {
		return cmp.Compare(n.f, b.(number).f)
	}
	return cmp.Compare(a.(string), b.(string))
}

// long adds up what the texts of a list have beyond what a step pays for.
func long(list []any) (bytes int) {
	for _, item := range list {
		if text, ok := item.(string); ok {
			bytes += Long(len(text))
		}
	}
	return bytes
}

// best returns the index of the greatest (sign 1) or smallest (sign -1) value, the first
// one of equals.
func (e *evaluation) best(sign int, list []any) (int, error) {
	if err := e.spend(len(list), long(list)); err != nil {
		return 0, err
	}
	best := 0
	for i := range list {
		if sign*compare(list[i], list[best]) > 0 {
			best = i
		}
	}
	return best, nil
}

func extreme(sign int) func(*evaluation, []any) (any, error) {
	return func(e *evaluation, args []any) (any, error) {
		list := args[0].([]any)
		if len(list) == 0 {
			return nil, nil
		}
		at, err := e.best(sign, list)
		return list[at], err
	}
}

// keyed evaluates an expression for each item; the keys must be all numbers or
// all strings.
func keyed(e *evaluation, args []any) ([]any, error) {
	out, err := applied(e, args[0].([]any), args[1].(expression))
	if err != nil {
		return nil, err
	}
	if err := e.spend(2*len(out), 0); err != nil {
		return nil, err
	}
	if !has(out, "number[]") && !has(out, "string[]") {
		return nil, fmt.Errorf("jmespath: the keys are neither all numbers nor all strings")
	}
	return out, nil
}

func extremeBy(sign int) func(*evaluation, []any) (any, error) {
	return func(e *evaluation, args []any) (any, error) {
		list := args[0].([]any)
		byKey, err := keyed(e, args)
		if err != nil || len(list) == 0 {
			return nil, err
		}
		at, err := e.best(sign, byKey)
		return list[at], err
	}
}

// merge joins objects; of equal keys the last one stays.
func merge(e *evaluation, args []any) (any, error) {
	size, long := 0, 0
	for _, arg := range args {
		o := arg.(object)
		size += len(o)
		for i := range o {
			long += Long(len(o[i].key))
		}
		if err := e.spend(1+len(o), 0); err != nil {
			return nil, err
		}
	}
	steps, bytes := sorting(size, long)
	if err := e.spend(steps, bytes+size*memberBytes); err != nil {
		return nil, err
	}
	all := make(object, 0, size)
	for _, arg := range args {
		all = append(all, arg.(object)...)
	}
	slices.SortStableFunc(all, byKey)
	out := all[:0]
	for i := range all {
		if i+1 == len(all) || all[i].key != all[i+1].key {
			out = append(out, all[i])
		}
	}
	return out, nil
}

func sortItems(e *evaluation, args []any) (any, error) {
	list := args[0].([]any)
	return e.sorted(list, list)
}

func sortBy(e *evaluation, args []any) (any, error) {
	byKey, err := keyed(e, args)
	if err != nil {
		return nil, err
	}
	return e.sorted(args[0].([]any), byKey)
}

// sorted orders a list by its keys; equals keep their order.
func (e *evaluation) sorted(list, keys []any) (any, error) {
	steps, bytes := sorting(len(list), long(keys))
	if err := e.spend(steps, bytes+len(list)*(itemBytes+8)); err != nil {
		return nil, err
	}
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(compare(keys[a], keys[b]), a-b) })
	out := make([]any, len(list))
	for i, from := range order {
		out[i] = list[from]
	}
	return out, nil
}
