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
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/internal/api"
	"github.com/probity-dev/probity/internal/api/data"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/auth/devissuer"
	"github.com/probity-dev/probity/internal/buildinfo"
	"github.com/probity-dev/probity/internal/collateralcache"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/private"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/telemetry"
)

// Open opens the parts of a node in the order in which they need each other. If one fails,
// those before it are closed again.
func Open(ctx context.Context, cfg config.Config, dev bool, log *slog.Logger) (_ *Node, err error) {
	n := &Node{cfg: cfg, log: log, read: &configRead{at: time.Now()}}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	if n.issuer, err = developmentIssuer(cfg, dev, log); err != nil {
		return nil, err
	}
	trust, err := files.Trust(cfg)
	if err != nil {
		return nil, err
	}
	bundle, err := CollateralFiles(cfg.Collateral)
	if err != nil {
		return nil, err
	}
	warnUnused(log, bundle)
	if n.static, err = collateral.NewStatic(bundle); err != nil {
		return nil, err
	}
	// Before anything is written: a token of the administrator that cannot be used leaves no data folder.
	callers, err := n.callers(cfg, log)
	if err != nil {
		return nil, err
	}
	if n.store, err = openDatabase(ctx, cfg, dev, log); err != nil {
		return nil, err
	}
	if n.Plane, err = NewPlane(ctx, cfg.Fetch, trust, n.store, n.static, appraisalClock(cfg), log); err != nil {
		return nil, err
	}
	importFiles(ctx, n.Plane, bundle, log)
	n.hint()
	tpms, err := challenges(cfg)
	if err != nil {
		return nil, err
	}
	atRest, err := openKeys(ctx, n.store, cfg)
	if err != nil {
		return nil, err
	}
	checkpointKey, err := n.openProviders(ctx, atRest)
	if err != nil {
		return nil, err
	}
	if n.tls, err = n.certificates(cfg, log); err != nil {
		return nil, err
	}
	if n.listener, err = listen(ctx, cfg.Listen, dev); err != nil {
		return nil, err
	}
	bodies := edge.NewBudget(cfg.Limits.BodiesInFlight)
	metrics := n.measure(bodies)
	if cfg.Operations.Listen != "" {
		if n.operations, err = listenOnLoopback(ctx, "operations.listen", cfg.Operations.Listen); err != nil {
			return nil, err
		}
	}
	held, err := n.openVault(cfg, atRest)
	if err != nil {
		return nil, err
	}
	extra, authorization := n.authorization()
	n.Server = api.New(api.Config{
		Registry: n.registry, Store: n.sealed, Ledger: n.Ledger, CheckpointKey: checkpointKey, Rotation: rotation(cfg),
		Appraiser: &appraisal.Appraiser{
			Verifiers:  appraisal.Verifiers(trust),
			Collateral: n.Plane,
			Random:     rand.Reader,
		},
		Baselines: n.baselines, Sealer: atRest.Master, TPM: tpms, Vault: held,
		Callers: api.Callers{Auth: callers, Authorization: authorization, HostSuffix: cfg.Providers.HostSuffix},
		Health: api.Health{Held: n.held, WarnBefore: warnBefore(cfg.Fetch), Ready: n.store.Ping,
			Changes: n.store.Writable},
		Limits: limits(cfg), Bodies: bodies, Log: log, Metrics: metrics, Now: time.Now,
		AppraisalTime: cfg.Development.Time, Version: buildinfo.Version(),
		Extra: extra, ExtraPrefix: "/" + devissuer.Tenant + "/",
	})
	return n, nil
}

// developmentIssuer makes the issuer of callers that --dev asks for, or nil.
func developmentIssuer(cfg config.Config, dev bool, log *slog.Logger) (*devissuer.Issuer, error) {
	if !dev {
		return nil, nil
	}
	warnDevelopment(log, cfg.Development)
	issuer, err := devissuer.New(cfg.URL, time.Now)
	if err != nil {
		return nil, err
	}
	log.Warn("DEVELOPMENT: every caller gets a token of any role", "issuer", issuer.URL)
	return issuer, nil
}

