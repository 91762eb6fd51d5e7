package node

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/probity-dev/probity/internal/api"
	"github.com/probity-dev/probity/internal/telemetry"
)

func TestTheOperationsListenerIsOnLoopback(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		if l, err := listenOnLoopback(t.Context(), "operations.listen", address); err == nil {
			l.Close()
			t.Errorf("%s: listens", address)
		} else if !strings.Contains(err.Error(), "operations.listen") ||
			!strings.Contains(err.Error(), "loopback") {
			t.Errorf("%s: %v", address, err)
		}
	}
	l, err := listenOnLoopback(t.Context(), "operations.listen", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestTheOperationsListenerAnswersUnderLoopbackNames(t *testing.T) {
	operations := api.New(api.Config{Metrics: telemetry.New(nil)}).Operations()
	for host, want := range map[string]int{
		"localhost:9443": 200, "LOCALHOST": 200, "127.0.0.1:9443": 200, "[::1]:9443": 200,
		"rebound.example:9443": 421, "10.0.0.1": 421, "": 421, "localhost.example": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if operations.ServeHTTP(w, r); w.Code != want {
			t.Errorf("host %q: %d, expected %d", host, w.Code, want)
		}
	}
}
