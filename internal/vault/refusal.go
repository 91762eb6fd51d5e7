package vault

import (
	"fmt"

	"github.com/probity-dev/probity/evidence"
)

// The error codes of Azure Key Vault.
const (
	CodeBadParameter = "BadParameter"
	CodeForbidden    = "Forbidden"
	CodeNotFound     = "KeyNotFound"
	CodeConflict     = "Conflict"
	CodeNotSupported = "NotSupported"
	CodeUnavailable  = "ServiceUnavailable"
)

// Refusal says why a call to the vault was refused, in the words of Azure Key Vault and in our own.
type Refusal struct {
	// Code is Azure's, Inner the code within it, or empty.
	Code  string
	Inner string
	// Message is Azure's text.
	Message string
	// Check is the check that failed.
	Check evidence.Check
}

// Error gives Azure's text and the check.
func (r *Refusal) Error() string {
	return r.Message + " (" + r.Check.ID + ": " + r.Check.Found + "; expected " + r.Check.Expected + ")"
}

// Is reports whether target is the definition of the check that failed.
func (r *Refusal) Is(target error) bool {
	d, ok := target.(*evidence.Definition)
	return ok && d.ID == r.Check.ID
}

// The checks of the vault, in the order in which they are made.
var (
	checks evidence.Checks

	CheckKeyName = checks.Define("vault.key-name",
		"the name of a key is 1 to 127 letters, digits and dashes",
		"choose a name of letters, digits and dashes")
	CheckKeyType = checks.Define("vault.key-type",
		"the kind of key is one that the vault keeps: RSA of 2048, 3072 or 4096 bits, EC on P-256, P-384 or "+
			"P-521, oct; each also with -HSM",
		"choose one of these kinds")
	CheckMaterial = checks.Define("vault.key-material",
		"an imported key is complete, of its kind, and its parts fit each other",
		"export the key again as a JSON Web Key with its private parts")
	CheckAttributes = checks.Define("vault.attributes",
		"attributes, operations and tags are known and within their bounds",
		"compare them with docs/guide/keys.md")
	CheckExportable = checks.Define("vault.exportable",
		"a key that can be released has a release policy, another one does not, and this is not changed later",
		"create another key")
	CheckPolicy = checks.Define("vault.release-policy",
		"the release policy follows the grammar of version 1.0.0",
		"check the policy at the line and column given: probity key policy check FILE")
	CheckImmutable = checks.Define("vault.policy-immutable",
		"an immutable release policy is never changed",
		"create another key")
	CheckVersionless = checks.Define("vault.policy-of-version",
		"a release policy is for all versions of a key, and set without a version",
		"send the release policy to the key without a version")
	CheckExists = checks.Define("vault.exists",
		"the key, and its version, exist and were not deleted",
		"list the keys: probity key list")
	CheckDeleted = checks.Define("vault.deleted",
		"the name is not that of a deleted key that can still be recovered",
		"recover the key or purge it: probity key recover NAME; probity key purge NAME")
	CheckLimit = checks.Define("vault.limit",
		"a provider has as many keys, and a key as many versions, as its bounds allow",
		"purge keys that are not needed, or let the operator raise vault.maxKeys")
	CheckRotation = checks.Define("vault.rotation-policy",
		"a rotation policy has known actions and ISO 8601 durations within their bounds",
		"compare the policy with docs/guide/keys.md")
	CheckBackup = checks.Define("vault.backup",
		"a backup was made by this service, of a key that is not here now",
		"restore at the service that made the backup, and delete and purge the key first")
	CheckProtection = checks.Define("vault.protection",
		"the key's protection is configured, and can do what is asked",
		"let the operator configure the protection under which the key was stored")
	CheckAvailable = checks.Define("vault.protection-available",
		"what protects the key answers: the PKCS#11 token, or the transit service",
		"try again after the time in Retry-After; the operator finds the reason in the service's log")
)

// Catalogue lists the checks of the vault.
func Catalogue() []*evidence.Definition { return checks.All() }

func refuse(code, message string, check *evidence.Definition, expected, found string) *Refusal {
	return &Refusal{Code: code, Message: message, Check: check.Failed(expected, found)}
}

