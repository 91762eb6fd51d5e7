package cli

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
	"github.com/probity-dev/probity/collateral/plane"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/server"
	"github.com/probity-dev/probity/internal/signing"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/sqlite"
	"github.com/probity-dev/probity/internal/telemetry"
	"github.com/probity-dev/probity/token"
)

// service is everything that `serve` and `demo` run, wired from a
// configuration. This is the one place where engines are chosen.
type service struct {
	listener net.Listener
	tls      *tls.Config
	handler  http.Handler
	limits   server.Limits
	plane    *plane.Plane
	held     int
	store    store.Store
}

func (s *service) close() {
	if s.listener != nil {
		s.listener.Close() // closed already if it served
	}
	if s.plane != nil {
		s.plane.Close()
	}
	if s.store != nil {
		s.store.Close()
	}
}

// newService opens the store, the keys, the collateral and the listener.
func newService(ctx context.Context, cfg config.Config, dev bool, log *slog.Logger) (_ *service, err error) {
	s := &service{limits: server.Limits{Body: cfg.Limits.Body, Concurrent: cfg.Limits.Concurrent,
		Time: time.Duration(cfg.Limits.Time), Shutdown: time.Duration(cfg.Limits.Shutdown)}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if dev {
		warnDevelopment(log, cfg.Development)
	}
	trust, err := trustOf(cfg)
	if err != nil {
		return nil, err
	}
	files, err := collateralFiles(cfg.Collateral)
	if err != nil {
		return nil, err
	}
	static, err := collateral.NewStatic(files)
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, cfg.DataDir)
	if err != nil {
		return nil, err
	}
	s.store = db
	tpms := server.TPM{Lifetime: time.Duration(cfg.TPM.ChallengeLifetime), SingleUse: cfg.TPM.SingleUse}
	appraisalTime := time.Now
	if at := cfg.Development.Time; !at.IsZero() {
		appraisalTime = func() time.Time { return at }
	}
	if s.plane, err = newPlane(ctx, cfg.Fetch, trust, db, static, appraisalTime, log); err != nil {
		return nil, err
	}
	for _, out := range s.plane.Import(ctx, files, false) {
		if out.Err != nil && !errors.Is(out.Err, plane.ErrOlder) {
			log.Warn("collateral of a file does not count now", "key", out.Item.Key, "err", out.Err.Error())
		}
	}
	held := func() []collateral.Item { return append(s.plane.List(), unknown(static.Items(), s.plane.List())...) }
	if s.held = len(held()); s.held == 0 && cfg.Fetch == (config.Fetch{}) {
		log.Warn("no collateral: SGX, TDX and Open Enclave evidence will be refused; name files or folders under collateral in the configuration, a service under fetch, or run: probity collateral import")
	}
	provider, err := loadProvider(ctx, db, cfg)
	if err != nil {
		return nil, err
	}
	if tpms.Enrolment, err = enrolment(ctx, db, cfg, log); err != nil {
		return nil, err
	}
	if tpms.Enrolment != nil {
		trust.TPM.Enrolled = tpms.Enrolment.Enrolled
	}
	signers, master, err := loadSigners(ctx, db, cfg)
	if err != nil {
		return nil, err
	}
	admin, err := adminTokenHash(cfg)
	if err != nil {
		return nil, err
	}
	if s.tls, err = certificates(cfg, log); err != nil {
		return nil, err
	}
	if s.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen); err != nil {
		return nil, addressError(cfg.Listen, err)
	}
	s.handler = server.New(server.Config{
		Issuer: cfg.URL,
		Appraiser: &appraisal.Appraiser{
			Verifiers: appraisal.Verifiers(trust), Collateral: s.plane, Random: rand.Reader,
		},
		Provider: provider, Signers: signers, Limits: s.limits,
		Baselines: func() []collateral.About { return append(s.plane.Baselines(), static.List()...) },
		Held:      held, WarnBefore: warnBefore(cfg.Fetch),
		Log: log, Metrics: telemetry.New(func() telemetry.Collateral { return measured(s.plane, held()) }), Now: time.Now, AppraisalTime: cfg.Development.Time,
		Version: version(), Ready: db.Ping, Store: db, AdminTokenHash: admin,
		Sealer: master, TPM: tpms,
	})
	return s, nil
}

// collateralFiles reads the files and folders that the configuration names.
func collateralFiles(paths []string) (*collateral.Bundle, error) {
	all := &collateral.Bundle{}
	for _, path := range paths {
		more, err := loadBundle(path)
		if err != nil {
			return nil, fmt.Errorf("collateral: %w", err)
		}
		all.Add(more)
	}
	return all, nil
}

