package sidecar

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/probity-dev/probity/agent"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/release/document"
)

// fixed is a side-car in a guest whose reports have the data, and nothing else.
func fixed() *handler {
	collect := func(data [64]byte) (*agent.Report, error) {
		report := make([]byte, snp.ReportSize)
		copy(report[offsetData:], data[:])
		report[offsetTCB], report[offsetTCB+7] = 4, 0xdb
		return &agent.Report{Kind: evidence.SEVSNPVM, Raw: report}, nil
	}
	return &handler{guest: &guest{collect: collect, turn: make(chan struct{}, 1)},
		slots: make(chan struct{}, maxCalls), log: slog.New(slog.DiscardHandler)}
}

func ask(h http.Handler, r *http.Request) (int, map[string]string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer := map[string]string{}
	json.Unmarshal(w.Body.Bytes(), &answer)
	return w.Code, answer
}

func post(path, body string) *http.Request {
	r := httptest.NewRequest("POST", "http://localhost:8080"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestWhatIsRefused(t *testing.T) {
	runtime := base64.StdEncoding.EncodeToString([]byte(`{"keys":[]}`))
	with := func(old, replacement string) string {
		const full = `{"maa_endpoint":"a.example","akv_endpoint":"b.example","kid":"k"}`
		return strings.Replace(full, old, replacement, 1)
	}
	at := func(endpoint string) string {
		return `{"maa_endpoint":"` + endpoint + `","runtime_data":"` + runtime + `"}`
	}
	const format = "invalid request format"
	long := strings.Repeat("a", maxToken+1)
	for name, tc := range map[string]struct {
		path, body string
		status     int
		text       string
	}{
		"nothing":                {"/attest/raw", "", 400, "an empty body"},
		"blanks":                 {"/attest/raw", " \n", 400, "an empty body"},
		"no JSON":                {"/attest/raw", "x", 400, format},
		"no object":              {"/attest/raw", "[]", 400, format},
		"two objects":            {"/attest/raw", `{"runtime_data":"QQ=="}{}`, 400, format},
		"a member twice":         {"/attest/raw", `{"runtime_data":"QQ==","runtime_data":"Qg=="}`, 400, format},
		"twice in another case":  {"/attest/raw", `{"runtime_data":"QQ==","Runtime_Data":"Qg=="}`, 400, format},
		"a number as data":       {"/attest/raw", `{"runtime_data":1}`, 400, format},
		"no data":                {"/attest/raw", `{}`, 400, "runtime_data is missing"},
		"null as data":           {"/attest/combined", `{"runtime_data":null}`, 400, "runtime_data is missing"},
		"no base64":              {"/attest/combined", `{"runtime_data":"!!!!"}`, 400, "expected base64"},
		"base64url":              {"/attest/raw", `{"runtime_data":"-_8="}`, 400, "expected base64"},
		"without padding":        {"/attest/raw", `{"runtime_data":"QQ"}`, 400, "expected base64"},
		"too much":               {"/attest/raw", strings.Repeat("A", maxBody) + "B", 400, "at most"},
		"no service":             {"/attest/maa", `{"runtime_data":"` + runtime + `"}`, 400, "maa_endpoint is missing"},
		"a URL":                  {"/attest/maa", at(`https://a.example`), 400, "without https://"},
		"a user":                 {"/attest/maa", at(`u@a.example`), 400, "expected HOST"},
		"a path":                 {"/attest/maa", at(`a.example/x`), 400, "expected HOST"},
		"a query":                {"/attest/maa", at(`a.example?x`), 400, "expected HOST"},
		"a line break":           {"/attest/maa", at(`a.example\nb`), 400, "expected HOST"},
		"a port that is none":    {"/attest/maa", at(`a.example:0`), 400, "a port from 1"},
		"a large port":           {"/attest/maa", at(`a.example:65536`), 400, "a port from 1"},
		"another endpoint":       {"/attest/maa", at(`c.example`), 403, "add it with --endpoint"},
		"no vault":               {"/key/release", `{"maa_endpoint":"a.example","kid":"k"}`, 400, "akv_endpoint is missing"},
		"another vault":          {"/key/release", with("b.example", "c.example"), 403, "add it with --endpoint"},
		"no key":                 {"/key/release", with(`"k"`, `""`), 400, "NAME/VERSION"},
		"a key that is none":     {"/key/release", with(`"k"`, `"../k"`), 400, "NAME/VERSION"},
		"a key of three parts":   {"/key/release", with(`"k"`, `"a/b/c"`), 400, "NAME/VERSION"},
		"a key with a query":     {"/key/release", with(`"k"`, `"k?x=y"`), 400, "NAME/VERSION"},
		"a token with a break":   {"/key/release", with(`{`, `{"access_token":"a\r\nb: c",`), 400, "access_token"},
		"a token that is huge":   {"/key/release", with(`{`, `{"access_token":"`+long+`",`), 400, "access_token"},
		"no certificates":        {"/attest/combined", `{"runtime_data":"` + runtime + `"}`, 403, "name a file with --certs"},
		"an unknown path":        {"/attest/all", `{}`, 404, "expected GET /status"},
		"a method that is wrong": {"/status", `{}`, 405, "expected the method GET"},
	} {
		h := fixed()
		h.endpoints = []string{"a.example", "b.example"}
		status, answer := ask(h, post(tc.path, tc.body))
		if status != tc.status || !strings.Contains(answer["error"], tc.text) || len(answer) != 1 {
			t.Errorf("%s: %d %v, want %d %q", name, status, answer, tc.status, tc.text)
		}
	}
}

func TestPagesOfBrowsersGetNothing(t *testing.T) {
	for name, edit := range map[string]func(*http.Request){
		"a name that resolves to this guest": func(r *http.Request) { r.Host = "rebound.example:8080" },
		"a name without a port":              func(r *http.Request) { r.Host = "rebound.example" },
		"a page of another site":             func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"a page of an older browser":         func(r *http.Request) { r.Header.Set("Origin", "https://a.example") },
	} {
		r := post("/attest/raw", `{"runtime_data":"QQ=="}`)
		edit(r)
		if status, answer := ask(fixed(), r); status == 200 || answer["error"] == "" {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	// Programs name the address in their own ways.
	for _, host := range []string{"localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST:1"} {
		r := post("/attest/raw", `{"runtime_data":"QQ=="}`)
		r.Host = host
		if status, answer := ask(fixed(), r); status != 200 {
			t.Errorf("%s: %d %v", host, status, answer)
		}
	}
}

func TestReports(t *testing.T) {
	h := fixed()
	if status, answer := ask(h, httptest.NewRequest("GET", "http://localhost/status", nil)); status != 200 ||
		answer["message"] != "Status OK" {
		t.Errorf("%d %v", status, answer)
	}
	data := []byte("anything")
	body := `{"Runtime_Data":"` + base64.StdEncoding.EncodeToString(data) + `","future":1}`
	status, answer := ask(h, post("/attest/raw", body))
	report, err := hex.DecodeString(answer["report"])
	sum := sha256.Sum256(data)
	if status != 200 || err != nil || len(report) != 1184 || !bytes.Equal(report[0x50:0x70], sum[:]) {
		t.Errorf("%d %v %v", status, answer, err)
	}
	h.guest.certificates = []byte("certificates")
	status, answer = ask(h, post("/attest/combined", body))
	if status != 200 || answer["endorsed_tcb"] != "DB00000000000004" || answer["endorsements"] != "Y2VydGlmaWNhdGVz" {
		t.Errorf("%d %v", status, answer)
	}
	for name, collect := range map[string]func([64]byte) (*agent.Report, error){
		"no guest": func([64]byte) (*agent.Report, error) { return nil, errors.New("this is not a guest") },
		"a short one": func([64]byte) (*agent.Report, error) {
			return &agent.Report{Kind: evidence.SEVSNPVM, Raw: []byte{1}}, nil
		},
		"of other kind": func([64]byte) (*agent.Report, error) {
			return &agent.Report{Kind: evidence.TDXVM, Raw: []byte{1}}, nil
		},
	} {
		h.guest.collect = collect
		if status, answer := ask(h, post("/attest/combined", body)); status != 403 || answer["error"] == "" {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
}

// More calls than can be answered are refused at once, and the reports are made one after the other.
func TestManyCalls(t *testing.T) {
	h := fixed()
	hold := make(chan struct{})
	entered := make(chan struct{}, maxCalls)
	inside := h.guest.collect
	h.guest.collect = func(data [64]byte) (*agent.Report, error) {
		entered <- struct{}{}
		<-hold
		return inside(data)
	}
	statuses := make(chan int)
	for range maxCalls {
		go func() {
			status, _ := ask(h, post("/attest/raw", `{"runtime_data":"QQ=="}`))
			statuses <- status
		}()
	}
	<-entered
	deadline := time.Now().Add(5 * time.Second)
	for len(h.slots) < maxCalls && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if status, answer := ask(h, post("/attest/raw", `{"runtime_data":"QQ=="}`)); status != 503 {
		t.Errorf("one more: %d %v", status, answer)
	}
	if len(entered) != 0 {
		t.Error("two reports are made at a time")
	}
	close(hold)
	for range maxCalls {
		if status := <-statuses; status != 200 {
			t.Errorf("status %d", status)
		}
	}
	// Who waits for a report gives up when the call ends.
	h.guest.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if status, _ := ask(h, post("/attest/raw", `{"runtime_data":"QQ=="}`).WithContext(ctx)); status != 403 {
		t.Errorf("a call that ended: %d", status)
	}
}

func TestFlags(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	empty, token := write("empty", "\n"), write("token", "secret\n")
	context := filepath.Join(dir, "context")
	os.Mkdir(context, 0o700)
	write("context/"+contextCertificates, "!")
	other := filepath.Join(dir, "other")
	os.Mkdir(other, 0o700)
	write("other/"+contextCertificates, base64.StdEncoding.EncodeToString([]byte(`{"tcbm":"x"}`)))
	for name, tc := range map[string]struct {
		c    Command
		text string
	}{
		"a token for all":           {Command{BearerFile: token}, "name the endpoints"},
		"an empty token":            {Command{BearerFile: empty, Endpoint: []string{"a"}}, "found 0"},
		"no token":                  {Command{BearerFile: filepath.Join(dir, "none"), Endpoint: []string{"a"}}, "none"},
		"an endpoint that is none":  {Command{Endpoint: []string{"https://a"}}, "--endpoint"},
		"no CA":                     {Command{CA: empty}, "--ca"},
		"no folder":                 {Command{SecurityContext: filepath.Join(dir, "none")}, "--security-context"},
		"a context without base64":  {Command{SecurityContext: context}, "expected base64"},
		"a context with other text": {Command{SecurityContext: other}, "16 hex digits"},
		"no certificates":           {Command{Certs: token}, "--certs"},
		"no simulated guest":        {Command{EvidenceFrom: dir}, "--signing-key"},
		"two guests":                {Command{EvidenceFrom: dir, Certs: token}, "leave out"},
	} {
		if _, err := tc.c.handler(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), tc.text) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", name, err, tc.text)
		}
	}
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "guest.example:0", "localhost"} {
		l, err := (&Command{Listen: address}).listen(t.Context())
		var usage term.UsageFault
		if l != nil || !errors.As(err, &usage) {
			t.Errorf("%s: %v", address, err)
		}
	}
	l, err := (&Command{Listen: "0.0.0.0:0", AllowRemote: true}).listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestItStops: a call that runs ends, and then the side-car.
func TestItStops(t *testing.T) {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	h := fixed()
	running, hold := make(chan struct{}), make(chan struct{})
	inside := h.guest.collect
	h.guest.collect = func(data [64]byte) (*agent.Report, error) {
		close(running)
		<-hold
		return inside(data)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l, h, h.log) }()
	answered := make(chan int, 1)
	go func() {
		resp, err := http.Post("http://"+l.Addr().String()+"/attest/raw", "application/json",
			strings.NewReader(`{"runtime_data":"QQ=="}`))
		if err != nil {
			answered <- 0
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	<-running
	cancel()
	close(hold)
	if status := <-answered; status != 200 {
		t.Errorf("the call that ran: %d", status)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestKeysAreWrittenAsTheSideCarOfAzureWritesThem(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		m    *document.Material
		ops  []string
		want string
	}{
		"oct": {&document.Material{Octets: []byte{1}}, []string{"encrypt"},
			`{"k":"AQ","key_ops":["encrypt"],"kty":"oct"}`},
		"no operations": {&document.Material{Octets: []byte{1}}, nil, `{"k":"AQ","kty":"oct"}`},
		"RSA":           {&document.Material{RSA: rsaKey}, []string{"sign"}, ""},
		"EC":            {&document.Material{EC: ecKey}, []string{"sign"}, ""},
	} {
		text, err := keyText(tc.m, tc.ops)
		if err != nil || tc.want != "" && string(text) != tc.want {
			t.Errorf("%s: %s, %v", name, text, err)
		}
		var key jose.JSONWebKey
		if err := json.Unmarshal(text, &key); err != nil || tc.m.RSA != nil && !tc.m.RSA.Equal(key.Key) ||
			tc.m.EC != nil && !tc.m.EC.Equal(key.Key) {
			t.Errorf("%s: %v: %s", name, err, text)
		}
	}
	if _, err := keyText(&document.Material{}, nil); err == nil {
		t.Error("no key was written")
	}
}

func FuzzCall(f *testing.F) {
	f.Add([]byte(`{"maa_endpoint":"a.example:443","akv_endpoint":"[::1]:1","kid":"k/1","access_token":"t",` +
		`"runtime_data":"QQ=="}`))
	f.Add([]byte(`{"MAA_endpoint":"a/p/team","kid":"../k","runtime_data":"!"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := readCall(body)
		if err != nil {
			return
		}
		if b, err := c.runtime(); err == nil && len(b) > len(body) {
			t.Error("the data are larger than the body")
		}
		name, err := parseEndpoint(c.MAA)
		if err != nil {
			return
		}
		if again, err := parseEndpoint(name); err != nil || again != name || strings.ContainsAny(name, " @?#\\\r\n") {
			t.Errorf("%q reads as %q, %v", c.MAA, again, err)
		}
	})
}
