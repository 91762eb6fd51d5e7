package agent

import (
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
)

// DefaultDevice is the resource manager of Linux.
const DefaultDevice = "/dev/tpmrm0"

// socket sends each command over a connection of its own: simulators close the
// connection behind a command, or stop answering on one that is kept.
type socket struct{ network, address string }

const (
	commandTime = 90 * time.Second // making RSA keys takes that long on some chips
	maxResponse = 4096
)

// Send implements transport.TPM.
func (s socket) Send(command []byte) ([]byte, error) {
	conn, err := net.DialTimeout(s.network, s.address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(commandTime)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(command); err != nil {
		return nil, err
	}
	head := make([]byte, 10)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, fmt.Errorf("TPM at %s: %w", s.address, err)
	}
	size := int(head[2])<<24 | int(head[3])<<16 | int(head[4])<<8 | int(head[5])
	if size < len(head) || size > maxResponse {
		return nil, fmt.Errorf("TPM at %s: an answer of %d bytes", s.address, size)
	}
	answer := append(head, make([]byte, size-len(head))...)
	_, err = io.ReadFull(conn, answer[10:])
	return answer, err
}

// Close implements transport.TPMCloser.
func (socket) Close() error { return nil }

// openTransport opens a device, or a socket of a simulator: "tcp:HOST:PORT" or
// "unix:PATH".
func openTransport(address string) (transport.TPMCloser, error) {
	if rest, ok := strings.CutPrefix(address, "tcp:"); ok {
		return socket{"tcp", rest}, nil
	}
	if rest, ok := strings.CutPrefix(address, "unix:"); ok {
		return socket{"unix", rest}, nil
	}
	t, err := linuxtpm.Open(address)
	if err != nil {
		return nil, fmt.Errorf("TPM: %w; as root, or as a member of the group tss, "+
			"name the device or a socket (tcp:HOST:PORT) with --tpm", err)
	}
	return t, nil
}
