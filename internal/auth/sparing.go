package auth

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// maxDocument bounds metadata and keys of issuers, in bytes.
const maxDocument = 1 << 20

// sparing is a client that asks an issuer for a document once in [issuerAgain]
// and answers from memory in between: the library would ask for the keys at every
// token that does not verify, and anybody can send those.
func (i *Issuer) sparing() *http.Client {
	client := http.Client{}
	if i.Client != nil {
		client = *i.Client
	}
	now := i.Now
	if now == nil {
		now = time.Now
	}
	next := client.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	client.Transport = &remembering{next: next, now: now, documents: map[string]document{}}
	return &client
}

// document is what an address answered, or why it did not.
type document struct {
	answer *http.Response // its body is read
	body   []byte
	err    error
	at     time.Time
}

// remembering keeps answers for a while, good and bad. An issuer has two
// documents, at addresses of its own choice.
type remembering struct {
	next http.RoundTripper
	now  func() time.Time

	mu        sync.Mutex
	documents map[string]document
}

// RoundTrip implements http.RoundTripper for GET.
func (r *remembering) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock() // also while it is fetched: others wait for the same answer
	key := req.URL.String()
	d, ok := r.documents[key]
	if age := r.now().Sub(d.at); !ok || age < 0 || age >= issuerAgain {
		d = document{at: r.now()}
		d.answer, d.body, d.err = r.fetch(req)
		r.documents[key] = d
	}
	if d.err != nil {
		return nil, d.err
	}
	answer := *d.answer
	answer.Request, answer.Header = req, d.answer.Header.Clone()
	answer.Body = io.NopCloser(bytes.NewReader(d.body))
	return &answer, nil
}

func (r *remembering) fetch(req *http.Request) (*http.Response, []byte, error) {
	resp, err := r.next.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, nil, err
	}
	if len(body) > maxDocument {
		return nil, nil, fmt.Errorf("auth: %s answers with more than %d bytes", req.URL.Host, maxDocument)
	}
	return resp, body, nil
}
