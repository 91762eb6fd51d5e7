// Package swtpm starts a software TPM 2.0 for tests: the program swtpm with
// endorsement keys, certificates of an authority of its own, and the banks SHA-1,
// SHA-256, SHA-384 and SHA-512.
package swtpm

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TPM is one that runs until the test ends.
type TPM struct {
	// Address is what agents open: "tcp:127.0.0.1:PORT".
	Address string
	// Port is that of the commands; the control port is the next one.
	Port int
	// Roots are PEM files of the authority that certified the endorsement key: the
	// root, and the intermediate.
	Roots []string
}

// Required is the environment variable that makes the absence of the program a
// failure. Those who install it set it.
const Required = "PROBITY_REQUIRE_SWTPM"

// Available reports whether the programs are there, and fails where they must be.
func Available() (bool, error) {
	for _, program := range []string{"swtpm", "swtpm_setup", "swtpm_localca"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv(Required) != "" {
				return false, fmt.Errorf("%s is missing: install swtpm and swtpm-tools", program)
			}
			return false, nil
		}
	}
	return true, nil
}

// Start starts a TPM, or skips the test where there is no such program.
func Start(t testing.TB) *TPM {
	t.Helper()
	switch ok, err := Available(); {
	case err != nil:
		t.Fatal(err)
	case !ok:
		t.Skip("swtpm is missing: install swtpm and swtpm-tools")
	}
	m, stop, err := Launch(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return m
}

// Extend extends a SHA-256 register (TPM2_PCR_Extend), as software on the host may.
func (m *TPM) Extend(pcr uint32, digest [32]byte) error {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", m.Port), 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	be := binary.BigEndian
	command := []byte{0x80, 0x02, 0, 0, 0, 0, 0, 0, 0x01, 0x82}
	command = be.AppendUint32(be.AppendUint32(command, pcr), 9)
	command = append(command, 0x40, 0, 0, 9, 0, 0, 0, 0, 0) // an empty password
	command = append(be.AppendUint16(be.AppendUint32(command, 1), 0x000b), digest[:]...)
	be.PutUint32(command[2:], uint32(len(command)))
	if _, err := conn.Write(command); err != nil {
		return err
	}
	head := make([]byte, 10)
	if _, err := io.ReadFull(conn, head); err != nil {
		return err
	}
	if code := be.Uint32(head[6:]); code != 0 {
		return fmt.Errorf("PCR_Extend: %#x", code)
	}
	return nil
}

// Launch starts a TPM that keeps its state in the folder.
func Launch(dir string) (*TPM, func(), error) {
	state, ca := filepath.Join(dir, "state"), filepath.Join(dir, "ca")
	files := map[string]string{
		"localca.conf": fmt.Sprintf("statedir = %s\nsigningkey = %s/signkey.pem\n"+
			"issuercert = %s/issuercert.pem\ncertserial = %s/certserial\n", ca, ca, ca, ca),
		"options": "--platform-manufacturer Simulated\n--platform-version 1.0\n--platform-model Test\n",
		"setup.conf": fmt.Sprintf("create_certs_tool = %s\ncreate_certs_tool_config = %s/localca.conf\n"+
			"create_certs_tool_options = %s/options\n",
			lookup("swtpm_localca"), dir, dir),
	}
	for _, folder := range []string{state, ca} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, nil, err
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, nil, err
		}
	}
	out, err := exec.Command(
		"swtpm_setup", "--tpm2", "--tpmstate", state, "--config", filepath.Join(dir, "setup.conf"),
		"--create-ek-cert",
		"--create-platform-cert", "--vmid", "test-vm-01", "--pcr-banks",
		"sha1,sha256,sha384,sha512", "--lock-nvram",
	).CombinedOutput()
	if err != nil {
		return nil, nil, fmt.Errorf("swtpm_setup: %w\n%s", err, out)
	}
	port, err := freePorts()
	if err != nil {
		return nil, nil, err
	}
	// Absolute paths: the program may change its folder. Each command has a
	// connection of its own.
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--server",
		fmt.Sprintf("type=tcp,bindaddr=127.0.0.1,port=%d,disconnect", port),
		"--ctrl", fmt.Sprintf("type=tcp,bindaddr=127.0.0.1,port=%d", port+1), "--flags",
		"not-need-init,startup-clear")
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for range 100 {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port+1), time.Second)
		if err == nil {
			conn.Close()
			return &TPM{Address: "tcp:" + address, Port: port, Roots: []string{
				filepath.Join(ca, "swtpm-localca-rootca-cert.pem"),
				filepath.Join(ca, "issuercert.pem"),
			}}, stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return nil, nil, fmt.Errorf("swtpm does not answer at %s", address)
}

func lookup(program string) string {
	path, err := exec.LookPath(program)
	if err != nil {
		return program
	}
	return path
}

// freePorts finds two free ports in a row.
func freePorts() (int, error) {
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		next, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		l.Close()
		if err == nil {
			next.Close()
			return port, nil
		}
	}
	return 0, fmt.Errorf("no two free ports in a row")
}