// loadProvider reads the provider, and makes it at the first start.
func loadProvider(ctx context.Context, db store.Store, cfg config.Config) (server.Provider, error) {
	p := server.Provider{Name: store.DefaultProvider, Policies: map[evidence.Kind]server.PolicyInForce{},
		Explain: cfg.ExplainDenials, MaxValidity: time.Duration(cfg.MaxTokenValidity)}
	record, err := db.Provider(ctx, p.Name)
	isNew := errors.Is(err, store.ErrNotFound)
	if err != nil && !isNew {
		return p, err
	}
	// Security: the configuration is the whole truth. A status that was once
	// accepted is not any more when its line is gone.
	if isNew || cfg.TCB != record.TCB {
		if isNew {
			record = store.Provider{Name: p.Name, Created: time.Now()}
		}
		record.TCB = cfg.TCB
		if err := db.PutProvider(ctx, record); err != nil {
			return p, err
		}
	}
	if p.TCB, err = appraisal.ParseTCBPolicy(record.TCB); err != nil {
		return p, fmt.Errorf("provider %s: %w", p.Name, err)
	}
	for _, kind := range evidence.Kinds() {
		if p.Policies[kind], err = server.DefaultPolicy(kind); err != nil {
			return p, err
		}
	}
	return p, loadPolicies(ctx, db, &p)
}

// loadPolicies replaces defaults by what is stored.
func loadPolicies(ctx context.Context, db store.Store, p *server.Provider) error {
	records, err := db.Policies(ctx, p.Name)
	if err != nil {
		return err
	}
	for _, record := range records {
		kind, err := evidence.ParseKind(record.Kind)
		if err != nil {
			return fmt.Errorf("provider %s: stored policy: %w", p.Name, err)
		}
		if p.Policies[kind], err = server.ReadPolicy(record.JWS); err != nil {
			return fmt.Errorf("provider %s: stored policy of %s: %w", p.Name, kind, err)
		}
	}
	return nil
}

// enrolmentEvery is how often keys are read that other nodes enrolled, or that an
// operator removed.
const enrolmentEvery = 2 * time.Second

// enrolment returns what binds attestation keys to TPMs, or nil if no endorsement
// key counts.
func enrolment(ctx context.Context, db store.Store, cfg config.Config, log *slog.Logger) (*server.Enrolment, error) {
	authorities, err := cfg.TPM.Endorsement(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("tpm: %w", err)
	}
	if authorities.Len() == 0 && len(cfg.TPM.EndorsementKeys) == 0 {
		return nil, nil
	}
	e, err := server.NewEnrolment(ctx, store.DefaultProvider, db, authorities, cfg.TPM.EndorsementKeys)
	if err != nil {
		return nil, err
	}
	go e.Watch(ctx, enrolmentEvery, func(err error) { log.Warn("enrolled keys were not read anew", "err", err.Error()) })
	return e, nil
}

// adminTokenEnv replaces the administrator's token file.
const adminTokenEnv = "PROBITY_ADMIN_TOKEN"

// adminTokenHash reads the administrator's token and returns its hash, or zeros
// if there is none.
func adminTokenHash(cfg config.Config) (hash [sha256.Size]byte, err error) {
	text, set := os.LookupEnv(adminTokenEnv)
	source := adminTokenEnv
	if !set && cfg.AdminTokenFile != "" {
		b, err := os.ReadFile(cfg.AdminTokenFile)
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

func loadSigners(ctx context.Context, db store.Store, cfg config.Config) ([]*token.Signer, signing.MasterKey, error) {
	var master signing.MasterKey
	var err error
	if text, set := masterKeyText(); set {
		master, err = signing.ParseMasterKey(text)
	} else {
		path := cfg.MasterKeyFile
		if path == "" {
			path = filepath.Join(cfg.DataDir, "master.key")
		}
		keys, listErr := db.SigningKeys(ctx)
		if listErr != nil {
			return nil, master, listErr
		}
		// A lost master key must not be replaced silently: the keys that it
		// sealed would be lost with it.
		master, err = signing.LoadMasterKey(path, rand.Reader, len(keys) == 0)
	}
	if err != nil {
		return nil, master, err
	}
	signers, err := signing.Load(ctx, db, signing.Config{Issuer: cfg.URL, Master: master, Random: rand.Reader, Now: time.Now()})
	return signers, master, err
}

func certificates(cfg config.Config, log *slog.Logger) (*tls.Config, error) {
	if cfg.TLS.Certificate != "" {
		c, err := server.NewCertificates(cfg.TLS.Certificate, cfg.TLS.Key, log)
		if err != nil {
			return nil, err
		}
		return c.Config(), nil
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	log.Warn("DEVELOPMENT: the server's certificate is from a CA of the data directory", "ca", filepath.Join(cfg.DataDir, server.DevCAFile))
	return server.DevCertificate(cfg.DataDir, u.Hostname(), time.Now())
}
