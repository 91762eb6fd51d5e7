package evidence

import (
	"fmt"
	"slices"
	"strings"

	"github.com/probity-dev/probity/wording/plainerror"
)

// Check is one proven or failed fact about evidence.
type Check struct {
	// ID is stable, and the same in HTTP errors, on the command line and in records:
	// "snp.report.signature". docs/guide/checks.md lists all.
	ID string `json:"id"`
	OK bool   `json:"ok"`
	// Expected and Found are for people; their wording may change.
	Expected string `json:"expected"`
	Found    string `json:"found"`
	// Remedy says what to do about a failed check. It is empty for one that passed.
	Remedy string `json:"remedy"`
}

// Definition is a check that a package makes, declared once: its id, what it proves when it
// passes, and what to do when it fails. Packages export theirs, so that programs need no
// literal: errors.Is(err, snp.CheckSignature) reports whether evidence was refused by it.
type Definition struct {
	ID      string
	Meaning string
	Remedy  string
}

// Error returns the id, so that a definition is an error that a [Rejection] can be compared with.
func (d *Definition) Error() string { return d.ID }

// Passed is the record of the check after it passed.
func (d *Definition) Passed(expected, found string) Check {
	return Check{ID: d.ID, OK: true, Expected: expected, Found: found}
}

// Failed is the record of the check after it failed.
func (d *Definition) Failed(expected, found string) Check {
	return d.FailedWith(expected, found, d.Remedy)
}

// FailedWith is [Definition.Failed] with a remedy for this case instead of the definition's.
func (d *Definition) FailedWith(expected, found, remedy string) Check {
	return Check{ID: d.ID, Expected: plainerror.Words(expected), Found: plainerror.Words(found), Remedy: remedy}
}

// Checks are the definitions of a package, in the order in which the checks are made. It is for those who
// write verifiers.
type Checks struct{ list []*Definition }

// Define adds a check.
func (c *Checks) Define(id, meaning, remedy string) *Definition {
	d := &Definition{ID: id, Meaning: meaning, Remedy: remedy}
	c.list = append(c.list, d)
	return d
}

// All returns the definitions. The caller must not change them.
func (c *Checks) All() []*Definition { return slices.Clone(c.list) }

// Rejection is the refusal of evidence: the first check that failed. Compare it with the checks of the
// packages by errors.Is, or get it by errors.As to say why. Cause is the underlying error, if there is
// one; it is for logs, not for clients.
type Rejection struct {
	Check Check
	Cause error
}

// Error gives the check's id and what was found instead of what.
func (r *Rejection) Error() string {
	return fmt.Sprintf("%s: expected %s, found %s", r.Check.ID, r.Check.Expected, r.Check.Found)
}

// Is reports whether target is the definition of the check that failed.
func (r *Rejection) Is(target error) bool {
	d, ok := target.(*Definition)
	return ok && d.ID == r.Check.ID
}

// Unwrap returns the cause.
func (r *Rejection) Unwrap() error { return r.Cause }

// Pass records a check that passed. It and the methods that follow are for those who write verifiers.
func (r *Result) Pass(check *Definition, expected, found string) {
	r.Checks = append(r.Checks, check.Passed(expected, found))
}

// Fail records a check that failed and returns the rejection. A verification ends with the
// first failure: the verifier must return what Fail returned.
func (r *Result) Fail(check *Definition, expected, found string) *Rejection {
	return r.reject(check.Failed(expected, found))
}

// FailErr is [Result.Fail] with an underlying error, whose text becomes what was found.
func (r *Result) FailErr(check *Definition, expected string, err error) *Rejection {
	rejection := r.Fail(check, expected, err.Error())
	rejection.Cause = err
	return rejection
}

// FailWith is [Result.Fail] with a remedy for this case instead of the definition's.
func (r *Result) FailWith(check *Definition, expected, found, remedy string) *Rejection {
	return r.reject(check.FailedWith(expected, found, remedy))
}

func (r *Result) reject(c Check) *Rejection {
	r.Checks = append(r.Checks, c)
	return &Rejection{Check: c}
}

// Reserve adds a reservation: the check fails unless the caller accepts the fact by the
// given word. [Result.Conclude] makes it.
func (r *Result) Reserve(accept string, check *Definition, expected, found string) {
	r.Reservations = append(r.Reservations, Reservation{Accept: accept, Check: check.Failed(expected, found)})
}

// Conclude ends a verification that ended with err: evidence without other faults is refused
// for the first reservation that ev does not accept.
func (r *Result) Conclude(ev Evidence, err error) error {
	if err != nil {
		return err
	}
	for _, reservation := range r.Reservations {
		switch {
		case reservation.leftToPolicy(ev):
		case slices.Contains(ev.Accept, reservation.Accept):
			check := reservation.Check
			check.OK, check.Expected, check.Remedy = true, check.Expected+", or "+reservation.Accept+" accepted", ""
			r.Checks = append(r.Checks, check)
		default:
			return r.reject(reservation.refusal())
		}
	}
	return nil
}

// Unaccepted returns the refusal for the first reservation that ev does not accept, or nil. It
// is for callers who do not rely on each verifier to have called [Result.Conclude].
func (r *Result) Unaccepted(ev Evidence) *Rejection {
	for _, reservation := range r.Reservations {
		if !reservation.leftToPolicy(ev) && !slices.Contains(ev.Accept, reservation.Accept) {
			return &Rejection{Check: reservation.refusal()}
		}
	}
	return nil
}

func (r Reservation) leftToPolicy(ev Evidence) bool { return r.ByPolicy && ev.DebugByPolicy }

// refusal is the failed check, which says how to accept the fact.
func (r Reservation) refusal() Check {
	check := r.Check
	if !strings.Contains(check.Remedy, r.Accept) {
		check.Remedy += "; or accept it by name: " + r.Accept
	}
	return check
}
