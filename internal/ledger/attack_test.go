package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/store/anchor"
	"github.com/probity-dev/probity/internal/store/postgres"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/internal/store/sqlstore"
	"github.com/probity-dev/probity/test/kit/pgtest"
)

// engines runs a test on an empty database of each engine.
func engines(t *testing.T, f func(t *testing.T, s *sqlstore.Store)) {
	t.Helper()
	server := pgtest.Start(t)
	for name, open := range map[string]func(*testing.T) (*sqlstore.Store, error){
		"SQLite": func(t *testing.T) (*sqlstore.Store, error) {
			return sqlite.Open(t.Context(), t.TempDir())
		},
		"PostgreSQL": func(t *testing.T) (*sqlstore.Store, error) {
			return postgres.Open(t.Context(), server.Database(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			f(t, s)
		})
	}
}

// fill records n decisions, every fourth refused, and makes a checkpoint.
func fill(t *testing.T, w *Writer, provider string, n int) {
	t.Helper()
	for i := range n {
		d := decision(i)
		if i%4 == 3 {
			d.Outcome, d.Token = Refused, ""
		}
		if err := w.Record(t.Context(), provider, d, i == n-1); err != nil {
			t.Fatal(err)
		}
	}
	sealed(t, w, provider)
}

// sealed makes a checkpoint and waits for it.
func sealed(t *testing.T, w *Writer, provider string) {
	t.Helper()
	done := make(chan error, 1)
	if err := errors.Join(w.enqueue(&item{provider: provider, sign: true, done: done}), <-done); err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// rewriteHistory replaces the ledger of provider a by another one with right
// hashes, as anyone who can write the database can, and no key is needed for.
func rewriteHistory(t *testing.T, s *sqlstore.Store, edit func([]*Entry) []*Entry) {
	t.Helper()
	rows, err := s.Ledger(t.Context(), "a", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var all []*Entry
	for _, row := range rows {
		e, err := Parse(row.Entry)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	e := &edge{}
	a, err := e.append("a", edit(all))
	if err != nil {
		t.Fatal(err)
	}
	exec(t, s.DB(), `DELETE FROM ledger WHERE provider = 'a'`,
		`DELETE FROM ledger_nodes WHERE provider = 'a'`,
		`DELETE FROM ledger_checkpoints WHERE provider = 'a'`)
	for _, r := range a.Rows {
		exec(t, s.DB(), fmt.Sprintf(
			`INSERT INTO ledger (provider, seq, at, entry, leaf, chain) VALUES ('a', %d, %d, %s, %s, %s)`,
			r.Seq, r.Time.UnixNano(), literal(t, s, r.Entry), literal(t, s, r.Leaf),
			literal(t, s, r.Chain),
		))
	}
	for _, n := range a.Nodes {
		exec(t, s.DB(),
			fmt.Sprintf(`INSERT INTO ledger_nodes (provider, level, n, hash) VALUES ('a', %d, %d, %s)`,
				n.Level, n.N, literal(t, s, n.Hash)))
	}
	exec(t, s.DB(), fmt.Sprintf(`UPDATE ledger_heads SET size = %d, chain = %s WHERE provider = 'a'`,
		a.Head.Size, literal(t, s, a.Head.Chain)))
}

// literal writes bytes as the engine's SQL.
func literal(t *testing.T, s *sqlstore.Store, b []byte) string {
	t.Helper()
	if s.DB().QueryRow(`SELECT sqlite_version()`).Scan(new(string)) == nil {
		return fmt.Sprintf("x'%x'", b)
	}
	return fmt.Sprintf(`'\x%x'`, b)
}

func withoutRefusals(all []*Entry) (kept []*Entry) {
	for _, e := range all {
		if e.Outcome != Refused {
			kept = append(kept, e)
		}
	}
	return kept
}

const tables = "ledger ledger_nodes ledger_heads ledger_checkpoints"

// attacks are what anyone who can write the database can do to the ledger of provider
// a, which has 40 entries under a checkpoint, and a copy of the tables as they were
// at 30 entries. Each stops the ledger.
var attacks = map[string]func(*testing.T, *sqlstore.Store){
	"refused decisions and all checkpoints deleted": func(t *testing.T, s *sqlstore.Store) {
		rewriteHistory(t, s, withoutRefusals)
	},
	"refused decisions replaced by others": func(t *testing.T, s *sqlstore.Store) {
		rewriteHistory(t, s, func(all []*Entry) []*Entry {
			for _, e := range all {
				e.Outcome = Accepted
			}
			return all
		})
	},
	"refused decisions deleted, and more added than there were": func(t *testing.T, s *sqlstore.Store) {
		rewriteHistory(t, s, func(all []*Entry) []*Entry {
			kept := withoutRefusals(all)
			for i := range 40 {
				d := decision(i)
				kept = append(kept, &d)
			}
			return kept
		})
	},
	"the last rows removed": func(t *testing.T, s *sqlstore.Store) {
		exec(t, s.DB(), `DELETE FROM ledger WHERE provider = 'a' AND seq >= 35`,
			`DELETE FROM ledger_checkpoints WHERE provider = 'a' AND size > 35`,
			`UPDATE ledger_heads SET size = 35, chain = (SELECT chain FROM ledger WHERE provider = 'a' `+
				`AND seq = 34) WHERE provider = 'a'`)
	},
	"the last rows removed, and the checkpoints left": func(t *testing.T, s *sqlstore.Store) {
		exec(t, s.DB(), `DELETE FROM ledger WHERE provider = 'a' AND seq >= 35`,
			`UPDATE ledger_heads SET size = 35, chain = (SELECT chain FROM ledger WHERE provider = 'a' `+
				`AND seq = 34) WHERE provider = 'a'`)
	},
	"the whole ledger removed": func(t *testing.T, s *sqlstore.Store) {
		for _, table := range strings.Fields(tables) {
			exec(t, s.DB(), `DELETE FROM `+table+` WHERE provider = 'a'`)
		}
	},
	"all ledgers but that of b removed, with everything that names them": func(t *testing.T, s *sqlstore.Store) {
		for _, table := range strings.Fields(tables) {
			exec(t, s.DB(), `DELETE FROM `+table+` WHERE provider <> 'b'`)
		}
	},
	"the head removed": func(t *testing.T, s *sqlstore.Store) {
		exec(t, s.DB(), `DELETE FROM ledger_heads WHERE provider = 'a'`)
	},
	"the head set to empty": func(t *testing.T, s *sqlstore.Store) {
		exec(t, s.DB(), `UPDATE ledger_heads SET size = 0, chain = `+literal(t, s, nil)+` WHERE provider = 'a'`)
	},
	"another chain in the head": func(t *testing.T, s *sqlstore.Store) {
		exec(t, s.DB(), `UPDATE ledger_heads SET chain = `+literal(t, s, make([]byte, 32))+` WHERE provider = 'a'`)
	},
	"an older copy of the database": func(t *testing.T, s *sqlstore.Store) {
		for _, table := range strings.Fields(tables) {
			exec(t, s.DB(), `DELETE FROM `+table+` WHERE provider = 'a'`,
				`INSERT INTO `+table+` SELECT * FROM saved_`+table+` WHERE provider = 'a'`)
		}
	},
}

// attacked is a database with the ledgers of a and b.
type attacked struct {
	s       *sqlstore.Store
	k       keyPair
	outside *anchor.Folder
	log     strings.Builder
}

func (x *attacked) writer(t *testing.T) *Writer {
	t.Helper()
	return writerAt(t, x.s, x.k, x.outside,
		func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&x.log, nil)) })
}

func newAttacked(t *testing.T, s *sqlstore.Store) (*attacked, *Writer) {
	t.Helper()
	k, _ := key(t)
	x := &attacked{s: s, k: k, outside: outside(t)}
	w := x.writer(t)
	fill(t, w, "a", 30)
	fill(t, w, "b", 5)
	for _, table := range strings.Fields(tables) {
		exec(t, s.DB(), `DROP TABLE IF EXISTS saved_`+table, `CREATE TABLE saved_`+table+` AS SELECT * FROM `+table)
	}
	fill(t, w, "a", 10)
	return x, w
}

// reset empties the tables for the next attack.
func reset(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	for _, table := range strings.Fields(tables) {
		exec(t, s.DB(), `DELETE FROM `+table)
	}
}

func (x *attacked) signatures(t *testing.T) (n int) {
	t.Helper()
	err := x.s.DB().QueryRow(`SELECT count(*) FROM ledger_checkpoints WHERE provider = 'a'`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// stopped wants the ledger of a to be stopped, that of b to go on, and nothing
// signed.
func (x *attacked) stopped(t *testing.T, w *Writer, before int) {
	t.Helper()
	if err := w.Record(t.Context(), "a", decision(1), true); !errors.Is(err, ErrStopped) {
		t.Errorf("a decision of the provider was recorded: %v", err)
	}
	if err := w.Record(t.Context(), "b", decision(1), true); err != nil {
		t.Errorf("a decision of another provider was not recorded: %v", err)
	}
	w.Touch("a")
	sealed(t, w, "b")
	if n := x.signatures(t); n > before {
		t.Errorf("%d checkpoints, %d before the attack: the forged history was signed", n, before)
	}
	stops := w.Stopped()
	if len(stops) != 1 || stops[0].Provider != "a" || stops[0].Reason == "" || w.Stats().Stopped != 1 ||
		w.Stats().Alerts == 0 {
		t.Errorf("stopped: %v, %+v", stops, w.Stats())
	}
	if !strings.Contains(x.log.String(), "LEDGER STOPPED") {
		t.Errorf("no alert in the log:\n%s", x.log.String())
	}
}

func TestAttacksWhileTheServiceIsStopped(t *testing.T) {
	engines(t, func(t *testing.T, s *sqlstore.Store) {
		for name, attack := range attacks {
			t.Run(name, func(t *testing.T) {
				defer reset(t, s)
				x, w := newAttacked(t, s)
				w.Close(t.Context())
				attack(t, s)
				before := x.signatures(t)
				x.stopped(t, x.writer(t), before)
				// Nor does another start sign it.
				x.stopped(t, x.writer(t), before)
			})
		}
	})
}

func TestAttacksWhileTheServiceRuns(t *testing.T) {
	engines(t, func(t *testing.T, s *sqlstore.Store) {
		for name, attack := range attacks {
			t.Run("noticed by a decision: "+name, func(t *testing.T) {
				defer reset(t, s)
				x, w := newAttacked(t, s)
				attack(t, s)
				x.stopped(t, w, x.signatures(t))
			})
			t.Run("noticed without requests: "+name, func(t *testing.T) {
				defer reset(t, s)
				x, w := newAttacked(t, s)
				attack(t, s)
				before := x.signatures(t)
				if _, err := w.look(t.Context(), false); err != nil || len(w.Stopped()) != 1 {
					t.Errorf("stopped %v, %v", w.Stopped(), err)
				}
				x.stopped(t, w, before)
			})
		}
	})
}

// Checkpoints that are removed while the entries are intact: the file outside the
// database proves the history. The service says so and signs a new one.
func TestRemovedCheckpointsAreNoticed(t *testing.T) {
	engines(t, func(t *testing.T, s *sqlstore.Store) {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
				defer reset(t, s)
				x, w := newAttacked(t, s)
				if restart {
					w.Close(t.Context())
				}
				exec(t, s.DB(), `DELETE FROM ledger_checkpoints WHERE provider = 'a'`)
				if restart {
					w = x.writer(t)
				} else if _, err := w.look(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				sealed(t, w, "a")
				found, _, err := Search(t.Context(), s, "a", Query{Action: ActionCheckpointMissing}, 0, 10, 1000)
				if err != nil || len(found) != 1 || found[0].Details["size"] != "40" {
					t.Errorf("entries %+v, %v", found, err)
				}
				if r := verify(t, s, x.k.v); len(r.Problems) != 0 || r.Covered != 41 || w.Stats().Alerts != 1 {
					t.Errorf("%+v, %+v", r, w.Stats())
				}
			})
		}
	})
}

// A node with an empty folder trusts the newest checkpoint that is signed; entries
// without one are not signed.
func TestANodeWithAnEmptyFolder(t *testing.T) {
	engines(t, func(t *testing.T, s *sqlstore.Store) {
		x, w := newAttacked(t, s)
		w.Close(t.Context())
		x.outside = outside(t)
		w = x.writer(t)
		b, err := x.outside.Read("a")
		if err != nil || !strings.Contains(string(b), "\n40\n") || len(w.Stopped()) != 0 {
			t.Errorf("%q, %v, stopped %v", b, err, w.Stopped())
		}
		w.Close(t.Context())
		for name, statement := range map[string]string{
			"no checkpoints": `DELETE FROM ledger_checkpoints WHERE provider = 'a'`,
			"one that is not of the key": `INSERT INTO ledger_checkpoints (provider, size, note) ` +
				`VALUES ('a', 40, 'no note')`,
			"one of another provider": `INSERT INTO ledger_checkpoints (provider, size, note) ` +
				`SELECT 'a', 41, note FROM ledger_checkpoints WHERE provider = 'b' LIMIT 1`,
		} {
			exec(t, s.DB(), `DELETE FROM ledger_checkpoints WHERE provider = 'a'`, statement)
			x.outside = outside(t)
			w := x.writer(t)
			if err := w.Record(t.Context(), "a", decision(1), true); !errors.Is(err, ErrStopped) {
				t.Errorf("%s: %v", name, err)
			}
			w.Close(t.Context())
		}
	})
}

// What a process that was killed left without a checkpoint gets one at the next
// start.
func TestTheTailOfAKilledProcessGetsItsCheckpoint(t *testing.T) {
	engines(t, func(t *testing.T, s *sqlstore.Store) {
		x, w := newAttacked(t, s)
		for i := range 3 {
			if err := w.Record(t.Context(), "a", decision(i), true); err != nil {
				t.Fatal(err)
			}
		}
		next := x.writer(t) // the first one is never closed
		for range 200 {
			if next.Kept()["a"] == 43 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if r := verify(t, s, x.k.v); r.Covered != 43 || len(r.Problems) != 0 || next.Kept()["a"] != 43 {
			t.Errorf("%+v, kept %v", r, next.Kept())
		}
	})
}

// The folder outside the database is trusted, but a file that was not signed, or
// that others can write, stops the ledger.
func TestFilesOutsideThatAreRefused(t *testing.T) {
	k, _ := key(t)
	x := &attacked{s: open(t), k: k, outside: outside(t)}
	w := x.writer(t)
	fill(t, w, "a", 5)
	w.Close(t.Context())
	good, err := x.outside.Read("a")
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func() error{
		"empty": func() error { return x.outside.Write("a", nil) },
		"another size": func() error {
			return x.outside.Write("a", []byte(strings.Replace(string(good), "\n5\n", "\n4\n", 1)))
		},
		"writable for others": func() error { return os.Chmod(x.outside.Path("a"), 0o666) },
		"an acceptance that is none": func() error {
			return errors.Join(x.outside.Write("a", good), x.outside.Write(acceptedName("a"), []byte("5\n")))
		},
	} {
		if err := edit(); err != nil {
			t.Fatal(err)
		}
		w := x.writer(t)
		if err := w.Record(t.Context(), "a", decision(1), true); !errors.Is(err, ErrStopped) {
			t.Errorf("%s: %v", name, err)
		}
		w.Close(t.Context())
	}
}

// After the operator accepted the history as it is, the ledger goes on and says so;
// the old checkpoint is kept aside.
func TestAnAcceptedHistoryGoesOn(t *testing.T) {
	engines(t, func(t *testing.T, s *sqlstore.Store) {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
				defer reset(t, s)
				x, w := newAttacked(t, s)
				rewriteHistory(t, s, withoutRefusals)
				x.stopped(t, w, x.signatures(t))
				r := verify(t, s, x.k.v)
				if err := Accept(x.outside, "a", Acceptance{Size: r.Size, Root: verifyRoot(t, s, x.k.v)}); err != nil {
					t.Fatal(err)
				}
				if restart {
					w.Close(t.Context())
					w = x.writer(t)
				} else if _, err := w.look(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				fill(t, w, "a", 4)
				found, _, err := Search(t.Context(), s, "a", Query{Action: ActionAccept}, 0, 10, 1000)
				if err != nil || len(found) != 1 || found[0].Details["sizeBefore"] != "40" {
					t.Errorf("entries %+v, %v", found, err)
				}
				w.Close(t.Context())
				if _, err := x.outside.Read(acceptedName("a")); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the acceptance is still there: %v", err)
				}
				aside, err := os.ReadDir(strings.TrimSuffix(x.outside.Path("a"), "/a"))
				replaced := 0
				for _, f := range aside {
					if strings.Contains(f.Name(), ".replaced-") {
						replaced++
					}
				}
				if again := x.writer(t); err != nil || replaced != 1 || len(again.Stopped()) != 0 {
					t.Errorf("%d set aside, %v; stopped %v", replaced, err, again.Stopped())
				}
				if r := verify(t, s, x.k.v); len(r.Problems) != 0 {
					t.Errorf("%+v", r.Problems)
				}
			})
		}
	})
}

