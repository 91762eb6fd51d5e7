package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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
			budget := NewBudget(1 << 20)
			b := newBench(t, nil)
			b.server.cfg.Bodies, b.server.cfg.Limits.Body = budget, 1<<20
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
			if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "request.memory") {
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
	b.server.cfg.Bodies = NewBudget(1)
	fill := strings.NewReplacer("{type}", "SgxEnclave", "{version}", "1", "{proposal}", "x", "{token}", "t", "{subscription}", "s1", "{group}", "g1", "{location}", "westus", "{provider}", "alpha", "{endpoint}", "e")
	refused := 0
	for _, route := range routes {
		r := httptest.NewRequest(route.method, fill.Replace(route.path)+"?api-version=2022-08-01", strings.NewReader(`{"a":1}`))
		r.Header.Set("Authorization", "Bearer "+adminToken)
		w := httptest.NewRecorder()
		b.server.ServeHTTP(w, r)
		if w.Code == 503 && strings.Contains(w.Body.String(), "request.memory") {
			refused++
		} else if (route.method == "PUT" || route.method == "PATCH") && w.Code != 404 { // what is not there is not read
			t.Errorf("%s %s reads a body outside the budget: %d %s", route.method, route.path, w.Code, w.Body)
		}
	}
	if refused < 8 {
		t.Errorf("%d routes were refused", refused)
	}
}

// acceptor gives errors, and then connections.
type acceptor struct {
	net.Listener
	errors atomic.Int64
}

func (a *acceptor) Accept() (net.Conn, error) {
	if a.errors.Add(-1) >= 0 {
		return nil, errors.New("too many open files")
	}
	return a.Listener.Accept()
}

func TestConnectionsAreBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	failing := &acceptor{Listener: l}
	failing.errors.Store(3)
	var log bytes.Buffer
	refused := make(chan string, 10)
	c := NewConnections(failing, 3, 2, func(limit string) { refused <- limit }, slog.New(slog.NewTextHandler(&log, nil)))
	accepted := make(chan net.Conn, 10)
	ended := make(chan error, 1)
	go func() {
		for {
			conn, err := c.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- conn
		}
	}()
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
		conn, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	want := func(what string, got string) {
		t.Helper()
		if what != got {
			t.Errorf("%q, expected %q", got, what)
		}
	}
	next := func() string {
		select {
		case <-accepted:
			return "accepted"
		case limit := <-refused:
			return limit
		case <-time.After(5 * time.Second):
			return "nothing"
		}
	}
	dial("127.0.0.1")
	first := <-accepted // after three errors of accepting
	if !strings.Contains(log.String(), "too many open files") || !strings.Contains(log.String(), "WARN") {
		t.Errorf("the log does not tell: %s", log.String())
	}
	dial("127.0.0.1")
	want("accepted", next())
	dial("127.0.0.1")
	want("address", next())
	dial("127.0.0.2")
	want("accepted", next())
	dial("127.0.0.2")
	want("total", next())
	first.Close()
	first.Close() // once
	if n := c.Open(); n != 2 {
		t.Errorf("%d are open", n)
	}
	dial("127.0.0.1")
	want("accepted", next())
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("ended with %v", err)
	}
}

func TestNetworksOfAddresses(t *testing.T) {
	for address, want := range map[string]string{"192.0.2.7:5": "192.0.2.7/32", "[::ffff:192.0.2.7]:5": "192.0.2.7/32",
		"[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64", "[fe80::1%eth0]:5": "fe80::/64", "@": "invalid Prefix"} {
		if got := network(addressText(address)).String(); got != want {
			t.Errorf("%s: %s, expected %s", address, got, want)
		}
	}
}

type addressText string

func (addressText) Network() string  { return "tcp" }
func (a addressText) String() string { return string(a) }

// TestStreamsOfAConnectionAreFew reads the settings with which the server greets HTTP/2
// clients (RFC 9113, section 6.5).
func TestStreamsOfAConnectionAreFew(t *testing.T) {
	certificate := httptest.NewTLSServer(nil)
	certificate.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	config := certificate.TLS.Clone()
	config.NextProtos = []string{"h2"}
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, l, config, http.NotFoundHandler(), Limits{Time: time.Minute, Shutdown: time.Second, Streams: 4}, slog.New(slog.DiscardHandler))
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	header := make([]byte, 9)
	if _, err := io.ReadFull(conn, header); err != nil || header[3] != 4 {
		t.Fatalf("frame %x, %v", header, err)
	}
	settings := make([]byte, int(header[1])<<8|int(header[2]))
	if _, err := io.ReadFull(conn, settings); err != nil {
		t.Fatal(err)
	}
	found := uint32(0)
	for ; len(settings) >= 6; settings = settings[6:] {
		if binary.BigEndian.Uint16(settings) == 3 { // SETTINGS_MAX_CONCURRENT_STREAMS
			found = binary.BigEndian.Uint32(settings[2:])
		}
	}
	if found != 4 {
		t.Errorf("%d streams, expected 4", found)
	}
	conn.Close()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
