package api

import (
	"bytes"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/probity-dev/probity/internal/api/edge"
)

// slowBody gives its first bytes and then waits.
type slowBody struct {
	first   []byte
	release <-chan struct{}
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	<-b.release
	return 0, io.ErrUnexpectedEOF
}

func (b *slowBody) Close() error { return nil }

func TestBodiesTakeTheirBytesBeforeTheyAreRead(t *testing.T) {
	for name, declared := range map[string]int64{"of declared length": 300 << 10, "without a length": -1} {
		t.Run(name, func(t *testing.T) {
			budget := edge.NewBudget(1 << 20)
			b := newBench(t, nil)
			b.server.Bodies.Budget, b.server.Bodies.Limit = budget, 1<<20
			release := make(chan struct{})
			var waiting sync.WaitGroup
			post := func(body io.ReadCloser, length int64) *httptest.ResponseRecorder {
				r := httptest.NewRequest("POST", "/attest/SgxEnclave?api-version=2022-08-01", body)
				r.ContentLength = length
				w := httptest.NewRecorder()
				b.server.ServeHTTP(w, r)
				return w
			}
			// Requests that send a little and then nothing, each with its share.
			for range 20 {
				waiting.Go(func() {
					post(&slowBody{first: make([]byte, 200<<10), release: release}, declared)
				})
			}
			deadline := time.Now().Add(5 * time.Second)
			for budget.Used() < 600<<10 && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond)
			}
			if used := budget.Used(); used > 1<<20 {
				t.Errorf("%d bytes are taken of %d", used, 1<<20)
			}
			w := post(io.NopCloser(bytes.NewReader(make([]byte, 1<<20))), 1<<20)
			if w.Code != 503 || w.Header().Get("Retry-After") == "" ||
				!strings.Contains(w.Body.String(), "request.memory") {
				t.Errorf("a body without a place: %d %v %s", w.Code, w.Header(), w.Body)
			}
			close(release)
			waiting.Wait()
			if used := budget.Used(); used != 0 {
				t.Errorf("%d bytes stay taken", used)
			}
			if w := post(io.NopCloser(strings.NewReader("{}")), 2); w.Code != 400 {
				t.Errorf("a body after the flood: %d %s", w.Code, w.Body)
			}
			if used := budget.Used(); used != 0 {
				t.Errorf("%d bytes stay taken", used)
			}
		})
	}
}

func TestEveryRouteThatReadsABodyIsInTheBudget(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "alpha", "")
	b.server.Bodies.Budget = edge.NewBudget(1)
	fill := strings.NewReplacer("{type}", "SgxEnclave", "{version}", "1", "{proposal}", "x", "{token}",
		"t", "{subscription}", "s1", "{group}", "g1", "{location}", "westus", "{provider}", "alpha",
		"{endpoint}", "e", "{key}", "k", "{keyversion}", strings.Repeat("0", 32))
	refused := 0
	for _, route := range routes(nil, nil, nil, nil, nil) {
		version := apiVersion
		if route.Versioned == edge.KeyVault {
			version = vaultVersion
		}
		r := newRequest(route.Method, fill.Replace(route.Path)+version, `{"a":1}`)
		r.Header.Set("Authorization", "Bearer "+adminToken)
		w := httptest.NewRecorder()
		b.server.ServeHTTP(w, r)
		if w.Code == 503 && strings.Contains(w.Body.String(), "request.memory") {
			refused++
		} else if (route.Method == "PUT" || route.Method == "PATCH") &&
			w.Code != 404 { // what is not there is not read
			t.Errorf("%s %s reads a body outside the budget: %d %s", route.Method, route.Path, w.Code, w.Body)
		}
	}
	if refused < 16 {
		t.Errorf("%d routes were refused", refused)
	}
}