// Nodes that share a database keep what the others signed.
func TestNodesKeepWhatOthersSigned(t *testing.T) {
	engines(t, func(t *testing.T, s *sqlstore.Store) {
		x, w := newAttacked(t, s)
		y := &attacked{s: s, k: x.k, outside: outside(t)}
		other := y.writer(t)
		fill(t, w, "a", 7)
		if _, err := other.look(t.Context(), false); err != nil || other.Kept()["a"] != 47 {
			t.Fatalf("kept %v, %v", other.Kept(), err)
		}
		w.Close(t.Context())
		attacks["an older copy of the database"](t, s)
		y.stopped(t, other, y.signatures(t))
	})
}

// A ledger that was stopped goes on when its history is restored.
func TestARestoredHistoryGoesOn(t *testing.T) {
	engines(t, func(t *testing.T, s *sqlstore.Store) {
		x, w := newAttacked(t, s)
		for _, table := range strings.Fields(tables) {
			exec(t, s.DB(), `CREATE TABLE backup_`+table+` AS SELECT * FROM `+table)
		}
		attacks["the last rows removed"](t, s)
		x.stopped(t, w, x.signatures(t))
		for _, table := range strings.Fields(tables) {
			exec(t, s.DB(), `DELETE FROM `+table+` WHERE provider = 'a'`,
				`INSERT INTO `+table+` SELECT * FROM backup_`+table+` WHERE provider = 'a'`)
		}
		if _, err := w.look(t.Context(), false); err != nil || len(w.Stopped()) != 0 {
			t.Fatalf("%v, %v", w.Stopped(), err)
		}
		fill(t, w, "a", 3)
		found, _, err := Search(t.Context(), s, "a", Query{Type: Loss}, 0, 10, 1000)
		if r := verify(t, s, x.k.v); err != nil || len(found) != 1 || found[0].Lost != 1 || len(r.Problems) != 0 {
			t.Errorf("losses %+v, %v; %+v", found, err, r)
		}
	})
}

// Watch finds a change of the database by itself.
func TestWatchNoticesAChange(t *testing.T) {
	k, _ := key(t)
	s := open(t)
	w := writerAt(t, s, k, outside(t), func(c *Config) { c.Checkpoint, c.Now = 20*time.Millisecond, time.Now })
	fill(t, w, "a", 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go w.Watch(ctx)
	exec(t, s.DB(), `DELETE FROM ledger_heads`)
	for range 300 {
		if len(w.Stopped()) > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("not noticed")
}
