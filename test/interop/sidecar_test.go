//go:build interop

package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/test/kit/servicetest"
)

// freeAddress is a port of this machine that is free now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "localhost:" + port
}

// resigning starts a proxy before the service of a guest: reports that a side-car without a processor made up
// are replaced by the guest's, with the same report data and host data. Host names both.
func resigning(t *testing.T, host string, i servicetest.Instance, g *servicetest.Guest) {
	t.Helper()
	target, err := url.Parse(i.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: &http.Transport{TLSClientConfig: i.Trust()},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		}}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/attest/") {
			body, err = resign(body, g)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		proxy.ServeHTTP(w, r)
	})
	certificates, err := edge.DevCertificate(filepath.Dir(i.CA), "localhost", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler, TLSConfig: certificates}
	go s.ServeTLS(l, "", "")
	t.Cleanup(func() { s.Close() })
}

// resign replaces the report of a request, and leaves all else as it came.
func resign(body []byte, g *servicetest.Guest) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, err
	}
	var text string
	if err := json.Unmarshal(members["report"], &text); err != nil {
		return nil, err
	}
	report, err := base64.URLEncoding.DecodeString(text) // with padding, as the side-car sends it
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	framed, err := snp.Frame(report)
	if err != nil {
		return nil, err
	}
	framed.Report = g.Sign([64]byte(framed.Report[0x50:]), [32]byte(framed.Report[0xc0:]))
	framed.Certificates = g.Certificates
	if report, err = framed.Marshal(); err != nil {
		return nil, err
	}
	members["report"], err = json.Marshal(base64.URLEncoding.EncodeToString(report))
	if err != nil {
		return nil, err
	}
	return json.Marshal(members)
}

// outside starts a program of others, until the test ends.
func outside(t *testing.T, env []string, program string, args ...string) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &log, &log, append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", program, log.Bytes())
		}
	})
}

// car is a side-car that runs, and the service that it asks.
type car struct{ address, service string }

// post asks the side-car.
func (c car) post(t *testing.T, path string, body map[string]string) (status int, answer map[string]string) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+c.address+path, "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var members map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&members); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	answer = map[string]string{}
	for name, value := range members {
		// Microsoft's writes the error of one path as an object without members.
		answer[name] = fmt.Sprint(value)
	}
	return resp.StatusCode, answer
}

