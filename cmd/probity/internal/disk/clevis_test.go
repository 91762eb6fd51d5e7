package disk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/agent/luks"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

func sealedFor(t testing.TB, secret string) string {
	t.Helper()
	asked := 0
	compact, err := seal(context.Background(), gives(released, &asked), service, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func TestASecretComesBackWithItsBinding(t *testing.T) {
	for _, secret := range []string{"", "passphrase", strings.Repeat("x", maxSecret)} {
		s, err := parseSealed(sealedFor(t, secret))
		if err != nil {
			t.Fatal(err)
		}
		want := service
		want.Version = "v1"
		if s.binding != want {
			t.Errorf("%+v", s.binding)
		}
		asked := 0
		got, err := s.unseal(t.Context(), gives(released, &asked))
		if err != nil || string(got) != secret || asked != 1 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

func TestSecretsOfOthersAreNotDecrypted(t *testing.T) {
	compact := sealedFor(t, "passphrase")
	parts := strings.Split(compact, ".")
	asked := 0
	for name, key := range map[string][]byte{
		"another key": []byte("another key of 32 random bytes.."), "a shorter key": released[1:], "no key": nil,
		"a short key": []byte("short"),
	} {
		s, err := parseSealed(compact)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.unseal(t.Context(), gives(key, &asked)); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, text := range map[string]string{
		"nothing":          "",
		"four parts":       strings.Join(parts[:4], "."),
		"six parts":        compact + ".",
		"an encrypted key": strings.Join([]string{parts[0], "AAAA", parts[2], parts[3], parts[4]}, "."),
		"padding":          compact + "=",
		"another nonce":    strings.Join([]string{parts[0], "", "AAAA", parts[3], parts[4]}, "."),
		"a shorter tag":    strings.Join([]string{parts[0], "", parts[2], parts[3], "AAAA"}, "."),
		"another header":   strings.Join([]string{"e30", "", parts[2], parts[3], parts[4]}, "."),
		"another pin": strings.Join([]string{
			"eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiY2xldmlzIjp7InBpbiI6Im51bGwiLCJwcm9iaXR5Ijp7InVybCI6IngiLCJrZXkiOiJrIn19fQ",
			"", parts[2], parts[3], parts[4],
		}, "."),
	} {
		if _, err := parseSealed(text); !errors.Is(err, errSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range 5 {
		if n == 1 || parts[n] == "" {
			continue
		}
		changed := append([]string{}, parts...)
		other := "A"
		if strings.HasPrefix(changed[n], "A") {
			other = "B"
		}
		changed[n] = other + changed[n][1:]
		s, err := parseSealed(strings.Join(changed, "."))
		if err != nil {
			continue
		}
		if got, err := s.unseal(t.Context(), gives(released, &asked)); err == nil {
			t.Errorf("part %d changed: %q", n, got)
		}
	}
}

func TestThePinTakesNoBindingThatTheMachineDoesNotKnow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disks.json")
	if err := os.WriteFile(path, []byte(`{"disks":[{"name":"d","url":"https://attest.example.org","key":"disk-web-1"},
		{"name":"e","url":"https://attest.example.org","key":"disk-web-2","version":"v2"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := clevisFlags{Disks: path}
	versioned := luks.Binding{URL: service.URL, Key: "disk-web-2", Version: "v2"}
	for _, b := range []luks.Binding{service, {URL: service.URL, Key: service.Key, Version: "any"}, versioned} {
		if d, err := c.find(&term.Env{}, b); err != nil || d.Key != b.Key {
			t.Errorf("%s: %v", b, err)
		}
	}
	for _, b := range []luks.Binding{
		{URL: "https://attest.example.com", Key: "disk-web-1"}, {URL: service.URL, Key: "other"},
		{URL: service.URL, Key: "disk-web-1", Provider: "p"}, {URL: service.URL, Key: "disk-web-2", Version: "v1"},
		{URL: service.URL, Key: "disk-web-2"}, {},
	} {
		if _, err := c.find(&term.Env{}, b); err == nil || !strings.Contains(err.Error(), "only if you chose it") {
			t.Errorf("%s: %v", b, err)
		}
	}
	if _, err := (&clevisFlags{Disks: path + ".absent"}).find(&term.Env{}, service); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzParseSealed(f *testing.F) {
	f.Add(sealedFor(f, "passphrase"))
	f.Add("e30..AAAA.AAAA.AAAA")
	f.Fuzz(func(t *testing.T, compact string) {
		s, err := parseSealed(compact)
		if err == nil && (s.binding.URL == "" || len(s.nonce) != 12 || !bytes.HasPrefix([]byte(compact), s.aad)) {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzDisks(f *testing.F) {
	f.Add([]byte(`{"disks":[{"name":"data","device":"/dev/sdb1","url":"https://a.example/","key":"k","slots":[0]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		disks, err := readDisks(&term.Env{IO: term.IO{In: bytes.NewReader(text)}}, "-")
		for n := range disks {
			if d := &disks[n]; err == nil && (d.URL == "" || d.Key == "" || d.Name != "" && !validMapping(d.Name)) {
				t.Errorf("%+v", d)
			}
		}
	})
}
