package mutate

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
)

// stride is the distance between the bytes that are changed. It has no divisor in common
// with the sizes of structures, so that a sample meets all fields.
var stride = flag.Int("stride", 37, "change every n-th byte")

// masks are the changes of a byte: its lowest bit, and its highest.
var masks = []byte{0x01, 0x80}

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// item is one piece of evidence or collateral.
type item struct {
	name  string
	bytes []byte
	// build puts the bytes into evidence.
	build func([]byte) evidence.Evidence
	// verifier makes a verifier without memory of earlier items.
	verifier func() evidence.Verifier
	// open marks the bytes that no signature covers. Nil means none.
	open []bool
}

// outcome is what became of the changes of an item.
type outcome struct{ changes, refused, same, lost int }

// TestAnyChangedByteIsNoticed: a change under a signature is refused. A change elsewhere that is
// accepted leaves the claims as they were, but for those of which the threat model says that
// nothing covers them, or loses a fact: it gains none.
func TestAnyChangedByteIsNoticed(t *testing.T) {
	uncovered := uncoveredClaims(t)
	total := outcome{}
	var table strings.Builder
	for _, it := range items(t) {
		t.Run(it.name, func(t *testing.T) {
			o := it.mutate(t, uncovered)
			fmt.Fprintf(&table,
				"%-34s %6d bytes %7d changes %7d refused %6d accepted, claims the same %5d with a fact less\n",
				it.name, len(it.bytes), o.changes, o.refused, o.same, o.lost)
			total.changes, total.refused, total.same, total.lost = total.changes+o.changes,
				total.refused+o.refused, total.same+o.same, total.lost+o.lost
		})
	}
	t.Logf("\n%s%d changes, %d refused, %d accepted outside of signatures: claims the same in %d, "+
		"a fact less in %d",
		table.String(), total.changes, total.refused, total.same+total.lost, total.same, total.lost)
}

func (it item) mutate(t *testing.T, uncovered func(kind evidence.Kind, claim string) bool) (o outcome) {
	v := it.verifier()
	genuine, err := v.Verify(context.Background(), it.build(it.bytes))
	if err != nil {
		t.Fatalf("the genuine item is refused: %v", err)
	}
	kind := v.Kind()
	want := stated(genuine)
	for at := 0; at < len(it.bytes); at += *stride {
		for _, mask := range masks {
			b := bytes.Clone(it.bytes)
			b[at] ^= mask
			o.changes++
			if t.Failed() {
				return o // one change tells enough
			}
			result, err := v.Verify(context.Background(), it.build(b))
			if err != nil {
				o.refused++
				continue
			}
			if it.open == nil || !it.open[at] {
				t.Errorf("byte %d ^ %#x is under a signature, and the change is accepted: %q", at, mask,
					it.bytes[max(0, at-20):min(len(it.bytes), at+20)])
				continue
			}
			less := false
			got := stated(result)
			for name := range maps.Keys(got) {
				if slices.Equal(got[name], want[name]) || uncovered(kind, name) {
					continue
				}
				if less = true; !weaker(name, got[name], want[name]) {
					t.Errorf("byte %d ^ %#x: %s was %.120s and is %.120s: %q", at, mask, name, want[name],
						got[name], it.bytes[max(0, at-20):min(len(it.bytes), at+20)])
				}
			}
			for name := range want {
				if _, ok := got[name]; !ok && !uncovered(kind, name) {
					less = true
				}
			}
			if less {
				o.lost++
			} else {
				o.same++
			}
		}
	}
	return o
}

// stated are the values of each claim, of tokens and of policies, and the reservations.
func stated(r *evidence.Result) map[string][]string {
	out := map[string][]string{}
	for _, set := range []claims.Set{r.Claims, r.Aliases} {
		for _, c := range set.All() {
			out[c.Type] = append(out[c.Type], c.Value.String())
		}
	}
	for _, reservation := range r.Reservations {
		out["reservation "+reservation.Accept] = []string{"true"}
	}
	for _, values := range out {
		slices.Sort(values)
	}
	return out
}

// weaker reports whether a claim says less good than it did: a fact that was true is not
// shown any more, or one of several values is missing.
func weaker(name string, got, want []string) bool {
	bad := strings.HasSuffix(name, "-enabled") && name != "x-ms-azurevm-elam-enabled"
	switch {
	case strings.HasPrefix(name, "reservation "), name == "x-probity-boot-not-secure",
		name == "x-ms-azurevm-hvci-policy" && slices.Equal(got, []string{"0"}):
		return true
	case slices.Equal(want, []string{"true"}) && slices.Equal(got, []string{"false"}):
		return !bad
	case slices.Equal(want, []string{"false"}) && slices.Equal(got, []string{"true"}):
		return bad
	}
	return len(got) < len(want) &&
		!slices.ContainsFunc(got, func(value string) bool { return !slices.Contains(want, value) })
}

// uncoveredClaims reads the table of the threat model: claims of which it says that nothing
// covers them.
func uncoveredClaims(t *testing.T) func(evidence.Kind, string) bool {
	t.Helper()
	b, err := os.ReadFile("../../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "\n## What covers each claim\n")
	quoted := regexp.MustCompile("`([^`]+)`")
	list := map[string][]string{}
	var kinds []string
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(line, "### "); ok {
			kinds = strings.Split(strings.TrimSpace(title), ", ")
		}
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(cells[2], "**nothing**") {
			continue
		}
		for _, name := range quoted.FindAllStringSubmatch(cells[1], -1) {
			for _, kind := range kinds {
				list[kind] = append(list[kind], name[1])
			}
		}
	}
	if len(list) < 3 {
		t.Fatalf("the threat model names uncovered claims of %d kinds", len(list))
	}
	return func(kind evidence.Kind, claim string) bool {
		return slices.ContainsFunc(list[string(kind)], func(name string) bool {
			prefix, open := strings.CutSuffix(name, "*")
			return name == claim || open && strings.HasPrefix(claim, prefix)
		})
	}
}
