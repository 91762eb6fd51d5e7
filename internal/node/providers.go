package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/auth/devissuer"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/issuer"
	"github.com/probity-dev/probity/internal/keys"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/ledger/witness"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/anchor"
	"github.com/probity-dev/probity/internal/store/postgres"
	"github.com/probity-dev/probity/internal/store/seal"
	"github.com/probity-dev/probity/internal/store/sqlite"
)

// openStore opens the database that the configuration names.
func openStore(ctx context.Context, cfg config.Config) (store.Store, error) {
	url, err := cfg.Store.Postgres()
	if err != nil {
		return nil, err
	}
	if url != "" {
		return postgres.Open(ctx, url)
	}
	return sqlite.Open(ctx, cfg.DataDir)
}

func rotation(cfg config.Config) keys.Rotation {
	return keys.Rotation{
		Ahead:   time.Duration(cfg.Signing.PublishAhead),
		Overlap: time.Duration(cfg.Signing.Overlap),
	}
}

// Background work is done by the node that has its lease.
const (
	tendEvery = time.Minute
	tendLease = 3 * time.Minute
)

// openProviders opens the ledger and reads the providers. It returns what verifies
// checkpoints.
func (n *Node) openProviders(ctx context.Context, atRest keys.Config) (verifier string, err error) {
	db, cfg, log := n.store, n.cfg, n.log
	outside, err := OutsideOf(cfg.DataDir)
	if err != nil {
		return "", err
	}
	signer, verifiers, err := CheckpointSigner(ctx, db, cfg, atRest, outside)
	if err != nil {
		return "", err
	}
	records, err := db.CheckpointKeys(ctx)
	if err != nil {
		return "", err
	}
	verifier, _ = keys.CheckpointVerifier(records)
	kept, err := n.withWitness(cfg.Ledger.Witness, verifiers[0], log)
	if err != nil {
		return "", err
	}
	n.Ledger, err = ledger.NewWriter(ctx, ledger.Config{
		Kept: kept, Store: db, Outside: outside, Signer: signer, Keys: verifiers,
		Checkpoint: time.Duration(cfg.Ledger.Checkpoint), Audit: time.Duration(cfg.Ledger.Audit),
		Queue: cfg.Ledger.Queue, Now: time.Now, Log: log,
	})
	if err != nil {
		return "", err
	}
	if n.witness != nil {
		n.Ledger.EachKept(n.witness.Offer)
	}
	guarded := n.Ledger.Guard(db)
	seals, err := OpenSeals(ctx, guarded, cfg, atRest)
	if err != nil {
		return "", err
	}
	n.sealed = seals.Guard(guarded)
	n.registry, err = provider.New(ctx, provider.Config{
		Store: n.sealed, Seals: seals, Signing: atRest, Rotation: rotation(cfg), URL: cfg.URL,
		HostSuffix: cfg.Providers.HostSuffix,
		Defaults:   providerDefaults(cfg), Poll: time.Duration(cfg.Store.Poll), Touched: n.Ledger.Touch,
		Baselines: n.baselines, KeyChanged: n.keyChanged,
		Now: time.Now, Log: log, MinRetention: cfg.Ledger.MinRetentionDays,
	})
	if err != nil {
		return "", err
	}
	// A master key that does not open the signing keys is found now, not by the
	// first client.
	if _, err := n.registry.Default().Signers(time.Now()); err != nil {
		return "", err
	}
	return verifier, nil
}

func providerDefaults(cfg config.Config) provider.Defaults {
	return provider.Defaults{
		TCB:            cfg.TCB,
		Explain:        cfg.ExplainDenials,
		MaxValidity:    time.Duration(cfg.MaxTokenValidity),
		TPMNeedsCaller: cfg.TPM.Authentication == "Enabled",
		MaxTPMKeys:     cfg.TPM.MaxKeys,
		Rate:           cfg.Providers.RequestsPerSecond,
		Burst:          cfg.Providers.Burst,
		Concurrent:     cfg.Providers.Concurrent,
	}
}

// OpenSeals opens what authenticates the rows of providers and callers, and seals a database
// that was written before there were seals.
func OpenSeals(
	ctx context.Context, db store.Store, cfg config.Config, atRest keys.Config,
) (*seal.Seals, error) {
	folder, err := anchor.Open(filepath.Join(cfg.DataDir, anchor.Dir))
	if err != nil {
		return nil, err
	}
	seals, err := seal.Open(atRest.Master, folder)
	if err != nil {
		return nil, err
	}
	return seals, seals.Upgrade(ctx, db, func(tx store.Tx, scopes int) error {
		return ledger.Append(tx, store.DefaultProvider, &ledger.Entry{
			Time:    time.Now().UTC(),
			Type:    ledger.Change,
			Action:  "database.seal",
			Subject: store.DefaultProvider,
			By:      "first start",
			Details: map[string]string{"scopes": strconv.Itoa(scopes)},
		})
	})
}

