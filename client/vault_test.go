package client_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/release"
	"github.com/probity-dev/probity/release/document"
)

// answering is a vault whose every answer is the same.
func answering(t *testing.T, handle http.HandlerFunc) *client.Vault {
	t.Helper()
	s := httptest.NewTLSServer(handle)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c, err := client.New(client.Config{URL: s.URL, Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	return c.Vault()
}

func TestTheReasonOfARefusalByTheVaultIsKept(t *testing.T) {
	v := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"error":{"code":"Forbidden","message":"m","innererror":{"code":"release.policy",`+
			`"check":"release.policy","expected":"e","found":"claim x: expected equals 1, found 2","remedy":"r"}}}`)
	})
	_, err := v.Release(t.Context(), client.ReleaseRequest{Name: "k", Token: "t"})
	var e *client.Error
	if !errors.As(err, &e) || e.Status != 403 || e.Code != "Forbidden" || e.Inner == nil ||
		e.Inner.Code != "release.policy" || e.Inner.Found != "claim x: expected equals 1, found 2" {
		t.Fatalf("%+v", err)
	}
	var checks evidence.Checks
	if !errors.Is(err, checks.Define("release.policy", "m", "r")) {
		t.Error("the refusal does not name its check")
	}
}

func TestARefusalWithoutItsReasonIsOneToo(t *testing.T) {
	for _, inner := range []string{``, `,"innererror":null`, `,"innererror":{"code":"ObjectIsDeletedButRecoverable"}`} {
		v := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"error":{"code":"Conflict","message":"m"`+inner+`}}`)
		})
		_, err := v.Delete(t.Context(), "k")
		var e *client.Error
		if !errors.As(err, &e) || e.Code != "Conflict" || len(e.Details) != 0 {
			t.Errorf("%s: %+v", inner, err)
		}
	}
}

func TestAPageDoesNotLeadElsewhere(t *testing.T) {
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the token was sent to another host")
	}))
	defer elsewhere.Close()
	var asked []string
	v := answering(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+" "+r.URL.Query().Get("$skiptoken"))
		if len(asked) == 1 {
			fmt.Fprintf(w, `{"value":[{"kid":"a"},null],"nextLink":"%s/x?$skiptoken=one"}`, elsewhere.URL)
			return
		}
		fmt.Fprint(w, `{"value":[{"kid":"b"}],"nextLink":null}`)
	})
	var ids []string
	for k, err := range v.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, k.ID())
	}
	if fmt.Sprint(ids, asked) != "[a b] [/keys  /keys one]" {
		t.Errorf("%q %q", ids, asked)
	}
}

func TestListsThatAreRefused(t *testing.T) {
	for name, answer := range map[string]string{
		"a next page of no place": `{"value":[],"nextLink":"https://x/keys"}`,
		"a next page of no URL":   `{"value":[],"nextLink":"%"}`,
		"no end":                  `{"value":[],"nextLink":"https://x/keys?$skiptoken=a"}`,
		"no JSON":                 `<html>`,
		"another form":            `{"value":"x"}`,
	} {
		v := answering(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })
		refused := false
		for k, err := range v.Versions(t.Context(), "k") {
			refused = err != nil && k == nil
		}
		if !refused {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestWhoStopsReadingAListAsksNoMore(t *testing.T) {
	n := 0
	v := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		fmt.Fprint(w, `{"value":[{"kid":"a"},{"kid":"b"}],"nextLink":"https://x/keys?$skiptoken=a"}`)
	})
	for range v.List(t.Context()) {
		break
	}
	if n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestAnswersOfTheVaultThatAreRefused(t *testing.T) {
	r := client.ReleaseRequest{Name: "k", Token: "t"}
	machine, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("A", document.MaxSize+2048)
	for name, tc := range map[string]struct {
		answer string
		ask    func(*client.Vault, context.Context) error
	}{
		"no released key": {`{}`, func(v *client.Vault, ctx context.Context) error {
			_, err := v.Release(ctx, r)
			return err
		}},
		"a released key that is too large": {`{"value":"` + large + `"}`,
			func(v *client.Vault, ctx context.Context) error {
				_, err := v.Release(ctx, r)
				return err
			}},
		"a released key that is none": {`{"value":"a.b.c"}`, func(v *client.Vault, ctx context.Context) error {
			_, err := v.Open(ctx, r, machine)
			return err
		}},
		"no backup": {`{"value":""}`, func(v *client.Vault, ctx context.Context) error {
			_, err := v.Backup(ctx, "k")
			return err
		}},
		"a backup in another encoding": {`{"value":"!"}`, func(v *client.Vault, ctx context.Context) error {
			_, err := v.Backup(ctx, "k")
			return err
		}},
		"no nonce": {`{"expires":"2026-01-01T00:00:00Z"}`, func(v *client.Vault, ctx context.Context) error {
			_, _, err := v.Challenge(ctx)
			return err
		}},
		"no nonce to unlock with": {`{}`, func(v *client.Vault, ctx context.Context) error {
			_, err := v.Unlock(ctx, client.Unlock{Name: "k", Challenge: true})
			return err
		}},
		"a key of another form": {`{"key":[]}`, func(v *client.Vault, ctx context.Context) error {
			_, err := v.Get(ctx, "k", "")
			return err
		}},
		"a rotation policy of another form": {`[]`, func(v *client.Vault, ctx context.Context) error {
			_, err := v.RotationPolicy(ctx, "k")
			return err
		}},
	} {
		v := answering(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, tc.answer) })
		if err := tc.ask(v, t.Context()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRuntimeDataNameTheKeyOfTheMachine(t *testing.T) {
	machine, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	data, err := client.RuntimeData(&machine.PublicKey, "fresh")
	if err != nil {
		t.Fatal(err)
	}
	claims, err := release.ParseClaims([]byte(`{"x-ms-runtime":` + string(data) + `}`))
	if err != nil {
		t.Fatal(err)
	}
	key, err := claims.WrappingKey()
	if err != nil || !key.Public.Equal(&machine.PublicKey) || key.ID != key.Thumbprint {
		t.Errorf("%+v, %v", key, err)
	}
	var in struct{ Nonce string }
	if err := json.Unmarshal(data, &in); err != nil || in.Nonce != "fresh" {
		t.Errorf("%s, %v", data, err)
	}
	if strings.Contains(string(data), `"d"`) {
		t.Error("the private key is in the runtime data")
	}
	if data, err = client.RuntimeData(&machine.PublicKey, ""); err != nil || strings.Contains(string(data), "nonce") {
		t.Errorf("%s, %v", data, err)
	}
}
