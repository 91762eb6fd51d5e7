package thirdparty

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/test/kit/servicetest"
)

// openbao is a running OpenBao in development mode: in memory, with a secret of an application.
type openbao struct{ url string }

const baoRoot = "root-of-the-tests"

func baoProgram(t *testing.T) string {
	t.Helper()
	program, err := filepath.Abs(".venv/bin/bao")
	if err == nil {
		_, err = os.Stat(program)
	}
	if err != nil {
		t.Fatalf("OpenBao is missing: run make deps: %v", err)
	}
	return program
}

func startOpenBao(t *testing.T) openbao {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var log bytes.Buffer
	cmd := exec.Command(baoProgram(t), "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+baoRoot,
		"-dev-listen-address="+address)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			t.Logf("log of OpenBao:\n%s", log.Bytes())
		}
	})
	b := openbao{"http://" + address}
	for range 200 {
		if resp, err := http.Get(b.url + "/v1/sys/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return b
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("OpenBao did not start")
	return b
}

// call sends a request with a token of OpenBao, and reads its answer.
func (b openbao) call(t *testing.T, method, path, token string, body any, answer any) int {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, b.url+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer == nil && resp.StatusCode >= 300 && token == baoRoot {
		t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
	if answer != nil && resp.StatusCode < 300 {
		if err := json.Unmarshal(text, answer); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode
}

// trust makes OpenBao accept the tokens of an issuer, under a mount of its own.
func (b openbao) trust(t *testing.T, i servicetest.Instance, mount, issuer string) {
	t.Helper()
	ca, err := os.ReadFile(i.CA)
	if err != nil {
		t.Fatal(err)
	}
	b.call(t, "POST", "sys/auth/"+mount, baoRoot, map[string]any{"type": "jwt"}, nil)
	b.call(t, "POST", "auth/"+mount+"/config", baoRoot, map[string]any{"oidc_discovery_url": issuer,
		"oidc_discovery_ca_pem": string(ca), "bound_issuer": issuer}, nil)
}

// role replaces the role r: a change of one keeps what it does not name.
func (b openbao) role(t *testing.T, role map[string]any) {
	t.Helper()
	b.call(t, "DELETE", "auth/jwt/role/r", baoRoot, nil, nil)
	b.call(t, "POST", "auth/jwt/role/r", baoRoot, role, nil)
}

// login presents a token of the service for a role, and returns a token of OpenBao with what it knows
// about the caller.
func (b openbao) login(t *testing.T, mount, role, jwt string) (token string, metadata map[string]string) {
	t.Helper()
	var answer struct {
		Auth struct {
			Token    string            `json:"client_token"`
			Metadata map[string]string `json:"metadata"`
		} `json:"auth"`
	}
	b.call(t, "POST", "auth/"+mount+"/login", "", map[string]any{"role": role, "jwt": jwt}, &answer)
	return answer.Auth.Token, answer.Auth.Metadata
}

// secret reads the secret of the application.
func (b openbao) secret(t *testing.T, token string) string {
	t.Helper()
	var answer struct {
		Data struct {
			Data map[string]string `json:"data"`
		} `json:"data"`
	}
	b.call(t, "GET", "secret/data/disk", token, nil, &answer)
	return answer.Data.Data["passphrase"]
}

// with returns a role that needs more than the base.
func with(more map[string]any) map[string]any {
	role := map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{"workload"},
		"token_policies": []string{"disk"}, "token_ttl": "10m"}
	for name, value := range more {
		role[name] = value
	}
	return role
}

func bound(claims map[string]any) map[string]any { return with(map[string]any{"bound_claims": claims}) }

// TestOpenBao: OpenBao gives a secret to an attested enclave, by the claims of its token and by no
// others.
func TestOpenBao(t *testing.T) {
	i, issuer, attest := servicetest.Relying(t)
	b := startOpenBao(t)
	b.call(t, "POST", "secret/data/disk", baoRoot,
		map[string]any{"data": map[string]string{"passphrase": "of-the-disk"}}, nil)
	b.call(t, "PUT", "sys/policies/acl/disk", baoRoot,
		map[string]any{"policy": `path "secret/data/disk" {capabilities = ["read"]}`}, nil)
	b.trust(t, i, "jwt", issuer)
	compact := attest()
	claims := payload(t, compact)
	signer, enclave := claims["x-ms-sgx-mrsigner"], claims["x-ms-sgx-mrenclave"]

	several := []any{"0", signer}
	forOthers := with(map[string]any{"bound_audiences": []string{"other"}})
	forNobody := with(map[string]any{"bound_audiences": nil, "bound_subject": enclave})
	for name, tc := range map[string]struct {
		role map[string]any
		jwt  string
		ok   bool
	}{
		"by who signed the enclave":      {bound(map[string]any{"x-ms-sgx-mrsigner": signer}), compact, true},
		"by the enclave as the subject":  {with(map[string]any{"bound_subject": enclave}), compact, true},
		"by one of several values":       {bound(map[string]any{"x-ms-sgx-mrsigner": several}), compact, true},
		"by a boolean":                   {bound(map[string]any{"x-ms-sgx-is-debuggable": false}), compact, true},
		"by a number":                    {bound(map[string]any{"x-ms-sgx-svn": 3}), compact, true},
		"by a nested claim":              {bound(map[string]any{"/x-ms-policy/tee": "sgx"}), compact, true},
		"another signer":                 {bound(map[string]any{"x-ms-sgx-mrsigner": enclave}), compact, false},
		"another boolean":                {bound(map[string]any{"x-ms-sgx-is-debuggable": true}), compact, false},
		"a boolean as text":              {bound(map[string]any{"x-ms-sgx-is-debuggable": "false"}), compact, false},
		"another number":                 {bound(map[string]any{"x-ms-sgx-svn": 4}), compact, false},
		"a claim that is missing":        {bound(map[string]any{"x-ms-sevsnpvm-hostdata": "0"}), compact, false},
		"a nested claim by dots":         {bound(map[string]any{"x-ms-policy.tee": "sgx"}), compact, false},
		"another subject":                {with(map[string]any{"bound_subject": signer}), compact, false},
		"another audience":               {forOthers, compact, false},
		"a role without an audience":     {forNobody, compact, false},
		"another signature":              {with(nil), compact[:len(compact)-8] + "AAAAAAAA", false},
		"no token":                       {with(nil), "", false},
		"a user claim that is not there": {with(map[string]any{"user_claim": "email"}), compact, false},
	} {
		b.role(t, tc.role)
		token, _ := b.login(t, "jwt", "r", tc.jwt)
		got := ""
		if token != "" {
			got = b.secret(t, token)
		}
		if want := map[bool]string{true: "of-the-disk"}[tc.ok]; got != want {
			t.Errorf("%s: secret %q, want %q", name, got, want)
		}
	}

	b.role(t, with(map[string]any{
		"claim_mappings": map[string]string{"x-ms-sgx-mrsigner": "signer", "jti": "token"}}))
	if _, metadata := b.login(t, "jwt", "r", compact); metadata["signer"] != signer ||
		metadata["token"] != claims["jti"] || metadata["role"] != "r" {
		t.Errorf("%v", metadata)
	}
	b.call(t, "DELETE", "auth/jwt/role/r", baoRoot, nil, nil)
	if token, _ := b.login(t, "jwt", "r", compact); token != "" {
		t.Error("a role that was removed gives tokens")
	}
}

// TestOpenBaoAndTokensInAzuresForm: tokens without aud and sub, as providers give them that set neither,
// can be used with a role that names another claim and no audience.
func TestOpenBaoAndTokensInAzuresForm(t *testing.T) {
	i := servicetest.Simulated(t)
	b := startOpenBao(t)
	b.trust(t, i, "jwt", i.URL)
	quote, err := os.ReadFile(filepath.Join(i.Folder, "quote.bin"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{URL: i.URL, Roots: i.Trust().RootCAs})
	if err != nil {
		t.Fatal(err)
	}
	compact, err := c.Attest(t.Context(), client.Request{Kind: evidence.SGXEnclave, Evidence: quote})
	if err != nil {
		t.Fatal(err)
	}
	signer := payload(t, compact)["x-ms-sgx-mrsigner"]
	for name, tc := range map[string]struct {
		role map[string]any
		ok   bool
	}{
		"by its id":   {map[string]any{"user_claim": "jti"}, true},
		"by sub":      {map[string]any{"user_claim": "sub"}, false},
		"by audience": {map[string]any{"user_claim": "jti", "bound_audiences": []string{"workload"}}, false},
	} {
		tc.role["role_type"], tc.role["bound_claims"] = "jwt", map[string]any{"x-ms-sgx-mrsigner": signer}
		b.role(t, tc.role)
		if token, _ := b.login(t, "jwt", "r", compact); (token != "") != tc.ok {
			t.Errorf("%s: a token: %v", name, token != "")
		}
	}
	_, _, attest := servicetest.Relying(t)
	b.role(t, map[string]any{"role_type": "jwt", "user_claim": "jti", "bound_audiences": []string{"workload"}})
	if token, _ := b.login(t, "jwt", "r", attest()); token != "" {
		t.Error("a token of another service is accepted")
	}
}
