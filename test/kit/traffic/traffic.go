// Package traffic records what tests send to the service and what it answers, so
// that the OpenAPI documents can be compared with it.
package traffic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// Env names the folder that recordings go to. Without it nothing is recorded.
const Env = "PROBITY_TRAFFIC"

// Exchange is a request and its answer.
type Exchange struct {
	Method, URL  string
	Header       http.Header
	Body         []byte
	Status       int
	AnswerHeader http.Header
	Answer       []byte
}

// maxBody bounds what is kept of a body; longer ones are of tests of limits.
const maxBody = 1 << 20

// Record returns h, recorded if the environment asks for it.
func Record(h http.Handler) (http.Handler, error) {
	folder := os.Getenv(Env)
	if folder == "" {
		return h, nil
	}
	f, err := os.CreateTemp(folder, "*.ndjson")
	if err != nil {
		return nil, fmt.Errorf("traffic: %w", err)
	}
	return &recorder{handler: h, out: f}, nil
}

type recorder struct {
	handler http.Handler
	mu      sync.Mutex
	out     *os.File // open until the process ends
}

// ServeHTTP passes a request on, and writes down both sides once it is answered.
func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	e := Exchange{Method: req.Method, URL: req.URL.RequestURI(), Header: req.Header.Clone()}
	var sent bytes.Buffer
	if req.Body != nil {
		req.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(req.Body, &sent), req.Body}
	}
	answer := &tee{ResponseWriter: w}
	r.handler.ServeHTTP(answer, req)
	if sent.Len() > maxBody || answer.body.Len() > maxBody {
		return
	}
	if answer.status == 0 {
		answer.status = http.StatusOK
	}
	e.Body, e.Status, e.AnswerHeader, e.Answer = sent.Bytes(), answer.status, w.Header().Clone(),
		answer.body.Bytes()
	line, err := json.Marshal(e)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Write(append(line, '\n')) // a recording that breaks off is found by its reader
}

type tee struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// Unwrap lets http.ResponseController find the connection.
func (t *tee) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// WriteHeader notes the status.
func (t *tee) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

// Write notes the body.
func (t *tee) Write(b []byte) (int, error) {
	t.body.Write(b)
	return t.ResponseWriter.Write(b)
}

// Read returns all exchanges in a folder.
func Read(folder string) ([]Exchange, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.ndjson"))
	if err != nil {
		return nil, err
	}
	var all []Exchange
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("traffic: %w", err)
		}
		for dec := json.NewDecoder(bytes.NewReader(b)); dec.More(); {
			var e Exchange
			if err := dec.Decode(&e); err != nil {
				return nil, fmt.Errorf("traffic: %s: %w", name, err)
			}
			all = append(all, e)
		}
	}
	return all, nil
}
