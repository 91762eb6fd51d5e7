// Package keywrap wraps secrets to RSA keys as PKCS #11 does with CKM_RSA_AES_KEY_WRAP, and as
// Azure Key Vault and Managed HSM release keys: a fresh AES-256 key, encrypted with RSAES-OAEP (RFC
// 8017, section 7.1), and after it the secret, encrypted with the AES key by AES key wrap with
// padding (RFC 5649; KWP of NIST SP 800-38F).
//
// [Wrap] and [Unwrap] are the whole; [WrapAES] and [UnwrapAES] are RFC 5649 alone. A secret has 1 to
// [MaxSecret] bytes.
//
// The AES key is erased after use. Copies that Go's cipher keeps of it, and the secret itself, which
// belongs to the caller, are not.
package keywrap