func (c car) wait(t *testing.T) {
	t.Helper()
	for range 200 {
		resp, err := http.Get("http://" + c.address + "/status")
		if err == nil {
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			if string(bytes.TrimSpace(b)) != `{"message":"Status OK"}` {
				t.Errorf("status: %s", b)
			}
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the side-car does not answer")
}

// kept are keys at the service, by name.
type kept map[string]*document.Material

// keep imports a key of each kind, for guests of the security policy.
func keep(t *testing.T, i servicetest.Instance, authority string, g *servicetest.Guest) kept {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := kept{"oct-key": {Octets: []byte("thirty-two bytes of a secret key")}, "rsa-key": {RSA: rsaKey},
		"ec-key": {EC: ecKey}, "other-guest": {Octets: []byte("a key of another guest")}}
	c, err := client.New(client.Config{URL: i.URL, Roots: i.Trust().RootCAs, Token: adminToken})
	if err != nil {
		t.Fatal(err)
	}
	exportable := true
	for name, m := range keys {
		policy := guestPolicy(authority, g.Policy)
		if name == "other-guest" {
			policy = guestPolicy(authority, []byte("another policy"))
		}
		_, err := c.Vault().Import(t.Context(), name, client.ImportedKey{Material: m, HSM: true,
			Attributes: client.KeyAttributes{Exportable: &exportable},
			Policy:     &client.ReleasePolicy{Data: []byte(policy)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// guestPolicy is a release policy as those of confidential containers are, with texts for claims of other
// types and the version of older ones.
func guestPolicy(authority string, security []byte) string {
	return fmt.Sprintf(`{"version":"0.2","anyOf":[{"authority":%q,"allOf":[`+
		`{"claim":"x-ms-sevsnpvm-hostdata","equals":"%x"},`+
		`{"claim":"x-ms-compliance-status","equals":"azure-compliant-uvm"},`+
		`{"claim":"x-ms-sevsnpvm-is-debuggable","equals":"false"},{"claim":"x-ms-sevsnpvm-vmpl","equals":"0"}]}]}`,
		authority, sha256.Sum256(security))
}

// drive uses a side-car as a pod does: each of its calls, and what it refuses.
func (c car) drive(t *testing.T, keys kept) {
	t.Helper()
	c.wait(t)
	runtime := []byte(`{"keys":[],"purpose":"test"}`)
	data := base64.StdEncoding.EncodeToString(runtime)
	sum := sha256.Sum256(runtime)
	status, raw := c.post(t, "/attest/raw", map[string]string{"runtime_data": data})
	report, err := hex.DecodeString(raw["report"])
	if status != 200 || err != nil || len(report) != snp.ReportSize || !bytes.Equal(report[0x50:0x70], sum[:]) {
		t.Errorf("raw: %d %v, %v", status, raw, err)
	}
	status, combined := c.post(t, "/attest/combined", map[string]string{"runtime_data": data})
	report, err = base64.StdEncoding.DecodeString(combined["evidence"])
	if status != 200 || err != nil || !bytes.Equal(report[0x50:0x70], sum[:]) || combined["endorsements"] == "" ||
		combined["uvm_endorsements"] == "" || len(combined["endorsed_tcb"]) != 16 {
		t.Errorf("combined: %d %v, %v", status, combined, err)
	}
	status, attested := c.post(t, "/attest/maa",
		map[string]string{"maa_endpoint": c.service, "runtime_data": data})
	parts := strings.Split(attested["token"], ".")
	if status != 200 || len(parts) != 3 {
		t.Fatalf("maa: %d %v", status, attested)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !bytes.Contains(claims, []byte(`"x-ms-compliance-status":"azure-compliant-uvm"`)) ||
		!bytes.Contains(claims, []byte(`"purpose":"test"`)) {
		t.Errorf("%s, %v", claims, err)
	}
	c.releases(t, keys)
	for name, tc := range map[string]struct {
		path   string
		body   map[string]string
		status int
	}{
		"no runtime data":      {"/attest/raw", map[string]string{}, 400},
		"no base64":            {"/attest/combined", map[string]string{"runtime_data": "!"}, 400},
		"no endpoint":          {"/attest/maa", map[string]string{"runtime_data": data}, 400},
		"no key":               {"/key/release", c.ask("", adminToken), 400},
		"a key that is absent": {"/key/release", c.ask("none", adminToken), 403},
		"another caller":       {"/key/release", c.ask("oct-key", "stranger"), 403},
	} {
		if status, answer := c.post(t, tc.path, tc.body); status != tc.status || answer["error"] == "" {
			t.Errorf("%s: %d %v, want %d", name, status, answer, tc.status)
		}
	}
}

// releases asks for each key.
func (c car) releases(t *testing.T, keys kept) {
	t.Helper()
	for name, want := range keys {
		ask := map[string]string{"maa_endpoint": c.service, "akv_endpoint": c.service, "kid": name,
			"access_token": adminToken}
		status, answer := c.post(t, "/key/release", ask)
		if name == "other-guest" {
			if status != 403 || !strings.Contains(answer["error"], "does not meet key release policy requirements") {
				t.Errorf("%s: %d %v", name, status, answer)
			}
			continue
		}
		if status != 200 {
			t.Errorf("%s: %d %v", name, status, answer)
			continue
		}
		checkJWK(t, name, answer["key"], want)
	}
}

func (c car) ask(kid, token string) map[string]string {
	return map[string]string{
		"maa_endpoint": c.service, "akv_endpoint": c.service, "kid": kid, "access_token": token,
	}
}

// checkJWK compares a released key, and the names of its members with those that Microsoft's side-car
// answers.
func checkJWK(t *testing.T, name, text string, want *document.Material) {
	t.Helper()
	var key jose.JSONWebKey
	if err := json.Unmarshal([]byte(text), &key); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	members := map[string]any{}
	json.Unmarshal([]byte(text), &members)
	var have []string
	for member := range members {
		have = append(have, member)
	}
	same := false
	expected := ""
	switch k := key.Key.(type) {
	case []byte:
		same, expected = bytes.Equal(k, want.Octets), "k key_ops kty"
	case *rsa.PrivateKey:
		same, expected = want.RSA != nil && k.Equal(want.RSA), "d dp dq e key_ops kty n p q qi"
	case *ecdsa.PrivateKey:
		same, expected = want.EC != nil && k.Equal(want.EC), "crv d key_ops kty x y"
	}
	if !same {
		t.Errorf("%s: another key came back", name)
	}
	if len(have) != len(strings.Fields(expected)) {
		t.Errorf("%s: members %v, want %s", name, have, expected)
	}
}

// TestMicrosoftSideCar: the side-car that Microsoft publishes gets keys from the service, by its
// configuration alone. It is built from github.com/microsoft/confidential-sidecar-containers (cmd/skr), and
// named by PROBITY_SKR; its tool importkey by PROBITY_IMPORTKEY.
func TestMicrosoftSideCar(t *testing.T) {
	skr := os.Getenv("PROBITY_SKR")
	if skr == "" {
		t.Skip("PROBITY_SKR does not name Microsoft's side-car")
	}
	service := freeAddress(t)
	i, g := servicetest.Guests(t, map[string]any{"url": "https://" + service})
	resigning(t, service, i, g)
	i.URL = "https://" + service
	keys := keep(t, i, i.URL, g)
	importAs(t, i, service, g, keys)
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	outside(t, carEnv(t, i, g), skr, "-port", port, "-loglevel", "debug", "-base64",
		base64.StdEncoding.EncodeToString([]byte(`{"maaconfig":{"user_agent":"side-car of a test"}}`)))
	car{address, service}.drive(t, keys)
}

// TestOwnSideCar: probity sidecar answers the same calls in the same way. It needs nothing that is not here.
func TestOwnSideCar(t *testing.T) {
	i, g := servicetest.Guests(t)
	service := strings.TrimPrefix(i.URL, "https://")
	keys := keep(t, i, i.URL, g)
	address := freeAddress(t)
	outside(t, nil, i.Program, "sidecar", "--listen", address, "--ca", i.CA, "--evidence-from", i.Folder)
	car{address, service}.drive(t, keys)
}

// carEnv is the environment of Microsoft's programs: whom to trust, and what the host says about the guest.
func carEnv(t *testing.T, i servicetest.Instance, g *servicetest.Guest) []string {
	t.Helper()
	block, rest := pem.Decode(g.Certificates)
	certificates, err := json.Marshal(map[string]string{"vcekCert": string(pem.EncodeToMemory(block)),
		"tcbm": "3100000000000000", "certificateChain": string(rest), "cacheControl": "0"})
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.StdEncoding.EncodeToString
	return []string{"SSL_CERT_FILE=" + i.CA, "UVM_HOST_AMD_CERTIFICATE=" + encode(certificates),
		"UVM_SECURITY_POLICY=" + encode(g.Policy), "UVM_REFERENCE_INFO=" + encode(g.Endorsement)}
}

// importAs keeps more keys with Microsoft's tool, if it is there: one that it makes, and one of a file.
func importAs(t *testing.T, i servicetest.Instance, service string, g *servicetest.Guest, keys kept) {
	t.Helper()
	program := os.Getenv("PROBITY_IMPORTKEY")
	if program == "" {
		t.Log("PROBITY_IMPORTKEY does not name Microsoft's tool: only our client imported keys")
		return
	}
	dir := t.TempDir()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	octets := bytes.Repeat([]byte{7}, 32)
	for name, tc := range map[string]struct {
		kty, flag, value string
		material         *document.Material
	}{
		"imported-oct": {"oct-HSM", "-kh", hex.EncodeToString(octets), &document.Material{Octets: octets}},
		"imported-rsa": {"RSA-HSM", "-kp", filepath.Join(dir, "key.pem"), &document.Material{RSA: rsaKey}},
	} {
		config, err := json.Marshal(map[string]any{
			"key": map[string]any{"kid": name, "kty": tc.kty, "key_ops": []string{"encrypt", "decrypt"},
				"authority": map[string]string{"endpoint": service},
				"akv": map[string]string{"endpoint": service, "api_version": "api-version=7.4",
					"bearer_token": adminToken}},
			"claims": [][]map[string]string{{
				{"claim": "x-ms-sevsnpvm-hostdata", "equals": fmt.Sprintf("%x", sha256.Sum256(g.Policy))},
				{"claim": "x-ms-sevsnpvm-vmpl", "equals": "0"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name+".json"), config)
		cmd := exec.CommandContext(t.Context(), program, "-c", name+".json", tc.flag, tc.value)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "SSL_CERT_FILE="+i.CA)
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("https://"+service+"/keys/"+name+"/")) {
			t.Errorf("%s: %v: %s", name, err, out)
			continue
		}
		keys[name] = tc.material
	}
}
