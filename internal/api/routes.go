package api

import (
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api/control"
	"github.com/probity-dev/probity/internal/api/data"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/api/kbs"
	"github.com/probity-dev/probity/internal/api/vault"
	"github.com/probity-dev/probity/internal/auth"
)

const (
	anybody     = auth.Nobody
	byProvider  = edge.ByProvider
	reader      = auth.Reader
	contributor = auth.Contributor
	owner       = auth.Owner
	officer     = auth.Officer
	releaser    = edge.ByVault

	atProvider = edge.AtProvider
	atNamed    = edge.AtNamed
	atSome     = edge.AtSome
	everywhere = edge.Everywhere

	plain     = edge.Unversioned
	versioned = edge.Attestation
)

const (
	armSubscription = "/subscriptions/{subscription}/providers/Microsoft.Attestation"
	armGroup        = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Attestation"
	armProvider     = armGroup + "/attestationProviders/{provider}"
)

// routes is the table: everything that the service answers, in one place. A row with
// attestation types comes before the row of all types.
func routes(
	s *Server, d *data.Plane, c *control.Plane, v *vault.Plane, g *kbs.Plane,
) (table []edge.Route) {
	// A row has the fields of edge.Route, in their order.
	type row struct {
		Method, Path string
		Types        []evidence.Kind
		Versioned    edge.Versions
		Role         auth.Role
		At           edge.Where
		Handle       edge.Handler
	}
	tpm := []evidence.Kind{evidence.TPM, evidence.VBSEnclave}
	guest := []evidence.Kind{evidence.AzureGuest}
	for _, r := range []row{
		{"GET", "/.well-known/openid-configuration", nil, plain, anybody, atProvider, d.Discovery},
		{"GET", "/certs", nil, plain, anybody, atProvider, d.KeySet},
		{"POST", "/attest/{type}", tpm, versioned, byProvider, atProvider, d.AttestTPM},
		{"POST", "/attest/{type}", guest, versioned, anybody, atProvider, d.AttestGuest},
		{"POST", "/attest/{type}", nil, versioned, anybody, atProvider, d.Attest},
		{"POST", "/attest/tee/{type}", tpm, versioned, byProvider, atProvider, d.AttestTPMLegacy},
		{"POST", "/attest/tee/{type}", guest, versioned, anybody, atProvider, d.AttestGuestLegacy},
		{"POST", "/attest/tee/{type}", nil, versioned, anybody, atProvider, d.AttestLegacy},
		{"POST", "/tpm/enroll", nil, plain, byProvider, atProvider, d.Enroll},
		{"GET", "/tcbbaselines/{type}", nil, versioned, anybody, atProvider, d.TCBBaselines},
		{"GET", "/healthz", nil, plain, anybody, atProvider, s.healthz},
		{"GET", "/readyz", nil, plain, anybody, atProvider, s.readyz},
		{"GET", "/metrics", nil, plain, anybody, atProvider, s.metrics},

		{"GET", "/policies/{type}", nil, versioned, reader, atProvider, c.GetPolicy},
		{"PUT", "/policies/{type}", nil, versioned, contributor, atProvider, c.PutPolicy},
		{"POST", "/policies/{type}:reset", nil, versioned, contributor, atProvider, c.ResetPolicy},
		{"POST", "/policies/{type}:rollback", nil, plain, contributor, atProvider, c.RollbackPolicy},
		{"GET", "/policies/{type}/versions", nil, plain, reader, atProvider, c.PolicyHistory},
		{"GET", "/policies/{type}/versions/{version}", nil, plain, reader, atProvider, c.PolicyVersion},
		{"GET", "/proposals", nil, plain, reader, atProvider, c.Proposals},
		{"POST", "/proposals/{proposal}:approve", nil, plain, contributor, atProvider, c.Approve},
		{"DELETE", "/proposals/{proposal}", nil, plain, contributor, atProvider, c.Reject},
		{"GET", "/certificates", nil, versioned, reader, atProvider, c.GetCertificates},
		{"POST", "/certificates:add", nil, versioned, contributor, atProvider, c.AddCertificate},
		{"POST", "/certificates:remove", nil, versioned, contributor, atProvider, c.RemoveCertificate},

		{"GET", "/ledger", nil, plain, reader, atProvider, c.SearchLedger},
		{"GET", "/ledger/export", nil, plain, reader, atProvider, c.ExportLedger},
		{"GET", "/ledger/checkpoint", nil, plain, reader, atProvider, c.Checkpoint},
		{"GET", "/ledger/proof/{seq}", nil, plain, reader, atProvider, c.Proof},

		{"GET", "/signingkeys", nil, plain, reader, atProvider, c.ListKeys},
		{"POST", "/signingkeys:rotate", nil, plain, owner, atProvider, c.RotateKey},
		{"POST", "/signingkeys:retire", nil, plain, owner, everywhere, c.RetireKey},
		{"GET", "/tokens", nil, plain, owner, everywhere, c.ListTokens},
		{"POST", "/tokens", nil, plain, owner, everywhere, c.CreateToken},
		{"DELETE", "/tokens/{token}", nil, plain, owner, everywhere, c.RevokeToken},

		{"GET", "/providers/Microsoft.Attestation/operations", nil, versioned, anybody, atSome, c.Operations},
		{"GET", armSubscription + "/attestationProviders", nil, versioned, reader, atSome, c.ListProviders},
		{"GET", armGroup + "/attestationProviders", nil, versioned, reader, atSome, c.ListProviders},
		{"GET", armSubscription + "/defaultProviders", nil, versioned, reader, atSome, c.ListDefaults},
		{
			"GET", armSubscription + "/locations/{location}/defaultProvider", nil, versioned, reader,
			atSome, c.DefaultProvider,
		},
		{"GET", armProvider, nil, versioned, reader, atNamed, c.GetProvider},
		{"PUT", armProvider, nil, versioned, owner, atNamed, c.CreateProvider},
		{"PATCH", armProvider, nil, versioned, owner, atNamed, c.UpdateProvider},
		{"DELETE", armProvider, nil, versioned, owner, atNamed, c.DeleteProvider},
		{"GET", armProvider + "/privateEndpointConnections", nil, versioned, reader, atNamed, c.ListEndpoints},
		{"GET", armProvider + "/privateEndpointConnections/{endpoint}", nil, versioned, reader, atNamed, c.GetEndpoint},
		{"PUT", armProvider + "/privateEndpointConnections/{endpoint}", nil, versioned, owner, atNamed, c.PutEndpoint},
		{
			"DELETE", armProvider + "/privateEndpointConnections/{endpoint}", nil, versioned, owner,
			atNamed, c.DeleteEndpoint,
		},
		{"GET", armProvider + "/privateLinkResources", nil, versioned, reader, atNamed, c.LinkResources},
	} {
		table = append(table, edge.Route(r))
	}
	return append(append(table, vaultRoutes(v)...), guestRoutes(g, v)...)
}

