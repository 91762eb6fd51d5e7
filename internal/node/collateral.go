package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/kds"
	"github.com/probity-dev/probity/collateral/pcs"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/internal/collateralcache"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/telemetry"
)

// planeStore gives a store the form that the plane asks for.
type planeStore struct{ store.Store }

// Collateral implements collateralcache.Store.
func (s planeStore) Collateral(ctx context.Context, prefix string) ([]collateralcache.Record, error) {
	held, err := s.Store.Collateral(ctx, prefix)
	list := make([]collateralcache.Record, len(held))
	for i, c := range held {
		list[i] = collateralcache.Record(c)
	}
	return list, err
}

// PutCollateral implements collateralcache.Store.
func (s planeStore) PutCollateral(ctx context.Context, r collateralcache.Record) error {
	return s.Store.PutCollateral(ctx, store.Collateral(r))
}

// refreshLease is how long renewing collateral stays with a node that is gone.
const refreshLease = 5 * time.Minute

// NewPlane wires the collateral plane: services, checks, store. Nil stands for
// no store and no fallback.
func NewPlane(
	ctx context.Context, f config.Fetch, trust appraisal.Trust, db store.Store,
	fallback collateral.Source, now func() time.Time, log *slog.Logger,
) (*collateralcache.Plane, error) {
	engine, chips := dcap.New(trust.Intel), snp.New(trust.AMD)
	cfg := collateralcache.Config{
		Checks: collateralcache.Checks{
			Intel: engine.CheckCollateral,
			AMD:   chips.CheckPublished,
			VCEK:  chips.CheckVCEK,
			PCK:   engine.CheckPCK,
		},
		Now: now, Jitter: mathrand.Float64, Refresh: time.Duration(f.Refresh), Warn: time.Duration(f.Warn),
		Outage:   time.Duration(f.Outage),
		Fallback: fallback, Log: log,
	}
	var slots collateralcache.Slots
	if db != nil {
		cfg.Store, slots = planeStore{db}, db
		holder := rand.Text()
		cfg.Ours = func(ctx context.Context) bool {
			now := time.Now()
			ours, err := db.Lease(ctx, "collateral", holder, now, now.Add(refreshLease))
			// Without a store no other node has it either.
			return ours || err != nil
		}
	}
	if f.Intel.URL != "" {
		transport, err := TransportFor(f.Intel.CA)
		if err != nil {
			return nil, fmt.Errorf("fetch.intel.ca: %w", err)
		}
		// The clock of throttles is the true one, whatever the evidence is
		// judged at.
		if cfg.Intel, err = pcs.New(pcs.Config{
			URL:       f.Intel.URL,
			Version:   f.Intel.Version,
			Update:    f.Intel.Update,
			RootCRL:   f.Intel.RootCRL,
			Transport: transport,
			Throttle:  collateralcache.NewThrottle("intel", 50*time.Millisecond, 0, slots, time.Now),
		}); err != nil {
			return nil, err
		}
	}
	if f.AMD.URL != "" {
		spacing := time.Duration(f.AMD.Spacing)
		if spacing == 0 {
			spacing = kds.Spacing
		}
		cfg.AMD = kds.New(kds.Config{
			URL:      f.AMD.URL,
			Throttle: collateralcache.NewThrottle("amd", spacing, 0, slots, time.Now),
		})
	}
	return collateralcache.New(ctx, cfg)
}

// TransportFor returns a transport that trusts the CAs in a file, or nil for the
// system's.
func TransportFor(ca string) (http.RoundTripper, error) {
	pool, err := files.CertPool(ca)
	if err != nil || pool == nil {
		return nil, err
	}
	transport, _ := http.DefaultTransport.(*http.Transport)
	transport = transport.Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return transport, nil
}

// unknown returns the items that are not in known, by their keys.
func unknown(items, known []collateral.Item) (rest []collateral.Item) {
	for _, item := range items {
		if !slices.ContainsFunc(known, func(k collateral.Item) bool { return k.Key == item.Key }) {
			rest = append(rest, item)
		}
	}
	return rest
}

// warnBefore is how long before its end collateral is warned of.
func warnBefore(f config.Fetch) time.Duration {
	if f.Warn == 0 {
		return 72 * time.Hour
	}
	return time.Duration(f.Warn)
}

// measured gives the plane's state in the form of the metrics. Certificates of
// chips are counted, not listed: they may be many.
func measured(p *collateralcache.Plane, items []collateral.Item) telemetry.Collateral {
	out := telemetry.Collateral{Chips: 0, Vendors: map[string]telemetry.CollateralCounts{}}
	for _, item := range items {
		if strings.HasPrefix(item.Key, "amd/vcek/v1/") {
			out.Chips++
			continue
		}
		out.Pieces = append(out.Pieces,
			telemetry.CollateralPiece{Key: item.Key, Fetched: item.Fetched, NextUpdate: item.NextUpdate})
	}
	for vendor, s := range p.Stats() {
		out.Vendors[vendor] = telemetry.CollateralCounts(s)
	}
	return out
}
