package config

import (
	"time"

	"github.com/probity-dev/probity/strict/bounds"
)

const (
	day  = 24 * time.Hour
	year = 366 * day
)

// bounds checks every number, duration and date of the configuration.
func (c *Config) bounds() []error {
	span := func(name string, d Duration, least, most time.Duration) error {
		return bounds.Optional(name, time.Duration(d), least, most)
	}
	errs := []error{
		bounds.Optional[int64]("limits.body", c.Limits.Body, 1, 64<<20),
		bounds.Optional("limits.concurrent", c.Limits.Concurrent, 1, bounds.MaxConcurrent),
		bounds.Optional[int64]("limits.bodiesInFlight", c.Limits.BodiesInFlight,
			max(64<<10, c.Limits.Body), 64<<30),
		bounds.Optional("limits.connections", c.Limits.Connections, 4, 1_000_000),
		bounds.Optional("limits.connectionsPerAddress", c.Limits.ConnectionsPerAddress, 1, 1_000_000),
		bounds.Optional("limits.streams", c.Limits.Streams, 1, 1000),
		bounds.Optional[int64]("limits.memory", c.Limits.Memory, 64<<20, 1<<50),
		span("limits.time", c.Limits.Time, 10*time.Millisecond, time.Hour),
		span("limits.drain", c.Limits.Drain, time.Millisecond, time.Hour),
		span("limits.shutdown", c.Limits.Shutdown, time.Millisecond, time.Hour),
		span("maxTokenValidity", c.MaxTokenValidity, time.Minute, bounds.MaxTokenValidity),
		span("store.poll", c.Store.Poll, 10*time.Millisecond, time.Hour),
		bounds.Optional("providers.requestsPerSecond", c.Providers.RequestsPerSecond, bounds.MinRate,
			bounds.MaxRate),
		bounds.Optional("providers.burst", c.Providers.Burst, 1, bounds.MaxBurst),
		bounds.Optional("providers.concurrent", c.Providers.Concurrent, 1, bounds.MaxConcurrent),
		bounds.Optional("ledger.queue", c.Ledger.Queue, 2, 10_000_000),
		span("ledger.checkpoint", c.Ledger.Checkpoint, 10*time.Millisecond, day),
		span("ledger.audit", c.Ledger.Audit, time.Second, 366*day),
		bounds.Optional("ledger.minRetentionDays", c.Ledger.MinRetentionDays, 1, bounds.MaxRetention),
		span("signing.rotateEvery", c.Signing.RotateEvery, time.Second, 10*year),
		span("signing.publishAhead", c.Signing.PublishAhead, time.Millisecond, year),
		span("signing.overlap", c.Signing.Overlap, time.Millisecond, 2*year),
		span("fetch.refresh", c.Fetch.Refresh, time.Second, 90*day),
		span("fetch.warn", c.Fetch.Warn, time.Second, year),
		span("fetch.outage", c.Fetch.Outage, time.Second, maxOutage),
		span("fetch.amd.spacing", c.Fetch.AMD.Spacing, time.Millisecond, time.Hour),
		bounds.Optional("vault.recoverableDays", c.Vault.RecoverableDays, 7, 90),
		bounds.Optional("vault.maxKeys", c.Vault.MaxKeys, 1, 10_000_000),
		span("vault.challengeLifetime", c.Vault.ChallengeLifetime, time.Second, maxChallengeLifetime),
		span("vault.transit.timeout", c.Vault.Transit.Timeout, minTransitTimeout, maxTransitTimeout),
		span("tpm.challengeLifetime", c.TPM.ChallengeLifetime, time.Second, maxChallengeLifetime),
	}
	if at := c.Development.Time; !at.IsZero() {
		errs = append(errs,
			bounds.Time("development.time", at, time.Unix(0, 0), time.Date(9998, 1, 1, 0, 0, 0, 0, time.UTC)))
	}
	return errs
}
