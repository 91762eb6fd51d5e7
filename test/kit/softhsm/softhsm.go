// Package softhsm makes tokens of SoftHSM2, a real PKCS#11 module in software, for
// tests.
package softhsm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Label and PIN are those of the tokens.
const (
	Label = "probity"
	PIN   = "1234"
)

// Token makes a token in a folder. It returns the module, and the configuration that
// the environment variable SOFTHSM2_CONF must name to programs that open it.
func Token(dir string) (module, conf string, err error) {
	found, err := filepath.Glob("/usr/lib/*/softhsm/libsofthsm2.so")
	if err != nil {
		return "", "", err
	}
	for _, m := range append(found, "/usr/lib/softhsm/libsofthsm2.so") {
		if _, err := os.Stat(m); err == nil {
			module = m
		}
	}
	if module == "" {
		return "", "", errors.New("SoftHSM2 is missing: install softhsm2")
	}
	conf = filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\nlog.level = ERROR\n"),
		0o600); err != nil {
		return "", "", err
	}
	cmd := exec.Command("softhsm2-util", "--init-token", "--free", "--label", Label, "--pin", PIN,
		"--so-pin", "5678")
	cmd.Env = append(os.Environ(), "SOFTHSM2_CONF="+conf)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("softhsm2-util: %w\n%s", err, out)
	}
	return module, conf, nil
}
