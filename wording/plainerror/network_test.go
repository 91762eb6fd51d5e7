package plainerror_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/wording/plainerror"
)

// TestErrorsOfConnectionsAreWordedPlainly with errors of real connections.
func TestErrorsOfConnectionsAreWordedPlainly(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.StartTLS()
	defer secure.Close()
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
	}))
	defer slow.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nothing := closed.Addr().String()
	closed.Close()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	get := func(url string, timeout time.Duration) error {
		resp, err := (&http.Client{Transport: &http.Transport{}, Timeout: timeout}).Get(url)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	_, pair := tls.X509KeyPair([]byte("x"), []byte("y"))
	_, unix := net.Dial("unix", "/nonexistent/socket")
	_, twice := net.Listen("tcp", taken.Addr().String())
	name := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{
		Err: "no such host", Name: "attest.example.org", Server: "127.0.0.53:53", IsNotFound: true,
	}}
	for want, err := range map[string]error{
		"nothing listens there": get("https://"+nothing,
			time.Second), "does not speak TLS": get("https://"+plain.Listener.Addr().String(), time.Second),
		"the server's certificate is not trusted": get(secure.URL, time.Second),
		"no answer in time":                       get(slow.URL, 50*time.Millisecond),
		"in time":                                 ctx.Err(), "no PEM certificate in the file": pair,
		"/nonexistent/socket: no such file": unix, "another program listens": twice,
		"the host attest.example.org was not found": name,
	} {
		if err == nil {
			t.Errorf("%s: no error", want)
			continue
		}
		text := plainerror.Text(err)
		if !strings.Contains(text, want) || libraries.MatchString(text) {
			t.Errorf("want %q: %s\n  from %s", want, text, err)
		}
	}
}

// libraries are further words that users must not read.
var libraries = regexp.MustCompile(`\bdial (tcp|unix)|tls: |x509: |lookup |bind: ` +
	`|i/o timeout|Client\.Timeout|context deadline|net/http|\bPEM data\b|bit u?int`)
