package files

import (
	"errors"
	"fmt"
	"os"

	"github.com/probity-dev/probity/internal/config"
)

// Config reads a configuration as it is. Where the file is something else, the error says what.
func Config(path string) (config.Config, error) {
	cfg, err := config.Read(path)
	if err == nil {
		return cfg, nil
	}
	b, readErr := os.ReadFile(path)
	if readErr != nil {
		return cfg, err
	}
	none := errors.New("not a configuration")
	other := InsteadOf(b, none).Error()
	if other == none.Error() || other == none.Error()+" (the file is: JSON document)" {
		return cfg, err
	}
	return cfg, fmt.Errorf("%s: %s", path, other)
}
