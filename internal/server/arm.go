package server

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/strict/ascii"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// resourceType is the type of providers in the resource manager.
const resourceType = "Microsoft.Attestation/attestationProviders"

// resource is a provider as the resource manager shows it.
type resource struct {
	ID         string             `json:"id"`
	Name       string             `json:"name"`
	Type       string             `json:"type"`
	Location   string             `json:"location"`
	Tags       map[string]string  `json:"tags,omitzero"`
	SystemData *systemData        `json:"systemData,omitzero"`
	Properties resourceProperties `json:"properties"`
}

type resourceProperties struct {
	TrustModel          string             `json:"trustModel"`
	Status              string             `json:"status"`
	AttestURI           string             `json:"attestUri"`
	PublicNetworkAccess string             `json:"publicNetworkAccess,omitzero"`
	TPMAuthentication   string             `json:"tpmAttestationAuthentication,omitzero"`
	Endpoints           []jsontext.Value   `json:"privateEndpointConnections,omitzero"`
	Probity             *provider.Settings `json:"probity,omitzero"`
}

type systemData struct {
	CreatedBy     string    `json:"createdBy,omitzero"`
	CreatedByType string    `json:"createdByType,omitzero"`
	CreatedAt     time.Time `json:"createdAt,omitzero"`
	ModifiedBy    string    `json:"lastModifiedBy,omitzero"`
	ModifiedType  string    `json:"lastModifiedByType,omitzero"`
	ModifiedAt    time.Time `json:"lastModifiedAt,omitzero"`
}

func resourceOf(t *provider.Provider) resource {
	model, status := "AAD", "Ready"
	if t.Isolated {
		model = "Isolated"
	}
	for _, kind := range evidence.Kinds() {
		if t.Policy(kind).Broken != nil {
			status = "Error"
		}
	}
	out := resource{ID: "/subscriptions/" + t.Subscription + "/resourceGroups/" + t.Group + "/providers/" + resourceType + "/" + t.Name,
		Name: t.Name, Type: resourceType, Location: t.Location, Tags: t.Tags,
		SystemData: &systemData{t.CreatedBy, "User", t.Created, t.UpdatedBy, "User", t.Updated},
		Properties: resourceProperties{TrustModel: model, Status: status, AttestURI: t.URL, PublicNetworkAccess: t.PublicNetworkAccess, TPMAuthentication: t.TPMAuthentication}}
	for _, v := range t.Endpoints {
		out.Properties.Endpoints = append(out.Properties.Endpoints, v)
	}
	if len(t.Provider.Settings) > 0 {
		out.Properties.Probity = &t.Settings
	}
	return out
}

// named returns the provider of the path, if it is in the subscription and group.
func (s *Server) named(c *call) (*provider.Provider, error) {
	t, ok := s.cfg.Registry.Get(c.params["provider"])
	if !ok || !ascii.EqualFold(t.Subscription, c.params["subscription"]) || !ascii.EqualFold(t.Group, c.params["group"]) {
		return nil, failed(http.StatusNotFound, codeNotFound, provider.CheckProvider.FailedWith("an attestation provider in this subscription and resource group",
			"not found", "list the providers of the subscription"))
	}
	return t, nil
}

func (s *Server) getProvider(w http.ResponseWriter, _ *http.Request, c *call) error {
	t, err := s.named(c)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(t.Revision))
	return writeJSON(w, resourceOf(t))
}

// listProviders lists those of a subscription, or of a group, that the caller may
// read.
func (s *Server) listProviders(w http.ResponseWriter, _ *http.Request, c *call) error {
	list := []resource{}
	for _, t := range s.cfg.Registry.All() {
		if !ascii.EqualFold(t.Subscription, c.params["subscription"]) || !c.caller.May(reader, t.Name) {
			continue
		}
		if group, ok := c.params["group"]; !ok || ascii.EqualFold(group, t.Group) {
			list = append(list, resourceOf(t))
		}
	}
	return writeJSON(w, map[string]any{"value": list})
}

