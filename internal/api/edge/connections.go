package edge

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Connections bounds the open connections of a listener, in total and from one
// address (one /64 network of IPv6). A connection beyond a bound is closed at
// once, so that idle ones cannot keep the service from accepting others. An error
// of accepting is logged and tried again: the service goes on with the
// connections that it has.
type Connections struct {
	net.Listener
	log     *slog.Logger
	refused func(limit string)

	total, perAddress atomic.Int64

	mu   sync.Mutex // guards the rest
	open map[netip.Prefix]int64
	n    int64
	told time.Time
}

// NewConnections bounds l. Refused is called with "total" or "address".
func NewConnections(
	l net.Listener, total, perAddress int, refused func(limit string), log *slog.Logger,
) *Connections {
	c := &Connections{Listener: l, log: log, refused: refused, open: map[netip.Prefix]int64{}}
	c.SetLimits(total, perAddress)
	return c
}

// SetLimits changes the bounds; open connections stay.
func (c *Connections) SetLimits(total, perAddress int) {
	c.total.Store(int64(total))
	c.perAddress.Store(int64(perAddress))
}

// Open returns how many connections are open.
func (c *Connections) Open() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// Accept implements net.Listener.
func (c *Connections) Accept() (net.Conn, error) {
	const least, most = 5 * time.Millisecond, time.Second
	for wait := least; ; {
		conn, err := c.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			c.warn("a connection could not be accepted; trying again", "err", err.Error())
			time.Sleep(wait)
			wait = min(2*wait, most)
			continue
		}
		wait = least
		from := network(conn.RemoteAddr())
		if limit := c.enter(from); limit != "" {
			conn.Close()
			c.refused(limit)
			c.warn("a connection was refused; see limits.connections and limits.connectionsPerAddress",
				"limit", limit, "from", from.String())
			continue
		}
		return &counted{Conn: conn, leave: sync.OnceFunc(func() { c.leave(from) })}, nil
	}
}

func (c *Connections) enter(from netip.Prefix) (limit string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.n >= c.total.Load():
		return "total"
	case c.open[from] >= c.perAddress.Load():
		return "address"
	}
	c.n++
	c.open[from]++
	return ""
}

func (c *Connections) leave(from netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	if c.open[from]--; c.open[from] <= 0 {
		delete(c.open, from)
	}
}

// warn logs at most once a second: the cause may be a flood.
func (c *Connections) warn(message string, args ...any) {
	c.mu.Lock()
	now := time.Now()
	quiet := now.Sub(c.told) < time.Second
	if !quiet {
		c.told = now
	}
	c.mu.Unlock()
	if !quiet {
		c.log.Warn(message, args...)
	}
}

// network is the network that is treated as one address.
func network(a net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := ap.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// counted leaves when it is closed.
type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}
