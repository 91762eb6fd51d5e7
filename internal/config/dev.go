package config

import (
	"net"
	"net/netip"
	"strings"
)

// What --dev allows and production refuses is bound to loopback addresses and to a data
// folder of its own, by [Config.Complete] and by the mode file of the data folder: an
// issuer gives a token of any role to every caller; tls.certificate may be missing, and
// the data folder gets a CA; development.time fixes the time of appraisals;
// development.intelRoot, amdRoots and nitroRoot replace the vendors' roots.

// LoopbackHost reports whether a host name or address, without a port, can only
// mean this machine: a loopback address, localhost, or a name below localhost
// (RFC 6761, section 6.3).
func LoopbackHost(host string) bool {
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// checkDevelopment refuses settings with which others could reach a development
// service. Names in listen are resolved when the service starts.
func (c *Config) checkDevelopment(problem func(string, ...any)) {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return // reported already
	}
	if _, err := netip.ParseAddr(host); host == "" || err == nil && !LoopbackHost(host) {
		problem("listen: %q is not a loopback address; --dev gives an owner token to every caller, "+
			"so it listens on loopback only; "+
			"use localhost:8443, or start without --dev", c.Listen)
	}
	if c.TLS.Certificate != "" || c.TLS.Key != "" {
		problem("tls: a certificate and --dev exclude each other; --dev gives an owner token to every " +
			"caller; leave out tls, or start without --dev")
	}
}
