package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/ledger"
)

// attestWith sends good evidence with headers.
func attestWith(b *bench, headers map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", sgxPath, strings.NewReader(`{"quote":"`+b.quote()+`"}`))
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

func entriesOf(t *testing.T, b *bench, q ledger.Query) []*ledger.Entry {
	t.Helper()
	b.ledger.Close(t.Context())
	found, _, err := ledger.Search(t.Context(), b.db, "default", q, 0, 100, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Whatever ids a client sends, the entry has the service's own; the client's are
// beside it, as its claim.
func TestClientsDoNotChooseRequestIDs(t *testing.T) {
	b := newBench(t, nil)
	victim := attestWith(b, nil).Header().Get("x-ms-request-id")
	claims := map[string]string{
		"traceparent":                 victim,
		"x-ms-request-id":             victim,
		"x-ms-client-request-id":      victim,
		"x-ms-correlation-request-id": victim,
	}
	ids := map[string]bool{victim: true}
	for range 2 {
		w := attestWith(b, claims)
		id := w.Header().Get("x-ms-request-id")
		if w.Code != 200 || ids[id] ||
			!regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`).MatchString(id) {
			t.Errorf("%d, id %q", w.Code, id)
		}
		ids[id] = true
	}
	attestWith(b, map[string]string{
		"traceparent":            "no trace",
		"x-ms-client-request-id": "a\x00\xff\u00e4" + strings.Repeat("x", 5000),
	})
	found := entriesOf(t, b, ledger.Query{Type: ledger.Decision})
	if len(found) != 4 {
		t.Fatalf("%d entries", len(found))
	}
	of := 0
	for _, e := range found {
		if e.Request == victim {
			of++
		}
	}
	if of != 1 || found[0].Client != nil || found[1].Client["traceparent"] != victim ||
		len(found[1].Client) != 4 {
		t.Errorf("%d entries have the id %s; %+v", of, victim, found[1])
	}
	odd := found[3].Client
	if len(odd) != 1 || len(odd["x-ms-client-request-id"]) > edge.MaxClientID ||
		!strings.HasPrefix(odd["x-ms-client-request-id"], "a??") {
		t.Errorf("%q", odd)
	}
	if strings.Contains(b.log.String(), strings.Repeat("x", edge.MaxClientID+1)) {
		t.Error("the log has a client's text without a bound")
	}
}

// Changes have the service's id as well.
func TestChangesHaveTheServicesRequestID(t *testing.T) {
	b := newBench(t, nil)
	chosen := "00-11111111111111111111111111111111-2222222222222222-01"
	r := httptest.NewRequest("POST", "/policies/SgxEnclave:reset?api-version=2022-08-01",
		strings.NewReader("eyJhbGciOiJub25lIn0.."))
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set("traceparent", chosen)
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	found := entriesOf(t, b, ledger.Query{Action: "policy.reset"})
	if w.Code != 200 || len(found) != 1 || found[0].Request == chosen || found[0].Request == "" ||
		found[0].Client["traceparent"] != chosen {
		t.Errorf("%d %s: %+v", w.Code, w.Body, found)
	}
}

// deaf is a client that is not there to read.
type deaf struct{ http.ResponseWriter }

func (deaf) Write([]byte) (int, error) { return 0, errors.New("the connection was closed") }

// A token that never left is on record, whichever way it was lost.
func TestTokensThatNeverLeftAreOnRecord(t *testing.T) {
	b := newBench(t, nil)
	request := func() *http.Request {
		return httptest.NewRequest("POST", sgxPath, strings.NewReader(`{"quote":"`+b.quote()+`"}`))
	}
	b.handler.ServeHTTP(deaf{httptest.NewRecorder()}, request())
	gone, cancel := context.WithCancel(t.Context())
	b.handler.ServeHTTP(leaving{httptest.NewRecorder(), cancel}, request().WithContext(gone))
	// A client that closes the connection behind its answer has the token.
	content, cancel := context.WithCancel(t.Context())
	b.handler.ServeHTTP(served{httptest.NewRecorder(), cancel}, request().WithContext(content))
	if good := attestWith(b, nil); good.Code != 200 {
		t.Fatal(good.Body)
	}
	// A refusal has no token that could be lost.
	b.handler.ServeHTTP(deaf{httptest.NewRecorder()},
		httptest.NewRequest("POST", sgxPath, strings.NewReader(`{"quote":"AAAA"}`)))
	found := entriesOf(t, b, ledger.Query{})
	tokens := map[string]string{}
	withheld := 0
	for _, e := range found {
		if e.Type == ledger.Decision {
			tokens[e.Token] = e.Request
		}
	}
	for _, e := range found {
		if e.Type != ledger.Withheld {
			continue
		}
		withheld++
		if e.Token == "" || tokens[e.Token] != e.Request || e.Reason == "" {
			t.Errorf("%+v", e)
		}
	}
	if withheld != 2 {
		t.Errorf("%d tokens on record as withheld, want 2", withheld)
	}
}

// leaving is a client that goes before it is answered.
type leaving struct {
	http.ResponseWriter
	leave context.CancelFunc
}

func (l leaving) Header() http.Header {
	l.leave()
	return l.ResponseWriter.Header()
}

// served is a client that goes behind its answer.
type served struct {
	http.ResponseWriter
	leave context.CancelFunc
}

func (l served) Write(b []byte) (int, error) {
	defer l.leave()
	return l.ResponseWriter.Write(b)
}

// TestEveryTypeOfEntriesCanBeSearched: by the service and by its description.
func TestEveryTypeOfEntriesCanBeSearched(t *testing.T) {
	b := newBench(t, nil)
	for _, typ := range ledger.Types() {
		if w := b.admin("GET", "/ledger?type="+typ, ""); w.Code != 200 {
			t.Errorf("%s: %d %s", typ, w.Code, w.Body)
		}
	}
	w := b.admin("GET", "/ledger?type=other", "")
	if w.Code != 400 || !strings.Contains(w.Body.String(), "withheld") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A ledger that was changed in the database is told by /readyz, and its provider
// fails closed; others go on.
func TestAChangedLedgerIsTold(t *testing.T) {
	b := newBench(t, nil)
	b.provider(t, "closed", `"probity":{"ledger":"failClosed"}`)
	body := `{"quote":"` + b.quote() + `"}`
	if w := b.do("POST", "/p/closed"+sgxPath, body); w.Code != 200 {
		t.Fatal(w.Body)
	}
	if _, err := b.db.DB().Exec(`UPDATE ledger_heads SET size = 1 WHERE provider = 'closed'`); err != nil {
		t.Fatal(err)
	}
	wantCheck(t, b.do("POST", "/p/closed"+sgxPath, body), 503, edge.CheckIntact.ID)
	if w := b.do("POST", sgxPath, body); w.Code != 200 {
		t.Errorf("another provider: %d %s", w.Code, w.Body)
	}
	if w := b.do("GET", "/readyz", ""); w.Code != 200 ||
		!strings.Contains(w.Body.String(), `"stoppedLedgers":1`) ||
		strings.Contains(w.Body.String(), "closed") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	var ready details
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/readyz", nil)
	r.Host = "localhost:9443"
	b.server.Operations().ServeHTTP(w, r)
	err := json.Unmarshal(w.Body.Bytes(), &ready)
	if err != nil || w.Code != 200 || len(ready.StoppedLedgers) != 1 ||
		ready.StoppedLedgers[0].Provider != "closed" || ready.StoppedLedgers[0].Remedy == "" ||
		ready.Status != "ready" {
		t.Errorf("%d %s, %v", w.Code, w.Body, err)
	}
}

// deadLedger takes nothing.
type deadLedger struct{}

func (deadLedger) Withhold(string, ledger.Entry, string) {}

func (deadLedger) Cosigned(string) (string, int64) { return "", 0 }

func (deadLedger) Stopped() []*ledger.Stop { return nil }

func (deadLedger) Record(context.Context, string, ledger.Entry, bool) error { return ledger.ErrFull }

func TestNoLedgerNoToken(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Ledger = deadLedger{} })
	b.provider(t, "closed", `"probity":{"ledger":"failClosed"}`)
	attest := `{"quote":"` + b.quote() + `"}`
	w := b.do("POST", "/p/closed"+sgxPath, attest)
	wantCheck(t, w, 503, edge.CheckLedger.ID)
	if w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "eyJ") {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	if w := b.do("POST", "/p/closed"+sgxPath, `{"quote":"AAAA"}`); w.Code != 503 {
		t.Errorf("a refusal that is not recorded: %d", w.Code)
	}
	if w := b.do("POST", sgxPath, attest); w.Code != 200 {
		t.Errorf("a provider that counts its losses: %d", w.Code)
	}
}
