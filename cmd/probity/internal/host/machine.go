package host

import (
	"cmp"
	"context"

	"github.com/probity-dev/probity/agent"
	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
)

// defaultState is the default of the flag --state.
const defaultState = "/var/lib/probity"

// Machine is this host for commands that get a key to use it themselves.
type Machine struct {
	CA         string `json:"ca,omitzero" name:"ca" help:"PEM file with the CA of the service, instead of the system's." placeholder:"FILE"`
	TPM        string `json:"tpm,omitzero" name:"tpm" help:"${tpmHelp}" default:"/dev/tpmrm0" placeholder:"TPM"`
	State      string `json:"state,omitzero" help:"${stateHelp}" default:"/var/lib/probity" placeholder:"DIR"`
	EventLog   string `json:"eventLog,omitzero" help:"Log of measured boot, by default the kernel's." placeholder:"FILE"`
	BearerFile string `json:"bearerFile,omitzero" help:"File with the bearer token of a releaser." placeholder:"FILE"`
	ClientCert string `json:"clientCert,omitzero" help:"PEM file with a client certificate instead of a token." placeholder:"FILE"`
	ClientKey  string `json:"clientKey,omitzero" help:"PEM file with the client certificate's key." placeholder:"FILE"`
}

// Certificates are the flags that name the client certificate.
func (m Machine) Certificates() remote.CertificateFlags {
	return remote.CertificateFlags{ClientCert: m.ClientCert, ClientKey: m.ClientKey}
}

// Unlock attests this host at a provider of a service, and gets a key of that provider. The kind "" is what the
// host has, the provider "" that of the URL, the version "" the newest. The caller erases the key.
func (m Machine) Unlock(
	ctx context.Context, service, provider, kind, name, version string,
) (*client.Released, error) {
	flags := hostFlags{Service: service, CA: m.CA, Kind: kind, TPM: cmp.Or(m.TPM, agent.DefaultDevice),
		State: cmp.Or(m.State, defaultState), EventLog: m.EventLog,
		BearerFile: m.BearerFile, CertificateFlags: m.Certificates()}
	if kind == "" {
		flags.Kind = "auto"
	}
	h, err := flags.open("")
	if err != nil {
		return nil, err
	}
	defer h.close()
	if provider != "" {
		h.client = h.client.ForProvider(provider)
	}
	return h.unlock(ctx, h.client.Vault(), client.ReleaseRequest{Name: name, Version: version})
}
