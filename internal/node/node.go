// Package node is the running service: it opens the parts that a configuration names, does the work in
// the background, and closes them. This is the one place where engines are chosen.
package node

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/internal/api"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/auth/devissuer"
	"github.com/probity-dev/probity/internal/collateralcache"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/ledger/witness"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/vault"
	"github.com/probity-dev/probity/internal/vault/transit"
)

// Node is everything that the service runs.
type Node struct {
	// Server answers requests; Plane keeps collateral; Ledger writes decisions and changes.
	Server *api.Server
	Plane  *collateralcache.Plane
	Ledger *ledger.Writer

	cfg config.Config
	log *slog.Logger
	// static is the collateral of files.
	static   *collateral.Static
	store    store.Store
	sealed   store.Store // what is read of it was written by this service
	registry *provider.Registry
	witness  *witness.Keeper   // nil without one
	issuer   *devissuer.Issuer // of callers; with --dev alone
	// clientCAs certify callers; nil without callers.certificateAuthorities.
	clientCAs *auth.Authorities
	// issuers are those of the callers, by their configuration.
	issuers map[string]*auth.Issuer
	// pair is the certificate of files; nil for one that the service made.
	pair     *edge.Certificates
	tls      *tls.Config
	listener net.Listener
	// operations is where operators see details, or nil.
	operations net.Listener
	read       *configRead
	// stop ends the background work.
	stop  context.CancelFunc
	work  sync.WaitGroup
	vault *vault.Vault
	// transit protects keys of the vault, or is nil.
	transit *transit.Client
	// keysRotated is when this node last looked at the rotation policies of keys.
	keysRotated time.Time
}

// Close ends the background work and closes all parts.
func (n *Node) Close() {
	if n.listener != nil {
		n.listener.Close() // closed already if it served
	}
	if n.operations != nil {
		n.operations.Close()
	}
	if n.Plane != nil {
		n.Plane.Close()
	}
	if n.stop != nil {
		n.stop()
		n.work.Wait()
	}
	if n.Ledger != nil {
		end, cancel := context.WithTimeout(context.Background(), time.Duration(n.cfg.Limits.Shutdown))
		defer cancel()
		n.Ledger.Close(end)
	}
	if n.store != nil {
		n.store.Close()
	}
}

// Run answers requests until ctx ends, and then for limits.drain, while /readyz says that the
// service is about to stop. Background work goes on until the last request is answered.
func (n *Node) Run(ctx context.Context) error {
	n.background(context.WithoutCancel(ctx))
	return edge.Serve(n.drained(ctx), n.listener, n.tls, n.Server, limits(n.cfg), n.log)
}

// Address is where the node listens.
func (n *Node) Address() string { return n.listener.Addr().String() }

// Held is the number of pieces of collateral that the node has.
func (n *Node) Held() int { return len(n.held()) }

// background does the work that no request asks for, until ctx ends or the node is closed.
func (n *Node) background(ctx context.Context) {
	ctx, n.stop = context.WithCancel(ctx)
	work := []func(context.Context){n.Plane.Run, n.registry.Watch, n.Ledger.Watch, n.tend}
	if n.witness != nil {
		work = append(work, func(ctx context.Context) { n.witness.Run(ctx, n.Ledger) })
	}
	if n.operations != nil {
		work = append(work, n.operate)
	}
	if n.transit != nil {
		work = append(work, func(ctx context.Context) { n.transit.Run(ctx, n.log) })
	}
	for _, f := range work {
		n.work.Go(func() { f(ctx) })
	}
}

// operate answers operators until ctx ends.
func (n *Node) operate(ctx context.Context) {
	operations := &http.Server{Handler: n.Server.Operations(), ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { operations.Close() })
	defer stop()
	_ = operations.Serve(n.operations) // it ends with the service
}

// drained returns a context that ends some time after ctx, while /readyz says that the
// service is about to stop.
func (n *Node) drained(ctx context.Context) context.Context {
	drain := time.Duration(n.cfg.Limits.Drain)
	end, stop := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		n.Server.Drain()
		if drain > 0 {
			n.log.Info("draining; a second signal ends the service at once", "for", drain.String())
		}
		time.AfterFunc(drain, stop)
	})
	return end
}

// held lists the collateral of the plane, and of files what the plane has not.
func (n *Node) held() []collateral.Item {
	return append(n.Plane.List(), unknown(n.static.Items(), n.Plane.List())...)
}

func (n *Node) baselines() []collateral.About { return append(n.Plane.Baselines(), n.static.List()...) }

func limits(cfg config.Config) edge.Limits {
	return edge.Limits{
		Body:       cfg.Limits.Body,
		Concurrent: cfg.Limits.Concurrent,
		Time:       time.Duration(cfg.Limits.Time),
		Shutdown:   time.Duration(cfg.Limits.Shutdown),
		Streams:    cfg.Limits.Streams,
	}
}
