package edge

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Budget bounds the bytes of request bodies that are in memory at once, over all
// connections. Bytes are taken before they are read and given back when the
// request ends. It is safe for concurrent use.
type Budget struct {
	limit atomic.Int64
	used  atomic.Int64
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget {
	b := &Budget{}
	b.limit.Store(limit)
	return b
}

// SetLimit changes the limit; what is taken stays taken.
func (b *Budget) SetLimit(limit int64) { b.limit.Store(limit) }

// Used returns the bytes that are taken.
func (b *Budget) Used() int64 { return b.used.Load() }

// take takes n bytes, or none if that is more than is left.
func (b *Budget) take(n int64) bool {
	if b.used.Add(n) > b.limit.Load() {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *Budget) give(n int64) { b.used.Add(-n) }

var errBudget = errors.New("too many request bodies are in memory")

const (
	// bodyChunk is what a body of undeclared length takes at a time, in bytes.
	bodyChunk = 64 << 10
	// bodyGrace is the time for the first bytes of a body, and bodyRate the bytes a
	// second that a client must send after it: a body that trickles would hold its
	// share of the budget for as long as a request may take.
	bodyGrace = 5 * time.Second
	bodyRate  = 64 << 10
)

// budgeted is a request body that takes its bytes from the budget before it reads
// them.
type budgeted struct {
	io.ReadCloser
	budget *Budget
	// declared is the length that the client announced, -1 if none; most is the
	// limit of one body.
	declared, most int64
	started        bool
	taken, read    int64
	deadline       func(time.Time)
}

// within puts the budget before the body of a request that may take so long; free gives
// its share back.
func (b *Bodies) within(w http.ResponseWriter, r *http.Request, most time.Duration) (free func()) {
	if r.Body == nil || r.Body == http.NoBody || b.Budget == nil {
		return func() {}
	}
	control := http.NewResponseController(w)
	begin := time.Now()
	body := &budgeted{ReadCloser: r.Body, budget: b.Budget, declared: r.ContentLength, most: b.Limit,
		deadline: func(at time.Time) {
			if last := begin.Add(most); at.After(last) {
				at = last
			}
			_ = control.SetReadDeadline(at) // not supported by recorders of tests
		}}
	r.Body = body
	return func() { b.Budget.give(body.taken) }
}

// Read implements io.Reader.
func (b *budgeted) Read(p []byte) (int, error) {
	if !b.started {
		b.started = true
		b.deadline(time.Now().Add(bodyGrace + time.Duration(min(max(b.declared, 0), b.most))*time.Second/bodyRate))
		// A body that is too large is refused by its length and not read; should
		// it be read all the same, it is charged as it comes.
		if b.declared > 0 && b.declared <= b.most {
			if err := b.charge(b.declared); err != nil {
				return 0, err
			}
		}
	}
	if b.read >= b.taken {
		if err := b.charge(bodyChunk); err != nil {
			return 0, err
		}
		if b.declared < 0 {
			b.deadline(time.Now().Add(bodyGrace + bodyChunk*time.Second/bodyRate))
		}
	}
	if left := b.taken - b.read; int64(len(p)) > left {
		p = p[:left]
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	return n, err
}

func (b *budgeted) charge(n int64) error {
	if !b.budget.take(n) {
		return errBudget
	}
	b.taken += n
	return nil
}

// outOfBudget is the answer to a request whose body has no place in memory now.
func (b *Bodies) outOfBudget() *Error {
	b.Refused()
	return Unavailable(2, CheckMemory.FailedWith(
		"request bodies of at most "+strconv.FormatInt(b.Budget.limit.Load(), 10)+" bytes in memory at once",
		"no place for this body now", remedyMemory,
	))
}
