package provider

import (
	"errors"
	"fmt"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/auth"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/store"
)

// Reason sorts refusals.
type Reason int

// The reasons why a change is refused.
const (
	// Invalid is for what no caller could do.
	Invalid Reason = iota
	// InvalidOperation is for requests whose signature or form is not accepted here.
	InvalidOperation
	NotFound
	// Conflict is for what another change or owner stands against.
	Conflict
	// Stale is for a precondition that is not met.
	Stale
	// Pending is for changes that wait for approvals.
	Pending
	// Forbidden is for callers without the role that the change needs.
	Forbidden
)

// Refusal says why a change was not made.
type Refusal struct {
	Reason Reason
	Check  evidence.Check
}

// Error names the check.
func (r *Refusal) Error() string {
	return r.Check.ID + ": " + r.Check.Found + "; expected " + r.Check.Expected
}

// Is reports whether target is the definition of the check that failed.
func (r *Refusal) Is(target error) bool {
	d, ok := target.(*evidence.Definition)
	return ok && d.ID == r.Check.ID
}

func refuse(reason Reason, check *evidence.Definition, expected, found, remedy string) *Refusal {
	return &Refusal{reason, check.FailedWith(expected, found, remedy)}
}

const (
	remedySigner = "sign it with the key of a certificate that is registered at the provider: " +
		"probity policy set --key FILE --cert FILE"
	remedyPurpose = "sign the change again, for what it does: probity policy set, reset, " +
		"signers add or signers remove, with --key, --cert and --bind"
	remedyConcurrent = "read the current version, and send the change again if it is still wanted"
)

// The checks of this package, in the order in which they are made.
var (
	checks evidence.Checks

	CheckProvider = checks.Define("provider.exists",
		"the provider exists in this subscription and resource group",
		"compare the name with: probity provider list")
	CheckName = checks.Define("provider.name",
		"a provider's name is 3 to 24 letters, digits and dashes, and no other provider has it",
		"choose another name")
	CheckVault = checks.Define("provider.vault",
		"a provider is deleted only when its vault is empty: what its keys protect is lost without them",
		"delete and purge its keys first: probity key list; probity key delete NAME; probity key purge NAME")
	CheckSettings = checks.Define("provider.settings",
		"a provider's settings are known and within their bounds",
		"compare the settings with docs/guide/providers.md")
	CheckTrustModel = checks.Define("provider.trust-model",
		"the trust model of a provider is not changed after it was created",
		"create another provider; certificates are managed through /certificates")
	CheckConcurrent = checks.Define("change.concurrent",
		"no other change was made while this one was checked",
		remedyConcurrent)
	CheckMatch = checks.Define("change.if-match",
		"the version that If-Match names is the current one",
		remedyConcurrent)
	CheckSigner = checks.Define("policy.signer",
		"a change at an Isolated provider is signed by the key of a registered certificate, "+
			"or of one that chains to a registered CA",
		remedySigner)
	CheckPurpose = checks.Define("policy.purpose",
		"a signed change is used for what it was signed for: a reset has an empty payload; "+
			"a change that names purpose, provider, type, version or time is submitted for that purpose, "+
			"provider, type, version and time; certificates are not changed twice by one JWS",
		remedyPurpose)
	CheckVersion = checks.Define("policy.version",
		"the version of the policy exists",
		"list the versions: probity policy history TYPE")
	CheckApproval = checks.Define("policy.approval",
		"as many callers as the provider asks for (approvals) agree to a change of its policies, "+
			"certificates or settings, or to its deletion; each of them could make the change now",
		"let others approve it: probity policy approve ID")
	CheckCertificate = checks.Define("policy.certificate",
		"the certificate can sign policies: RSA of 2048 bits or more, P-256 or P-384",
		"choose a key of one of these kinds")
	CheckLast = checks.Define("policy.last-certificate",
		"an Isolated provider keeps at least one certificate",
		"add another certificate first")
	CheckToken = checks.Define("caller.token",
		"a static token has a free name, a known role, and providers",
		"compare with: probity token list")
	CheckKey = checks.Define("signing.key",
		"the key exists, and another key can sign when it is retired",
		"list the keys: probity keys list; rotate first")
)

// Catalogue lists the checks of changes.
func Catalogue() []*evidence.Definition { return checks.All() }

// By is who asks for a change, with which role at the provider, and by which request.
// Client contains the ids that the client gave it.
type By struct {
	Caller, Request string
	Role            auth.Role
	Client          map[string]string
}

// entry begins the record of a change.
func (r *Registry) entry(by By, action, subject string, details map[string]string) *ledger.Entry {
	return &ledger.Entry{
		Time: r.cfg.Now().UTC(), Type: ledger.Change, Request: by.Request, Client: by.Client,
		By: by.Caller, Action: action, Subject: subject, Details: details,
	}
}

// provider reads a provider in a transaction.
func provider(tx store.Tx, name string) (store.Provider, error) {
	p, err := tx.Provider(name)
	if errors.Is(err, store.ErrNotFound) {
		return p, noProvider(name)
	}
	return p, err
}

func noProvider(name string) *Refusal {
	return refuse(NotFound, CheckProvider, "an existing attestation provider",
		fmt.Sprintf("no provider named %q", name), "compare the name with: probity provider list")
}
