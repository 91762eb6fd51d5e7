package edge

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits bound what requests may take.
type Limits struct {
	Body       int64
	Concurrent int
	Time       time.Duration
	Shutdown   time.Duration
	// Streams is how many requests one HTTP/2 connection may have open; 0 means 32.
	Streams int
}

// Serve answers requests on l until ctx ends; then it lets running requests
// end, and returns.
func Serve(
	ctx context.Context, l net.Listener, certificates *tls.Config, handler http.Handler, limits Limits,
	log *slog.Logger,
) error {
	s := &http.Server{
		Handler:           handler,
		TLSConfig:         certificates,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       limits.Time,
		WriteTimeout:      limits.Time + 5*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: cmp.Or(limits.Streams, 32),
			// What the peer may send before a handler reads it.
			MaxReceiveBufferPerConnection: 256 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
			MaxReadFrameSize:              16 << 10,
			SendPingTimeout:               30 * time.Second, PingTimeout: 15 * time.Second,
			WriteByteTimeout: 15 * time.Second,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(l, "", "") }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	log.Info("stopping", "grace", limits.Shutdown.String())
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.Shutdown)
	defer cancel()
	err := s.Shutdown(end)
	if serveErr := <-done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
