package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Provider is an attestation provider as the resource manager shows it.
type Provider struct {
	ID         string             `json:"id,omitzero"`
	Name       string             `json:"name,omitzero"`
	Location   string             `json:"location,omitzero"`
	Tags       map[string]string  `json:"tags,omitzero"`
	Properties ProviderProperties `json:"properties"`
}

// ProviderProperties are a provider's properties. Probity are its settings, in
// JSON.
type ProviderProperties struct {
	TrustModel          string         `json:"trustModel,omitzero"`
	Status              string         `json:"status,omitzero"`
	AttestURI           string         `json:"attestUri,omitzero"`
	PublicNetworkAccess string         `json:"publicNetworkAccess,omitzero"`
	TPMAuthentication   string         `json:"tpmAttestationAuthentication,omitzero"`
	Signers             *SignerSet     `json:"policySigningCertificates,omitzero"`
	Probity             jsontext.Value `json:"probity,omitzero"`
}

// SignerSet are certificates that may sign policies, as JSON Web Keys.
type SignerSet struct {
	Keys []jsontext.Value `json:"keys"`
}

// Scope is where providers are: a subscription and a resource group.
type Scope struct{ Subscription, Group string }

const armVersion = "?api-version=2021-06-01"

// path returns the path of what is below the scope.
func (s Scope) path(below ...string) string {
	p := "/subscriptions/" + url.PathEscape(s.Subscription)
	if s.Group != "" {
		p += "/resourceGroups/" + url.PathEscape(s.Group)
	}
	p += "/providers/Microsoft.Attestation"
	for _, name := range below {
		p += "/" + url.PathEscape(name)
	}
	return p + armVersion
}

const attestationProviders = "attestationProviders"

// Providers lists the providers of a scope that the caller may read; without a group,
// those of all groups.
func (c *Client) Providers(ctx context.Context, s Scope) ([]Provider, error) {
	var l list[Provider]
	err := c.call(ctx, http.MethodGet, s.path(attestationProviders), nil, &l)
	return l.Value, err
}

// Provider returns one.
func (c *Client) Provider(ctx context.Context, s Scope, name string) (*Provider, error) {
	return c.provider(ctx, http.MethodGet, s, name, nil)
}

// PutProvider creates a provider, or replaces what it says.
func (c *Client) PutProvider(ctx context.Context, s Scope, name string, p Provider) (*Provider, error) {
	return c.provider(ctx, http.MethodPut, s, name, p)
}

// UpdateProvider changes what p says about a provider.
func (c *Client) UpdateProvider(ctx context.Context, s Scope, name string, p Provider) (*Provider, error) {
	return c.provider(ctx, http.MethodPatch, s, name, p)
}

func (c *Client) provider(
	ctx context.Context, method string, s Scope, name string, body any,
) (*Provider, error) {
	var p Provider
	if err := c.call(ctx, method, s.path(attestationProviders, name), body, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// DeleteProvider removes a provider; its ledger stays.
func (c *Client) DeleteProvider(ctx context.Context, s Scope, name string) error {
	return c.call(ctx, http.MethodDelete, s.path(attestationProviders, name), nil, nil)
}

// DefaultProviders returns the default provider under the name of each location.
func (c *Client) DefaultProviders(ctx context.Context, subscription string) ([]Provider, error) {
	var l list[Provider]
	err := c.call(ctx, http.MethodGet, Scope{Subscription: subscription}.path("defaultProviders"), nil, &l)
	return l.Value, err
}

// DefaultProvider returns the default provider of a location, for instance
// "westeurope".
func (c *Client) DefaultProvider(ctx context.Context, subscription, location string) (*Provider, error) {
	var p Provider
	err := c.call(ctx, http.MethodGet,
		Scope{Subscription: subscription}.path("locations", location, "defaultProvider"), nil, &p)
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// EndpointConnection is a private endpoint connection as the service records it.
type EndpointConnection struct {
	Name       string `json:"name,omitzero"`
	Properties struct {
		Endpoint jsontext.Value    `json:"privateEndpoint,omitzero"`
		State    map[string]string `json:"privateLinkServiceConnectionState,omitzero"`
	} `json:"properties"`
}

const endpointConnections = "privateEndpointConnections"

// EndpointConnections lists the private endpoint connections of a provider.
func (c *Client) EndpointConnections(
	ctx context.Context, s Scope, provider string,
) ([]EndpointConnection, error) {
	var l list[EndpointConnection]
	err := c.call(ctx, http.MethodGet, s.path(attestationProviders, provider, endpointConnections), nil, &l)
	return l.Value, err
}

// EndpointConnection returns one of them.
func (c *Client) EndpointConnection(
	ctx context.Context, s Scope, provider, name string,
) (*EndpointConnection, error) {
	return c.endpoint(ctx, http.MethodGet, s, provider, name, nil)
}

// PutEndpointConnection records one.
func (c *Client) PutEndpointConnection(
	ctx context.Context, s Scope, provider, name string, e EndpointConnection,
) (*EndpointConnection, error) {
	return c.endpoint(ctx, http.MethodPut, s, provider, name, e)
}

func (c *Client) endpoint(
	ctx context.Context, method string, s Scope, provider, name string, body any,
) (*EndpointConnection, error) {
	var e EndpointConnection
	err := c.call(ctx, method, s.path(attestationProviders, provider, endpointConnections, name), body, &e)
	if err != nil {
		return nil, err
	}
	return &e, nil
}

// DeleteEndpointConnection forgets one.
func (c *Client) DeleteEndpointConnection(ctx context.Context, s Scope, provider, name string) error {
	return c.call(ctx, http.MethodDelete,
		s.path(attestationProviders, provider, endpointConnections, name), nil, nil)
}

// LinkResources returns the names of what a private endpoint can lead to.
func (c *Client) LinkResources(ctx context.Context, s Scope, provider string) ([]string, error) {
	var l list[struct {
		Name string `json:"name"`
	}]
	err := c.call(ctx, http.MethodGet, s.path(attestationProviders, provider, "privateLinkResources"), nil, &l)
	var names []string
	for _, r := range l.Value {
		names = append(names, r.Name)
	}
	return names, err
}

// ForProvider returns a client of another provider of the same service.
func (c *Client) ForProvider(name string) *Client {
	other := *c
	other.base = strings.TrimSuffix(c.base, "/") + "/p/" + url.PathEscape(name)
	return &other
}
