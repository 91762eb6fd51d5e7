package vault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/vault"
)

func TestTheRulesOfReleasePolicies(t *testing.T) {
	l := newLab(t)
	oct := vault.Kind{Type: "oct"}
	create := func(name string, edit func(*vault.Request)) error {
		r := exportable(name)
		edit(&r)
		_, err := l.Create(t.Context(), l.p, r, by)
		return err
	}
	refused(t, "exportable without a policy (1004)", create("a", func(r *vault.Request) { r.Policy = nil }),
		vault.CodeBadParameter, vault.CheckExportable)
	refused(t, "a policy of a key that is not exportable (1005)",
		create("a", func(r *vault.Request) { r.Exportable = ptr(false) }), vault.CodeBadParameter,
		vault.CheckExportable)
	refused(t, "a policy and exportable left out (1005)",
		create("a", func(r *vault.Request) { r.Exportable = nil }),
		vault.CodeBadParameter, vault.CheckExportable)
	refused(t, "a policy over its bound",
		create("a", func(r *vault.Request) { r.Policy.Data = make([]byte, 32<<10+1) }),
		vault.CodeBadParameter, vault.CheckPolicy)
	refused(t, "a policy of another content type",
		create("a", func(r *vault.Request) { r.Policy.ContentType = "text/html" }),
		vault.CodeBadParameter, vault.CheckPolicy)

	plain := l.create(vault.Request{Name: "plain", Kind: oct})
	frozen := exportable("frozen")
	frozen.Policy = policy(true)
	l.create(frozen)
	open := l.create(exportable("open"))
	update := func(name, version string, edit func(*vault.Request)) error {
		r := vault.Request{Name: name}
		edit(&r)
		_, err := l.Update(t.Context(), l.p, version, r, by)
		return err
	}
	set := func(p *store.ReleasePolicy) func(*vault.Request) {
		return func(r *vault.Request) { r.Policy = p }
	}
	other := policy(true)
	other.Data = bytes.ReplaceAll(other.Data, []byte("sevsnpvm"), []byte("tdxvm"))
	refused(t, "another exportable (1003)",
		update("plain", "", func(r *vault.Request) { r.Exportable = ptr(true) }),
		vault.CodeBadParameter, vault.CheckExportable)
	refused(t, "a policy of a version (1016)", update("open", open.Version.ID, set(other)),
		vault.CodeBadParameter, vault.CheckVersionless)
	refused(t, "a policy of a plain key (1005)", update("plain", "", set(other)),
		vault.CodeBadParameter, vault.CheckExportable)
	refused(t, "another policy of a frozen key (1020)", update("frozen", "", set(other)),
		vault.CodeBadParameter, vault.CheckImmutable)
	refused(t, "the policy of a frozen key thawed (1020)", update("frozen", "", set(policy(false))),
		vault.CodeBadParameter, vault.CheckImmutable)
	refused(t, "a version with another policy of a frozen key (1020)", create("frozen", set(other)),
		vault.CodeBadParameter, vault.CheckImmutable)
	refused(t, "a version with another exportable (1003)",
		create("plain", func(r *vault.Request) {}), vault.CodeBadParameter, vault.CheckExportable)
	for what, err := range map[string]error{
		"the same policy of a frozen key": update("frozen", "", set(policy(true))),
		"a new version of a frozen key": create("frozen",
			func(r *vault.Request) { r.Policy, r.Exportable = nil, nil }),
		"a stricter policy": update("open", "", set(other)),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused(t, "back, after it was made immutable (1020)", update("open", "", set(policy(false))),
		vault.CodeBadParameter, vault.CheckImmutable)
	if k := must[*vault.Key](t)(l.Get(t.Context(), l.p, "plain", "")); k.Version.ID != plain.Version.ID {
		t.Error("a refused change made a version")
	}
}

func TestAttributesAreChangedOneByOne(t *testing.T) {
	l := newLab(t)
	first := l.create(vault.Request{Name: "a", Kind: vault.Kind{Type: "oct"},
		Attributes: vault.Attributes{Tags: map[string]string{"x": "y"}, Expires: ptr(start.AddDate(1, 0, 0))}})
	second := l.create(vault.Request{Name: "a", Kind: vault.Kind{Type: "oct"}})
	l.now = start.Add(time.Minute)
	changed := must[*vault.Key](t)(l.Update(t.Context(), l.p, first.Version.ID,
		vault.Request{
			Name:       "A",
			Attributes: vault.Attributes{Enabled: ptr(false), Operations: []string{"decrypt"}},
		}, by))
	v := changed.Version
	if !v.Disabled || v.Tags["x"] != "y" || v.Expires.IsZero() || len(v.Operations) != 1 ||
		!v.Updated.Equal(l.now) || !v.Created.Equal(start) {
		t.Errorf("%+v", v)
	}
	if k := must[*vault.Key](t)(l.Get(t.Context(), l.p, "a", second.Version.ID)); k.Version.Disabled {
		t.Error("another version was changed")
	}
	_, err := l.Update(t.Context(), l.p, first.Version.ID, vault.Request{Name: "a",
		Attributes: vault.Attributes{NotBefore: ptr(start.AddDate(2, 0, 0))}}, by)
	refused(t, "a start after the stored end", err, vault.CodeBadParameter, vault.CheckAttributes)
	_, err = l.Update(t.Context(), l.p, "", vault.Request{Name: "b"}, by)
	refused(t, "a key that is not there", err, vault.CodeNotFound, vault.CheckExists)
	_, err = l.Update(t.Context(), l.p, strings.Repeat("0", 32), vault.Request{Name: "a"}, by)
	refused(t, "a version that is not there", err, vault.CodeNotFound, vault.CheckExists)
}

func TestADeletedKeyIsRecoveredOrPurged(t *testing.T) {
	l := newLab(t)
	first := l.create(exportable("Disk"))
	deleted := must[*vault.Key](t)(l.Delete(t.Context(), l.p, "disk", by))
	if !deleted.Deleted.Equal(start) || !deleted.Purge.Equal(start.AddDate(0, 0, 90)) {
		t.Errorf("%+v", deleted)
	}
	check := func(what string, err error, code string, check error) {
		t.Helper()
		refused(t, what, err, code, check)
	}
	_, err := l.Get(t.Context(), l.p, "disk", "")
	check("get", err, vault.CodeNotFound, vault.CheckExists)
	_, err = l.Get(t.Context(), l.p, "disk", first.Version.ID)
	check("get a version", err, vault.CodeNotFound, vault.CheckExists)
	_, err = l.Versions(t.Context(), l.p, "disk", "", 25)
	check("versions", err, vault.CodeNotFound, vault.CheckExists)
	_, err = l.Update(t.Context(), l.p, "", vault.Request{Name: "disk"}, by)
	check("update", err, vault.CodeNotFound, vault.CheckExists)
	_, err = l.Delete(t.Context(), l.p, "disk", by)
	check("delete again", err, vault.CodeNotFound, vault.CheckExists)
	_, err = l.Rotate(t.Context(), l.p, "disk", by)
	check("rotate", err, vault.CodeNotFound, vault.CheckExists)
	_, err = l.Backup(t.Context(), l.p, "disk", by)
	check("backup", err, vault.CodeNotFound, vault.CheckExists)
	_, err = l.Create(t.Context(), l.p, exportable("disk"), by)
	check("create", err, vault.CodeConflict, vault.CheckDeleted)
	if got := must[*vault.Key](t)(l.Deleted(t.Context(), l.p, "DISK")); got.Spelling != "Disk" {
		t.Errorf("%+v", got)
	}

	must[*vault.Key](t)(l.Recover(t.Context(), l.p, "disk", by))
	if k := must[*vault.Key](t)(l.Get(t.Context(), l.p, "disk", "")); k.Version.ID != first.Version.ID {
		t.Errorf("%+v", k)
	}
	_, err = l.Recover(t.Context(), l.p, "disk", by)
	check("recover what is not deleted", err, vault.CodeNotFound, vault.CheckExists)
	check("purge what is not deleted", l.Purge(t.Context(), l.p, "disk", by), vault.CodeNotFound,
		vault.CheckExists)
	_, err = l.Deleted(t.Context(), l.p, "disk")
	check("deleted, of a key in use", err, vault.CodeNotFound, vault.CheckExists)

	must[*vault.Key](t)(l.Delete(t.Context(), l.p, "disk", by))
	if err := l.Purge(t.Context(), l.p, "disk", by); err != nil {
		t.Fatal(err)
	}
	check("purge again", l.Purge(t.Context(), l.p, "disk", by), vault.CodeNotFound, vault.CheckExists)
	if again := l.create(exportable("disk")); again.Version.ID == first.Version.ID {
		t.Error("the same version again")
	}
}

func TestDeletedKeysArePurgedWhenTheirTimeIsOver(t *testing.T) {
	l := newLab(t, func(c *vault.Config) { c.Recoverable = 7 })
	for i := range 30 {
		name := fmt.Sprint("key-", i)
		l.create(exportable(name))
		must[*vault.Key](t)(l.Delete(t.Context(), l.p, name, by))
	}
	must[*vault.Key](t)(l.Recover(t.Context(), l.p, "key-3", by))
	find := func(name string) (*provider.Provider, bool) { return l.p, name == "default" }
	for _, tc := range []struct {
		at   time.Time
		want int
	}{{start.AddDate(0, 0, 7).Add(-time.Second), 0}, {start.AddDate(0, 0, 7), 29}, {start.AddDate(1, 0, 0), 0}} {
		l.now = tc.at
		if n, err := l.PurgeDue(t.Context(), find); err != nil || n != tc.want {
			t.Errorf("%s: %d, %v", tc.at, n, err)
		}
	}
	must[*vault.Key](t)(l.Get(t.Context(), l.p, "key-3", ""))
	l.create(exportable("lost"))
	must[*vault.Key](t)(l.Delete(t.Context(), l.p, "lost", by))
	l.now = l.now.AddDate(1, 0, 0)
	unknown := func(string) (*provider.Provider, bool) { return nil, false }
	if n, err := l.PurgeDue(t.Context(), unknown); n != 0 || err != nil {
		t.Errorf("of an unknown provider: %d, %v", n, err)
	}
}

func TestABackupBringsAKeyBack(t *testing.T) {
	l := newLab(t)
	secret := []byte("canary: a passphrase that must not be seen")
	first := l.create(exportable("Disk"))
	r := exportable("disk")
	r.Import = &vault.JWK{Type: "oct", K: b64(secret)}
	second := l.create(r)
	blob := must[[]byte](t)(l.Backup(t.Context(), l.p, "disk", by))
	if bytes.Contains(blob, secret) || bytes.Contains(blob, []byte("disk")) ||
		bytes.Contains(blob, []byte(b64(secret))) {
		t.Error("the backup can be read")
	}
	_, err := l.Restore(t.Context(), l.p, blob, by)
	refused(t, "over the key", err, vault.CodeConflict, vault.CheckBackup)
	must[*vault.Key](t)(l.Delete(t.Context(), l.p, "disk", by))
	_, err = l.Restore(t.Context(), l.p, blob, by)
	refused(t, "over the deleted key", err, vault.CodeConflict, vault.CheckDeleted)
	if err := l.Purge(t.Context(), l.p, "disk", by); err != nil {
		t.Fatal(err)
	}
	_, err = l.Restore(t.Context(), l.provider("other"), blob, by)
	refused(t, "at another provider", err, vault.CodeBadParameter, vault.CheckBackup)
	for _, i := range []int{0, 12, len(blob) / 2, len(blob) - 1} {
		damaged := bytes.Clone(blob)
		damaged[i] ^= 1
		_, err := l.Restore(t.Context(), l.p, damaged, by)
		refused(t, fmt.Sprint("damaged at ", i), err, vault.CodeBadParameter, vault.CheckBackup)
	}
	for name, other := range map[string][]byte{
		"empty": nil, "cut": blob[:len(blob)-1], "longer": append(bytes.Clone(blob), 0),
	} {
		_, err := l.Restore(t.Context(), l.p, other, by)
		refused(t, name, err, vault.CodeBadParameter, vault.CheckBackup)
	}
	back := must[*vault.Key](t)(l.Restore(t.Context(), l.p, blob, by))
	if back.Version.ID != second.Version.ID || back.Spelling != "Disk" || back.Policy == nil {
		t.Errorf("%+v", back)
	}
	must[*vault.Key](t)(l.Get(t.Context(), l.p, "disk", first.Version.ID))
	opened, err := l.cfg.Protections[vault.Software].Open(t.Context(),
		vault.ID{Provider: "default", Name: "disk", Version: second.Version.ID}, back.Version.Sealed)
	if err != nil || !bytes.Equal(opened, secret) {
		t.Errorf("%q, %v", opened, err)
	}
}

func TestSealedMaterialBelongsToItsKeyAndItsMaster(t *testing.T) {
	l := newLab(t)
	p := l.cfg.Protections[vault.Software]
	id := vault.ID{Provider: "default", Name: "a", Version: "1"}
	sealed := must[[]byte](t)(p.Seal(t.Context(), id, &vault.Material{Private: []byte("secret")}))
	if got, err := p.Open(t.Context(), id, sealed); err != nil || string(got) != "secret" {
		t.Fatalf("%q, %v", got, err)
	}
	for name, other := range map[string]vault.ID{
		"another provider": {Provider: "default.2", Name: "a", Version: "1"},
		"another name":     {Provider: "default", Name: "b", Version: "1"},
		"another version":  {Provider: "default", Name: "a", Version: "2"},
		"parts moved":      {Provider: "defaulta", Name: "", Version: "1"},
	} {
		if _, err := p.Open(t.Context(), other, sealed); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stranger := must[vault.Protection](t)(vault.NewSoftware(make([]byte, 32), nil))
	if _, err := stranger.Open(t.Context(), id, sealed); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("another master key: %v", err)
	}
}

func TestRotationPolicies(t *testing.T) {
	l := newLab(t)
	l.create(exportable("a"))
	standard := must[*vault.RotationPolicy](t)(l.Rotation(t.Context(), l.p, "a"))
	if len(standard.Actions) != 1 || standard.Actions[0].Action.Type != "Notify" {
		t.Errorf("%+v", standard)
	}
	const actions = `{"lifetimeActions":[{"trigger":{"timeAfterCreate":"P30D"},"action":{"type":"Rotate"}},` +
		`{"trigger":{"timeBeforeExpiry":"P10D"},"action":{"type":"Notify"}}],"attributes":{"expiryTime":"P90D"}}`
	set := func(text string) error {
		r, err := vault.ReadRotation([]byte(text))
		if err == nil {
			_, err = l.SetRotation(t.Context(), l.p, "a", r, by)
		}
		return err
	}
	for name, text := range map[string]string{
		"not JSON":            `{`,
		"an unknown member":   `{"lifetimeActions":[],"attributes":{},"x":1}`,
		"an unknown action":   strings.Replace(actions, "Notify", "Delete", 1),
		"an action twice":     strings.Replace(actions, "Notify", "Rotate", 1),
		"hours":               strings.Replace(actions, "P30D", "PT30H", 1),
		"an empty duration":   strings.Replace(actions, "P30D", "P", 1),
		"weeks":               strings.Replace(actions, "P30D", "P4W", 1),
		"six days":            strings.Replace(actions, "P30D", "P6D", 1),
		"two hundred years":   strings.Replace(actions, "P30D", "P200Y", 1),
		"an endless duration": strings.Replace(actions, "P30D", "P99999999999999999999D", 1),
		"no trigger":          strings.Replace(actions, `"timeAfterCreate":"P30D"`, ``, 1),
		"both triggers":       strings.Replace(actions, `"P30D"`, `"P30D","timeBeforeExpiry":"P30D"`, 1),
		"before no expiry":    strings.Replace(actions, `"expiryTime":"P90D"`, ``, 1),
		"notify after create": strings.Replace(actions, "timeBeforeExpiry", "timeAfterCreate", 1),
		"three actions": strings.Replace(actions, `]`, `,{"trigger":{"timeAfterCreate":"P30D"},`+
			`"action":{"type":"Rotate"}}]`, 1),
	} {
		refused(t, name, set(text), vault.CodeBadParameter, vault.CheckRotation)
	}
	if err := set(actions); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		at   time.Time
		want int
	}{
		{start.AddDate(0, 0, 29), 0},
		{start.AddDate(0, 0, 30), 1},
		{start.AddDate(0, 0, 31), 0},
		{start.AddDate(0, 0, 60), 1},
	} {
		l.now = tc.at
		if got, err := l.RotateDue(t.Context(), l.p, by); err != nil || len(got) != tc.want {
			t.Errorf("%s: %v, %v", tc.at, got, err)
		}
	}
	k := must[*vault.Key](t)(l.Get(t.Context(), l.p, "a", ""))
	want := l.now.AddDate(0, 0, 90)
	if !k.Version.Expires.Equal(want) || !k.Due("Notify", want.AddDate(0, 0, -10)) {
		t.Errorf("expires %s, want %s", k.Version.Expires, want)
	}
	must[*vault.Key](t)(l.Update(t.Context(), l.p, "", vault.Request{Name: "a",
		Attributes: vault.Attributes{Enabled: ptr(false)}}, by))
	l.now = l.now.AddDate(1, 0, 0)
	if got, err := l.RotateDue(t.Context(), l.p, by); err != nil || len(got) != 0 {
		t.Errorf("a disabled key: %v, %v", got, err)
	}
	_, err := l.Rotation(t.Context(), l.p, "b")
	refused(t, "of a key that is not there", err, vault.CodeNotFound, vault.CheckExists)
}

