package policy

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// sgxDefault is the default policy of enclaves: everything that verifies is
// accepted, and the claims appear under their former names too.
const sgxDefault = `version= 1.1;
configurationrules{
	=> issueproperty(type="x-ms-sgx-tcbidentifier", value="azuredefault");
};
authorizationrules{
	=> permit();
};
issuancerules{
	c:[type=="x-ms-sgx-is-debuggable"] => issue(type="is-debuggable", value=c.value);
	c:[type=="x-ms-sgx-mrsigner"] => issue(type="sgx-mrsigner", value=c.value);
	c:[type=="x-ms-sgx-mrenclave"] => issue(type="sgx-mrenclave", value=c.value);
	c:[type=="x-ms-sgx-product-id"] => issue(type="product-id", value=c.value);
	c:[type=="x-ms-sgx-svn"] => issue(type="svn", value=c.value);
	c:[type=="x-ms-attestation-type"] => issue(type="tee", value=c.value);
};
`

// vmDefault is the default policy of confidential VMs; the service's own claims
// say everything.
const vmDefault = `version= 1.0;authorizationrules{=> permit();};`

// debugDefault is the default policy of Probity's own types: no debugging.
const debugDefault = `version= 1.0;
authorizationrules{
	[type=="dbgstat", value=="disabled"] => permit();
};
`

// guestDefault is the default policy of Azure guests: what their boot must have
// kept on, and, on confidential machines, a paravisor that is trusted to have made the
// TPM. Types without evidence of their own worth, Tpm and VbsEnclave, have
// no default: someone must say what a good boot is.
const guestDefault = `version= 1.0;
authorizationrules{
	[type=="x-ms-azurevm-default-securebootkeysvalidated", value==false] => deny();
	[type=="x-ms-azurevm-debuggersdisabled", value==false] => deny();
	[type=="secureboot", value==false] => deny();
	[type=="x-ms-azurevm-signingdisabled", value==false] => deny();
	[type=="x-ms-azurevm-dbvalidated", value==false] => deny();
	[type=="x-ms-azurevm-dbxvalidated", value==false] => deny();
	[type=="x-ms-compliance-status", value=="azure-compliant-cvm"] => permit();
	[type=="x-probity-azurevm-isolation", value=="TrustedLaunch"] => permit();
};
issuancerules{
};
`

// Default returns the text of the policy that is in force for an attestation
// type until one is set; it is "" for types that have none. Names are compared
// without case.
func Default(attestationType string) string {
	switch strings.ToLower(attestationType) {
	case "sgxenclave", "openenclave":
		return sgxDefault
	case "sevsnpvm", "tdxvm":
		return vmDefault
	case "nitroenclave", "armcca":
		return debugDefault
	case "azureguest":
		return guestDefault
	default:
		return ""
	}
}

// Hash returns the value of the claim x-ms-policy-hash: the base64url SHA-256
// of the base64url text of the policy.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(base64.RawURLEncoding.EncodeToString([]byte(text))))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