// noNullInProvider matches where a provider's body must have a value. Elsewhere null
// means that the member is left out: clients send back what Azure answered.
var noNullInProvider = regexp.MustCompile(`^$|^/(location|tags/.*|properties/probity/.*|properties/policySigningCertificates/keys/[0-9]+)$`)

// providerBody is the body of creations and updates.
type providerBody struct {
	Location   *string           `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties struct {
		Signers struct {
			Keys []jsontext.Value `json:"keys"`
		} `json:"policySigningCertificates"`
		PublicNetworkAccess *string        `json:"publicNetworkAccess"`
		TPMAuthentication   *string        `json:"tpmAttestationAuthentication"`
		Probity             jsontext.Value `json:"probity"`
	} `json:"properties"`
}

func (s *Server) createProvider(w http.ResponseWriter, r *http.Request, c *call) error {
	return s.changeProvider(w, r, c, true)
}

func (s *Server) updateProvider(w http.ResponseWriter, r *http.Request, c *call) error {
	if _, err := s.named(c); err != nil {
		return err
	}
	return s.changeProvider(w, r, c, false)
}

func (s *Server) changeProvider(w http.ResponseWriter, r *http.Request, c *call, create bool) error {
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	var in providerBody
	// Members of other versions of the interface are ignored, as Azure does.
	if err := json.Unmarshal(body, &in); err != nil {
		return badRequest(CheckBody, "a JSON object with location, tags and properties", jsonerror.Text(err), "compare the body with the documentation of the route")
	}
	if err := refuseNull(body, noNullInProvider); err != nil {
		return err
	}
	if in.Properties.Probity.Kind() == 'n' {
		in.Properties.Probity = nil
	}
	if create && (in.Location == nil || *in.Location == "") {
		return badRequest(CheckBody, "a member location", "none", `send "location", for instance "local"`)
	}
	if in.Location != nil && !locationForm.pattern.MatchString(*in.Location) {
		return badRequest(CheckBody, locationForm.expected, fmt.Sprintf("%.140q", *in.Location), "correct the member location")
	}
	match, err := ifMatch(r)
	if err != nil {
		return err
	}
	t, created, err := s.cfg.Registry.PutProvider(r.Context(), provider.ProviderChange{Name: c.params["provider"], Subscription: c.params["subscription"], Group: c.params["group"],
		Location: in.Location, Tags: in.Tags, Signers: in.Properties.Signers.Keys, PublicNetworkAccess: in.Properties.PublicNetworkAccess,
		TPMAuthentication: in.Properties.TPMAuthentication, Settings: in.Properties.Probity, Match: match, By: c.by()}, create)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(t.Revision))
	out, err := json.Marshal(resourceOf(t))
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		w.Header().Set("Location", t.URL+"/")
	}
	writeBody(w, status, out)
	return nil
}

func (s *Server) deleteProvider(w http.ResponseWriter, r *http.Request, c *call) error {
	t, err := s.named(c)
	if err != nil {
		w.WriteHeader(http.StatusNoContent) // deleting what is not there is done
		return nil
	}
	if err := s.cfg.Registry.DeleteProvider(r.Context(), t.Name, c.by()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// standard is the default provider as a location shows it.
func (s *Server) standard(subscription, location, short string) resource {
	t := s.cfg.Registry.Default()
	r := resourceOf(t)
	r.Name, r.Location = "shared"+short, location
	r.ID = "/subscriptions/" + subscription + "/providers/" + resourceType + "/" + r.Name
	return r
}

func (s *Server) listDefaults(w http.ResponseWriter, _ *http.Request, c *call) error {
	list := []resource{}
	for _, l := range locations {
		list = append(list, s.standard(c.params["subscription"], l.name, l.short))
	}
	return writeJSON(w, map[string]any{"value": list})
}

func (s *Server) defaultProvider(w http.ResponseWriter, _ *http.Request, c *call) error {
	wanted := ascii.Lower(strings.ReplaceAll(c.params["location"], " ", ""))
	for _, l := range locations {
		if l.name == wanted {
			return writeJSON(w, s.standard(c.params["subscription"], l.name, l.short))
		}
	}
	return failed(http.StatusNotFound, codeNotFound, provider.CheckProvider.FailedWith("a location",
		"an unknown one", "list them: GET …/defaultProviders"))
}

// operations answers which operations there are.
func (s *Server) operations(w http.ResponseWriter, _ *http.Request, _ *call) error {
	list := []map[string]any{}
	for _, o := range [][2]string{{"read", "Get or list attestation providers"}, {"write", "Create or update an attestation provider"}, {"delete", "Delete an attestation provider"},
		{"attestation/read", "Read policies and their certificates"}, {"attestation/write", "Change policies and their certificates"}, {"attestation/delete", "Reset policies"}} {
		list = append(list, map[string]any{"name": resourceType + "/" + o[0], "display": map[string]string{"provider": "Microsoft.Attestation",
			"resource": "Attestation Provider", "operation": o[0], "description": o[1]}})
	}
	return writeJSON(w, map[string]any{"value": list})
}

func (s *Server) listEndpoints(w http.ResponseWriter, _ *http.Request, c *call) error {
	t, err := s.named(c)
	if err != nil {
		return err
	}
	list := []jsontext.Value{}
	for _, v := range t.Endpoints {
		list = append(list, v)
	}
	return writeJSON(w, map[string]any{"value": list})
}

func (s *Server) getEndpoint(w http.ResponseWriter, _ *http.Request, c *call) error {
	t, err := s.named(c)
	if err != nil {
		return err
	}
	v, ok := t.Endpoints[c.params["endpoint"]]
	if !ok {
		return failed(http.StatusNotFound, codeNotFound, provider.CheckProvider.FailedWith("a private endpoint connection",
			"not found", "list them"))
	}
	return writeJSON(w, v)
}

var noNullInConnection = regexp.MustCompile(`^$|^/properties/privateLinkServiceConnectionState/.*$`)

// putEndpoint records a private endpoint connection. The service makes none: who
// reaches it is the network's business.
func (s *Server) putEndpoint(w http.ResponseWriter, r *http.Request, c *call) error {
	t, err := s.named(c)
	if err != nil {
		return err
	}
	var in struct {
		Properties struct {
			Endpoint map[string]jsontext.Value `json:"privateEndpoint,omitzero"`
			State    map[string]string         `json:"privateLinkServiceConnectionState,omitzero"`
		} `json:"properties"`
	}
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return badRequest(CheckBody, "a private endpoint connection", jsonerror.Text(err), "compare the body with the documentation of the route")
	}
	if err := refuseNull(body, noNullInConnection); err != nil {
		return err
	}
	name := c.params["endpoint"]
	v, err := json.Marshal(map[string]any{"id": resourceOf(t).ID + "/privateEndpointConnections/" + name, "name": name, "type": resourceType + "/privateEndpointConnections",
		"properties": map[string]any{"privateEndpoint": in.Properties.Endpoint, "privateLinkServiceConnectionState": in.Properties.State, "provisioningState": "Succeeded"}}, json.Deterministic(true))
	if err != nil {
		return err
	}
	if err := s.cfg.Registry.SetEndpoint(r.Context(), t.Name, name, v, c.by()); err != nil {
		return err
	}
	return writeJSON(w, jsontext.Value(v))
}

func (s *Server) deleteEndpoint(w http.ResponseWriter, r *http.Request, c *call) error {
	t, err := s.named(c)
	if err != nil {
		return err
	}
	if _, ok := t.Endpoints[c.params["endpoint"]]; !ok {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err := s.cfg.Registry.SetEndpoint(r.Context(), t.Name, c.params["endpoint"], nil, c.by()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) linkResources(w http.ResponseWriter, _ *http.Request, c *call) error {
	t, err := s.named(c)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"value": []map[string]any{{"id": resourceOf(t).ID + "/privateLinkResources/standard", "name": "standard", "type": resourceType + "/privateLinkResources",
		"properties": map[string]any{"groupId": "standard", "requiredMembers": []string{"standard"}, "requiredZoneNames": []string{}}}}})
}
