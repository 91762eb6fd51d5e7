package verify

import "github.com/probity-dev/probity/cmd/probity/internal/term"

// What --help says about each command of this package.

func (TokenCommand) Page() term.Page {
	return term.Page{
		About: `Fetches the issuer's metadata and keys, then checks signature, issuer and times. A file contains the
token, or the service's answer {"token":"…"}.`,
		Examples: `
probity verify token token.jwt --issuer https://attest.example.org
probity verify token "$(cat probity-demo/token.jwt)" --issuer https://localhost:8443 \
  --ca probity-demo/ca.pem`,
		Yes:     "the token is valid",
		No:      "it is not, with the reason",
		Trouble: "no verdict: wrong usage, no such file, or the service cannot be reached",
	}
}

func (EvidenceCommand) Page() term.Page {
	return term.Page{
		About: `Verifies without a network.

Without --policy, the TCB statuses UpToDate, SWHardeningNeeded, ConfigurationNeeded and
ConfigurationAndSWHardeningNeeded are accepted. With --policy the policy decides (it can read
x-probity-tcb-status); --tcb, if given, must accept the status as well. Revoked is always refused.
A trust domain with a bound service TD and a debug guest are refused unless --tcb names
BoundServiceTD or DebugGuest: "any" and a policy do not include them. With a policy, the debug
flag of SGX enclaves is left to it.`,
		Examples: `
probity verify evidence SgxEnclave quote.bin --collateral collateral.json
probity verify evidence OpenEnclave oe-report.bin --collateral endorsements.bin \
  --runtime-data key.pem --at 2025-06-11T19:18:17Z --tcb any --format json
probity verify evidence TdxVm tdquote.bin --collateral bundle.json \
  --event-log /sys/firmware/acpi/tables/data/CCEL
probity verify evidence SevSnpVm report.bin --certs certs/ --runtime-data runtime.json --data-type JSON
probity verify evidence SevSnpVm outblob --certs auxblob --uvm reference_info.cose --init-data policy.rego
probity verify evidence Tpm evidence.json --challenge hex:00112233 --root ak-authorities.pem \
  --policy boot.policy
probity verify evidence Tpm quote.msg quote.sig pcrs.bin ak.pem --trust-key ak.pem --challenge hex:00112233
probity verify evidence AzureGuest attestation-info.json --root azure
probity verify evidence NitroEnclave document.cbor --at 2026-03-01T12:00:00Z
probity verify evidence ArmCca token.cbor --root cpak.pem`,
		Yes:     "the evidence is accepted",
		No:      "it is refused, with the check that failed",
		Trouble: "no verdict: wrong usage, or input that cannot be read",
	}
}
