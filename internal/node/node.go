// Package node is the running service: it opens the parts that a configuration names, does the work in
// the background, and closes them. This is the one place where engines are chosen.
package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/auth/devissuer"
	"github.com/probity-dev/probity/internal/buildinfo"
	"github.com/probity-dev/probity/internal/collateralcache"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/ledger/witness"
	"github.com/probity-dev/probity/internal/private"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/server"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/telemetry"
)

// Node is everything that `serve` and `demo` run, wired from a
// configuration. This is the one place where engines are chosen.
type Node struct {
	Listener net.Listener
	// operations is where operators see details, or nil.
	operations net.Listener
	Server     *server.Server
	Tls        *tls.Config
	Handler    http.Handler
	Limits     server.Limits
	Plane      *collateralcache.Plane
	Held       int
	store      store.Store
	registry   *provider.Registry
	sealed     store.Store // what is read of it was written by this service
	Ledger     *ledger.Writer
	witness    *witness.Keeper // nil without one
	tend       func(context.Context)
	dev        *devissuer.Issuer // with --dev alone
	// clientCAs certify callers; nil without callers.certificateAuthorities.
	clientCAs *auth.Authorities
	// issuers are those of the callers, by their configuration.
	issuers map[string]*auth.Issuer
	// pair is the certificate of files; nil for one that the service made.
	pair *server.Certificates
	read *configRead
	// background ends with stop, at the latest when the service is closed.
	stop context.CancelFunc
	work sync.WaitGroup
}

func (s *Node) Close() {
	if s.Listener != nil {
		s.Listener.Close() // closed already if it served
	}
	if s.operations != nil {
		s.operations.Close()
	}
	if s.Plane != nil {
		s.Plane.Close()
	}
	if s.stop != nil {
		s.stop()
		s.work.Wait()
	}
	if s.Ledger != nil {
		end, cancel := context.WithTimeout(context.Background(), s.Limits.Shutdown)
		defer cancel()
		s.Ledger.Close(end)
	}
	if s.store != nil {
		s.store.Close()
	}
}

// Run does the background work until ctx ends or the service is closed.
func (s *Node) Run(ctx context.Context) {
	ctx, s.stop = context.WithCancel(ctx)
	work := []func(context.Context){s.Plane.Run, s.registry.Watch, s.Ledger.Watch, s.tend}
	if s.witness != nil {
		work = append(work, func(ctx context.Context) { s.witness.Run(ctx, s.Ledger) })
	}
	if s.operations != nil {
		work = append(work, s.operate)
	}
	for _, f := range work {
		s.work.Go(func() { f(ctx) })
	}
}

