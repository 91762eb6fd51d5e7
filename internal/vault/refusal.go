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
	CodeTooMany      = "Throttled"
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
	return refuse(CodeNotFound, "A key with (name/id) "+what+" was not found in this key vault. If you recently "+
		"deleted this key you may be able to recover it.", CheckExists, "a key that exists", "no key "+what)
}

func deletedKey(name string) *Refusal {
	r := refuse(CodeConflict, "Key "+name+" is currently in a deleted but recoverable state, and its name cannot be "+
		"reused; in this state, the key can only be recovered or purged.", CheckDeleted,
		"a name that is free", "the name of a deleted key")
	r.Inner = "ObjectIsDeletedButRecoverable"
	return r
}
