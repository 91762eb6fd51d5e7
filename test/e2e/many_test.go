package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlite"
)

// TestTenThousandProviders of one node: it starts, and attests as a node with one
// provider does. The figures are logged.
func TestTenThousandProviders(t *testing.T) {
	const n = 10_000
	f := newAlone(t)
	one := f.node(t)
	var begin time.Time
	f.prepare = func(dir string) {
		db, err := sqlite.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for from := 0; from < n; from += 1000 {
			if err := db.Update(t.Context(), store.TopicProvider, "", func(tx store.Tx) error {
				return fill(t, tx, from, from+1000)
			}); err != nil {
				t.Fatal(err)
			}
		}
		begin = time.Now()
	}
	many := f.node(t)
	started := time.Since(begin)
	clients := []*client.Client{one.Client}
	for i := range 20 {
		c, err := many.client(fmt.Sprintf("tenant-%05d", i*499))
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	var alone, among []float64
	for i := range 820 {
		c := clients[1+i/2%20]
		if i%2 == 0 {
			c = clients[0]
		}
		start := time.Now()
		_, err := c.Attest(t.Context(), client.Request{Kind: evidence.SGXEnclave, Evidence: f.quote})
		if err != nil {
			t.Fatal(err)
		}
		switch took := time.Since(start).Seconds() * 1e6; {
		case i < 100: // connections, certificates, caches
		case i%2 == 0:
			alone = append(alone, took)
		default:
			among = append(among, took)
		}
	}
	slices.Sort(alone)
	slices.Sort(among)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", many.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	resident := ""
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS:") {
			resident = strings.Join(strings.Fields(line)[1:], " ")
		}
	}
	a, b := alone[len(alone)/2], among[len(among)/2]
	t.Logf("10,000 providers with a policy each: started in %s, %s resident; "+
		"attestation %.0f µs (median), on a node with one provider %.0f µs: %.2f",
		started.Round(time.Millisecond), resident, b, a, b/a)
}

func fill(t *testing.T, tx store.Tx, from, to int) error {
	for i := from; i < to; i++ {
		name := fmt.Sprintf("tenant-%05d", i)
		_, err := tx.PutProvider(store.Provider{Name: name, Subscription: "s", Group: "g", Location: "local"})
		if err != nil {
			return err
		}
		if _, err := tx.PutPolicy(store.PolicyVersion{
			Provider: name, Kind: string(evidence.SGXEnclave), Action: store.PolicySet,
			JWS: wrapped(t, policyText(i)), At: time.Now(),
		}); err != nil {
			return err
		}
	}
	return nil
}
