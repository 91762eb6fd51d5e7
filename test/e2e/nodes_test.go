package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store/postgres"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/test/kit/pgtest"
	"github.com/probity-dev/probity/token"
)

const adminToken = "administrator-of-the-nodes"

// node is a running process of the service.
type node struct {
	dir, address string
	env          []string
	cmd          *exec.Cmd
	log          bytes.Buffer
	*client.Client
}

// fleet is nodes that share a database, and evidence that they accept.
type fleet struct {
	binary, database string
	config           map[string]any
	quote            []byte
	master           string
	server           *pgtest.Server
	// prepare, if not nil, is called with a node's data directory before it starts.
	prepare func(string)
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	server := pgtest.Start(t)
	f := newAlone(t)
	f.server, f.database = server, server.Database(t)
	return f
}

// newAlone is for nodes with an embedded store each.
func newAlone(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{binary: program}
	now := time.Now()
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	set, err := pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	f.quote = m.Quote(evidencetest.QuoteConfig{Enclave: evidencetest.DemoEnclave()})
	files := t.TempDir()
	for name, b := range map[string][]byte{"collateral.json": set, "root.pem": pki.Root.PEM()} {
		if err := os.WriteFile(filepath.Join(files, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := make([]byte, 32)
	rand.Read(key)
	f.master = base64.StdEncoding.EncodeToString(key)
	f.config = map[string]any{
		"url":         "https://attest.example.org",
		"collateral":  []string{filepath.Join(files, "collateral.json")},
		"development": map[string]any{"intelRoot": filepath.Join(files, "root.pem")},
	}
	return f
}

// node starts one.
func (f *fleet) node(t *testing.T) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{dir: t.TempDir(), address: l.Addr().String()}
	l.Close()
	b, err := json.Marshal(f.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.dir, "probity.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	n.env = append(os.Environ(), "PROBITY_ADMIN_TOKEN="+adminToken, "PROBITY_MASTER_KEY="+f.master)
	if f.database != "" {
		n.env = append(n.env, "PROBITY_POSTGRES="+f.database)
	}
	if f.prepare != nil {
		f.prepare(filepath.Join(n.dir, "data"))
	}
	n.run(t, f)
	t.Cleanup(func() {
		n.cmd.Process.Signal(os.Interrupt)
		n.cmd.Wait()
		if t.Failed() {
			t.Logf("log of %s:\n%s", n.address, n.log.Bytes()[max(0, n.log.Len()-3000):])
		}
	})
	return n
}

func (n *node) run(t *testing.T, f *fleet) {
	t.Helper()
	n.cmd = exec.Command(f.binary, "serve", "--dev", "--config", filepath.Join(n.dir, "probity.json"),
		"--data", filepath.Join(n.dir, "data"), "--listen", n.address)
	n.cmd.Env, n.cmd.Stderr = n.env, &n.log
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(25 * time.Millisecond) {
		if conn, err := net.Dial("tcp", n.address); err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the node does not listen after a minute")
		}
	}
	var err error
	if n.Client, err = n.client(""); err != nil {
		t.Fatal(err)
	}
}

// client calls the node by its own address, whatever the service's URL is.
func (n *node) client(provider string) (*client.Client, error) {
	pem, err := os.ReadFile(filepath.Join(n.dir, "data", "ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c, err := client.New(client.Config{
		URL:     "https://attest.example.org",
		Roots:   pool,
		Token:   adminToken,
		Timeout: 20 * time.Second,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, n.address)
		},
	})
	if err == nil && provider != "" {
		c = c.ForProvider(provider)
	}
	return c, err
}

func policyText(i int) string {
	return fmt.Sprintf(`version=1.0;authorizationrules{[type=="x-ms-sgx-svn", value<%d] => permit();};`, 1000+i)
}

