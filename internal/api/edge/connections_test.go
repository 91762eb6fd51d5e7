package edge

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
	"sync/atomic"
	"testing"
	"time"
)

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
	c := NewConnections(failing, 3, 2, func(limit string) { refused <- limit },
		slog.New(slog.NewTextHandler(&log, nil)))
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
	for address, want := range map[string]string{
		"192.0.2.7:5":           "192.0.2.7/32",
		"[::ffff:192.0.2.7]:5":  "192.0.2.7/32",
		"[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5":      "fe80::/64",
		"@":                     "invalid Prefix",
	} {
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
		done <- Serve(ctx, l, config, http.NotFoundHandler(),
			Limits{Time: time.Minute, Shutdown: time.Second, Streams: 4}, slog.New(slog.DiscardHandler))
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(),
		&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
	if err != nil {
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
