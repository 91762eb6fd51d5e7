// Package thirdparty runs other vendors' programs against the service. They are too large for
// the product's own list of modules: Azure's SDK for Go manages providers, Kubernetes'
// authenticator and smallstep's certificate authority take tokens. Its tests need what
// `make deps` builds.
package thirdparty
