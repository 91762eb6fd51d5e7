package node

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/probity-dev/probity/internal/config"
)

// warnDevelopment says loudly what a development setting does.
func warnDevelopment(log *slog.Logger, d config.Development) {
	if !d.Time.IsZero() {
		log.Warn("DEVELOPMENT: all evidence is judged at a fixed time; expired collateral and revoked "+
			"keys may pass",
			"time", d.Time.UTC().Format(time.RFC3339))
	}
	for vendor, path := range map[string]string{"Intel": d.IntelRoot, "AMD": d.AMDRoots, "AWS": d.NitroRoot} {
		if path != "" {
			log.Warn("DEVELOPMENT: a root other than the vendor's is trusted; "+
				"tokens prove nothing about real hardware",
				"vendor", vendor, "root", path)
		}
	}
}

// AddressError says why nothing can listen on an address, and how to choose another.
func AddressError(address string, err error) error {
	return cannotListen(address, "with --listen", err)
}

// cannotListen says how another address is chosen.
func cannotListen(address, how string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		err = errors.New("another program uses it")
	}
	return fmt.Errorf("cannot listen on %s: %w; choose another address %s", address, err, how)
}
