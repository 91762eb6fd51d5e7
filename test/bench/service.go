package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/node"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store/anchor"
	"github.com/probity-dev/probity/internal/store/seal"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/internal/vault"
)

const benchToken = "administrator-of-the-benchmarks"

// service is a whole node in this process, which is called over HTTPS: client and TLS are part of what is measured.
type service struct {
	client *http.Client
	url    string
	body   string // of a release
	count  int
	close  func()
}

// newService starts a development node with a number of keys.
func newService(count int) *service {
	dir := mustGet(os.MkdirTemp("", "probity-bench"))
	must(os.Setenv("PROBITY_ADMIN_TOKEN", benchToken))
	cfg := config.Config{Listen: "localhost:0", URL: "https://localhost:8443", DataDir: dir}
	must(cfg.Complete(true))
	ctx, cancel := context.WithCancel(context.Background())
	open := func() *node.Node {
		return mustGet(node.Open(ctx, cfg, true, slog.New(slog.DiscardHandler)))
	}
	open().Close() // it makes keys and database
	s := &service{count: count, body: prepare(ctx, dir, cfg.URL, count)}
	n := open()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(mustGet(os.ReadFile(filepath.Join(dir, edge.DevCAFile))))
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 64}}
	s.url = "https://" + strings.Replace(n.Address(), "127.0.0.1", "localhost", 1)
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	s.close = func() {
		s.client.CloseIdleConnections()
		cancel()
		must(<-done)
		n.Close()
		os.RemoveAll(dir)
	}
	return s
}

// prepare fills the database of a node that does not run, and returns the body of a release that each key accepts.
func prepare(ctx context.Context, dir, url string, count int) string {
	master := mustGet(keys.LoadMasterKey(filepath.Join(dir, "master.key"), nil, false))
	db := mustGet(sqlite.Open(ctx, dir))
	defer db.Close()
	sealed := mustGet(seal.Open(master, mustGet(anchor.Open(filepath.Join(dir, anchor.Dir))))).Guard(db)
	software := mustGet(vault.NewSoftware(master.Subkey("keys of vaults"), rand.Reader))
	row := mustGet(db.Providers(ctx))[0]
	fill(sealed, software, url, &provider.Provider{Provider: row}, count)
	ring := keys.NewRing(keys.Config{Master: master, Random: rand.Reader}, mustGet(db.SigningKeys(ctx)), nil)
	signers := mustGet(ring.For(row.Name, keys.DefaultAlgorithm, url, time.Now()))
	machine := mustGet(rsa.GenerateKey(rand.Reader, 3072))
	return fmt.Sprintf(`{"target":%q}`, mustGet(signers.Sign.Sign(claims(url, &machine.PublicKey))))
}

func (s *service) do(method, path, body string) {
	r := mustGet(http.NewRequestWithContext(context.Background(), method, s.url+path, strings.NewReader(body)))
	r.Header.Set("Authorization", "Bearer "+benchToken)
	r.Header.Set("Content-Type", "application/json")
	resp := mustGet(s.client.Do(r))
	defer resp.Body.Close()
	answer := mustGet(io.ReadAll(resp.Body))
	if resp.StatusCode != http.StatusOK {
		panic(fmt.Sprintf("%s %s: %d %s", method, path, resp.StatusCode, answer))
	}
}

func (s *service) release(i int) {
	s.do("POST", "/keys/"+keyName(i%s.count)+"/release?api-version=7.4", s.body)
}

func (s *service) get(i int) { s.do("GET", "/keys/"+keyName(i%s.count)+"?api-version=7.4", "") }

// list reads a page of 5 keys, which is not the last one.
func (s *service) list(i int) {
	path := "/keys?api-version=7.4&maxresults=5"
	if i %= s.count - 6; i > 0 {
		path += "&$skiptoken=" + keyName(i)
	}
	s.do("GET", path, "")
}
