// Package telemetry contains the names of all metrics in one place.
package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the service's metrics. No label contains what a client chose.
type Metrics struct {
	registry *prometheus.Registry
	// details name chips, platforms and providers: they are for operators alone.
	details *prometheus.Registry
	// Requests counts answers by route and status.
	Requests *prometheus.CounterVec
	// Seconds measures requests by route.
	Seconds *prometheus.HistogramVec
	// Verdicts counts attestations by type and by the check that refused;
	// "accepted" if none did.
	Verdicts *prometheus.CounterVec
	// Busy counts attestations that were turned away.
	Busy prometheus.Counter
	// BodiesRefused counts requests whose bodies had no place in memory.
	BodiesRefused prometheus.Counter
	// ConnectionsRefused counts connections that were closed at once, by the limit:
	// "total" or "address".
	ConnectionsRefused *prometheus.CounterVec
}

// New returns metrics in a registry of their own. The state of the collateral is
// read when they are asked for; nil leaves it out.
func New(collateral func() Collateral) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(), details: prometheus.NewRegistry(),
		Requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "probity_http_requests_total", Help: "Answered requests by route and status."},
			[]string{"route", "status"}),
		Seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "probity_http_request_seconds", Help: "Time to answer by route.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, 1, 5}}, []string{"route"}),
		Verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "probity_attestations_total", Help: "Attestations by type and failed check, or accepted."},
			[]string{"type", "check"}),
		Busy: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "probity_attestations_turned_away_total",
			Help: "Attestations refused because too many were running."}),
		BodiesRefused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "probity_http_bodies_refused_total",
			Help: "Requests refused because too many bytes of bodies were in memory."}),
		ConnectionsRefused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "probity_http_connections_refused_total",
			Help: "Connections closed at once because too many were open, in total or from one address."},
			[]string{"limit"}),
	}
	m.registry.MustRegister(m.Requests, m.Seconds, m.Verdicts, m.Busy, m.BodiesRefused, m.ConnectionsRefused,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if collateral != nil {
		m.registry.MustRegister(collateralCollector{collateral})
		m.details.MustRegister(pieceCollector{collateral})
	}
	return m
}

// Load shows the bytes of bodies in memory and the open connections.
func (m *Metrics) Load(bodies, connections func() float64) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "probity_http_bodies_bytes",
			Help: "Bytes of memory taken for request bodies.",
		}, bodies),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "probity_http_connections",
			Help: "Open connections.",
		}, connections))
}

// Reloads shows when the configuration was read, and whether the last try failed.
func (m *Metrics) Reloads(at, failed func() float64) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "probity_config_read_timestamp_seconds",
			Help: "When the configuration in force was read.",
		}, at),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "probity_config_reload_failed",
			Help: "1 if the last attempt to read the configuration again failed, else 0.",
		}, failed))
}

// Handler serves the metrics as text, without what names a chip, a platform or a provider.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Details serves all metrics as text.
func (m *Metrics) Details() http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers{m.registry, m.details}, promhttp.HandlerOpts{})
}
