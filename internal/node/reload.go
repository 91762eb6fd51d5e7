package node

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/internal/config"
)

// reloadable are the settings that SIGHUP puts in force; the files that they and tls name
// are read again, too. All others need a restart.
var reloadable = []string{
	"adminTokenFile", "callers.certificates", "callers.issuers", "collateral", "explainDenials",
	"providers.burst", "providers.concurrent", "providers.requestsPerSecond", "tcb",
}

// configRead is when the configuration in force was read, for the metrics.
type configRead struct {
	mu     sync.Mutex
	at     time.Time
	failed bool
}

func (c *configRead) seconds() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return float64(c.at.Unix())
}

func (c *configRead) failures() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed {
		return 1
	}
	return 0
}

func (c *configRead) done(now time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed = err != nil; !c.failed {
		c.at = now
	}
}

// Reload reads the configuration and its files again, and returns what is in force. What
// is wrong changes nothing: the log says so, and the service goes on as it was.
func (n *Node) Reload(
	ctx context.Context, old config.Config, read func() (config.Config, error), log *slog.Logger,
) config.Config {
	next, restart, err := n.tryReload(ctx, old, read, log)
	n.read.done(time.Now(), err)
	if err != nil {
		log.Error("the configuration was not reloaded; the previous one stays in use", "err", err.Error())
		return old
	}
	for _, name := range restart {
		log.Warn("a changed setting has no effect yet; restart the service to use it", "setting", name)
	}
	log.Info("the configuration was reloaded")
	return next
}

func (n *Node) tryReload(
	ctx context.Context, old config.Config, read func() (config.Config, error), log *slog.Logger,
) (config.Config, []string, error) {
	next, err := read()
	if err != nil {
		return old, nil, err
	}
	restart, err := changedSettings(old, next)
	if err != nil {
		return old, nil, err
	}
	restart = slices.DeleteFunc(restart, func(name string) bool { return slices.Contains(reloadable, name) })
	// All is read before anything is put in force.
	files, err := CollateralFiles(next.Collateral)
	if err != nil {
		return old, nil, err
	}
	callers, err := n.callers(next, log)
	if err != nil {
		return old, nil, err
	}
	if n.pair != nil {
		if err := n.pair.Reload(); err != nil {
			return old, nil, err
		}
	}
	if err := n.registry.SetDefaults(ctx, providerDefaults(next)); err != nil {
		return old, nil, err
	}
	n.Server.SetAuth(callers)
	warnUnused(log, files)
	importFiles(ctx, n.Plane, files, log)
	return next, restart, nil
}

// changedSettings are the names of the settings that differ, as the guide writes them.
func changedSettings(a, b config.Config) ([]string, error) {
	before, err := settingsOf(a)
	if err != nil {
		return nil, err
	}
	after, err := settingsOf(b)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if !bytes.Equal(before[name], after[name]) {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := after[name]; !ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// settingsOf is a configuration by name, with the members of groups by group.member.
func settingsOf(c config.Config) (map[string]jsontext.Value, error) {
	text, err := json.Marshal(c, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	var top map[string]jsontext.Value
	if err := json.Unmarshal(text, &top); err != nil {
		return nil, err
	}
	all := map[string]jsontext.Value{}
	for name, v := range top {
		var members map[string]jsontext.Value
		if v.Kind() != '{' || json.Unmarshal(v, &members) != nil {
			all[name] = v
			continue
		}
		for member, value := range members {
			all[strings.Join([]string{name, member}, ".")] = value
		}
	}
	return all, nil
}
