package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlstore"
)

// rowAttacks change rows while the hashes of the leaves stay: nothing that is signed changes.
var rowAttacks = map[string]string{
	"a text": `UPDATE ledger SET entry = (SELECT entry FROM ledger ` +
		`WHERE provider = 'a' AND seq = 8) WHERE provider = 'a' AND seq = 7`,
	"a text removed":          `UPDATE ledger SET entry = NULL WHERE provider = 'a' AND seq = 7`,
	"the first text removed":  `UPDATE ledger SET entry = NULL WHERE provider = 'a' AND seq = 0`,
	"the first texts removed": `UPDATE ledger SET entry = NULL WHERE provider = 'a' AND seq < 20`,
	"the last text removed":   `UPDATE ledger SET entry = NULL WHERE provider = 'a' AND seq = 39`,
	"all texts removed":       `UPDATE ledger SET entry = NULL WHERE provider = 'a'`,
	"the chain of a row": `UPDATE ledger SET chain = (SELECT chain FROM ledger ` +
		`WHERE provider = 'a' AND seq = 8) WHERE provider = 'a' AND seq = 7`,
	"the time of a row": `UPDATE ledger SET at = at - 3456000000000000 WHERE provider = 'a' ` +
		`AND seq = 7`,
	"the times of all rows": `UPDATE ledger SET at = at - 3456000000000000 WHERE provider = 'a'`,
	"a text of another provider": `UPDATE ledger SET entry = (SELECT entry FROM ledger ` +
		`WHERE provider = 'b' AND seq = 3) WHERE provider = 'a' AND seq = 3`,
}

// TestChangedRowsAreFoundByReadingThem: by the service and by verification. The ledger stays
// stopped, however often it is looked at, and at the next start, until its rows are restored.
func TestChangedRowsAreFoundByReadingThem(t *testing.T) {
	engines(t, func(t *testing.T, s *sqlstore.Store) {
		for name, statement := range rowAttacks {
			t.Run(name, func(t *testing.T) {
				defer reset(t, s)
				x, w := newAttacked(t, s)
				exec(t, s.DB(), `DROP TABLE IF EXISTS good`, `CREATE TABLE good AS SELECT * FROM ledger`)
				exec(t, s.DB(), statement)
				w.audit(t.Context())
				before := x.signatures(t)
				x.stopped(t, w, before)
				for range 3 {
					if _, err := w.look(t.Context(), false); err != nil || len(w.Stopped()) != 1 {
						t.Fatalf("the ledger goes on: stopped %v, %v", w.Stopped(), err)
					}
				}
				x.stopped(t, w, before)
				if r := verify(t, s, x.k.v); len(r.Problems) == 0 {
					t.Error("verify finds nothing")
				}
				exec(t, s.DB(), `DELETE FROM ledger WHERE provider = 'a'`,
					`INSERT INTO ledger SELECT * FROM good WHERE provider = 'a'`)
				if _, err := w.look(t.Context(), false); err != nil || len(w.Stopped()) != 0 {
					t.Errorf("the rows are restored: stopped %v, %v", w.Stopped(), err)
				}
				if r := verify(t, s, x.k.v); len(r.Problems) != 0 {
					t.Errorf("%+v", r.Problems)
				}
			})
		}
	})
}

// TestAcceptedRowsAreCounted: an operator without a backup can go on. Which rows were damaged
// stays on record, and others are found as before.
func TestAcceptedRowsAreCounted(t *testing.T) {
	engines(t, func(t *testing.T, s *sqlstore.Store) {
		x, w := newAttacked(t, s)
		exec(t, s.DB(), rowAttacks["a text"], rowAttacks["the first texts removed"],
			rowAttacks["the last text removed"])
		w.audit(t.Context())
		x.stopped(t, w, x.signatures(t))
		r := verify(t, s, x.k.v)
		rows, err := r.Damaged()
		if err != nil || rows.String() != "0-19,39" {
			t.Fatalf("%s, %v", rows, err)
		}
		err = Accept(x.outside, "a", Acceptance{Size: r.Size, Root: verifyRoot(t, s, x.k.v), Damaged: rows})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.look(t.Context(), false); err != nil || len(w.Stopped()) != 0 {
			t.Fatalf("stopped %v, %v", w.Stopped(), err)
		}
		fill(t, w, "a", 4)
		w.audit(t.Context())
		if r := verify(t, s, x.k.v); len(r.Problems) != 0 || r.Accepted != 21 || r.Forgotten != 0 ||
			len(w.Stopped()) != 0 {
			t.Errorf("%+v, stopped %v", r, w.Stopped())
		}
		exec(t, s.DB(), `UPDATE ledger SET entry = NULL WHERE provider = 'a' AND seq = 20`)
		if r := verify(t, s, x.k.v); len(r.Problems) != 1 || r.Problems[0].Seq != 20 {
			t.Errorf("%+v", r.Problems)
		}
		w.audit(t.Context())
		if len(w.Stopped()) != 1 {
			t.Error("another row that was removed is not noticed")
		}
	})
}

