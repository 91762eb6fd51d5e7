package simulate

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"

	"github.com/probity-dev/probity/client"
)

// machineKeyFile is the private key of a simulated machine. A real one keeps it in its memory.
const machineKeyFile = "machine-key.pem"

// newMachineKey makes the key of a machine to which keys are released, as PEM, and the runtime data that
// name it.
func newMachineKey() (private, runtimeData []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	runtimeData, err = client.RuntimeData(&key.PublicKey, "")
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), runtimeData, err
}
