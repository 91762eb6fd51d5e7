// Package fakevendor serves test collateral as Intel's and AMD's services do, and
// as they do on bad days: slow, throttled, wrong, out of date, or not at all.
//
// Start with [New]; the server it returns stops by itself with the test, or with
// [Server.Close].
package fakevendor

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/probity-dev/probity/collateral"
)

// Mood is how the server answers.
type Mood struct {
	// Status, if not zero, is all it answers, with RetryAfter if that is not
	// empty.
	Status     int
	RetryAfter string
	// Delay is how long it thinks.
	Delay time.Duration
	// Edit may change the body of an answer: to lie.
	Edit func(path string, body []byte) []byte
	// Spacing answers 429 to requests of AMD's paths that come sooner.
	Spacing time.Duration
}

// Server serves both vendors' paths.
type Server struct {
	*httptest.Server
	mu    sync.Mutex
	mood  Mood
	intel []*collateral.Intel
	amd   map[string]*collateral.AMD
	vceks map[string][]byte
	paths []string
	last  time.Time
}

// New starts a server on the loopback.
func New() *Server {
	s := &Server{amd: map[string]*collateral.AMD{}, vceks: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	return s
}

// Add puts collateral on the server. Of Intel's sets for one platform the last
// one counts.
func (s *Server) Add(b *collateral.Bundle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intel = append(s.intel, b.Intel...)
	for _, c := range b.AMD {
		s.amd[c.AMDQuery.String()] = c
	}
	for _, c := range b.VCEK {
		s.vceks[c.Path] = c.Certificate
	}
}

// Set changes the mood.
func (s *Server) Set(m Mood) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood = m
}

// Paths returns the requests that were answered so far, refused ones included.
func (s *Server) Paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.paths...)
}

// ServeHTTP answers as the vendors do.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	if r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	s.mu.Lock()
	mood := s.mood
	s.paths = append(s.paths, path)
	early := mood.Spacing > 0 && strings.HasPrefix(path, "v") && time.Since(s.last) < mood.Spacing
	if strings.HasPrefix(path, "v") && !early {
		s.last = time.Now()
	}
	header := http.Header{}
	body := s.document(path, r.URL.Query(), header)
	s.mu.Unlock()
	select {
	case <-time.After(mood.Delay):
	case <-r.Context().Done():
		return
	}
	switch {
	case mood.Status != 0 || early:
		if mood.RetryAfter != "" {
			w.Header().Set("Retry-After", mood.RetryAfter)
		}
		if early {
			mood.Status = http.StatusTooManyRequests
		}
		w.WriteHeader(mood.Status)
		return
	case body == nil:
		http.NotFound(w, r)
		return
	}
	if mood.Edit != nil {
		body = mood.Edit(path, body)
	}
	for name, values := range header {
		w.Header()[name] = values
	}
	w.Write(body) // a client that went away is not an error of this program
}

// document returns the body for a path, or nil.
func (s *Server) document(path string, query url.Values, header http.Header) []byte {
	if der, ok := s.vceks[path]; ok {
		return der
	}
	if branch, ok := strings.CutSuffix(path, "/cert_chain"); ok && s.amd[branch] != nil {
		return s.amd[branch].Chain
	}
	if branch, ok := strings.CutSuffix(path, "/crl"); ok && s.amd[branch] != nil {
		return s.amd[branch].CRL
	}
	name, _, _ := strings.Cut(path, "?")
	tee, rest, _ := strings.Cut(name, "/certification/v4/")
	set := s.set(collateral.TEE(strings.ToUpper(tee)), query)
	if set == nil {
		return nil
	}
	response := func(member string, text, signature []byte) []byte {
		return fmt.Appendf(nil, `{"%s":%s,"signature":"%x"}`, member, text, signature)
	}
	switch rest {
	case "tcb":
		header.Set("TCB-Info-Issuer-Chain", url.PathEscape(string(set.TCBInfoIssuerChain)))
		return response("tcbInfo", set.TCBInfo, set.TCBInfoSignature)
	case "qe/identity":
		header.Set("SGX-Enclave-Identity-Issuer-Chain", url.PathEscape(string(set.QEIdentityIssuerChain)))
		return response("enclaveIdentity", set.QEIdentity, set.QEIdentitySignature)
	case "pckcrl":
		header.Set("SGX-PCK-CRL-Issuer-Chain", url.PathEscape(string(set.PCKCRLIssuerChain)))
		return set.PCKCRL
	case "rootcacrl":
		return []byte(hex.EncodeToString(set.RootCRL)) // as PCCS does
	}
	return nil
}

// set returns the last set for a TEE that fits what the query asks for.
func (s *Server) set(tee collateral.TEE, query url.Values) (found *collateral.Intel) {
	for _, c := range s.intel {
		about, err := c.About()
		if err != nil {
			continue
		}
		number := query.Get("tcbEvaluationDataNumber")
		fmspc, _ := hex.DecodeString(query.Get("fmspc"))
		if (about.TEE == tee || !query.Has("fmspc") && query.Has("ca")) &&
			(len(fmspc) == 0 || bytes.Equal(fmspc, about.FMSPC[:])) &&
			(number == "" || number == fmt.Sprint(about.EvaluationNumber)) ||
			tee == collateral.SGX && len(query) == 0 {
			found = c
		}
	}
	return found
}