// withWitness prepares the witness of checkpoints, if one is configured, and returns
// what shows it a checkpoint.
func (n *Node) withWitness(
	w config.Witness, key note.Verifier, log *slog.Logger,
) (func(string, string, ledger.Checkpoint), error) {
	if w == (config.Witness{}) {
		return nil, nil
	}
	theirs, err := witness.NewVerifier(w.Key)
	if err != nil {
		return nil, err
	}
	// A witness does not redirect; following it would show checkpoints to others.
	plain := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	n.witness = witness.NewKeeper(&witness.Client{URL: w.URL, Key: theirs, HTTP: plain}, key, log)
	return func(provider, text string, c ledger.Checkpoint) { n.witness.Offer(provider, text, c.Size) }, nil
}

// tend does what must be done now and then, once for all nodes: rotate keys,
// forget old entries.
func (n *Node) tend(ctx context.Context) {
	holder := rand.Text()
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		now := time.Now()
		ours, err := n.store.Lease(ctx, "tend", holder, now, now.Add(tendLease))
		if err == nil && ours {
			err = n.registry.Tend(ctx, time.Duration(n.cfg.Signing.RotateEvery), rotation(n.cfg))
			for _, t := range n.registry.All() {
				if err == nil {
					err = n.registry.Forget(ctx, t)
				}
			}
			if err == nil {
				err = n.tendVault(ctx, now)
			}
		}
		if err != nil && ctx.Err() == nil {
			n.log.Warn("background work is put off", "err", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// callers wires who may manage providers.
func (n *Node) callers(cfg config.Config, log *slog.Logger) (*auth.Authenticator, error) {
	c := auth.Config{Now: time.Now}
	// Its file is looked at again by itself.
	if path := cfg.Callers.CertificateAuthorities; path != "" && n.clientCAs == nil {
		var err error
		if n.clientCAs, err = auth.NewAuthorities(path, time.Now, log); err != nil {
			return nil, fmt.Errorf("callers.certificateAuthorities: %w", err)
		}
	}
	if n.clientCAs != nil {
		c.Authorities = n.clientCAs.Pool
	}
	admin, err := AdminTokenHash(cfg)
	if err != nil {
		return nil, err
	}
	var fixed []auth.StaticToken
	if admin != [sha256.Size]byte{} {
		t, err := auth.NewStaticToken(auth.Administrator, hex.EncodeToString(admin[:]), "owner",
			[]string{auth.Everywhere}, time.Time{})
		if err != nil {
			return nil, err
		}
		fixed = append(fixed, t)
	}
	c.Tokens = func() []auth.StaticToken { return append(fixed[:len(fixed):len(fixed)], n.registry.Tokens()...) }
	next := map[string]*auth.Issuer{}
	for _, i := range cfg.Callers.Issuers {
		// An issuer that is as before keeps the keys that it fetched.
		same, err := json.Marshal(i, json.Deterministic(true))
		if err != nil {
			return nil, err
		}
		if known := n.issuers[string(same)]; known != nil && i.CA == "" {
			next[string(same)] = known
			c.Issuers = append(c.Issuers, known)
			continue
		}
		transport, err := TransportFor(i.CA)
		if err != nil {
			return nil, fmt.Errorf("callers.issuers: %s: ca: %w", i.URL, err)
		}
		client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
		one := &auth.Issuer{
			Keys: issuer.Keys{URL: i.URL, Client: client}, Audiences: i.Audiences, TokenType: i.TokenType,
		}
		if one.Rules, err = rules(i.Rules); err != nil {
			return nil, err
		}
		next[string(same)] = one
		c.Issuers = append(c.Issuers, one)
	}
	if n.issuer != nil {
		own := &auth.Issuer{
			Keys:      issuer.Keys{URL: n.issuer.URL, Client: &http.Client{Transport: within{n.issuer}}},
			Audiences: []string{"https://attest.azure.net", cfg.URL, "https://management.azure.com"},
		}
		if u, err := url.Parse(cfg.URL); err == nil {
			own.Audiences = append(own.Audiences, edge.VaultResource(u.Host))
		}
		for _, role := range devissuer.Roles() {
			parsed, err := auth.ParseRole(role)
			if err != nil {
				return nil, err
			}
			own.Rules = append(own.Rules, auth.Rule{
				Claim: "roles",
				Value: role,
				Grant: auth.Grant{Role: parsed, Providers: []string{auth.Everywhere}},
			})
		}
		c.Issuers = append(c.Issuers, own)
	}
	if c.Certificates, err = rules(cfg.Callers.Certificates); err != nil {
		return nil, err
	}
	n.issuers = next
	return auth.New(c), nil
}

// within is a transport to a handler of this process.
type within struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t within) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &memory{header: http.Header{}, status: http.StatusOK}
	t.handler.ServeHTTP(w, r)
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Header: w.header,
		Body: io.NopCloser(&w.body), Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// memory is an answer that is kept.
type memory struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (m *memory) Header() http.Header         { return m.header }
func (m *memory) WriteHeader(status int)      { m.status = status }
func (m *memory) Write(b []byte) (int, error) { return m.body.Write(b) }

func rules(list []config.Rule) (out []auth.Rule, err error) {
	for _, r := range list {
		rule, err := r.Rule()
		if err != nil {
			return nil, err
		}
		out = append(out, rule)
	}
	return out, nil
}

// withClients lets clients show certificates, if authorities are configured.
func (n *Node) withClients(c *tls.Config) *tls.Config {
	if n.clientCAs == nil {
		return c
	}
	return n.clientCAs.TLS(c)
}
