package term

import (
	"cmp"

	"github.com/probity-dev/probity/internal/config"
)

// DefaultData is the data directory of a service whose configuration names none.
const DefaultData = "probity-data"

// DataFlags name the data directory of a service.
type DataFlags struct {
	Data   string `help:"Data directory of the service, instead of the configuration's or probity-data." aliases:"data-dir" placeholder:"DIR"`
	Config string `help:"Configuration of the service, which names the data directory." placeholder:"FILE"`
}

// Settings returns the configuration with its data directory: that of --data, of the
// configuration, or [DefaultData].
func (f DataFlags) Settings() (config.Config, error) {
	cfg, err := config.Read(f.Config)
	cfg.DataDir = cmp.Or(f.Data, cfg.DataDir, DefaultData)
	return cfg, err
}
