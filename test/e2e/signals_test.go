//go:build unix

package e2e

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
)

// probe asks a path of a node, as a load balancer does.
func (n *node) probe(path string) (status int, body string) {
	c := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives: true,
	}}
	resp, err := c.Get("https://" + n.address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 200 {
		if f() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func (n *node) attests(quote []byte) error {
	_, err := n.Attest(context.Background(), client.Request{Kind: evidence.SGXEnclave, Evidence: quote})
	return err
}

// TestTheServiceDrainsWhenItIsAskedToStop: load balancers learn of it, requests are
// answered meanwhile, and decisions are recorded with a checkpoint over them.
func TestTheServiceDrainsWhenItIsAskedToStop(t *testing.T) {
	f := newAlone(t)
	f.config["url"] = "https://attest.example.org"
	f.config["limits"] = map[string]any{"drain": "2s"}
	n := f.node(t)
	if status, body := n.probe("/readyz"); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "/readyz says that the service drains", func() bool {
		status, body := n.probe("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "draining")
	})
	if err := n.attests(f.quote); err != nil {
		t.Errorf("while it drains: %v", err)
	}
	if status, body := n.probe("/healthz"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if err := n.cmd.Wait(); err != nil {
		t.Errorf("the service ended with %v", err)
	}
	log := n.log.String()
	if !strings.Contains(log, `"msg":"ledger checkpoint"`) || strings.Contains(log, `"level":"ERROR"`) {
		t.Error(log)
	}
}

func TestASecondSignalEndsTheServiceAtOnce(t *testing.T) {
	f := newAlone(t)
	f.config["limits"] = map[string]any{"drain": "1m"}
	n := f.node(t)
	start := time.Now()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "/readyz says that the service drains",
		func() bool { status, _ := n.probe("/readyz"); return status == 503 })
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Wait(); err == nil || time.Since(start) > 30*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}

// TestTheConfigurationIsReadAgain: on SIGHUP, without a restart; what is wrong changes
// nothing.
func TestTheConfigurationIsReadAgain(t *testing.T) {
	f := newAlone(t)
	whole := maps.Clone(f.config)
	delete(f.config, "collateral")
	n := f.node(t)
	write := func(cfg any) {
		t.Helper()
		b, err := json.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := cfg.(string); ok {
			b = []byte(text)
		}
		if err := os.WriteFile(filepath.Join(n.dir, "probity.json"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	failed := func(want string) func() bool {
		return func() bool {
			_, body := n.probe("/metrics")
			return strings.Contains(body, "\nprobity_config_reload_failed "+want)
		}
	}
	if err := n.attests(f.quote); err == nil {
		t.Fatal("accepted without collateral")
	}
	write(whole)
	eventually(t, "the quote is accepted with the collateral", func() bool { return n.attests(f.quote) == nil })

	for _, wrong := range []any{
		`{`, map[string]any{"unknown": 1}, map[string]any{"tcb": "nonsense"},
		map[string]any{"collateral": []string{filepath.Join(n.dir, "absent.json")}},
	} {
		write(whole)
		eventually(t, "the good configuration is read", failed("0"))
		write(wrong)
		eventually(t, "the wrong configuration is told", failed("1"))
		if err := n.attests(f.quote); err != nil {
			t.Errorf("%v: %v", wrong, err)
		}
	}

	// The quote is of an enclave that is up to date.
	stricter := maps.Clone(whole)
	stricter["tcb"] = "OutOfDate"
	stricter["store"] = map[string]any{"poll": "1s"}
	write(stricter)
	eventually(t, "the statuses are in force", func() bool { return n.attests(f.quote) != nil })
	write(whole)
	eventually(t, "and the earlier ones again", func() bool { return n.attests(f.quote) == nil })

	if err := n.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Wait(); err != nil {
		t.Error(err)
	}
	log := n.log.String()
	if !strings.Contains(log, `"setting":"store"`) && !strings.Contains(log, `"setting":"store.poll"`) {
		t.Errorf("the log does not name the setting that needs a restart:\n%s", log)
	}
}
