package agent

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestThePlatformIsAskedWithoutAProxy: who sets the environment of the agent must not read
// evidence, or answer in the platform's place.
func TestThePlatformIsAskedWithoutAProxy(t *testing.T) {
	transport, ok := platformClient.Transport.(*http.Transport)
	if !ok || transport.Proxy != nil {
		t.Fatal("evidence can be led through a proxy of the environment")
	}
}

func TestThePlatformDoesNotSendEvidenceElsewhere(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		var elsewhere atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/acc/tdquote" {
				elsewhere.Add(1)
				return
			}
			http.Redirect(w, r, "/elsewhere", status)
		}))
		_, err := (&Azure{Host: server.URL}).ask(t.Context(), http.MethodPost, "/acc/tdquote", []byte("report"))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) || elsewhere.Load() != 0 {
			t.Errorf("status %d: %v, %d requests elsewhere", status, err, elsewhere.Load())
		}
		server.Close()
	}
}

func TestAnswersOfThePlatformAreBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, maxAnswer+1))
	}))
	defer server.Close()
	if b, err := (&Azure{Host: server.URL}).ask(t.Context(), http.MethodGet, "/x", nil); err == nil {
		t.Errorf("%d bytes are read, and taken for the whole", len(b))
	}
}
