// Package key is the commands about keys that are released to attested machines: make, change and delete
// them at a service, try their release policies, and get them.
package key

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/host"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/describe"
	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/wording/phrase"
)

// Commands are the commands of the group key.
type Commands struct {
	Create   createCommand      `cmd:"" help:"Make a key, or a new version of one."`
	Import   importCommand      `cmd:"" help:"Keep a key that was made elsewhere."`
	Show     showCommand        `cmd:"" help:"Show a key with its release policy."`
	List     listCommand        `cmd:"" help:"List the keys of a provider."`
	Versions versionsCommand    `cmd:"" help:"List the versions of a key."`
	Update   updateCommand      `cmd:"" help:"Change a key's attributes or release policy."`
	Rotate   rotateCommand      `cmd:"" help:"Give a key a new version."`
	Rotation rotationCommand    `cmd:"" help:"Show or set when a key is rotated."`
	Delete   deleteCommand      `cmd:"" help:"Delete a key; it can be recovered until it is purged."`
	Recover  recoverCommand     `cmd:"" help:"Make a deleted key usable again."`
	Purge    purgeCommand       `cmd:"" help:"Remove a deleted key permanently."`
	Backup   backupCommand      `cmd:"" help:"Write a key with its versions to a file, encrypted for the service."`
	Restore  restoreCommand     `cmd:"" help:"Bring a key back from a backup."`
	Release  releaseCommand     `cmd:"" help:"Have a key released to the machine that a token is about."`
	Unlock   host.UnlockCommand `cmd:"" help:"Attest this host, and get a key that is released to it."`
	Policy   policyCommands     `cmd:"" help:"Check and try release policies, without a service."`
}

// keyFlags say which keys of which service.
type keyFlags struct {
	remote.Flags
	remote.ProviderFlag
}

// named are keyFlags with the name of a key.
type named struct {
	keyFlags
	Name string `arg:"" help:"Name of the key."`
}

func (f keyFlags) vault() (*client.Vault, error) {
	c, err := f.At(f.ProviderFlag)
	if err != nil {
		return nil, err
	}
	return c.Vault(), nil
}

// attributeFlags are what a command says about a version.
type attributeFlags struct {
	Op        []string          `help:"Operations that the key is for, as wrapKey and unwrapKey." placeholder:"NAME"`
	Tag       map[string]string `help:"Tags, as NAME=VALUE." placeholder:"NAME=VALUE"`
	NotBefore string            `help:"Time before which the key is not released." placeholder:"TIME"`
	Expires   string            `help:"Time after which the key is not released." placeholder:"TIME"`
}

// policyFlags name a release policy.
type policyFlags struct {
	ReleasePolicy string `help:"File with the release policy (JSON); - reads standard input." placeholder:"FILE"`
	Immutable     bool   `help:"The release policy can never be changed."`
}

func (f attributeFlags) attributes() (a client.KeyAttributes, err error) {
	if a.NotBefore, err = moment("--not-before", f.NotBefore); err != nil {
		return a, err
	}
	a.Expires, err = moment("--expires", f.Expires)
	return a, err
}

func moment(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, term.Usage("%s: %q is not a time such as 2027-06-11T19:18:17Z", flag, text)
	}
	return t.Unix(), nil
}

// read reads the release policy, and refuses one that no service takes. Without a file it is nil.
func (f policyFlags) read(e *term.Env) (*client.ReleasePolicy, error) {
	if f.ReleasePolicy == "" {
		if f.Immutable {
			return nil, term.Usage("--immutable goes with --release-policy")
		}
		return nil, nil
	}
	text, err := e.ReadLimited(f.ReleasePolicy, release.MaxPolicySize)
	if err != nil {
		return nil, err
	}
	if _, err := release.Parse(text); err != nil {
		return nil, fmt.Errorf("%s: %w", f.ReleasePolicy, err)
	}
	return &client.ReleasePolicy{Data: text, Immutable: f.Immutable}, nil
}

// write prints a key after a change of it, in one line, and what the service warns of.
func write(e *term.Env, k *client.Key) error {
	for _, w := range k.Warnings {
		if !e.Quiet {
			fmt.Fprintln(e.Err, "probity: release policy:", w.Message)
		}
	}
	return e.Answer(k, "%s\n", line(k))
}

// line is a key in one line.
func line(k *client.Key) string {
	parts := []string{k.ID()}
	if k.Public.Type != "" {
		parts = append(parts, k.Public.Type)
	}
	return strings.Join(append(parts, state(k)), "  ")
}

// state says what can be done with a key.
func state(k *client.Key) string {
	var words []string
	a := k.Attributes
	if a.Enabled != nil && !*a.Enabled {
		words = append(words, "disabled")
	} else {
		words = append(words, "enabled")
	}
	if a.Exportable != nil && *a.Exportable {
		words = append(words, "released by policy")
	} else {
		words = append(words, "never released")
	}
	if a.Expires != 0 {
		words = append(words, "until "+stamp(a.Expires))
	}
	if k.Purge != 0 {
		words = append(words, "deleted, purged at "+stamp(k.Purge))
	}
	return strings.Join(words, ", ")
}

func stamp(seconds int64) string { return phrase.Stamp(time.Unix(seconds, 0)) }

// show prints all of a key.
func show(e *term.Env, k *client.Key) error {
	if e.JSON {
		return term.PrintJSON(e.Out, k)
	}
	f := describe.Fields{}
	f.Add("key", k.ID())
	f.Add("type", strings.TrimSpace(k.Public.Type+" "+k.Public.Curve))
	f.Add("state", state(k))
	if len(k.Public.Operations) > 0 {
		f.Add("operations", strings.Join(k.Public.Operations, ", "))
	}
	a := k.Attributes
	for _, item := range []struct {
		name    string
		seconds int64
	}{{"not before", a.NotBefore}, {"created", a.Created}, {"updated", a.Updated}, {"deleted", k.Deleted}} {
		if item.seconds != 0 {
			f.Add(item.name, stamp(item.seconds))
		}
	}
	f.Add("recoverable", fmt.Sprintf("for %s after it is deleted", phrase.Plural(a.RecoverableDays, "day")))
	for _, name := range slices.Sorted(maps.Keys(k.Tags)) {
		f.Add("tag "+name, k.Tags[name])
	}
	f.Print(e.Out, e.UI.Bold, "")
	if k.Policy == nil {
		return nil
	}
	how := "can be changed"
	if k.Policy.Immutable {
		how = "immutable"
	}
	_, err := fmt.Fprintf(e.Out, "\n%s (%s)\n%s", e.UI.Bold("release policy"), how,
		term.Indent(strings.TrimSpace(string(k.Policy.Data))))
	return err
}

// list prints keys, as they come.
func list(e *term.Env, keys func(yield func(*client.Key, error) bool)) error {
	all := []*client.Key{}
	for k, err := range keys {
		if err != nil {
			return remote.Refused(e, err)
		}
		if e.JSON {
			all = append(all, k)
		} else {
			fmt.Fprintln(e.Out, line(k))
		}
	}
	if e.JSON {
		return term.PrintJSON(e.Out, all)
	}
	return nil
}

// put answers with a key, or with the refusal.
func put(e *term.Env, k *client.Key, err error) error {
	if err != nil {
		return remote.Refused(e, err)
	}
	return write(e, k)
}

// create opens a file that must not be there yet, for its owner alone.
func create(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}
