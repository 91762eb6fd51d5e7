package evidence

import (
	"fmt"

	"github.com/probity-dev/probity/wording/plainerror"
)

// Check is one proven or failed fact about evidence. Its ID is stable: the
// same word stands in HTTP errors, on the command line and in records.
type Check struct {
	ID       string `json:"id"`
	OK       bool   `json:"ok"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
	// Remedy says what to do about a failed check.
	Remedy string `json:"remedy"`
}

// Rejection is the refusal of evidence: the first check that failed. Cause is
// the underlying error, if there is one; it is for logs, not for clients.
type Rejection struct {
	Check Check
	Cause error
}

// Error gives the check's id and what was found instead of what.
func (r *Rejection) Error() string {
	return fmt.Sprintf("%s: expected %s, found %s", r.Check.ID, r.Check.Expected, r.Check.Found)
}

// Unwrap returns the cause.
func (r *Rejection) Unwrap() error { return r.Cause }

// Recorder collects the checks of one verification, which ends with the first
// failure: the verifier must return what Fail returned.
type Recorder struct {
	Checks []Check
}

// Pass records a check that held.
func (r *Recorder) Pass(id, expected, found string) {
	r.Checks = append(r.Checks, Check{ID: id, OK: true, Expected: expected, Found: found})
}

// Fail records a check that did not hold and returns the rejection.
func (r *Recorder) Fail(id, expected, found, remedy string) *Rejection {
	c := Check{ID: id, Expected: plainerror.Words(expected), Found: plainerror.Words(found), Remedy: remedy}
	r.Checks = append(r.Checks, c)
	return &Rejection{Check: c}
}

// FailErr is Fail with an underlying error, whose text becomes what was found.
func (r *Recorder) FailErr(id, expected string, err error, remedy string) *Rejection {
	rejection := r.Fail(id, expected, err.Error(), remedy)
	rejection.Cause = err
	return rejection
}

// Definition documents a check: what it proves when it passes, and what to do
// when it fails.
type Definition struct {
	ID      string
	Meaning string
	Remedy  string
}

// Book finds definitions by id, so that a failing check takes its remedy from
// the place where the check is documented.
type Book map[string]Definition

// NewBook indexes the given definitions.
func NewBook(lists ...[]Definition) Book {
	book := Book{}
	for _, list := range lists {
		for _, d := range list {
			book[d.ID] = d
		}
	}
	return book
}

// Remedy returns the remedy of the check with the given id.
func (b Book) Remedy(id string) string { return b[id].Remedy }
