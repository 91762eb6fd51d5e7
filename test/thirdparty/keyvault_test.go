package thirdparty

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
	"github.com/probity-dev/probity/test/kit/servicetest"
)

// keysAs is Azure's client of Key Vault with a role, logged in at the development issuer.
func keysAs(t *testing.T, i servicetest.Instance, role string) *azkeys.Client {
	t.Helper()
	options := azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: i.URL},
		Transport: &http.Client{Transport: &http.Transport{TLSClientConfig: i.Trust()}},
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}
	credential, err := azidentity.NewClientSecretCredential("dev", role, "any",
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := azkeys.NewClient(i.URL, credential,
		&azkeys.ClientOptions{ClientOptions: options, DisableChallengeResourceVerification: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// debuggable is a release policy for enclaves that are, or are not, debuggable.
func debuggable(authority string, is bool) *azkeys.KeyReleasePolicy {
	return &azkeys.KeyReleasePolicy{EncodedPolicy: fmt.Appendf(nil,
		`{"version":"1.0.0","anyOf":[{"authority":%q,"allOf":[{"claim":"x-ms-sgx-is-debuggable","equals":"%t"}]}]}`,
		authority, is)}
}

// TestAzureKeyVault keeps keys with Azure's SDK for Go: each call of its client that is not a cryptographic
// operation.
func TestAzureKeyVault(t *testing.T) {
	i := servicetest.Simulated(t)
	officer, ctx := keysAs(t, i, "officer"), t.Context()
	expires := time.Date(2099, 1, 2, 3, 4, 5, 0, time.UTC)
	made, err := officer.CreateKey(ctx, "Disk", azkeys.CreateKeyParameters{
		Kty: to.Ptr(azkeys.KeyTypeRSAHSM), KeySize: to.Ptr(int32(3072)),
		KeyOps:        to.SliceOfPtrs(azkeys.KeyOperationWrapKey, azkeys.KeyOperationUnwrapKey),
		KeyAttributes: &azkeys.KeyAttributes{Enabled: to.Ptr(true), Exportable: to.Ptr(true), Expires: &expires},
		ReleasePolicy: debuggable(i.URL, false), Tags: map[string]*string{"team": to.Ptr("storage")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkMade(t, i.URL, made.KeyBundle, expires)
	version := made.Key.KID.Version()
	got, err := officer.GetKey(ctx, "Disk", version, nil)
	if err != nil || !bytes.Equal(got.Key.N, made.Key.N) {
		t.Errorf("%+v, %v", got, err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	imported, err := officer.ImportKey(ctx, "imported", azkeys.ImportKeyParameters{HSM: to.Ptr(true),
		Key: &azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeEC), Crv: to.Ptr(azkeys.CurveNameP256), X: point[1:33],
			Y: point[33:], D: scalar},
		KeyAttributes: &azkeys.KeyAttributes{Exportable: to.Ptr(true)},
		ReleasePolicy: debuggable(i.URL, false)}, nil)
	if err != nil || *imported.Key.Kty != azkeys.KeyTypeECHSM || len(imported.Key.D) > 0 {
		t.Errorf("%+v, %v", imported.Key, err)
	}
	updated, err := officer.UpdateKey(ctx, "Disk", version, azkeys.UpdateKeyParameters{
		KeyAttributes: &azkeys.KeyAttributes{Enabled: to.Ptr(false)},
		Tags:          map[string]*string{"x": to.Ptr("y")}}, nil)
	if err != nil || *updated.Attributes.Enabled || *updated.Tags["x"] != "y" {
		t.Errorf("%+v, %v", updated, err)
	}
	rotated, err := officer.RotateKey(ctx, "Disk", nil)
	if err != nil || rotated.Key.KID.Version() == version {
		t.Errorf("%+v, %v", rotated, err)
	}
	checkRotation(t, officer)
	checkLists(t, officer)
	checkDeletion(t, officer)
	if m := releaseTo(t, i, "imported", "", ""); !private.Equal(m.EC) {
		t.Error("another key was released")
	}
	releaseTo(t, i, "Disk", rotated.Key.KID.Version(), azkeys.KeyEncryptionAlgorithmRSAAESKEYWRAP256)
	releaseTo(t, i, "Disk", "", azkeys.KeyEncryptionAlgorithmRSAAESKEYWRAP384)
	checkRefusals(t, i)
}

// checkMade compares a key with what was asked for.
func checkMade(t *testing.T, authority string, made azkeys.KeyBundle, expires time.Time) {
	t.Helper()
	if made.Key.KID.Name() != "Disk" || *made.Key.Kty != azkeys.KeyTypeRSAHSM || len(made.Key.N) != 384 ||
		!made.Attributes.Expires.Equal(expires) || *made.Attributes.RecoveryLevel != "Recoverable+Purgeable" ||
		*made.Attributes.RecoverableDays != 90 || *made.Tags["team"] != "storage" ||
		!bytes.Equal(made.ReleasePolicy.EncodedPolicy, debuggable(authority, false).EncodedPolicy) {
		t.Errorf("%+v", made)
	}
}

func checkRotation(t *testing.T, officer *azkeys.Client) {
	t.Helper()
	standard, err := officer.GetKeyRotationPolicy(t.Context(), "Disk", nil)
	if err != nil || len(standard.LifetimeActions) != 1 {
		t.Errorf("%+v, %v", standard, err)
	}
	set, err := officer.UpdateKeyRotationPolicy(t.Context(), "Disk", azkeys.KeyRotationPolicy{
		Attributes: &azkeys.KeyRotationPolicyAttributes{ExpiryTime: to.Ptr("P2Y")},
		LifetimeActions: []*azkeys.LifetimeAction{{
			Action:  &azkeys.LifetimeActionType{Type: to.Ptr(azkeys.KeyRotationPolicyActionRotate)},
			Trigger: &azkeys.LifetimeActionTrigger{TimeAfterCreate: to.Ptr("P18M")},
		}}}, nil)
	if err != nil || *set.LifetimeActions[0].Trigger.TimeAfterCreate != "P18M" || set.Attributes.Created == nil {
		t.Errorf("%+v, %v", set, err)
	}
	// What was read can be sent back.
	got, err := officer.GetKeyRotationPolicy(t.Context(), "Disk", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := officer.UpdateKeyRotationPolicy(t.Context(), "Disk", got.KeyRotationPolicy, nil); err != nil {
		t.Errorf("the policy as it was read: %v", err)
	}
}

func checkLists(t *testing.T, officer *azkeys.Client) {
	t.Helper()
	for n := range 27 {
		if _, err := officer.CreateKey(t.Context(), fmt.Sprint("many-", n),
			azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeEC), Curve: to.Ptr(azkeys.CurveNameP384)},
			nil); err != nil {
			t.Fatal(err)
		}
	}
	seen, pages := map[string]bool{}, 0
	for pager := officer.NewListKeyPropertiesPager(nil); pager.More(); pages++ {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Value {
			seen[k.KID.Name()] = true
		}
	}
	if len(seen) != 29 || pages != 2 {
		t.Errorf("%d keys on %d pages, want 29 on 2", len(seen), pages)
	}
	versions := 0
	for pager := officer.NewListKeyPropertiesVersionsPager("Disk", nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		versions += len(page.Value)
	}
	if versions != 2 {
		t.Errorf("%d versions, want 2", versions)
	}
}

func checkDeletion(t *testing.T, officer *azkeys.Client) {
	t.Helper()
	ctx := t.Context()
	deleted, err := officer.DeleteKey(ctx, "many-1", nil)
	if err != nil || !strings.HasSuffix(*deleted.RecoveryID, "/deletedkeys/many-1") ||
		deleted.DeletedDate == nil || !deleted.ScheduledPurgeDate.After(*deleted.DeletedDate) {
		t.Errorf("%+v, %v", deleted, err)
	}
	if got, err := officer.GetDeletedKey(ctx, "many-1", nil); err != nil || got.Key.KID.Name() != "many-1" {
		t.Errorf("%+v, %v", got, err)
	}
	page, err := officer.NewListDeletedKeyPropertiesPager(nil).NextPage(ctx)
	if err != nil || len(page.Value) != 1 || page.Value[0].RecoveryID == nil {
		t.Errorf("%+v, %v", page, err)
	}
	if _, err := officer.RecoverDeletedKey(ctx, "many-1", nil); err != nil {
		t.Error(err)
	}
	backup, err := officer.BackupKey(ctx, "many-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := officer.DeleteKey(ctx, "many-1", nil); err != nil {
		t.Error(err)
	}
	if _, err := officer.PurgeDeletedKey(ctx, "many-1", nil); err != nil {
		t.Error(err)
	}
	restored, err := officer.RestoreKey(ctx, azkeys.RestoreKeyParameters{KeyBackup: backup.Value}, nil)
	if err != nil || restored.Key.KID.Version() != deleted.Key.KID.Version() {
		t.Errorf("%+v, %v", restored, err)
	}
}

// attestMachine returns a token of the machine that keys are released to.
func attestMachine(t *testing.T, i servicetest.Instance) string {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(i.Folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	c, err := client.New(client.Config{URL: i.URL, Roots: i.Trust().RootCAs})
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.Attest(t.Context(), client.Request{Kind: evidence.SGXEnclave,
		Evidence:    read(servicetest.MachineQuote),
		RuntimeData: &evidence.Data{Bytes: read(servicetest.MachineRuntime), Type: evidence.JSON}})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func releaseTo(
	t *testing.T, i servicetest.Instance, name, version string, algorithm azkeys.KeyEncryptionAlgorithm,
) *document.Material {
	t.Helper()
	parameters := azkeys.ReleaseParameters{
		TargetAttestationToken: to.Ptr(attestMachine(t, i)), Nonce: to.Ptr("n1"),
	}
	if algorithm != "" {
		parameters.Algorithm = &algorithm
	}
	released, err := keysAs(t, i, "releaser").Release(t.Context(), name, version, parameters, nil)
	if err != nil {
		t.Fatal(err)
	}
	url := i.URL + "/keys/" + name
	if version != "" {
		url += "/" + version
	}
	_, m := i.OpenReleased(t, *released.Value, document.Expectation{KeyID: url, Nonce: "n1",
		Algorithm: keywrap.Algorithm(algorithm)})
	return m
}

// Errors come as the SDK's own, with code, status and the texts of Key Vault.
func checkRefusals(t *testing.T, i servicetest.Instance) {
	t.Helper()
	ctx, token := t.Context(), attestMachine(t, i)
	officer, releaser := keysAs(t, i, "officer"), keysAs(t, i, "releaser")
	release := func(c *azkeys.Client, name, token string) error {
		_, err := c.Release(ctx, name, "", azkeys.ReleaseParameters{TargetAttestationToken: &token}, nil)
		return err
	}
	create := func(c *azkeys.Client, name string, exportable bool, p *azkeys.KeyReleasePolicy) error {
		_, err := c.CreateKey(ctx, name, azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeRSA),
			KeyAttributes: &azkeys.KeyAttributes{Exportable: &exportable}, ReleasePolicy: p}, nil)
		return err
	}
	if err := create(officer, "debug", true, debuggable(i.URL, true)); err != nil {
		t.Fatal(err)
	}
	const unverified, unmet = "cannot be verified.", "does not meet key release policy requirements."
	exportable := debuggable(i.URL, true)
	for name, tc := range map[string]struct {
		err    error
		status int
		code   string
		text   string
	}{
		"no release policy":    {create(officer, "a", true, nil), 400, "BadParameter", "AKV.SKR.1004"},
		"not exportable":       {create(officer, "a", false, exportable), 400, "BadParameter", "AKV.SKR.1005"},
		"a releaser creates":   {create(releaser, "a", false, nil), 403, "Forbidden", ""},
		"a reader releases":    {release(keysAs(t, i, "reader"), "Disk", token), 403, "Forbidden", ""},
		"a token cut short":    {release(releaser, "Disk", token[:40]), 403, "Forbidden", unverified},
		"another signature":    {release(releaser, "Disk", token[:len(token)-4]+"AAAA"), 403, "Forbidden", unverified},
		"an unmet condition":   {release(releaser, "debug", token), 403, "Forbidden", unmet},
		"a key that stays":     {release(releaser, "many-1", token), 400, "BadParameter", ""},
		"no key of the name":   {release(releaser, "none", token), 404, "KeyNotFound", ""},
		"a name that is none":  {create(officer, "a_b", false, nil), 400, "BadParameter", ""},
		"no token of the role": {create(keysAs(t, i, "stranger"), "a", false, nil), 0, "", ""},
	} {
		var refused *azcore.ResponseError
		if !errors.As(tc.err, &refused) {
			if tc.status != 0 || tc.err == nil {
				t.Errorf("%s: %v", name, tc.err)
			}
			continue
		}
		var document struct {
			Error struct{ Message string }
		}
		err := json.NewDecoder(refused.RawResponse.Body).Decode(&document)
		if err != nil || refused.StatusCode != tc.status || refused.ErrorCode != tc.code ||
			!strings.Contains(document.Error.Message, tc.text) {
			t.Errorf("%s: %v, %v", name, refused, err)
		}
	}
}