// openDatabase closes the data folder to other users, marks folder and database for production
// or development, and opens the database.
func openDatabase(ctx context.Context, cfg config.Config, dev bool, log *slog.Logger) (store.Store, error) {
	// It contains the master key and a development CA, wherever the database is.
	wasOpen, err := private.Folder(cfg.DataDir, masterKeyFile)
	if err != nil {
		return nil, err
	}
	if len(wasOpen) > 0 {
		log.Warn("other users could read the data folder; it is closed to them now",
			"data", cfg.DataDir, "open", len(wasOpen), "first", wasOpen[0])
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
	if err := claimStore(ctx, db, folder, dev); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// appraisalClock is the time that evidence is judged at.
func appraisalClock(cfg config.Config) func() time.Time {
	if at := cfg.Development.Time; !at.IsZero() {
		return func() time.Time { return at }
	}
	return time.Now
}

// importFiles gives the collateral of files to the plane, which keeps what verifies.
func importFiles(
	ctx context.Context, plane *collateralcache.Plane, bundle *collateral.Bundle, log *slog.Logger,
) {
	for _, out := range plane.Import(ctx, bundle, false) {
		if out.Err != nil && !errors.Is(out.Err, collateralcache.ErrOlder) {
			log.Warn("collateral of a file is not used", "key", out.Item.Key, "file", out.File, "err", out.Err.Error())
		}
	}
}

// hint says what the configuration lacks for some kinds of evidence.
func (n *Node) hint() {
	if n.Held() == 0 && n.cfg.Fetch == (config.Fetch{}) {
		n.log.Warn("no collateral: SGX, TDX and Open Enclave evidence will be refused; name files or " +
			"folders under collateral in the configuration, a service under fetch, or run: " +
			"probity collateral import")
	}
	if len(n.cfg.TPM.Paravisors) == 0 {
		n.log.Info("no trusted paravisors (tpm.paravisors): tokens of Azure's confidential machines have " +
			"no x-ms-compliance-status, which the default policy of AzureGuest asks for")
	}
}

// challenges returns how TPMs are challenged and enrolled.
func challenges(cfg config.Config) (data.TPM, error) {
	enrolment, err := enrolment(cfg)
	return data.TPM{
		Lifetime:  time.Duration(cfg.TPM.ChallengeLifetime),
		SingleUse: cfg.TPM.SingleUse,
		Enrolment: enrolment,
	}, err
}

// openKeys opens what keeps the signing keys, and brings keys of earlier versions to its form.
func openKeys(ctx context.Context, db store.Store, cfg config.Config) (keys.Config, error) {
	atRest, err := KeysAtRest(ctx, db, cfg)
	if err != nil {
		return atRest, err
	}
	if atRest.Memory, err = keyMemory(cfg); err != nil {
		return atRest, err
	}
	return atRest, keys.Upgrade(ctx, db, atRest)
}

// listen listens for requests; in development on loopback alone.
func listen(ctx context.Context, address string, dev bool) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, AddressError(address, err)
	}
	if dev {
		if err := boundToLoopback(l); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// measure makes the metrics, and bounds the connections of the listener, which they show.
func (n *Node) measure(bodies *edge.Budget) *telemetry.Metrics {
	metrics := telemetry.New(func() telemetry.Collateral { return measured(n.Plane, n.held()) })
	metrics.Ledger(func() telemetry.Ledger {
		st := n.Ledger.Stats()
		var cosigned, failed int64
		if n.witness != nil {
			cosigned, failed = n.witness.Stats()
		}
		return telemetry.Ledger{
			Cosigned: cosigned, NotCosigned: failed, Written: st.Written, Lost: st.Lost,
			Waiting: st.Waiting,
			Alerts:  st.Alerts, Stopped: st.Stopped, Kept: n.Ledger.Kept(),
			Altered: len(n.registry.Altered()),
		}
	})
	connections := edge.NewConnections(n.listener, n.cfg.Limits.Connections, n.cfg.Limits.ConnectionsPerAddress,
		func(limit string) { metrics.ConnectionsRefused.WithLabelValues(limit).Inc() }, n.log)
	n.listener = connections
	metrics.Load(func() float64 { return float64(bodies.Used()) },
		func() float64 { return float64(connections.Open()) })
	metrics.Reloads(n.read.seconds, n.read.failures)
	return metrics
}

// authorization says where callers get tokens; the development issuer answers here itself.
func (n *Node) authorization() (http.Handler, string) {
	if n.issuer != nil {
		return n.issuer, n.issuer.Authorization()
	}
	if len(n.cfg.Callers.Issuers) > 0 {
		return nil, n.cfg.Callers.Issuers[0].URL
	}
	return nil, ""
}

// CollateralFiles reads the files and folders that the configuration names. What is not
// used of them is in the notes.
func CollateralFiles(paths []string) (*collateral.Bundle, error) {
	all := &collateral.Bundle{}
	for _, path := range paths {
		more, err := files.Collateral(path)
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
func enrolment(cfg config.Config) (*data.Enrolment, error) {
	authorities, err := cfg.TPM.Endorsement(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("tpm: %w", err)
	}
	if authorities.Len() == 0 && len(cfg.TPM.EndorsementKeys) == 0 {
		return nil, nil
	}
	return &data.Enrolment{Authorities: authorities, Keys: cfg.TPM.EndorsementKeys}, nil
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
		return hash,
			fmt.Errorf("%s: the administrator's token has fewer than 16 characters; make one with: "+
				"openssl rand -hex 32",
				source)
	}
	return sha256.Sum256([]byte(text)), nil
}

func (n *Node) certificates(cfg config.Config, log *slog.Logger) (*tls.Config, error) {
	if cfg.TLS.Certificate != "" {
		c, err := edge.NewCertificates("tls.certificate and tls.key", cfg.TLS.Certificate, cfg.TLS.Key, log)
		if err != nil {
			return nil, err
		}
		n.pair = c
		return n.withClients(c.Config()), nil
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	log.Warn("DEVELOPMENT: the server's certificate is from a CA of the data directory", "ca",
		filepath.Join(cfg.DataDir, edge.DevCAFile))
	c, err := edge.DevCertificate(cfg.DataDir, u.Hostname(), time.Now())
	if err != nil {
		return nil, err
	}
	return n.withClients(c), nil
}
