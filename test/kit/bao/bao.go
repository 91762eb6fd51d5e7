// Package bao starts a real OpenBao server with a transit key for tests, on a free port of the loopback interface, with
// everything in memory.
package bao

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Program is the environment variable that names the program bao, where it is not in PATH; Required makes its absence
// a failure.
const (
	Program  = "PROBITY_BAO"
	Required = "PROBITY_REQUIRE_BAO"
)

// Server is a server that runs until the test ends.
type Server struct {
	URL   string
	Root  string // the root token
	t     *testing.T
	cmd   *exec.Cmd
	bin   string
	dir   string
	state bytes.Buffer
}

// Start starts a server, or skips the test where there is no such program.
func Start(t *testing.T) *Server {
	t.Helper()
	bin := os.Getenv(Program)
	if bin == "" {
		found, err := exec.LookPath("bao")
		if err != nil && os.Getenv(Required) == "" {
			t.Skip("no program bao (OpenBao): install it, or name it in " + Program)
		}
		if err != nil {
			t.Fatal("OpenBao is missing: install bao, or name it in " + Program)
		}
		bin = found
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	s := &Server{URL: "http://" + address, Root: "root-of-the-tests", t: t, bin: bin, dir: t.TempDir()}
	s.cmd = exec.Command(bin, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+s.Root,
		"-dev-listen-address="+address)
	s.cmd.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	s.cmd.Stdout, s.cmd.Stderr = &s.state, &s.state
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	for range 200 {
		resp, err := http.Get(s.URL + "/v1/sys/health")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.Stop()
	t.Fatalf("bao did not start:\n%s", s.state.Bytes())
	return nil
}

// Stop ends the server.
func (s *Server) Stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// Do makes a request with the root token, which must succeed, and returns what was answered.
func (s *Server) Do(method, path, namespace string, body map[string]any) map[string]any {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("X-Vault-Token", s.Root)
	if namespace != "" {
		r.Header.Set("X-Vault-Namespace", namespace)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		s.t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, answer, err)
	}
	var out map[string]any
	_ = json.Unmarshal(answer, &out) // some answers are empty
	return out
}

// Transit makes an engine with a key of a type, and returns a token that may encrypt and decrypt with it, for a
// time such as "1h".
func (s *Server) Transit(mount, key, kind, namespace, ttl string, derived bool) (token string) {
	s.t.Helper()
	s.Do("POST", "sys/mounts/"+mount, namespace, map[string]any{"type": "transit"})
	s.Do("POST", mount+"/keys/"+key, namespace, map[string]any{"type": kind, "derived": derived})
	s.Do("PUT", "sys/policies/acl/"+mount, namespace, map[string]any{"policy": fmt.Sprintf(
		`path "%[1]s/encrypt/%[2]s" { capabilities = ["update"] } path "%[1]s/decrypt/%[2]s" { capabilities = ["update"] }`,
		mount, key)})
	out := s.Do("POST", "auth/token/create", namespace, map[string]any{"policies": []string{mount}, "ttl": ttl})
	auth, _ := out["auth"].(map[string]any)
	token, _ = auth["client_token"].(string)
	return token
}
