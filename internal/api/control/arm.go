package control

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/provider/settings"
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
	Probity             *settings.Settings `json:"probity,omitzero"`
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
	out := resource{ID: "/subscriptions/" + t.Subscription + "/resourceGroups/" + t.Group + "/providers/" +
		resourceType + "/" + t.Name,
		Name: t.Name, Type: resourceType, Location: t.Location, Tags: t.Tags,
		SystemData: &systemData{t.CreatedBy, "User", t.Created, t.UpdatedBy, "User", t.Updated},
		Properties: resourceProperties{
			TrustModel: model, Status: status, AttestURI: t.URL,
			PublicNetworkAccess: t.PublicNetworkAccess, TPMAuthentication: t.TPMAuthentication,
		}}
	for _, v := range t.Endpoints {
		out.Properties.Endpoints = append(out.Properties.Endpoints, v)
	}
	if len(t.Provider.Settings) > 0 {
		out.Properties.Probity = &t.Settings
	}
	return out
}

// named returns the provider of the path, if it is in the subscription and group.
func (p *Plane) named(c *edge.Call) (*provider.Provider, error) {
	t, ok := p.Registry.Get(c.Params["provider"])
	if !ok || !ascii.EqualFold(t.Subscription, c.Params["subscription"]) ||
		!ascii.EqualFold(t.Group, c.Params["group"]) {
		return nil, edge.Failed(http.StatusNotFound, edge.CodeNotFound,
			provider.CheckProvider.FailedWith(
				"an attestation provider in this subscription and resource group",
				fmt.Sprintf("no provider named %.64q", c.Params["provider"]),
				"list the providers of the subscription: probity provider list",
			))
	}
	return t, nil
}

func (p *Plane) GetProvider(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	t, err := p.named(c)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(t.Revision))
	return edge.WriteJSON(w, resourceOf(t))
}

// ListProviders lists those of a subscription, or of a group, that the caller may
// read.
func (p *Plane) ListProviders(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	list := []resource{}
	for _, t := range p.Registry.All() {
		if !ascii.EqualFold(t.Subscription, c.Params["subscription"]) || !c.Caller.May(auth.Reader, t.Name) {
			continue
		}
		if group, ok := c.Params["group"]; !ok || ascii.EqualFold(group, t.Group) {
			list = append(list, resourceOf(t))
		}
	}
	return edge.WriteJSON(w, map[string]any{"value": list})
}

// noNullInProvider matches where a provider's body must have a value. Elsewhere null
// means that the member is left out: clients send back what Azure answered.
var noNullInProvider = regexp.MustCompile(
	`^$|^/(location|tags/.*|properties/probity/.*|properties/policySigningCertificates/keys/[0-9]+)$`,
)

var locationForm = edge.Shaped(`[ -~]{1,128}`, "a location of 1 to 128 printable ASCII characters")

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

func (p *Plane) CreateProvider(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.changeProvider(w, r, c, true)
}

func (p *Plane) UpdateProvider(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	if _, err := p.named(c); err != nil {
		return err
	}
	return p.changeProvider(w, r, c, false)
}

func (p *Plane) changeProvider(w http.ResponseWriter, r *http.Request, c *edge.Call, create bool) error {
	body, err := p.Bodies.Read(w, r)
	if err != nil {
		return err
	}
	var in providerBody
	// Members of other versions of the interface are ignored, as Azure does.
	if err := json.Unmarshal(body, &in); err != nil {
		return edge.BadRequest(edge.CheckBody, "a JSON object with location, tags and properties",
			jsonerror.Text(err), "compare the body with the documentation of the route")
	}
	if err := edge.RefuseNull(body, noNullInProvider); err != nil {
		return err
	}
	if in.Properties.Probity.Kind() == 'n' {
		in.Properties.Probity = nil
	}
	if create && (in.Location == nil || *in.Location == "") {
		return edge.BadRequest(edge.CheckBody, "a member location", "none", `send "location", for instance "local"`)
	}
	if in.Location != nil && !locationForm.Pattern.MatchString(*in.Location) {
		return edge.BadRequest(edge.CheckBody, locationForm.Expected, fmt.Sprintf("%.140q", *in.Location),
			"correct the member location")
	}
	match, err := ifMatch(r)
	if err != nil {
		return err
	}
	t, created, err := p.Registry.PutProvider(r.Context(), provider.ProviderChange{
		Name: c.Params["provider"], Subscription: c.Params["subscription"], Group: c.Params["group"],
		Location: in.Location, Tags: in.Tags, Signers: in.Properties.Signers.Keys,
		PublicNetworkAccess: in.Properties.PublicNetworkAccess,
		TPMAuthentication:   in.Properties.TPMAuthentication, Settings: in.Properties.Probity,
		Match: match, By: c.By(),
	}, create)
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
	edge.WriteBody(w, status, out)
	return nil
}

