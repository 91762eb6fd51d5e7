package client_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/snp"
)

// Send evidence to a service, and get a token.
func ExampleClient_Attest() {
	// A test server replaces the service. In production, give the URL alone if the service's
	// certificate comes from an authority that the system trusts.
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"token": "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"}`)
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())

	service, err := client.New(client.Config{URL: server.URL, Roots: roots})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := service.Attest(context.Background(), client.Request{
		Kind:        evidence.SEVSNPVM,
		Evidence:    []byte("the report, with its certificates"),
		RuntimeData: &evidence.Data{Bytes: []byte("the guest's public key"), Type: evidence.Binary},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token)
	// Output: eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl
}

// A refusal by the service names the check that failed; compare it with the values of the packages.
func ExampleError() {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error": {
			"code": "InvalidParameter",
			"message": "signature verification failed",
			"details": [{"check": "snp.report.signature"}]
		}}`)
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())

	service, err := client.New(client.Config{URL: server.URL, Roots: roots})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = service.Attest(context.Background(), client.Request{
		Kind:     evidence.SEVSNPVM,
		Evidence: []byte("a report that was changed on its way"),
	})
	var refusal *client.Error
	switch {
	case errors.Is(err, snp.CheckSignature):
		fmt.Println("the report was forged or changed")
	case errors.As(err, &refusal):
		fmt.Println(refusal.Status, refusal.Code, refusal.Details)
	case err != nil:
		fmt.Println("the service was not reached:", err)
	}
	// Output: the report was forged or changed
}
