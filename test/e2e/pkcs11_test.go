//go:build pkcs11

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/probity-dev/probity/test/kit/softhsm"
)

// tags are those that the program is built with.
const tags = "pkcs11"

func TestPKCS11(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/pkcs11", Setup: setupPKCS11, RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"waitready": waitReady, "keep": keep}})
}

// setupPKCS11 leaves configurations that name a token of the script's own.
func setupPKCS11(env *testscript.Env) error {
	if err := setup(env); err != nil {
		return err
	}
	dir := filepath.Join(env.WorkDir, "token")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	module, conf, err := softhsm.Token(dir)
	if err != nil {
		return err
	}
	env.Setenv("SOFTHSM2_CONF", conf)
	for name, edit := range map[string]func(config, pkcs11 map[string]any){
		"serve.json": func(_, _ map[string]any) {},
		"both.json":  func(config, _ map[string]any) { config["masterKeyFile"] = "key" },
		"gone.json":  func(_, pkcs11 map[string]any) { pkcs11["masterKey"] = "another" },
		"pin.json":   func(_, pkcs11 map[string]any) { pkcs11["pinFile"] = "wrong.txt" },
	} {
		pkcs11 := map[string]any{
			"module":    module,
			"token":     softhsm.Label,
			"pinFile":   "pin.txt",
			"masterKey": "probity-master",
		}
		config := map[string]any{"dataDir": "data", "signing": map[string]any{"pkcs11": pkcs11}}
		edit(config, pkcs11)
		text, err := json.Marshal(config)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
