// Package config is the service's configuration: one struct, read from a JSON
// file and the environment. The struct is its reference; unknown members are
// refused, and every zero value is a good one.
package config

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// Config configures `probity serve`.
type Config struct {
	// Listen is the address of the service. Empty means "localhost:8443".
	Listen string `json:"listen,omitzero"`
	// URL is how clients reach the service; tokens name it as their issuer.
	// Empty means https://, then Listen.
	URL string `json:"url,omitzero"`
	// DataDir contains the database and the master key. Empty means
	// "./probity-data".
	DataDir string `json:"dataDir,omitzero"`
	// MasterKeyFile contains the base64 of the 32 bytes that seal signing keys.
	// Empty means master.key in DataDir, which is made at the first start. The
	// environment variable PROBITY_MASTER_KEY, if set, replaces the file.
	MasterKeyFile string `json:"masterKeyFile,omitzero"`
	// TLS names the server's certificate. Without it --dev is needed, which
	// makes a development CA in DataDir.
	TLS TLS `json:"tls,omitzero"`
	// Collateral lists files and folders of endorsements, see
	// collateral.Load. They are read at start.
	Collateral []string `json:"collateral,omitzero"`
	// Fetch says from whom collateral is fetched. Without it nothing is.
	Fetch Fetch `json:"fetch,omitzero"`
	// TCB is the TCB statuses that the provider "default" accepts, separated
	// by commas. Empty means UpToDate, SWHardeningNeeded,
	// ConfigurationNeeded and ConfigurationAndSWHardeningNeeded; "any" accepts
	// all but Revoked. BoundServiceTD and DebugGuest are accepted by name only.
	TCB string `json:"tcb,omitzero"`
	// SNP says which AMD SEV-SNP evidence is accepted.
	SNP SNP `json:"snp,omitzero"`
	// CCA lists the keys of Arm CCA platforms.
	CCA CCA `json:"cca,omitzero"`
	// TPM says which TPMs count, and how they are challenged.
	TPM TPM `json:"tpm,omitzero"`
	// AdminTokenFile contains the bearer token that may read and change
	// policies, at least 16 characters. The environment variable
	// PROBITY_ADMIN_TOKEN, if set, replaces the file. Without either, no one
	// may change policies.
	AdminTokenFile string `json:"adminTokenFile,omitzero"`
	// Store names the database.
	Store Store `json:"store,omitzero"`
	// Providers says where attestation providers answer.
	Providers Providers `json:"providers,omitzero"`
	// Tenants is the earlier name of Providers.
	Tenants *Providers `json:"tenants,omitzero"`
	// Callers says who may manage them.
	Callers Callers `json:"callers,omitzero"`
	// Ledger says how decisions are recorded.
	Ledger Ledger `json:"ledger,omitzero"`
	// Signing says how signing keys follow each other.
	Signing Signing `json:"signing,omitzero"`
	// Vault says how keys are kept and released.
	Vault Vault `json:"vault,omitzero"`
	// ExplainDenials lets clients see, rule by rule, why a policy denied.
	ExplainDenials bool `json:"explainDenials,omitzero"`
	// MaxTokenValidity caps how long tokens are valid, for instance "24h": 8 hours, or what
	// policies ask for with report_validity_in_minutes. Zero means 8 hours.
	MaxTokenValidity Duration `json:"maxTokenValidity,omitzero"`
	// Operations is where operators see details.
	Operations Operations `json:"operations,omitzero"`
	// Limits bound what a request may take.
	Limits Limits `json:"limits,omitzero"`
	// Development settings are refused without --dev.
	Development Development `json:"development,omitzero"`
}

// TLS names PEM files. They are read again when they change.
type TLS struct {
	Certificate string `json:"certificate,omitzero"`
	Key         string `json:"key,omitzero"`
}

// Operations is a listener for operators.
type Operations struct {
	// Listen is a loopback address, for instance "localhost:9443", that answers GET /metrics
	// and /readyz over plain HTTP with the names of chips, platforms and providers, which the
	// service's own address leaves out. Empty means none.
	Listen string `json:"listen,omitzero"`
}

// Limits bound what requests may take.
type Limits struct {
	// Body is the largest request body in bytes. Zero means 1 MiB.
	Body int64 `json:"body,omitzero"`
	// Concurrent is how many attestations run at once; more are answered 429.
	// Zero means 256.
	Concurrent int `json:"concurrent,omitzero"`
	// BodiesInFlight bounds the memory for the bodies of all requests that are being read,
	// in bytes; more are answered 503. Zero means 64 MiB.
	BodiesInFlight int64 `json:"bodiesInFlight,omitzero"`
	// Connections is how many connections may be open, and ConnectionsPerAddress how many
	// from one address (one /64 network of IPv6); more are closed at once. Zero means 4096
	// and 1024.
	Connections           int `json:"connections,omitzero"`
	ConnectionsPerAddress int `json:"connectionsPerAddress,omitzero"`
	// Streams is how many requests one HTTP/2 connection may have open. Zero means 32.
	Streams int `json:"streams,omitzero"`
	// Memory is at which use of memory, in bytes, the runtime collects garbage as hard as it
	// can. Zero means nine tenths of what the control group allows, or GOMEMLIMIT.
	Memory int64 `json:"memory,omitzero"`
	// Time is how long a request may take, for instance "20s". Zero means 20
	// seconds.
	Time Duration `json:"time,omitzero"`
	// Drain is how long the service goes on after it is asked to stop, so that load balancers
	// learn of it from /readyz. Zero means 3 seconds, or no time in development.
	Drain Duration `json:"drain,omitzero"`
	// Shutdown is how long running requests may take to end when the service
	// stops. Zero means 15 seconds.
	Shutdown Duration `json:"shutdown,omitzero"`
}

