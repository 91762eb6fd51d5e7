package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/store"
)

// KeysBeforeTheirTable are the statements by which earlier versions stored a signing key and
// two keys of checkpoints, one of them retired; sealed is a binary value in the engine's words.
func KeysBeforeTheirTable(sealed string) []string {
	var statements []string
	for id, data := range map[string]string{
		"kid": `{"algorithm":"RS256","version":1}`,
		"old+1+key": `{"algorithm":"checkpoint","signFrom":"2026-03-01T12:00:00Z",` +
			`"signUntil":"2026-03-02T12:00:00Z","version":2,"seal":"AQI="}`,
		"new+2+key":  `{"algorithm":"checkpoint","signFrom":"2026-03-02T12:00:00Z","version":1,"seal":"AQI="}`,
		"first+key1": `{"algorithm":"checkpoint"}`,
	} {
		statements = append(statements,
			`INSERT INTO signing_keys (id, sealed, certificate, created, data) VALUES ('`+id+`', `+
				sealed+`, `+sealed+`, 1772366400, '`+data+`')`)
	}
	return statements
}

// CheckKeysInTheirTable checks that the migration moved the keys of checkpoints, with all that
// their seals authenticate, and those alone.
func CheckKeysInTheirTable(t *testing.T, s store.Store) {
	t.Helper()
	signing, err := s.SigningKeys(t.Context())
	if err != nil || len(signing) != 1 || signing[0].ID != "kid" {
		t.Errorf("signing keys %+v, %v", signing, err)
	}
	stored, err := s.CheckpointKeys(t.Context())
	if err != nil || len(stored) != 3 {
		t.Fatalf("keys of checkpoints %+v, %v", stored, err)
	}
	k := stored[2] // by id, as they were made at one time
	if k.ID != "old+1+key" || k.Version != 2 || k.SignUntil.Day() != 2 || k.SignFrom.Day() != 1 ||
		len(k.Seal) != 2 || len(k.Sealed) != 1 ||
		k.Created.Unix() != 1772366400 {
		t.Errorf("%+v", k)
	}
}

// checkpointKeys come back, the newest first, and are no signing keys.
func checkpointKeys(t *testing.T, open Open) {
	s, reopen := open(t)
	older := store.CheckpointKey{ID: "a+1+k", Sealed: []byte{1}, Created: created, SignFrom: created, Version: 1, Seal: []byte{2}}
	newer := store.CheckpointKey{ID: "a+2+k", Sealed: []byte{3}, Created: created.Add(time.Hour), SignFrom: created.Add(time.Hour)}
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.PutCheckpointKey(older), tx.PutCheckpointKey(newer)) })
	older.SignUntil, older.Version, older.Seal = created.Add(time.Hour), 2, []byte{4}
	update(t, s, func(tx store.Tx) error {
		if err := tx.PutCheckpointKey(older); err != nil {
			return err
		}
		inside, err := tx.CheckpointKeys()
		same(t, []store.CheckpointKey{newer, older}, inside)
		return err
	})
	s = reopen()
	stored, err := s.CheckpointKeys(t.Context())
	must(t, err)
	same(t, []store.CheckpointKey{newer, older}, stored)
	if signing, err := s.SigningKeys(t.Context()); err != nil || len(signing) != 0 {
		t.Errorf("signing keys %+v, %v", signing, err)
	}
}
