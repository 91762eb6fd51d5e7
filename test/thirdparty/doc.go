// Package thirdparty runs other vendors' programs against the service. They are too large for
// the product's own list of modules: Azure's SDK for Go manages providers and keys, Kubernetes'
// authenticator, smallstep's certificate authority, OpenBao, HashiCorp Vault's library and SPIFFE's
// take tokens. Its tests need what `make deps` builds and installs.
package thirdparty
