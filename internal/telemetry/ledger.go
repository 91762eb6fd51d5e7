package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Ledger is the state of the ledger's writer.
type Ledger struct {
	Written, Lost, Alerts int64
	// Cosigned and NotCosigned count checkpoints that the witness signed, and attempts
	// that failed.
	Cosigned, NotCosigned int64
	Waiting, Stopped      int
	// Altered counts providers, and the tokens of callers, that the database contains and the
	// service did not write.
	Altered int
	// Kept are the sizes of the checkpoints outside the database, by provider.
	Kept map[string]int64
}

// maxLedgers bounds how many ledgers have a metric of their own.
const maxLedgers = 1000

// Ledger adds the state of the ledgers, which is read when metrics are asked for.
func (m *Metrics) Ledger(state func() Ledger) {
	m.registry.MustRegister(ledgerCollector{state})
	m.details.MustRegister(keptCollector{state})
}

// keptCollector tells of each provider's checkpoint.
type keptCollector struct{ state func() Ledger }

// Describe implements prometheus.Collector.
func (c keptCollector) Describe(ch chan<- *prometheus.Desc) { ch <- ledgerKept }

// Collect implements prometheus.Collector.
func (c keptCollector) Collect(ch chan<- prometheus.Metric) {
	l := c.state()
	if len(l.Kept) > maxLedgers {
		return // too many series; the files have the sizes
	}
	for provider, size := range l.Kept {
		ch <- prometheus.MustNewConstMetric(ledgerKept, prometheus.GaugeValue, float64(size), provider)
	}
}

type ledgerCollector struct{ state func() Ledger }

var (
	ledgerWritten = prometheus.NewDesc("probity_ledger_written_total",
		"Decisions recorded in ledgers.", nil, nil)
	ledgerLost = prometheus.NewDesc("probity_ledger_lost_total",
		"Decisions that could not be recorded.", nil, nil)
	ledgerWaiting = prometheus.NewDesc("probity_ledger_waiting", "Decisions that wait to be recorded.", nil, nil)
	ledgerAlerts  = prometheus.NewDesc("probity_ledger_alerts_total",
		"Signs that ledgers or their checkpoints were changed in the database, "+
			"and checkpoints that could not be kept outside it.", nil, nil)
	ledgerStopped = prometheus.NewDesc("probity_ledger_stopped",
		"Ledgers that are stopped because their history does not extend the last checkpoint.", nil, nil)
	stateAltered = prometheus.NewDesc("probity_database_altered",
		"Providers, and the tokens of callers, in the database that the service did not write.", nil, nil)
	ledgerCosigned = prometheus.NewDesc("probity_ledger_cosigned_total",
		"Checkpoints that the witness cosigned.", nil, nil)
	ledgerNotCosigned = prometheus.NewDesc("probity_ledger_witness_failures_total",
		"Attempts to have a checkpoint cosigned that failed.", nil, nil)
	ledgerKept = prometheus.NewDesc("probity_ledger_checkpoint_entries",
		"Size of the newest checkpoint that is kept outside the database, in entries.", []string{"provider"}, nil)
)

// Describe implements prometheus.Collector.
func (c ledgerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		ledgerWritten, ledgerLost, ledgerWaiting, ledgerAlerts, ledgerStopped, ledgerCosigned,
		ledgerNotCosigned, stateAltered,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c ledgerCollector) Collect(ch chan<- prometheus.Metric) {
	l := c.state()
	ch <- prometheus.MustNewConstMetric(ledgerWritten, prometheus.CounterValue, float64(l.Written))
	ch <- prometheus.MustNewConstMetric(ledgerLost, prometheus.CounterValue, float64(l.Lost))
	ch <- prometheus.MustNewConstMetric(ledgerWaiting, prometheus.GaugeValue, float64(l.Waiting))
	ch <- prometheus.MustNewConstMetric(ledgerAlerts, prometheus.CounterValue, float64(l.Alerts))
	ch <- prometheus.MustNewConstMetric(ledgerStopped, prometheus.GaugeValue, float64(l.Stopped))
	ch <- prometheus.MustNewConstMetric(stateAltered, prometheus.GaugeValue, float64(l.Altered))
	ch <- prometheus.MustNewConstMetric(ledgerCosigned, prometheus.CounterValue, float64(l.Cosigned))
	ch <- prometheus.MustNewConstMetric(ledgerNotCosigned, prometheus.CounterValue, float64(l.NotCosigned))
}
