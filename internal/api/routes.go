package api

import (
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api/control"
	"github.com/probity-dev/probity/internal/api/data"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/auth"
)

const (
	anybody     = auth.Nobody
	byProvider  = edge.ByProvider
	reader      = auth.Reader
	contributor = auth.Contributor
	owner       = auth.Owner

	atProvider = edge.AtProvider
	atNamed    = edge.AtNamed
	atSome     = edge.AtSome
	everywhere = edge.Everywhere
)

const (
	armSubscription = "/subscriptions/{subscription}/providers/Microsoft.Attestation"
	armGroup        = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Attestation"
	armProvider     = armGroup + "/attestationProviders/{provider}"
)

// routes is the table: everything that the service answers, in one place. A row with
// attestation types comes before the row of all types.
func routes(s *Server, d *data.Plane, c *control.Plane) (table []edge.Route) {
	// A row has the fields of edge.Route, in their order.
	type row struct {
		Method, Path string
		Types        []evidence.Kind
		Versioned    bool
		Role         auth.Role
		At           edge.Where
		Handle       edge.Handler
	}
	tpm := []evidence.Kind{evidence.TPM, evidence.VBSEnclave}
	guest := []evidence.Kind{evidence.AzureGuest}
	for _, r := range []row{
		{"GET", "/.well-known/openid-configuration", nil, false, anybody, atProvider, d.Discovery},
		{"GET", "/certs", nil, false, anybody, atProvider, d.KeySet},
		{"POST", "/attest/{type}", tpm, true, byProvider, atProvider, d.AttestTPM},
		{"POST", "/attest/{type}", guest, true, anybody, atProvider, d.AttestGuest},
		{"POST", "/attest/{type}", nil, true, anybody, atProvider, d.Attest},
		{"POST", "/attest/tee/{type}", tpm, true, byProvider, atProvider, d.AttestTPMLegacy},
		{"POST", "/attest/tee/{type}", guest, true, anybody, atProvider, d.AttestGuestLegacy},
		{"POST", "/attest/tee/{type}", nil, true, anybody, atProvider, d.AttestLegacy},
		{"POST", "/tpm/enroll", nil, false, byProvider, atProvider, d.Enroll},
		{"GET", "/tcbbaselines/{type}", nil, true, anybody, atProvider, d.TCBBaselines},
		{"GET", "/healthz", nil, false, anybody, atProvider, s.healthz},
		{"GET", "/readyz", nil, false, anybody, atProvider, s.readyz},
		{"GET", "/metrics", nil, false, anybody, atProvider, s.metrics},

		{"GET", "/policies/{type}", nil, true, reader, atProvider, c.GetPolicy},
		{"PUT", "/policies/{type}", nil, true, contributor, atProvider, c.PutPolicy},
		{"POST", "/policies/{type}:reset", nil, true, contributor, atProvider, c.ResetPolicy},
		{"POST", "/policies/{type}:rollback", nil, false, contributor, atProvider, c.RollbackPolicy},
		{"GET", "/policies/{type}/versions", nil, false, reader, atProvider, c.PolicyHistory},
		{"GET", "/policies/{type}/versions/{version}", nil, false, reader, atProvider, c.PolicyVersion},
		{"GET", "/proposals", nil, false, reader, atProvider, c.Proposals},
		{"POST", "/proposals/{proposal}:approve", nil, false, contributor, atProvider, c.Approve},
		{"DELETE", "/proposals/{proposal}", nil, false, contributor, atProvider, c.Reject},
		{"GET", "/certificates", nil, true, reader, atProvider, c.GetCertificates},
		{"POST", "/certificates:add", nil, true, contributor, atProvider, c.AddCertificate},
		{"POST", "/certificates:remove", nil, true, contributor, atProvider, c.RemoveCertificate},

		{"GET", "/ledger", nil, false, reader, atProvider, c.SearchLedger},
		{"GET", "/ledger/export", nil, false, reader, atProvider, c.ExportLedger},
		{"GET", "/ledger/checkpoint", nil, false, reader, atProvider, c.Checkpoint},
		{"GET", "/ledger/proof/{seq}", nil, false, reader, atProvider, c.Proof},

		{"GET", "/signingkeys", nil, false, reader, atProvider, c.ListKeys},
		{"POST", "/signingkeys:rotate", nil, false, owner, atProvider, c.RotateKey},
		{"POST", "/signingkeys:retire", nil, false, owner, everywhere, c.RetireKey},
		{"GET", "/tokens", nil, false, owner, everywhere, c.ListTokens},
		{"POST", "/tokens", nil, false, owner, everywhere, c.CreateToken},
		{"DELETE", "/tokens/{token}", nil, false, owner, everywhere, c.RevokeToken},

		{"GET", "/providers/Microsoft.Attestation/operations", nil, true, anybody, atSome, c.Operations},
		{"GET", armSubscription + "/attestationProviders", nil, true, reader, atSome, c.ListProviders},
		{"GET", armGroup + "/attestationProviders", nil, true, reader, atSome, c.ListProviders},
		{"GET", armSubscription + "/defaultProviders", nil, true, reader, atSome, c.ListDefaults},
		{
			"GET", armSubscription + "/locations/{location}/defaultProvider", nil, true, reader,
			atSome, c.DefaultProvider,
		},
		{"GET", armProvider, nil, true, reader, atNamed, c.GetProvider},
		{"PUT", armProvider, nil, true, owner, atNamed, c.CreateProvider},
		{"PATCH", armProvider, nil, true, owner, atNamed, c.UpdateProvider},
		{"DELETE", armProvider, nil, true, owner, atNamed, c.DeleteProvider},
		{"GET", armProvider + "/privateEndpointConnections", nil, true, reader, atNamed, c.ListEndpoints},
		{"GET", armProvider + "/privateEndpointConnections/{endpoint}", nil, true, reader, atNamed, c.GetEndpoint},
		{"PUT", armProvider + "/privateEndpointConnections/{endpoint}", nil, true, owner, atNamed, c.PutEndpoint},
		{
			"DELETE", armProvider + "/privateEndpointConnections/{endpoint}", nil, true, owner,
			atNamed, c.DeleteEndpoint,
		},
		{"GET", armProvider + "/privateLinkResources", nil, true, reader, atNamed, c.LinkResources},
	} {
		table = append(table, edge.Route(r))
	}
	return table
}

// Routes returns what the service answers, for those who describe the interface: one row
// for each method and path. Where the provider chooses the role, the row says the lowest one.
func Routes() []edge.Route {
	var out []edge.Route
	for _, r := range routes(nil, nil, nil) {
		if r.Types != nil {
			continue
		}
		if r.Role == byProvider {
			r.Role = anybody
		}
		out = append(out, r)
	}
	return out
}
