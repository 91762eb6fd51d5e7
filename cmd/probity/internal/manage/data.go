package manage

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/node"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/internal/store/postgres"
	"github.com/probity-dev/probity/internal/store/sqlite"
)

// dataFlag names the data directory of a service.
type dataFlag struct{ term.DataFlags }

func (f dataFlag) dir() (string, error) {
	cfg, err := f.Settings()
	return cfg.DataDir, err
}

// openStore opens the database of a service that is there.
func (f dataFlag) openStore(e *term.Env) (store.Store, error) {
	cfg, err := f.Settings()
	if err != nil {
		return nil, err
	}
	if url, err := cfg.Store.Postgres(); f.Data == "" && (url != "" || err != nil) {
		if err != nil {
			return nil, err
		}
		return postgres.Open(e.Ctx, url)
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, sqlite.FileName)); err != nil {
		return nil, fmt.Errorf("%s is not the data directory of a service; name it with --data, or its configuration "+
			"with --config: %w", cfg.DataDir, err)
	}
	return sqlite.Open(e.Ctx, cfg.DataDir)
}

// sealed returns the store of a service with sealed changes, for which its master key is
// needed.
func (f dataFlag) sealed(e *term.Env, db store.Store) (store.Store, error) {
	cfg, err := f.Settings()
	if err != nil {
		return nil, err
	}
	atRest, err := node.KeysAtRest(e.Ctx, db, cfg)
	if err != nil {
		return nil, err
	}
	seals, err := node.OpenSeals(e.Ctx, db, cfg, atRest)
	if err != nil {
		return nil, err
	}
	return seals.Guard(db), nil
}
