package jmespath

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
)

// The limits of evaluation. When the context of a budget ends, errors wrap its cause.
var (
	ErrSteps  = errors.New("jmespath: the query takes too many steps over this document")
	ErrBytes  = errors.New("jmespath: the query reads and makes too much text over this document")
	ErrResult = errors.New("jmespath: the result is too large")
)

// Budget is the work that queries may cause. Several queries, and what else an evaluation
// does, may share one. A step looks at one value or one pair of values, which includes the
// first 64 bytes of a text. The bytes are those of longer texts that are compared or read,
// and of all that is made. Work is paid before it is done.
type Budget struct {
	// What is left until the context is looked at again, and what is left after that.
	steps, bytes         int
	moreSteps, moreBytes int
	ctx                  context.Context
	// scratch is where results are written before their size is known.
	scratch *[]byte
}

// Between two looks at the context.
const (
	pollSteps = 1 << 14
	pollBytes = 1 << 18
)

// short is how much of a text is looked at for one step.
const short = 64

// NewBudget returns a budget that ends with ctx, too.
func NewBudget(ctx context.Context, steps, bytes int) *Budget {
	b := MakeBudget(ctx, steps, bytes)
	return &b
}

// MakeBudget is NewBudget for a budget that is part of something. It must not be copied.
func MakeBudget(ctx context.Context, steps, bytes int) Budget {
	b := Budget{steps: min(steps, pollSteps), bytes: min(bytes, pollBytes), ctx: ctx}
	b.moreSteps, b.moreBytes = steps-b.steps, bytes-b.bytes
	return b
}

// Spend takes work from the budget. It fails with [ErrSteps] or [ErrBytes] if not enough is
// left, and when the context has ended; it then fails again whenever it is called.
func (b *Budget) Spend(steps, bytes int) error {
	b.steps -= steps
	b.bytes -= bytes
	if b.steps|b.bytes < 0 { // one of them is
		return b.refill()
	}
	return nil
}

func (b *Budget) refill() error {
	if b.steps+b.moreSteps < 0 {
		return ErrSteps
	}
	if b.bytes+b.moreBytes < 0 {
		return ErrBytes
	}
	if b.ctx.Err() != nil {
		b.steps, b.moreSteps = -1, 1
		return fmt.Errorf("jmespath: %w", context.Cause(b.ctx))
	}
	steps, bytes := b.Left()
	b.steps, b.bytes = min(steps, pollSteps), min(bytes, pollBytes)
	b.moreSteps, b.moreBytes = steps-b.steps, bytes-b.bytes
	return nil
}

// Left returns the steps and bytes that are left.
func (b *Budget) Left() (steps, bytes int) { return b.steps + b.moreSteps, b.bytes + b.moreBytes }

// Long is how many bytes a look at a text of n bytes costs beside the step.
func Long(n int) int { return max(n-short, 0) }

// sorting returns what it costs to sort n values, whose texts are long bytes longer than
// what a step pays for.
func sorting(n, long int) (steps, bytes int) {
	depth := bits.Len(uint(n))
	return n * depth, long * depth
}
