package thirdparty

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/probity-dev/probity/test/kit/servicetest"
)

const version = "2021-06-01"

// resources is a client as Microsoft's generated ones are: a pipeline of azcore/arm
// with a credential of azidentity.
type resources struct {
	*arm.Client
}

func as(t *testing.T, i servicetest.Instance, role string) resources {
	t.Helper()
	options := azcore.ClientOptions{
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: i.URL,
			Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Endpoint: i.URL, Audience: i.URL}},
		},
		Transport: &http.Client{Transport: &http.Transport{TLSClientConfig: i.Trust()}},
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}
	credential, err := azidentity.NewClientSecretCredential("dev", role, "any",
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := arm.NewClient("probity/thirdparty", "v1.0.0", credential,
		&arm.ClientOptions{ClientOptions: options, DisableRPRegistration: true})
	if err != nil {
		t.Fatal(err)
	}
	return resources{c}
}

type provider struct {
	Name       string            `json:"name,omitzero"`
	Location   string            `json:"location,omitzero"`
	Tags       map[string]string `json:"tags,omitzero"`
	Properties struct {
		Status     string `json:"status,omitzero"`
		TrustModel string `json:"trustModel,omitzero"`
		AttestURI  string `json:"attestUri,omitzero"`
	} `json:"properties"`
}

const group = "/subscriptions/s1/resourceGroups/g1/providers/Microsoft.Attestation/attestationProviders"

// do sends one request and reads the answer as the generated clients do.
func (r resources) do(ctx context.Context, method, path string, body, answer any, statuses ...int) error {
	req, err := runtime.NewRequest(ctx, method, runtime.JoinPaths(r.Endpoint(), path))
	if err != nil {
		return err
	}
	query := req.Raw().URL.Query()
	query.Set("api-version", version)
	req.Raw().URL.RawQuery = query.Encode()
	if body != nil {
		if err := runtime.MarshalAsJSON(req, body); err != nil {
			return err
		}
	}
	resp, err := r.Pipeline().Do(req)
	if err != nil {
		return err
	}
	if !runtime.HasStatusCode(resp, statuses...) {
		return runtime.NewResponseError(resp)
	}
	if answer == nil {
		return nil
	}
	return runtime.UnmarshalAsJSON(resp, answer)
}

// TestAzureResourceManager manages a provider with Azure's Go SDK: logged in at the
// development issuer, through the resource manager's pipeline.
func TestAzureResourceManager(t *testing.T) {
	i := servicetest.Simulated(t)
	ctx := t.Context()
	owner, reader := as(t, i, "owner"), as(t, i, "reader")
	var p provider
	if err := owner.do(ctx, http.MethodPut, group+"/from-go",
		provider{Location: "westeurope", Tags: map[string]string{"of": "platform"}}, &p, 201); err != nil {
		t.Fatal(err)
	}
	if p.Name != "from-go" || p.Properties.Status != "Ready" || p.Properties.TrustModel != "AAD" ||
		p.Properties.AttestURI != i.URL+"/p/from-go" {
		t.Errorf("%+v", p)
	}
	err := owner.do(ctx, http.MethodPatch, group+"/from-go",
		map[string]any{"tags": map[string]string{"of": "security"}}, &p, 200)
	if err != nil || p.Tags["of"] != "security" {
		t.Errorf("%+v, %v", p, err)
	}
	pager := runtime.NewPager(runtime.PagingHandler[map[string][]provider]{
		More: func(map[string][]provider) bool { return false },
		Fetcher: func(ctx context.Context, _ *map[string][]provider) (page map[string][]provider, err error) {
			return page, reader.do(ctx, http.MethodGet,
				"/subscriptions/s1/providers/Microsoft.Attestation/attestationProviders", nil, &page, 200)
		}})
	page, err := pager.NextPage(ctx)
	if err != nil || len(page["value"]) != 1 || page["value"][0].Name != "from-go" {
		t.Errorf("%v, %v", page, err)
	}

	// Errors come as the SDK's own, with code and status.
	for name, try := range map[string]struct {
		client       resources
		method, path string
		body         any
		code         string
		status       int
	}{
		"a reader creates": {
			reader, http.MethodPut, group + "/other", provider{Location: "local"}, "Forbidden", 403,
		},
		"none of the name": {reader, http.MethodGet, group + "/none", nil, "ResourceNotFound", 404},
		"a name that is none": {
			owner, http.MethodPut, group + "/a_b", provider{Location: "local"}, "InvalidParameter",
			400,
		},
		"no location": {
			owner, http.MethodPut, group + "/other", map[string]any{}, "InvalidParameter", 400,
		},
		"another resource's path": {
			owner, http.MethodGet, "/subscriptions/s1/providers/Microsoft.Compute/virtualMachines",
			nil, "ResourceNotFound", 404,
		},
	} {
		var refused *azcore.ResponseError
		err := try.client.do(ctx, try.method, try.path, try.body, nil, 200, 201)
		if !errors.As(err, &refused) || refused.ErrorCode != try.code || refused.StatusCode != try.status {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := owner.do(ctx, http.MethodDelete, group+"/from-go", nil, nil, 200); err != nil {
		t.Error(err)
	}
	if err := owner.do(ctx, http.MethodDelete, group+"/from-go", nil, nil, 204); err != nil {
		t.Errorf("again: %v", err)
	}
}
