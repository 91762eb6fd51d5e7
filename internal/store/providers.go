package store

import (
	"context"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// DefaultProvider is the provider that answers on the bare address.
const DefaultProvider = "default"

// Provider is an attestation provider. Members that this version does
// not know are kept, so that nodes of two versions can run together.
type Provider struct {
	Name string `json:"-"`
	// Revision grows with each change.
	Revision int64 `json:"-"`
	// Generation counts the providers of this name: one that was removed and made again
	// has 2. Zero means 1.
	Generation int64 `json:"generation,omitzero"`
	// Subscription and Group are where the control plane finds it.
	Subscription string            `json:"subscription,omitzero"`
	Group        string            `json:"group,omitzero"`
	Location     string            `json:"location,omitzero"`
	Tags         map[string]string `json:"tags,omitzero"`
	// Isolated providers take policies only from those who hold the key of one of
	// Signers, which are JSON Web Keys as they were registered.
	Isolated bool             `json:"isolated,omitzero"`
	Signers  []jsontext.Value `json:"signers,omitzero"`
	// Used are hashes of the newest requests about certificates, which are not taken
	// again.
	Used []string `json:"used,omitzero"`
	// PublicNetworkAccess and TPMAuthentication are "Enabled", "Disabled" or empty.
	PublicNetworkAccess string `json:"publicNetworkAccess,omitzero"`
	TPMAuthentication   string `json:"tpmAttestationAuthentication,omitzero"`
	// Endpoints are private endpoint connections, by name.
	Endpoints map[string]jsontext.Value `json:"privateEndpoints,omitzero"`
	// KeyUses are the kinds of keys that the provider signed with lately, signs with, and
	// is about to sign with, the oldest first. Empty until the kind is changed once.
	KeyUses []KeyUse `json:"keyUses,omitzero"`
	// Settings are the provider's own, as package provider reads them.
	Settings  jsontext.Value `json:"settings,omitzero"`
	Created   time.Time      `json:"created,omitzero"`
	CreatedBy string         `json:"createdBy,omitzero"`
	Updated   time.Time      `json:"updated,omitzero"`
	UpdatedBy string         `json:"updatedBy,omitzero"`
	// Later holds the members of later versions.
	Later jsontext.Value `json:",embed"`
}

// Identity tells a provider from earlier ones of its name, which were removed: "acme",
// then "acme.2". It names the provider's ledger, and what was sealed for it. Names of
// providers have no dot.
func (p *Provider) Identity() string {
	if p.Generation <= 1 {
		return p.Name
	}
	return p.Name + "." + strconv.FormatInt(p.Generation, 10)
}

// KeyUse is a kind of keys that a provider signs with for a while.
type KeyUse struct {
	// Own keys are the provider's, others are shared.
	Own       bool   `json:"own,omitzero"`
	Algorithm string `json:"algorithm"`
	// From is when the provider begins to sign with them; they are published before.
	From time.Time `json:"from,omitzero"`
	// Until is when they leave its key set; zero means that no date is known.
	Until time.Time `json:"until,omitzero"`
}

// ProviderStore reads providers.
type ProviderStore interface {
	// Provider returns the named provider or an error wrapping ErrNotFound;
	// Providers returns all, by name.
	Provider(ctx context.Context, name string) (Provider, error)
	Providers(ctx context.Context) ([]Provider, error)
}

// ProviderTx reads and changes providers.
type ProviderTx interface {
	Provider(name string) (Provider, error)
	Providers() ([]Provider, error)
	// PutProvider creates or replaces a provider and returns its new revision.
	PutProvider(p Provider) (int64, error)
	// DeleteProvider removes a provider with its policies, keys, proposals and
	// enrolments. Its ledger stays.
	DeleteProvider(name string) error
}
