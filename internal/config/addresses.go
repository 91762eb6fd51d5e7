package config

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// address reads HOST:PORT to listen on; port 0 stands for any that is free.
func address(text string) (host string, port int, err error) {
	host, number, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not an address such as :8443 or 127.0.0.1:8443", text)
	}
	port, err = strconv.Atoi(number)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q: the port %q is not a number from 0 to 65535", text, number)
	}
	return host, port, nil
}

// checkAddresses checks where the service listens, and under which address it is known.
func (c *Config) checkAddresses(problem func(format string, args ...any)) {
	host, port, err := address(c.Listen)
	if err != nil {
		problem("listen: %w", err)
	}
	if c.Operations.Listen != "" {
		ownHost, ownPort, err := address(c.Operations.Listen)
		switch {
		case err != nil:
			problem("operations.listen: %w", err)
		case !LoopbackHost(ownHost):
			problem("operations.listen: %q is not on the loopback interface, such as 127.0.0.1:9090: "+
				"it shows chip identities without asking who calls", c.Operations.Listen)
		case ownPort != 0 && ownPort == port && overlap(host, ownHost):
			problem("operations.listen: %q is the address of listen, %q; choose another port",
				c.Operations.Listen, c.Listen)
		}
	}
	if err := publicURL(c.URL); err != nil {
		problem("url: %w", err)
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	if err := hostSuffix(c.Providers.HostSuffix); err != nil {
		problem("providers.hostSuffix: %w", err)
	}
	if info, err := os.Stat(c.DataDir); err == nil && !info.IsDir() {
		problem("dataDir: %s is not a folder; name a folder that the service's user owns", c.DataDir)
	}
}

// overlap reports whether listening on one host takes the port of the other.
func overlap(a, b string) bool {
	every := func(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }
	return a == b || every(a) || every(b) || LoopbackHost(a) && LoopbackHost(b)
}

// publicURL checks the address that tokens name as their issuer.
func publicURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.ForceQuery ||
		u.Fragment != "":
		return fmt.Errorf("%q is not an https URL such as https://attest.example.org", redacted(u, text))
	case u.User != nil:
		return fmt.Errorf("%q names a user; tokens would publish it", u.Redacted())
	case u.Port() != "":
		if port, err := strconv.Atoi(u.Port()); err != nil || port > 65535 {
			return fmt.Errorf("%q: the port is not a number from 0 to 65535", text)
		}
	}
	return nil
}

// redacted leaves passwords out of messages.
func redacted(u *url.URL, text string) string {
	if u != nil {
		return u.Redacted()
	}
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		return "…" + text[at:]
	}
	return text
}

// hostSuffix checks what follows the name of a provider: a host name in ASCII, perhaps with a
// port.
func hostSuffix(text string) error {
	if text == "" {
		return nil
	}
	host, port, hasPort := strings.Cut(text, ":")
	if hasPort {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q: the port is not a number from 1 to 65535", text)
		}
	}
	for label := range strings.SplitSeq(host, ".") {
		plain := strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
		if label == "" || len(label) > 63 || !plain || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("%q is not a host name such as attest.example.org (letters, "+
				"digits and dashes; others in their xn-- form)", text)
		}
	}
	return nil
}