// TestEveryChangeIsInTheLedgerAndNoKeyIs: canaries are in no file of the data folder, in no encoding.
func TestEveryChangeIsInTheLedgerAndNoKeyIs(t *testing.T) {
	l := newLab(t)
	secret := []byte("canary-0123456789-canary")
	r := exportable("a")
	r.Import = &vault.JWK{Type: "oct", K: b64(secret)}
	l.create(r)
	must[*vault.Key](t)(l.Update(t.Context(), l.p, "", vault.Request{Name: "a"}, by))
	must[[]byte](t)(l.Backup(t.Context(), l.p, "a", by))
	must[*vault.Key](t)(l.Delete(t.Context(), l.p, "a", by))
	must[*vault.Key](t)(l.Recover(t.Context(), l.p, "a", by))
	must[*vault.Key](t)(l.Delete(t.Context(), l.p, "a", by))
	if err := l.Purge(t.Context(), l.p, "a", by); err != nil {
		t.Fatal(err)
	}
	var actions []string
	rows, err := l.db.QueryContext(t.Context(), `SELECT entry FROM ledger ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text []byte
		var e struct{ Action, Subject, By, Request string }
		if err := errors.Join(rows.Scan(&text), json.Unmarshal(text, &e)); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(e.Subject, "key:a") || e.By != by.Caller || e.Request != by.Request {
			t.Errorf("%s", text)
		}
		actions = append(actions, e.Action)
	}
	got := strings.Join(actions, " ")
	if got != "key.import key.update key.backup key.delete key.recover key.delete "+
		"key.purge" {
		t.Error(got)
	}
	if overPostgres() { // its files are the server's
		return
	}
	dir := filepath.Dir(databasePath(t, l))
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, form := range [][]byte{secret, []byte(b64(secret)), fmt.Appendf(nil, "%x", secret)} {
			if bytes.Contains(b, form) {
				t.Errorf("%s has the key", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func databasePath(t *testing.T, l *lab) (path string) {
	t.Helper()
	var seq int
	var name string
	if err := l.db.QueryRowContext(t.Context(), `PRAGMA database_list`).Scan(&seq, &name, &path); err != nil {
		t.Fatal(err)
	}
	return path
}
