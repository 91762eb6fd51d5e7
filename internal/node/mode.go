package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/config"
	"github.com/probity-dev/probity/internal/store"
)

// A data folder and a database belong to production or to development permanently:
// in development every caller can become an owner, so nothing that was ever
// stored there may be trusted in production, and production data must not be
// opened with such an issuer.
const (
	modeFile        = "mode"
	modeProduction  = "production"
	modeDevelopment = "development"
)

func modeName(dev bool) string {
	if dev {
		return modeDevelopment
	}
	return modeProduction
}

// folderMode returns what a data folder was used for, or "" for a new folder.
// In folders of versions without the mode file, a development CA tells.
func folderMode(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, modeFile))
	if err == nil {
		switch text := strings.TrimSpace(string(b)); text {
		case modeProduction, modeDevelopment:
			return text, nil
		}
		return "", fmt.Errorf("data folder: %s says neither %s nor %s", filepath.Join(dir, modeFile),
			modeProduction, modeDevelopment)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("data folder: %w", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, edge.DevCAFile)); err == nil {
		return modeDevelopment, nil
	}
	return "", nil
}

// claimFolder marks a data folder for production or development, or refuses it.
func claimFolder(dir string, dev bool) error {
	was, err := folderMode(dir)
	if err != nil {
		return err
	}
	if was != "" && was != modeName(dev) {
		return modeError("data folder "+dir, dev)
	}
	if _, err := os.Lstat(filepath.Join(dir, modeFile)); err == nil {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(dir, modeFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	_, err = f.WriteString(modeName(dev) + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

func modeError(what string, dev bool) error {
	if dev {
		return fmt.Errorf("the %s was used in production, and --dev gives an owner token to every "+
			"caller; start without --dev, or choose a new folder with --data", what)
	}
	return fmt.Errorf("the %s was used with --dev, when every caller could become an owner; "+
		"nothing in it can be trusted in production; choose a new data folder and database", what)
}

// claimStore does the same for the database, which several data folders may share.
// The mark is a lease without an end, because leases are taken by one holder alone.
func claimStore(ctx context.Context, db store.Store, folder string, dev bool) error {
	const work = "mode"
	now, never := time.Now(), time.Unix(0, math.MaxInt64)
	free, err := db.Lease(ctx, work, "nobody", now, now.Add(-time.Second))
	if err != nil {
		return err
	}
	if free && dev && folder == "" { // a service of a version without the mark used the database
		keys, err := db.SigningKeys(ctx)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			return modeError("database", dev)
		}
	}
	ours, err := db.Lease(ctx, work, modeName(dev), now, never)
	if err != nil {
		return err
	}
	if !ours {
		return modeError("database", dev)
	}
	return nil
}

// resolvesToLoopback refuses a name of a listener that stands for an address that
// others can reach.
func resolvesToLoopback(ctx context.Context, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	found, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return AddressError(address, err)
	}
	for _, a := range found {
		if !a.IP.IsLoopback() {
			return notLoopback(address, a.String())
		}
	}
	return nil
}

// listenOnLoopback listens on an address that other machines cannot reach.
func listenOnLoopback(ctx context.Context, setting, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, cannotListen(address, "in "+setting, err))
	}
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !config.LoopbackHost(a.IP.String()) {
		l.Close()
		return nil, fmt.Errorf("%s: %s is not a loopback address; it does not authenticate callers, "+
			"so it listens on loopback only", setting, l.Addr())
	}
	return l, nil
}

// boundToLoopback checks what the listener is bound to in the end.
func boundToLoopback(l net.Listener) error {
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !config.LoopbackHost(a.IP.String()) {
		return notLoopback(l.Addr().String(), l.Addr().String())
	}
	return nil
}

func notLoopback(address, found string) error {
	return fmt.Errorf("listen: %s is %s, not a loopback address; --dev gives an owner token to every "+
		"caller, so it listens on loopback only", address, found)
}