// forgets records that retention removed the texts of the first rows, and removes them.
func forgets(t *testing.T, s store.Store, through int64) {
	t.Helper()
	entry := &Entry{Time: now, Type: Change, Action: ActionForget, By: "retention", Details: Forgets(through,
		map[string]string{})}
	if err := s.AppendLedger(t.Context(), fmt.Sprint("forget", through), now, func(tx store.LedgerTx) error {
		return Append(tx, "a", entry)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := Forget(t.Context(), s, "a", through); err != nil {
		t.Fatal(err)
	}
}

func TestForgottenEntriesVerify(t *testing.T) {
	s, v, _ := filled(t, 50)
	forgets(t, s, 20)
	if r := verify(t, s, v); len(r.Problems) != 0 || r.Forgotten != 20 {
		t.Errorf("%+v", r)
	}
	forgets(t, s, 25)
	if r := verify(t, s, v); len(r.Problems) != 0 || r.Forgotten != 25 {
		t.Errorf("%+v", r)
	}
	// 51 says that 25 were removed
	for seq, where := range map[int64]string{25: "seq = 25", 30: "seq = 30", 51: "seq = 51"} {
		text := []byte{}
		if err := s.DB().QueryRow(`SELECT entry FROM ledger WHERE ` + where).Scan(&text); err != nil {
			t.Fatal(err)
		}
		exec(t, s.DB(), `UPDATE ledger SET entry = NULL WHERE `+where)
		r := verify(t, s, v)
		if len(r.Problems) == 0 || r.Problems[len(r.Problems)-1].Seq != seq ||
			!strings.Contains(r.Problems[0].Message, "ledger.forget") {
			t.Errorf("%s: %+v", where, r.Problems)
		}
		if _, err := s.DB().Exec(`UPDATE ledger SET entry = ? WHERE `+where, text); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRetentionGoesByTheTimeOfTheText: the column beside it is not trusted.
func TestRetentionGoesByTheTimeOfTheText(t *testing.T) {
	s := open(t)
	for i := range 10 {
		if err := s.AppendLedger(t.Context(), fmt.Sprint(i), now, func(tx store.LedgerTx) error {
			return Append(tx, "a", &Entry{Time: now.Add(time.Duration(i) * time.Second), Type: Decision})
		}); err != nil {
			t.Fatal(err)
		}
	}
	cut := now.Add(5 * time.Second)
	due, gone, err := Due(t.Context(), s, "a", cut)
	if err != nil || gone != 0 || due == 0 || due == 10 {
		t.Fatalf("due %d, gone %d, %v", due, gone, err)
	}
	exec(t, s.DB(), `UPDATE ledger SET at = 0`)
	if again, _, err := Due(t.Context(), s, "a", cut); err != nil || again != due {
		t.Errorf("with other times in the column: due %d, want %d; %v", again, due, err)
	}
	forgets(t, s, 3)
	if again, gone, err := Due(t.Context(), s, "a", cut); err != nil || again != due || gone != 3 {
		t.Errorf("due %d, gone %d, %v", again, gone, err)
	}
	if due, gone, err := Due(t.Context(), s, "b", cut); err != nil || due != 0 || gone != 0 {
		t.Errorf("an empty ledger: %d, %d, %v", due, gone, err)
	}
	exec(t, s.DB(), `UPDATE ledger SET entry = (SELECT entry FROM ledger WHERE seq = 5) WHERE seq = 3`)
	if _, _, err := Due(t.Context(), s, "a", cut); err == nil {
		t.Error("an altered text makes retention go on")
	}
}

func TestRows(t *testing.T) {
	for _, text := range []string{"", "7", "7,9-12", "0-3,5"} {
		rows, err := ParseRows(text)
		if err != nil || rows.String() != text {
			t.Errorf("%q: %q, %v", text, rows, err)
		}
	}
	for _, text := range []string{
		"x", "7,", "7,7", "9-7", "3,1", "-1", "1-", "1-2-3", "9223372036854775807",
		strings.Repeat("1,", 2000),
	} {
		if rows, err := ParseRows(text); err == nil {
			t.Errorf("%.20q: %s", text, rows)
		}
	}
	for text, want := range map[string]bool{
		"5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n":      true,
		"5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n1-2\n": true,
		"5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n1-2":   false,
		"5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n":    false,
		"5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nx\n":   false,
	} {
		if _, err := parseAcceptance(text); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}