// operate answers operators until ctx ends.
func (s *Node) operate(ctx context.Context) {
	operations := &http.Server{Handler: s.Server.Operations(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { operations.Close() })
	defer stop()
	_ = operations.Serve(s.operations) // it ends with the service
}

// Open opens the store, the keys, the collateral and the listener.
func Open(ctx context.Context, cfg config.Config, dev bool, log *slog.Logger) (_ *Node, err error) {
	s := &Node{Limits: server.Limits{Body: cfg.Limits.Body, Concurrent: cfg.Limits.Concurrent,
		Time: time.Duration(cfg.Limits.Time), Shutdown: time.Duration(cfg.Limits.Shutdown), Streams: cfg.Limits.Streams}}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if dev {
		warnDevelopment(log, cfg.Development)
		if s.dev, err = devissuer.New(cfg.URL, time.Now); err != nil {
			return nil, err
		}
		log.Warn("DEVELOPMENT: everyone who asks gets a token of any role", "issuer", s.dev.URL)
	}
	trust, err := files.Trust(cfg)
	if err != nil {
		return nil, err
	}
	files, err := CollateralFiles(cfg.Collateral)
	if err != nil {
		return nil, err
	}
	warnUnused(log, files)
	static, err := collateral.NewStatic(files)
	if err != nil {
		return nil, err
	}
	// It holds the master key and a development CA, wherever the database is.
	wasOpen, err := private.Folder(cfg.DataDir, masterKeyFile)
	if err != nil {
		return nil, err
	}
	if len(wasOpen) > 0 {
		log.Warn("other users could read the data folder; it is closed to them now", "data", cfg.DataDir, "open", len(wasOpen), "first", wasOpen[0])
	}
	if dev {
		if err := resolvesToLoopback(ctx, cfg.Listen); err != nil {
			return nil, err
		}
	}
	folder, err := folderMode(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	if err := claimFolder(cfg.DataDir, dev); err != nil {
		return nil, err
	}
	db, err := openStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s.store = db
	if err := claimStore(ctx, db, folder, dev); err != nil {
		return nil, err
	}
	tpms := server.TPM{Lifetime: time.Duration(cfg.TPM.ChallengeLifetime), SingleUse: cfg.TPM.SingleUse}
	appraisalTime := time.Now
	if at := cfg.Development.Time; !at.IsZero() {
		appraisalTime = func() time.Time { return at }
	}
	if s.Plane, err = NewPlane(ctx, cfg.Fetch, trust, db, static, appraisalTime, log); err != nil {
		return nil, err
	}
	for _, out := range s.Plane.Import(ctx, files, false) {
		if out.Err != nil && !errors.Is(out.Err, collateralcache.ErrOlder) {
			log.Warn("collateral of a file does not count now", "key", out.Item.Key, "file", out.File, "err", out.Err.Error())
		}
	}
	held := func() []collateral.Item { return append(s.Plane.List(), unknown(static.Items(), s.Plane.List())...) }
	if s.Held = len(held()); s.Held == 0 && cfg.Fetch == (config.Fetch{}) {
		log.Warn("no collateral: SGX, TDX and Open Enclave evidence will be refused; name files or folders under collateral in the configuration, a service under fetch, or run: probity collateral import")
	}
	if len(cfg.TPM.Paravisors) == 0 {
		log.Info("no trusted paravisors (tpm.paravisors): tokens of Azure's confidential machines have no x-ms-compliance-status, which the default policy of AzureGuest asks for")
	}
	if tpms.Enrolment, err = enrolment(cfg); err != nil {
		return nil, err
	}
	atRest, err := KeysAtRest(ctx, db, cfg)
	if err != nil {
		return nil, err
	}
	if atRest.Memory, err = keyMemory(cfg); err != nil {
		return nil, err
	}
	if err := keys.Upgrade(ctx, db, atRest); err != nil {
		return nil, err
	}
	baselines := func() []collateral.About { return append(s.Plane.Baselines(), static.List()...) }
	checkpointKey, err := s.tenants(ctx, db, cfg, atRest, baselines, log)
	if err != nil {
		return nil, err
	}
	callers, err := s.callers(cfg, log)
	if err != nil {
		return nil, err
	}
	if s.Tls, err = s.certificates(cfg, log); err != nil {
		return nil, err
	}
	if s.Listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen); err != nil {
		return nil, AddressError(cfg.Listen, err)
	}
	if dev {
		if err := boundToLoopback(s.Listener); err != nil {
			return nil, err
		}
	}
	bodies := server.NewBudget(cfg.Limits.BodiesInFlight)
	metrics := telemetry.New(func() telemetry.Collateral { return measured(s.Plane, held()) })
	metrics.Ledger(func() telemetry.Ledger {
		st := s.Ledger.Stats()
		var cosigned, failed int64
		if s.witness != nil {
			cosigned, failed = s.witness.Stats()
		}
		return telemetry.Ledger{Cosigned: cosigned, NotCosigned: failed, Written: st.Written, Lost: st.Lost, Waiting: st.Waiting, Alerts: st.Alerts, Stopped: st.Stopped, Kept: s.Ledger.Kept(), Altered: len(s.registry.Altered())}
	})
	connections := server.NewConnections(s.Listener, cfg.Limits.Connections, cfg.Limits.ConnectionsPerAddress,
		func(limit string) { metrics.ConnectionsRefused.WithLabelValues(limit).Inc() }, log)
	s.Listener = connections
	metrics.Load(func() float64 { return float64(bodies.Used()) }, func() float64 { return float64(connections.Open()) })
	s.read = &configRead{at: time.Now()}
	metrics.Reloads(s.read.seconds, s.read.failures)
	var extra http.Handler
	authorization := ""
	if s.dev != nil {
		extra, authorization = s.dev, s.dev.Authorization()
	} else if len(cfg.Callers.Issuers) > 0 {
		authorization = cfg.Callers.Issuers[0].URL
	}
	if cfg.Operations.Listen != "" {
		if s.operations, err = listenOnLoopback(ctx, "operations.listen", cfg.Operations.Listen); err != nil {
			return nil, err
		}
	}
	s.Server = server.New(server.Config{
		Extra: extra, ExtraPrefix: "/" + devissuer.Tenant + "/", Authorization: authorization,
		Registry: s.registry, Auth: callers, HostSuffix: cfg.Providers.HostSuffix,
		Appraiser: &appraisal.Appraiser{
			Verifiers: appraisal.Verifiers(trust), Collateral: s.Plane, Random: rand.Reader,
		},
		Limits: s.Limits, Bodies: bodies, Baselines: baselines, Held: held, WarnBefore: warnBefore(cfg.Fetch),
		Log: log, Metrics: metrics, Now: time.Now, AppraisalTime: cfg.Development.Time,
		Version: buildinfo.Version(), Ready: db.Ping, Changes: db.Writable, Store: s.sealed, Ledger: s.Ledger, CheckpointKey: checkpointKey, Rotation: rotation(cfg),
		Sealer: atRest.Master, TPM: tpms,
	})
	s.Handler = s.Server
	return s, nil
}

// CollateralFiles reads the files and folders that the configuration names. What is not
// used of them is in the notes.
func CollateralFiles(paths []string) (*collateral.Bundle, error) {
	all := &collateral.Bundle{}
	for _, path := range paths {
		more, err := files.Loader().Load(path)
		if err != nil {
			return nil, fmt.Errorf("collateral: %w", err)
		}
		all.Add(more)
	}
	if err := all.Settle(); err != nil {
		return nil, fmt.Errorf("collateral: %w", err)
	}
	return all, nil
}

// warnUnused logs which files of collateral are not used, and why.
func warnUnused(log *slog.Logger, files *collateral.Bundle) {
	for _, note := range files.Notes {
		log.Warn("collateral: " + note)
	}
}

// enrolment returns what binds attestation keys to TPMs, or nil if no endorsement
// key is trusted.
func enrolment(cfg config.Config) (*server.Enrolment, error) {
	authorities, err := cfg.TPM.Endorsement(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("tpm: %w", err)
	}
	if authorities.Len() == 0 && len(cfg.TPM.EndorsementKeys) == 0 {
		return nil, nil
	}
	return &server.Enrolment{Authorities: authorities, Keys: cfg.TPM.EndorsementKeys}, nil
}

// adminTokenEnv replaces the administrator's token file.
const adminTokenEnv = "PROBITY_ADMIN_TOKEN"

// AdminTokenHash reads the administrator's token and returns its hash, or zeros
// if there is none.
func AdminTokenHash(cfg config.Config) (hash [sha256.Size]byte, err error) {
	text, set := os.LookupEnv(adminTokenEnv)
	source := adminTokenEnv
	if !set && cfg.AdminTokenFile != "" {
		b, err := private.ReadSecret(cfg.AdminTokenFile)
		if err != nil {
			return hash, fmt.Errorf("adminTokenFile: %w", err)
		}
		text, set, source = string(b), true, cfg.AdminTokenFile
	}
	if !set {
		return hash, nil
	}
	text = strings.TrimSpace(text)
	if len(text) < 16 {
		return hash, fmt.Errorf("%s: the administrator's token has fewer than 16 characters; make one with: openssl rand -hex 32", source)
	}
	return sha256.Sum256([]byte(text)), nil
}

func (s *Node) certificates(cfg config.Config, log *slog.Logger) (*tls.Config, error) {
	if cfg.TLS.Certificate != "" {
		c, err := server.NewCertificates(cfg.TLS.Certificate, cfg.TLS.Key, log)
		if err != nil {
			return nil, err
		}
		s.pair = c
		return s.withClients(c.Config()), nil
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	log.Warn("DEVELOPMENT: the server's certificate is from a CA of the data directory", "ca", filepath.Join(cfg.DataDir, server.DevCAFile))
	c, err := server.DevCertificate(cfg.DataDir, u.Hostname(), time.Now())
	if err != nil {
		return nil, err
	}
	return s.withClients(c), nil
}

// Drained returns a context that ends some time after ctx, while /readyz says that the
// service is about to stop.
func (s *Node) Drained(ctx context.Context, drain time.Duration, log *slog.Logger) context.Context {
	end, stop := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		s.Server.Drain()
		if drain > 0 {
			log.Info("draining; a second signal ends the service at once", "for", drain.String())
		}
		time.AfterFunc(drain, stop)
	})
	return end
}