// guestRoutes are the rows of the protocol of Confidential Containers. Its guests have no credential but their
// attestation.
func guestRoutes(g *kbs.Plane, v *vault.Plane) (table []edge.Route) {
	const resource = "/kbs/v0/resource/{repository}/{resourcetype}/{tag}"
	for _, r := range []struct {
		method, path string
		handle       edge.Handler
	}{
		{"POST", "/kbs/v0/auth", g.Auth},
		{"POST", "/kbs/v0/attest", g.Attest},
		{"GET", resource, v.Work(g.Resource)},
	} {
		table = append(table, edge.Route{Method: r.method, Path: r.path, Role: anybody, At: atProvider,
			Handle: kbs.Answer(r.handle)})
	}
	return table
}

// vaultRoutes are the rows of Azure Key Vault's interface.
func vaultRoutes(v *vault.Plane) (table []edge.Route) {
	const key, deleted = "/keys/{key}", "/deletedkeys/{key}"
	for _, r := range []struct {
		method, path string
		role         auth.Role
		handle       edge.Handler
	}{
		{"GET", "/keys", reader, v.ListKeys},
		{"POST", "/keys/restore", officer, v.Work(v.RestoreKey)},
		{"POST", key + "/create", officer, v.Work(v.CreateKey)},
		{"PUT", key, officer, v.Work(v.ImportKey)},
		{"GET", key, reader, v.GetKey},
		{"PATCH", key, officer, v.UpdateKey},
		{"DELETE", key, officer, v.DeleteKey},
		{"GET", key + "/versions", reader, v.ListVersions},
		{"POST", key + "/rotate", officer, v.Work(v.RotateKey)},
		{"GET", key + "/rotationpolicy", reader, v.GetRotationPolicy},
		{"PUT", key + "/rotationpolicy", officer, v.PutRotationPolicy},
		{"POST", key + "/backup", officer, v.Work(v.BackupKey)},
		{"POST", key + "/release", releaser, v.Work(v.ReleaseKey)},
		{"POST", key + "//release", releaser, v.Work(v.ReleaseKey)}, // as older clients write it
		{"GET", key + "/{keyversion}", reader, v.GetKey},
		{"PATCH", key + "/{keyversion}", officer, v.UpdateKey},
		{"POST", key + "/{keyversion}/release", releaser, v.Work(v.ReleaseKey)},
		{"GET", "/deletedkeys", reader, v.ListDeletedKeys},
		{"GET", deleted, reader, v.GetDeletedKey},
		{"POST", deleted + "/recover", officer, v.RecoverKey},
		{"DELETE", deleted, officer, v.PurgeKey},
	} {
		table = append(table, edge.Route{Method: r.method, Path: r.path, Versioned: edge.KeyVault, Role: r.role,
			At: atProvider, Handle: vault.Answer(r.handle)})
	}
	return append(table, edge.Route{Method: "POST", Path: "/keys:challenge", Role: releaser, At: atProvider,
		Handle: vault.Answer(v.Challenge)})
}

// Routes returns what the service answers, for those who describe the interface: one row
// for each method and path. Where the provider chooses the role, the row says the lowest one.
func Routes() []edge.Route {
	var out []edge.Route
	for _, r := range routes(nil, nil, nil, nil, nil) {
		if r.Types != nil {
			continue
		}
		if r.Role == byProvider || r.Role == releaser {
			r.Role = anybody
		}
		out = append(out, r)
	}
	return out
}