// bad refuses a parameter.
func bad(check *evidence.Definition, expected, found string) *Refusal {
	return refuse(CodeBadParameter, "The request has an invalid parameter: "+found+"; expected "+expected+".",
		check, expected, found)
}

// skr refuses with one of the numbered texts of secure key release.
func skr(number int, text string, check *evidence.Definition, expected, found string) *Refusal {
	return refuse(CodeBadParameter, fmt.Sprintf("AKV.SKR.%d: %s", number, text), check, expected, found)
}

func notFound(name, version string) *Refusal {
	what := name
	if version != "" {
		what += "/" + version
	}
	return refuse(CodeNotFound,
		"A key with (name/id) "+what+" was not found in this key vault. If you recently "+
			"deleted this key you may be able to recover it.", CheckExists, "a key that exists",
		"no key "+what)
}

func deletedKey(name string) *Refusal {
	r := refuse(CodeConflict,
		"Key "+name+" is currently in a deleted but recoverable state, and its name cannot be "+
			"reused; in this state, the key can only be recovered or purged.", CheckDeleted,
		"a name that is free", "the name of a deleted key")
	r.Inner = "ObjectIsDeletedButRecoverable"
	return r
}

// The checks of a release, in the order in which they are made.
var (
	CheckAlgorithm = checks.Define("release.algorithm",
		"the key is wrapped by an algorithm that is known, and that the provider accepts",
		"send enc as CKM_RSA_AES_KEY_WRAP, RSA_AES_KEY_WRAP_256 or RSA_AES_KEY_WRAP_384")
	CheckReleasable = checks.Define("release.exportable",
		"the key is exportable",
		"create a key with exportable true and a release policy")
	CheckEnabled = checks.Define("release.enabled",
		"the version of the key is enabled, and the time is between its nbf and exp",
		"enable the version, or release another one")
	CheckIssuer = checks.Define("release.issuer",
		"the token is of an issuer that is an authority of the key's release policy, and known to the service",
		"attest at an authority of the policy; the operator adds issuers under vault.authorities")
	CheckTokenSignature = checks.Define("release.token-signature",
		"the issuer signed the token",
		"send the token as the attestation service answered it; tokens of draft policies open nothing")
	CheckTokenTimes = checks.Define("release.token-times",
		"the token is valid now: at most 60 seconds before its nbf, and before its exp",
		"attest again; compare the clocks of the issuer and of this service")
	CheckTokenKind = checks.Define("release.token-kind",
		"the token is about an attested machine",
		"send the token of an attestation, not that of a policy")
	CheckChallenge = checks.Define("release.challenge",
		"where the provider wants it: the nonce of the attestation is a challenge of the provider, used once",
		"ask for a challenge (POST /keys:challenge), and attest with it as the nonce, within its lifetime")
	CheckConditions = checks.Define("release.policy",
		"the claims of the token satisfy the key's release policy",
		"compare the claims with the policy: probity key policy test")
	CheckWrappingKey = checks.Define("release.wrapping-key",
		"the token has an RSA key for encryption in x-ms-runtime.keys",
		"attest with runtime data that have an RSA key of 2048 to 4096 bits: {\"keys\":[{\"kty\":\"RSA\", "+
			"\"key_ops\":[\"encrypt\"], …}]}")
	CheckGuestKey = checks.Define("release.guest-key",
		"the token of a guest has the key that its evidence was about",
		"attest by POST /kbs/v0/attest, and use its token or cookie")
	CheckOnce = checks.Define("release.once",
		"where the provider wants it: a token releases a version of a key once",
		"attest again")
	CheckSigner = checks.Define("release.signer",
		"the service has an RSA certificate that signs released keys",
		"let the operator configure vault.certificate and vault.key, or an RSA certificate for TLS")
	CheckRecorded = checks.Define("release.recorded",
		"the release is in the provider's ledger before the key leaves",
		"try again later; see what the service's log says about its store")
)

// unverified refuses a token that proves nothing.
func unverified(check *evidence.Definition, expected, found string) *Refusal {
	return refuse(CodeForbidden, "Target environment attestation statement cannot be verified.", check,
		expected, found)
}