func wrapped(t *testing.T, text string) string {
	t.Helper()
	jws, err := policyjws.Wrap(nil, text, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return jws
}

// inForce returns the policy that a node answers with.
func inForce(t *testing.T, c *client.Client) string {
	t.Helper()
	compact, err := c.Policy(t.Context(), evidence.SGXEnclave)
	if err != nil {
		t.Fatal(err)
	}
	return tokenClaims(t, compact)["x-ms-policy"].(string)
}

func tokenClaims(t *testing.T, compact string) map[string]any {
	t.Helper()
	_, payload, err := token.Decode(compact)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestAChangeIsInForceOnBothNodes within a second, 100 of 100 times.
func TestAChangeIsInForceOnBothNodes(t *testing.T) {
	f := newFleet(t)
	nodes := []*node{f.node(t), f.node(t)}
	var slowest time.Duration
	late := 0
	for i := range 100 {
		jws := wrapped(t, policyText(i))
		if _, err := nodes[i%2].SetPolicy(t.Context(), evidence.SGXEnclave, jws); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if inForce(t, nodes[i%2].Client) != jws {
			t.Fatalf("change %d is not in force where it was made", i)
		}
		for inForce(t, nodes[(i+1)%2].Client) != jws {
			if time.Since(start) > 5*time.Second {
				t.Fatalf("change %d never came", i)
			}
			time.Sleep(time.Millisecond)
		}
		took := time.Since(start)
		slowest = max(slowest, took)
		if took > time.Second {
			late++
		}
	}
	t.Logf("%d of 100 changes in force on the other node within 1 s, the slowest after %s", 100-late,
		slowest.Round(time.Millisecond))
	if late > 0 {
		t.Errorf("%d changes were late", late)
	}
	history, err := nodes[0].PolicyHistory(t.Context(), evidence.SGXEnclave)
	if err != nil || len(history) != 100 {
		t.Errorf("%d versions, %v", len(history), err)
	}
}

// load attests on nodes until stopped, and remembers the tokens that were
// acknowledged.
type load struct {
	mu     sync.Mutex
	ids    []string
	failed atomic.Int64
	done   sync.WaitGroup
	stop   context.CancelFunc
}

func (f *fleet) load(t *testing.T, provider string, nodes ...*node) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{stop: cancel}
	for _, n := range nodes {
		for range 4 {
			c, err := n.client(provider)
			if err != nil {
				t.Fatal(err)
			}
			l.done.Go(func() {
				for ctx.Err() == nil {
					compact, err := c.Attest(ctx, client.Request{Kind: evidence.SGXEnclave, Evidence: f.quote})
					if err != nil {
						if ctx.Err() == nil {
							l.failed.Add(1)
							time.Sleep(10 * time.Millisecond)
						}
						continue
					}
					_, payload, _ := token.Decode(compact)
					var claims struct {
						ID string `json:"jti"`
					}
					json.Unmarshal(payload, &claims)
					l.mu.Lock()
					l.ids = append(l.ids, claims.ID)
					l.mu.Unlock()
				}
			})
		}
	}
	return l
}

// recorded reads a ledger, verifies it, and returns the ids of its tokens.
func (f *fleet) recorded(t *testing.T, provider string) map[string]bool {
	t.Helper()
	db, err := postgres.Open(t.Context(), f.database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	records, err := db.CheckpointKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	public, _ := keys.CheckpointVerifier(records)
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	report, err := ledger.Verify(t.Context(), db, provider, ledger.Keys{verifier}, nil, nil)
	if err != nil || len(report.Problems) != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	ids := map[string]bool{}
	for from := int64(0); from >= 0; {
		found, next, err := ledger.Search(t.Context(), db, provider, ledger.Query{Type: ledger.Decision},
			from, 1000, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range found {
			if ids[e.Token] {
				t.Errorf("token %s is recorded twice", e.Token)
			}
			ids[e.Token] = true
		}
		from = next
	}
	return ids
}

// TestKilledNodesLoseNoDecision of a provider that fails closed.
func TestKilledNodesLoseNoDecision(t *testing.T) {
	f := newFleet(t)
	a, b := f.node(t), f.node(t)
	_, err := a.PutProvider(t.Context(), client.Scope{Subscription: "s", Group: "g"}, "closed",
		client.Provider{Location: "local",
			Properties: client.ProviderProperties{Probity: []byte(`{"ledger":"failClosed"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	var acknowledged []string
	for round, victim := range []*node{a, b} {
		l := f.load(t, "closed", a, b)
		for i := range 10 { // policies change under load
			api, err := []*node{a, b}[(round+1)%2].client("closed")
			if err != nil {
				t.Fatal(err)
			}
			_, err = api.SetPolicy(t.Context(), evidence.SGXEnclave, wrapped(t, policyText(round*10+i)))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err := victim.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		victim.cmd.Wait()
		time.Sleep(500 * time.Millisecond)
		l.stop()
		l.done.Wait()
		acknowledged = append(acknowledged, l.ids...)
		victim.run(t, f)
	}
	ids := f.recorded(t, "closed")
	missing := 0
	for _, id := range acknowledged {
		if !ids[id] {
			missing++
		}
	}
	t.Logf("two nodes killed under load: %d decisions acknowledged, %d recorded, %d missing",
		len(acknowledged), len(ids), missing)
	if missing > 0 || len(acknowledged) < 100 {
		t.Errorf("%d of %d acknowledged decisions are not in the ledger", missing, len(acknowledged))
	}
	api, err := a.client("closed")
	if err != nil {
		t.Fatal(err)
	}
	history, err := api.PolicyHistory(t.Context(), evidence.SGXEnclave)
	if err != nil || len(history) != 20 {
		t.Errorf("%d versions, %v", len(history), err)
	}
	for i, v := range history {
		if v.Version != int64(len(history)-i) {
			t.Errorf("version %d at place %d", v.Version, i)
		}
	}
}

// TestTheDatabaseIsUnavailable: attestations go on, management says when to come again, and
// all heals by itself. PROBITY_OUTAGE makes it longer.
func TestTheDatabaseIsUnavailable(t *testing.T) {
	outage := 5 * time.Second
	if text := os.Getenv("PROBITY_OUTAGE"); text != "" {
		var err error
		if outage, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	f := newFleet(t)
	n := f.node(t)
	l := f.load(t, "", n)
	time.Sleep(time.Second)
	f.server.Stop()
	begin := time.Now()
	refused := 0
	for time.Since(begin) < outage {
		_, err := n.SetPolicy(t.Context(), evidence.SGXEnclave, wrapped(t, policyText(1)))
		var answer *client.Error
		if !errors.As(err, &answer) || answer.Status != 503 || answer.RetryAfter == 0 {
			t.Errorf("management: %v", err)
		}
		refused++
		time.Sleep(200 * time.Millisecond)
	}
	f.server.Run(t)
	healed := time.Now()
	for {
		if _, err := n.SetPolicy(t.Context(), evidence.SGXEnclave, wrapped(t, policyText(1))); err == nil {
			break
		} else if time.Since(healed) > 20*time.Second {
			t.Fatalf("it does not heal: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	after := time.Since(healed)
	l.stop()
	l.done.Wait()
	n.cmd.Process.Signal(os.Interrupt)
	n.cmd.Wait()
	ids := f.recorded(t, "default")
	missing := 0
	for _, id := range l.ids {
		if !ids[id] {
			missing++
		}
	}
	t.Logf("database away for %s: %d attestations, %d failed, %d of them not in the ledger; "+
		"%d changes answered 503; healed %s after it was back",
		outage, len(l.ids), l.failed.Load(), missing, refused, after.Round(time.Millisecond))
	if l.failed.Load() > 0 || missing > 0 || refused == 0 {
		t.Error("see above")
	}
}