// Development settings make a service that must not be trusted.
type Development struct {
	// Time fixes the time at which evidence is judged (RFC 3339), so that old
	// evidence can be replayed. Tokens bear the true time.
	Time time.Time `json:"time,omitzero"`
	// IntelRoot is a PEM file with a root to trust instead of Intel's.
	IntelRoot string `json:"intelRoot,omitzero"`
	// AMDRoots is a PEM file with roots and intermediate CAs to trust instead
	// of AMD's.
	AMDRoots string `json:"amdRoots,omitzero"`
	// NitroRoot is a PEM file with a root to trust instead of AWS's.
	NitroRoot string `json:"nitroRoot,omitzero"`
}

// Duration is a time.Duration written as text such as "20s".
type Duration time.Duration

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (d *Duration) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var text string
	if err := json.UnmarshalDecode(dec, &text); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q is not a duration such as \"20s\"", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalJSONTo implements json.MarshalerTo.
func (d Duration) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteToken(jsontext.String(time.Duration(d).String()))
}

// Load reads a configuration file and completes it; an empty path gives the
// defaults.
func Load(path string, dev bool) (Config, error) {
	c, err := Read(path)
	if err != nil {
		return c, err
	}
	return c, c.Complete(dev)
}

// Read reads a configuration file as it is.
func Read(path string) (Config, error) {
	var c Config
	if path == "" {
		return c, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	if err := json.Unmarshal(b, &c, json.RejectUnknownMembers(true)); err != nil {
		return c, fmt.Errorf("config: %s: %s", path, jsonerror.Text(err))
	}
	if c.Tenants != nil {
		if c.Providers != (Providers{}) {
			return c, fmt.Errorf(
				"config: %s: providers and tenants are both set; tenants is the earlier name of providers: "+
					"move its settings to providers", path,
			)
		}
		c.Providers, c.Tenants = *c.Tenants, nil
	}
	return c, nil
}

// Complete fills in the defaults and checks the whole.
func (c *Config) Complete(dev bool) error {
	defaults := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	defaults(&c.Listen, "localhost:8443")
	defaults(&c.URL, "https://"+c.Listen)
	defaults(&c.DataDir, "probity-data")
	if c.Limits.Body == 0 {
		c.Limits.Body = 1 << 20
	}
	if c.Limits.Concurrent == 0 {
		c.Limits.Concurrent = 256
	}
	if c.Limits.BodiesInFlight == 0 {
		c.Limits.BodiesInFlight = max(64<<20, c.Limits.Body)
	}
	if c.Limits.Connections == 0 {
		c.Limits.Connections = 4096
	}
	if c.Limits.ConnectionsPerAddress == 0 {
		c.Limits.ConnectionsPerAddress = min(1024, c.Limits.Connections)
	}
	if c.Limits.Streams == 0 {
		c.Limits.Streams = 32
	}
	if c.Limits.Time == 0 {
		c.Limits.Time = Duration(20 * time.Second)
	}
	if c.Limits.Drain == 0 && !dev {
		c.Limits.Drain = Duration(3 * time.Second)
	}
	if c.Limits.Shutdown == 0 {
		c.Limits.Shutdown = Duration(15 * time.Second)
	}
	return c.check(dev)
}

func (c *Config) check(dev bool) error {
	var problems []error
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("config: "+format, args...))
	}
	c.checkAddresses(problem)
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		problem("tls: certificate and key belong together")
	}
	if c.TLS.Certificate == "" && !dev {
		problem("tls: no certificate; give tls.certificate and tls.key, or start with --dev for a development CA")
	}
	if _, err := appraisal.ParseTCBPolicy(c.TCB); err != nil {
		problem("tcb: %w", err)
	}
	c.Fetch.check(problem)
	c.completeProviders(problem)
	if _, err := c.SNP.Verifier(); err != nil {
		problem("snp: %w", err)
	}
	if _, err := c.CCA.Verifier(); err != nil {
		problem("cca: %w", err)
	}
	if err := c.TPM.check(); err != nil {
		problem("tpm: %w", err)
	}
	for _, err := range c.bounds() {
		if err != nil {
			problem("%w", err)
		}
	}
	if dev {
		c.checkDevelopment(problem)
	}
	if !dev && c.Development != (Development{}) {
		problem("development settings need --dev")
	}
	return errors.Join(problems...)
}
