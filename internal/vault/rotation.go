package vault

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// RotationPolicy is Azure Key Vault's: when a key gets a new version, and when that expires.
type RotationPolicy struct {
	ID         string             `json:"id,omitzero"`
	Actions    []LifetimeAction   `json:"lifetimeActions"`
	Attributes RotationAttributes `json:"attributes"`
}

// LifetimeAction is done at a time after a version was created, or before it expires.
type LifetimeAction struct {
	Trigger struct {
		AfterCreate  string `json:"timeAfterCreate,omitzero"`
		BeforeExpiry string `json:"timeBeforeExpiry,omitzero"`
	} `json:"trigger"`
	Action struct {
		Type string `json:"type"`
	} `json:"action"`
}

// RotationAttributes are of the versions to come, and of the policy itself.
type RotationAttributes struct {
	ExpiryTime string `json:"expiryTime,omitzero"`
	Created    int64  `json:"created,omitzero"`
	Updated    int64  `json:"updated,omitzero"`
}

// The actions of a rotation policy. A node logs what it would notify of.
const (
	actionRotate = "Rotate"
	actionNotify = "Notify"
)

// duration is an ISO 8601 duration of years, months and days.
type duration struct{ years, months, days int }

var durationForm = regexp.MustCompile(`^P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,5})D)?$`)

func parseDuration(name, text string) (d duration, err error) {
	part := durationForm.FindStringSubmatch(text)
	if part == nil || text == "P" {
		return d, bad(CheckRotation, name+" as ISO 8601 years, months and days, for instance P90D",
			fmt.Sprintf("%.40q", text))
	}
	for i, n := range []*int{&d.years, &d.months, &d.days} {
		if part[i+1] != "" {
			*n, _ = strconv.Atoi(part[i+1]) // digits, by the form
		}
	}
	if days := d.about(); days < 7 || days > 100*366 {
		return d, bad(CheckRotation, name+" of 7 days to 100 years", text)
	}
	return d, nil
}

// about is the length in days, for comparisons.
func (d duration) about() int { return d.years*365 + d.months*30 + d.days }

func (d duration) after(t time.Time) time.Time { return t.AddDate(d.years, d.months, d.days) }

func (d duration) before(t time.Time) time.Time { return t.AddDate(-d.years, -d.months, -d.days) }

// ReadRotation reads a rotation policy strictly.
func ReadRotation(text jsontext.Value) (*RotationPolicy, error) {
	var r RotationPolicy
	if text.Kind() == 'n' {
		return nil, bad(CheckRotation, "a rotation policy", "null")
	}
	if err := json.Unmarshal(text, &r, json.RejectUnknownMembers(true)); err != nil {
		return nil, bad(CheckRotation, "a rotation policy", jsonerror.Text(err))
	}
	return &r, r.check()
}

func (r *RotationPolicy) check() error {
	if len(r.Actions) > 2 {
		return bad(CheckRotation, "at most one Rotate and one Notify", fmt.Sprintf("%d actions", len(r.Actions)))
	}
	if r.Attributes.ExpiryTime != "" {
		if _, err := parseDuration("expiryTime", r.Attributes.ExpiryTime); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, a := range r.Actions {
		kind, trigger := a.Action.Type, a.Trigger
		switch {
		case kind != actionRotate && kind != actionNotify:
			return bad(CheckRotation, "action Rotate or Notify", fmt.Sprintf("%.40q", kind))
		case seen[kind]:
			return bad(CheckRotation, "each action once", kind+" twice")
		case (trigger.AfterCreate == "") == (trigger.BeforeExpiry == ""):
			return bad(CheckRotation, "timeAfterCreate or timeBeforeExpiry, one of them", "both, or neither")
		case trigger.BeforeExpiry != "" && r.Attributes.ExpiryTime == "":
			return bad(CheckRotation, "expiryTime, with timeBeforeExpiry", "no expiryTime")
		case kind == actionNotify && trigger.BeforeExpiry == "":
			return bad(CheckRotation, "timeBeforeExpiry for Notify", "timeAfterCreate")
		}
		seen[kind] = true
		if _, err := parseDuration("the trigger's time", trigger.AfterCreate+trigger.BeforeExpiry); err != nil {
			return err
		}
	}
	return nil
}

// policy returns the rotation policy of a key, or nil.
func (k *Key) policy() *RotationPolicy {
	if len(k.Rotation) == 0 {
		return nil
	}
	r, err := ReadRotation(k.Rotation)
	if err != nil {
		return nil // written by a later version
	}
	return r
}

// expiry is after how long a new version expires.
func (k *Key) expiry() (d duration, ok bool) {
	r := k.policy()
	if r == nil || r.Attributes.ExpiryTime == "" {
		return d, false
	}
	d, err := parseDuration("expiryTime", r.Attributes.ExpiryTime)
	return d, err == nil
}

// Due reports whether an action of the key's rotation policy is due.
func (k *Key) Due(action string, now time.Time) bool {
	r := k.policy()
	if r == nil || k.Version.Disabled {
		return false
	}
	for _, a := range r.Actions {
		if a.Action.Type != action {
			continue
		}
		if d, err := parseDuration("", a.Trigger.AfterCreate); a.Trigger.AfterCreate != "" && err == nil {
			return !d.after(k.Version.Created).After(now)
		}
		if d, err := parseDuration("", a.Trigger.BeforeExpiry); err == nil && !k.Version.Expires.IsZero() {
			return !d.before(k.Version.Expires).After(now)
		}
	}
	return false
}

// Rotation returns the rotation policy of a key: Azure's standard one if none was set.
func (v *Vault) Rotation(ctx context.Context, p *provider.Provider, name string) (*RotationPolicy, error) {
	k, err := v.Get(ctx, p, name, "")
	if err != nil {
		return nil, err
	}
	if r := k.policy(); r != nil {
		return r, nil
	}
	var notify LifetimeAction
	notify.Trigger.BeforeExpiry, notify.Action.Type = "P30D", actionNotify
	return &RotationPolicy{Actions: []LifetimeAction{notify}}, nil
}

// SetRotation sets the rotation policy of a key.
func (v *Vault) SetRotation(
	ctx context.Context, p *provider.Provider, name string, r *RotationPolicy, by provider.By,
) (*RotationPolicy, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	_, err := v.mark(ctx, p, name, by, "key.rotation-policy", func(tx store.Tx) (store.VaultKey, error) {
		k, err := live(tx, p, name)
		if err != nil {
			return k, err
		}
		before := (&Key{VaultKey: k}).policy()
		r.Attributes.Created, r.Attributes.Updated = v.now().Unix(), v.now().Unix()
		if before != nil {
			r.Attributes.Created = before.Attributes.Created
		}
		k.Rotation, err = json.Marshal(r, json.Deterministic(true))
		return k, err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// RotateDue rotates the keys of a provider for which that is due, and returns their names.
func (v *Vault) RotateDue(
	ctx context.Context, p *provider.Provider, by provider.By,
) (rotated []string, err error) {
	for after := ""; ; {
		list, err := v.List(ctx, p, after, false, MaxPage)
		if err != nil {
			return rotated, err
		}
		for _, k := range list.Keys {
			if !k.Due(actionRotate, v.now()) {
				continue
			}
			_, err := v.Rotate(ctx, p, k.Name, by)
			if errors.Is(err, CheckExists) {
				continue // deleted meanwhile
			}
			if err != nil {
				return rotated, fmt.Errorf("key %s: %w", k.Name, err)
			}
			rotated = append(rotated, k.Name)
		}
		if after = list.Next; after == "" {
			return rotated, nil
		}
	}
}
