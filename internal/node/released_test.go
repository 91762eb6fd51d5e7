package node

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/config"
)

// adminOfTests is the token of the administrator.
const adminOfTests = "administrator-of-the-node-tests"

// live is a node that answers requests.
type live struct {
	*Node
	t      *testing.T
	url    string
	client *http.Client
	log    safeBuffer
	stop   func()
}

// safeBuffer is a buffer that goroutines share.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safeBuffer) Bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b.Bytes())
}

// startLive starts a development node in a folder, which listens on a free port.
func startLive(t *testing.T, dir string, edit ...func(*config.Config)) *live {
	t.Helper()
	t.Setenv(adminTokenEnv, adminOfTests)
	l := &live{t: t}
	cfg := config.Config{Listen: "localhost:0", URL: "https://localhost:8443", DataDir: dir,
		Operations: config.Operations{Listen: "127.0.0.1:0"}}
	for _, f := range edit {
		f(&cfg)
	}
	if err := cfg.Complete(true); err != nil {
		t.Fatal(err)
	}
	var err error
	l.Node, err = Open(t.Context(), cfg, true,
		slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, edge.DevCAFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	l.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	l.url = "https://" + strings.Replace(l.Address(), "127.0.0.1", "localhost", 1)
	ctx, cancel := withCancel(t)
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	l.stop = sync.OnceFunc(func() {
		l.client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		l.Close()
	})
	t.Cleanup(l.stop)
	return l
}

// do makes a request as the administrator.
func (l *live) do(method, path, body string) (int, []byte) {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), method, l.url+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminOfTests)
	r.Header.Set("Content-Type", "application/json")
	resp, err := l.client.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// vaultDo makes a request to the vault, which must be answered with a status.
func (l *live) vaultDo(method, path, body string, status int) []byte {
	l.t.Helper()
	code, answer := l.do(method, path+"?api-version=7.4", body)
	if code != status {
		l.t.Fatalf("%s %s: %d %s\n%s", method, path, code, answer, l.log.Bytes())
	}
	return answer
}

// exportableKey are the members of a body that let a key be released to what [live.attested] says.
func (l *live) exportableKey() string {
	policy := fmt.Sprintf(`{"version":"1.0.0","anyOf":[{"authority":%q,"allOf":[{"claim":"x-ms-attestation-type",`+
		`"equals":"sevsnpvm"}]}]}`, l.registry.Default().URL)
	return `"attributes":{"exportable":true},"release_policy":{"data":"` +
		base64.RawURLEncoding.EncodeToString([]byte(policy)) + `"}`
}

// attested is the body of a release: a token of the node about a machine with a key, as if it had attested.
func (l *live) attested(machine *rsa.PublicKey, algorithm string) string {
	l.t.Helper()
	p, now := l.registry.Default(), time.Now()
	signers, err := p.Signers(now)
	if err != nil {
		l.t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{"iss": p.URL, "iat": now.Unix(), "nbf": now.Unix(),
		"exp": now.Add(time.Minute).Unix(), "jti": "t", "x-ms-attestation-type": "sevsnpvm",
		"x-ms-runtime": map[string]any{"keys": []any{map[string]any{"kty": "RSA", "kid": "machine",
			"key_ops": []string{"encrypt"}, "n": base64.RawURLEncoding.EncodeToString(machine.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(machine.E)).Bytes())}}}})
	if err != nil {
		l.t.Fatal(err)
	}
	compact, err := signers.Sign.Sign(claims)
	if err != nil {
		l.t.Fatal(err)
	}
	return fmt.Sprintf(`{"target":%q,"enc":%q}`, compact, algorithm)
}
