package config

import (
	"net/url"
	"time"
)

// Fetch says from whom collateral is fetched, and how it is kept fresh. Its zero
// value fetches nothing.
type Fetch struct {
	// Intel is Intel's provisioning certification service or a PCCS.
	Intel FetchIntel `json:"intel,omitzero"`
	// AMD is AMD's key distribution service.
	AMD FetchAMD `json:"amd,omitzero"`
	// Refresh is how old collateral grows before it is fetched again. Zero means
	// a day.
	Refresh Duration `json:"refresh,omitzero"`
	// Warn is how long before its end collateral is warned of, in the log and in
	// /readyz. Zero means three days.
	Warn Duration `json:"warn,omitzero"`
	// Outage is for how long after its end collateral is still used while the
	// vendor's service fails, at most "168h". Tokens then contain the claim
	// x-probity-collateral with the value "stale". Zero means not at all.
	Outage Duration `json:"outage,omitzero"`
}

// FetchIntel is a service that speaks Intel's protocol.
type FetchIntel struct {
	// URL is the service without a path, for instance
	// "https://api.trustedservices.intel.com". Empty means that nothing is
	// fetched for Intel's platforms.
	URL string `json:"url,omitzero"`
	// Version of the API, 3 or 4. Zero means 4; 3 has no TDX.
	Version int `json:"version,omitzero"`
	// Update is "standard" or "early". Empty leaves it to the service.
	Update string `json:"update,omitzero"`
	// RootCRL is where the list of the root CA is. Empty means Intel's place, or
	// that of a PCCS.
	RootCRL string `json:"rootCRL,omitzero"`
	// CA is a PEM file with the CAs of the service's TLS certificate, for a
	// PCCS. Empty means those of the system.
	CA string `json:"ca,omitzero"`
}

// FetchAMD is a service that speaks AMD's protocol.
type FetchAMD struct {
	// URL is the service without a path, for instance "https://kdsintf.amd.com".
	// Empty means that nothing is fetched for AMD's processors.
	URL string `json:"url,omitzero"`
	// Spacing is how far apart requests are. Zero means ten seconds, which is
	// what AMD asks for; a mirror of yours may allow less.
	Spacing Duration `json:"spacing,omitzero"`
}

// maxOutage bounds how long stale collateral may be used.
const maxOutage = 7 * 24 * time.Hour

func (f Fetch) check(problem func(string, ...any)) {
	for name, text := range map[string]string{
		"intel": f.Intel.URL, "amd": f.AMD.URL, "intel.rootCRL": f.Intel.RootCRL,
	} {
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" ||
			u.Fragment != "" {
			problem("fetch.%s: %q is not a URL such as https://api.trustedservices.intel.com", name, text)
		}
	}
	if v := f.Intel.Version; v != 0 && v != 3 && v != 4 {
		problem("fetch.intel.version: %d; want 3 or 4", v)
	}
	if u := f.Intel.Update; u != "" && u != "standard" && u != "early" {
		problem("fetch.intel.update: %q; want standard or early", u)
	}
}
