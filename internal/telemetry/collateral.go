package telemetry

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Collateral is the state of the collateral available.
type Collateral struct {
	Pieces []CollateralPiece
	// Chips counts certificates of chips.
	Chips int
	// Vendors are counts by vendor.
	Vendors map[string]CollateralCounts
}

// CollateralPiece is one piece; Fetched may be zero.
type CollateralPiece struct {
	Key                 string
	Fetched, NextUpdate time.Time
}

// CollateralCounts count since the start.
type CollateralCounts struct {
	Hits, Fetches, Failures, Stale uint64
}

var (
	collateralExpiry = prometheus.NewDesc("probity_collateral_expiry_seconds",
		"Seconds until the piece expires; negative when it has.", []string{"key"}, nil)
	collateralAge = prometheus.NewDesc("probity_collateral_age_seconds",
		"Seconds since the piece was fetched.", []string{"key"}, nil)
	collateralNext = prometheus.NewDesc("probity_collateral_next_expiry_seconds",
		"Seconds until the first piece of the vendor expires; negative when it has.", []string{"vendor"}, nil)
	collateralChips = prometheus.NewDesc("probity_collateral_chip_certificates",
		"Certificates of AMD chips that are stored in memory.", nil, nil)
	collateralHits = prometheus.NewDesc("probity_collateral_hits_total",
		"Questions answered from what is stored.", []string{"vendor"}, nil)
	collateralFetch = prometheus.NewDesc("probity_collateral_fetches_total",
		"Fetches from the vendor's service.", []string{"vendor"}, nil)
	collateralFail = prometheus.NewDesc("probity_collateral_fetch_failures_total",
		"Fetches that failed or returned data that does not verify.", []string{"vendor"}, nil)
	collateralStale = prometheus.NewDesc("probity_collateral_stale_total",
		"Questions answered with expired collateral (outage mode).", []string{"vendor"}, nil)
)

// pieceCollector tells of each piece, whose key names a platform.
type pieceCollector struct{ state func() Collateral }

// Describe implements prometheus.Collector.
func (c pieceCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- collateralExpiry
	ch <- collateralAge
}

// Collect implements prometheus.Collector.
func (c pieceCollector) Collect(ch chan<- prometheus.Metric) {
	for _, p := range c.state().Pieces {
		ch <- prometheus.MustNewConstMetric(collateralExpiry, prometheus.GaugeValue,
			time.Until(p.NextUpdate).Seconds(), p.Key)
		if !p.Fetched.IsZero() {
			ch <- prometheus.MustNewConstMetric(collateralAge, prometheus.GaugeValue,
				time.Since(p.Fetched).Seconds(), p.Key)
		}
	}
}

// collateralCollector reads the state when metrics are asked for.
type collateralCollector struct{ state func() Collateral }

// Describe implements prometheus.Collector.
func (c collateralCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		collateralNext, collateralChips, collateralHits, collateralFetch, collateralFail,
		collateralStale,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collateralCollector) Collect(ch chan<- prometheus.Metric) {
	state := c.state()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	next := map[string]time.Time{}
	for _, p := range state.Pieces {
		vendor, _, _ := strings.Cut(p.Key, "/")
		if first, ok := next[vendor]; !ok || p.NextUpdate.Before(first) {
			next[vendor] = p.NextUpdate
		}
	}
	for vendor, at := range next {
		gauge(collateralNext, time.Until(at).Seconds(), vendor)
	}
	gauge(collateralChips, float64(state.Chips))
	for vendor, n := range state.Vendors {
		for _, m := range []struct {
			d *prometheus.Desc
			n uint64
		}{
			{collateralHits, n.Hits},
			{collateralFetch, n.Fetches},
			{collateralFail, n.Failures},
			{collateralStale, n.Stale},
		} {
			ch <- prometheus.MustNewConstMetric(m.d, prometheus.CounterValue, float64(m.n), vendor)
		}
	}
}
