package thirdparty

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const relyingParties = "../../docs/how-to/relying-parties.md"

// TestTheGuideToRelyingPartiesWorks runs the page as a reader does who has OpenBao. The tests of the service
// run it without.
func TestTheGuideToRelyingPartiesWorks(t *testing.T) {
	page, err := os.ReadFile(relyingParties)
	if err != nil {
		t.Fatal(err)
	}
	script := "set -eu\n"
	withBao := 0
	for _, m := range regexp.MustCompile("(?ms)^```sh([^\n]*)\n(.*?)^```$").FindAllSubmatch(page, -1) {
		switch needs := strings.TrimSpace(string(m[1])); needs {
		case "needs=openbao":
			withBao++
			script += string(m[2])
		case "":
			script += string(m[2])
		}
	}
	if withBao == 0 {
		t.Fatal("the page does not use OpenBao")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "bin", "probity")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-o", program, "./cmd/probity")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	service, bao := "localhost:"+freePort(t), "127.0.0.1:"+freePort(t)
	script = strings.NewReplacer("localhost:8443", service, "127.0.0.1:8200", bao,
		"probity serve --dev", "probity serve --dev --listen "+service,
		"bao server -dev", "bao server -dev -dev-listen-address="+bao).Replace(script)
	output, err := runScript(t, dir, script)
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	if !bytes.Contains(output, []byte("claim \"x-ms-sgx-svn\" does not match")) {
		t.Errorf("OpenBao did not refuse the role that wants another enclave:\n%s", output)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// runScript runs commands in an empty folder, and ends what they left running.
func runScript(t *testing.T, dir, script string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-x", "-c", script)
	cmd.Dir = dir
	path := filepath.Join(dir, "bin") + ":" + filepath.Dir(baoProgram(t)) + ":" + os.Getenv("PATH")
	cmd.Env = []string{"PATH=" + path, "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = time.Second
	group := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = group
	err := cmd.Run()
	group()
	if err != nil && strings.Contains(err.Error(), "WaitDelay") {
		err = nil
	}
	return output.Bytes(), err
}
