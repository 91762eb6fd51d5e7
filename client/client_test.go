package client_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/token"
)

// serve answers every path from a table; the text URL stands for the server's.
func serve(t *testing.T, answers map[string]string) *client.Client {
	t.Helper()
	var s *httptest.Server
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		if strings.HasPrefix(body, `{"error"`) {
			w.WriteHeader(http.StatusBadRequest)
		}
		w.Write([]byte(strings.ReplaceAll(body, "URL", s.URL)))
	}))
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c, err := client.New(client.Config{URL: s.URL + "/", Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestErrorsKeepCodeAndCheck(t *testing.T) {
	c := serve(t, map[string]string{"POST /attest/SgxEnclave": `{"error":{"code":"InvalidParameter",` +
		`"message":"m","details":[{"check":"dcap.quote.signature","found":"f","unknown":1}]}}`})
	_, err := c.Attest(context.Background(), client.Request{Kind: evidence.SGXEnclave})
	var e *client.Error
	if !errors.As(err, &e) || e.Status != 400 || e.Code != "InvalidParameter" ||
		e.Details[0].Check != "dcap.quote.signature" {
		t.Errorf("error = %+v", err)
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	for name, answers := range map[string]map[string]string{
		"no token":            {"POST /attest/SgxEnclave": `{}`},
		"no JSON":             {"POST /attest/SgxEnclave": `<html>`},
		"another status":      {},
		"error of other form": {"POST /attest/SgxEnclave": `{"error":"x"}`},
	} {
		got, err := serve(t, answers).Attest(context.Background(), client.Request{Kind: evidence.SGXEnclave})
		if err == nil {
			t.Errorf("%s: token = %q", name, got)
		}
	}
}

func TestKeysComeFromTheIssuerAlone(t *testing.T) {
	for name, d := range map[string]string{
		"keys on another host":  `{"issuer":"URL","jwks_uri":"https://evil.example/certs"}`,
		"keys over http":        `{"issuer":"URL","jwks_uri":"http://localhost/certs"}`,
		"metadata of another":   `{"issuer":"https://evil.example","jwks_uri":"URL/certs"}`,
		"issuer with a slash":   `{"issuer":"URL/","jwks_uri":"URL/certs"}`,
		"issuer as user of URL": `{"issuer":"URL","jwks_uri":"URL@evil.example/certs"}`,
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, map[string]string{"GET /.well-known/openid-configuration": d, "GET /certs": `{"keys":[]}`})
			_, err := c.Verify(context.Background(), token.Unsecured([]byte(`{}`)), time.Now())
			if err == nil || errors.Is(err, token.ErrUnsecured) {
				t.Errorf("error = %v: the key set was taken", err)
			}
		})
	}
}

// A redirect could send evidence, or the search for keys, to anyone.
func TestRedirectsAreNotFollowed(t *testing.T) {
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached = true
		w.Write([]byte(`{"token":"x","keys":[]}`))
	}))
	defer elsewhere.Close()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c, err := client.New(client.Config{URL: s.URL, Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	_, attest := c.Attest(context.Background(),
		client.Request{Kind: evidence.SGXEnclave, Evidence: []byte("secret")})
	_, keys := c.Keys(context.Background(), token.Discovery{KeySetURL: s.URL + "/certs"})
	for _, err := range []error{attest, keys} {
		var e *client.Error
		if !errors.As(err, &e) || e.Status != http.StatusTemporaryRedirect {
			t.Errorf("error = %v, want status 307", err)
		}
	}
	if reached {
		t.Error("the redirect was followed")
	}
}

func TestOnlyHTTPS(t *testing.T) {
	for _, u := range []string{"", "http://localhost", "localhost:8443", "https://"} {
		if _, err := client.New(client.Config{URL: u}); err == nil {
			t.Errorf("%q was accepted", u)
		}
	}
}

func TestARefusalIsTheCheckThatFailed(t *testing.T) {
	c := serve(t, map[string]string{"POST /attest/SevSnpVm": `{"error":{"code":"InvalidParameter",` +
		`"message":"m","details":[{"check":"snp.report.signature"}]}}`})
	_, err := c.Attest(context.Background(), client.Request{Kind: evidence.SEVSNPVM})
	if !errors.Is(err, snp.CheckSignature) || errors.Is(err, snp.CheckDebug) ||
		errors.Is(err, context.Canceled) {
		t.Errorf("error = %+v", err)
	}
}