func (p *Plane) DeleteProvider(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	t, err := p.named(c)
	if err != nil {
		w.WriteHeader(http.StatusNoContent) // deleting what is not there is done
		return nil
	}
	if err := p.Registry.DeleteProvider(r.Context(), t.Name, c.By()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// standard is the default provider as a location shows it.
func (p *Plane) standard(subscription, location, short string) resource {
	t := p.Registry.Default()
	r := resourceOf(t)
	r.Name, r.Location = "shared"+short, location
	r.ID = "/subscriptions/" + subscription + "/providers/" + resourceType + "/" + r.Name
	return r
}

func (p *Plane) ListDefaults(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	list := []resource{}
	for _, l := range locations {
		list = append(list, p.standard(c.Params["subscription"], l.name, l.short))
	}
	return edge.WriteJSON(w, map[string]any{"value": list})
}

func (p *Plane) DefaultProvider(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	wanted := ascii.Lower(strings.ReplaceAll(c.Params["location"], " ", ""))
	for _, l := range locations {
		if l.name == wanted {
			return edge.WriteJSON(w, p.standard(c.Params["subscription"], l.name, l.short))
		}
	}
	return edge.Failed(http.StatusNotFound, edge.CodeNotFound, provider.CheckProvider.FailedWith("a location",
		fmt.Sprintf("%.64q, which is not a location", c.Params["location"]), "list them: GET …/defaultProviders"))
}

// Operations answers which operations there are.
func (p *Plane) Operations(w http.ResponseWriter, _ *http.Request, _ *edge.Call) error {
	list := []map[string]any{}
	for _, o := range [][2]string{
		{"read", "Get or list attestation providers"},
		{"write", "Create or update an attestation provider"},
		{"delete", "Delete an attestation provider"},
		{"attestation/read", "Read policies and their certificates"},
		{"attestation/write", "Change policies and their certificates"},
		{"attestation/delete", "Reset policies"},
	} {
		list = append(list, map[string]any{"name": resourceType + "/" + o[0], "display": map[string]string{
			"provider":    "Microsoft.Attestation",
			"resource":    "Attestation Provider",
			"operation":   o[0],
			"description": o[1],
		}})
	}
	return edge.WriteJSON(w, map[string]any{"value": list})
}

func (p *Plane) ListEndpoints(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	t, err := p.named(c)
	if err != nil {
		return err
	}
	list := []jsontext.Value{}
	for _, v := range t.Endpoints {
		list = append(list, v)
	}
	return edge.WriteJSON(w, map[string]any{"value": list})
}

func (p *Plane) GetEndpoint(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	t, err := p.named(c)
	if err != nil {
		return err
	}
	v, ok := t.Endpoints[c.Params["endpoint"]]
	if !ok {
		return edge.Failed(http.StatusNotFound, edge.CodeNotFound,
			provider.CheckProvider.FailedWith("a private endpoint connection",
				"not found", "list them"))
	}
	return edge.WriteJSON(w, v)
}

var noNullInConnection = regexp.MustCompile(`^$|^/properties/privateLinkServiceConnectionState/.*$`)

// PutEndpoint records a private endpoint connection. The service makes none: who
// reaches it is the network's business.
func (p *Plane) PutEndpoint(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	t, err := p.named(c)
	if err != nil {
		return err
	}
	var in struct {
		Properties struct {
			Endpoint map[string]jsontext.Value `json:"privateEndpoint,omitzero"`
			State    map[string]string         `json:"privateLinkServiceConnectionState,omitzero"`
		} `json:"properties"`
	}
	body, err := p.Bodies.Read(w, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return edge.BadRequest(edge.CheckBody, "a private endpoint connection", jsonerror.Text(err),
			"compare the body with the documentation of the route")
	}
	if err := edge.RefuseNull(body, noNullInConnection); err != nil {
		return err
	}
	name := c.Params["endpoint"]
	v, err := json.Marshal(map[string]any{
		"id":   resourceOf(t).ID + "/privateEndpointConnections/" + name,
		"name": name,
		"type": resourceType + "/privateEndpointConnections",
		"properties": map[string]any{
			"privateEndpoint":                   in.Properties.Endpoint,
			"privateLinkServiceConnectionState": in.Properties.State,
			"provisioningState":                 "Succeeded",
		},
	}, json.Deterministic(true))
	if err != nil {
		return err
	}
	if err := p.Registry.SetEndpoint(r.Context(), t.Name, name, v, c.By()); err != nil {
		return err
	}
	return edge.WriteJSON(w, jsontext.Value(v))
}

func (p *Plane) DeleteEndpoint(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	t, err := p.named(c)
	if err != nil {
		return err
	}
	if _, ok := t.Endpoints[c.Params["endpoint"]]; !ok {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err := p.Registry.SetEndpoint(r.Context(), t.Name, c.Params["endpoint"], nil, c.By()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (p *Plane) LinkResources(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	t, err := p.named(c)
	if err != nil {
		return err
	}
	return edge.WriteJSON(w, map[string]any{"value": []map[string]any{{
		"id":   resourceOf(t).ID + "/privateLinkResources/standard",
		"name": "standard",
		"type": resourceType + "/privateLinkResources",
		"properties": map[string]any{
			"groupId":           "standard",
			"requiredMembers":   []string{"standard"},
			"requiredZoneNames": []string{},
		},
	}}})
}
