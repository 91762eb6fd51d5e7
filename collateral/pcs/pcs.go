// Package pcs gets collateral for SGX and TDX from Intel's provisioning
// certification service, version 3 or 4, or from what speaks its protocol: a
// PCCS, or the cache of a cloud.
//
// Transport needs no trust: everything is signed by Intel, and those who keep
// the answers verify them first.
package pcs

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/internal/get"
)

// Intel's own service and where it publishes the root's revocation list.
const (
	IntelURL        = "https://api.trustedservices.intel.com"
	intelRootCRLURL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
)

// Config says whom to ask.
type Config struct {
	// URL is the service without a path. Empty stands for [IntelURL].
	URL string
	// Version is that of the API, 3 or 4; 0 stands for 4. Version 3 has no TDX.
	Version int
	// Update is "standard" or "early"; empty leaves the choice to the service.
	Update string
	// RootCRL is where the root's list is. Empty stands for Intel's place, or,
	// with another URL, for /sgx/certification/vN/rootcacrl there (PCCS).
	RootCRL string
	// Transport replaces the standard one.
	Transport http.RoundTripper
	// Throttle spaces requests; nil stands for none.
	Throttle get.Throttle
	// Timeout bounds one request; 0 stands for 30 seconds.
	Timeout time.Duration
}

// Client gets collateral. It is safe for concurrent use.
type Client struct {
	cfg     Config
	service get.Service
}

// New returns a client.
func New(cfg Config) (*Client, error) {
	if cfg.Version == 0 {
		cfg.Version = 4
	}
	if cfg.Version != 3 && cfg.Version != 4 {
		return nil, fmt.Errorf("pcs: API version %d, want 3 or 4", cfg.Version)
	}
	if cfg.Update != "" && cfg.Update != "standard" && cfg.Update != "early" {
		return nil, fmt.Errorf("pcs: update %q, want standard or early", cfg.Update)
	}
	if cfg.RootCRL == "" {
		cfg.RootCRL = intelRootCRLURL
		if cfg.URL != "" && cfg.URL != IntelURL {
			cfg.RootCRL = strings.TrimSuffix(cfg.URL,
				"/") + fmt.Sprintf("/sgx/certification/v%d/rootcacrl", cfg.Version)
		}
	}
	if cfg.URL == "" {
		cfg.URL = IntelURL
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	return &Client{
		cfg:     cfg,
		service: get.Service{Client: get.NewClient(cfg.Timeout, cfg.Transport), Throttle: cfg.Throttle},
	}, nil
}

// Intel gets a set for a platform: TCB info, QE identity and both revocation
// lists. The error wraps [collateral.ErrNotFound] for platforms that Intel does
// not know, and for evaluation numbers that it does not offer any more.
func (c *Client) Intel(ctx context.Context, q collateral.Query) (*collateral.Intel, error) {
	if q.TEE == collateral.TDX && c.cfg.Version < 4 {
		return nil, fmt.Errorf("pcs: version %d of the API has no TDX: %w", c.cfg.Version, collateral.ErrNotFound)
	}
	set := &collateral.Intel{}
	var err error
	if set.TCBInfo, set.TCBInfoSignature, set.TCBInfoIssuerChain, err = c.signed(ctx,
		c.path(q.TEE, "tcb", q, "fmspc="+hex.EncodeToString(q.FMSPC[:])), "tcbInfo",
		"TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain"); err != nil {
		return nil, fmt.Errorf("pcs: TCB info: %w", err)
	}
	if set.QEIdentity, set.QEIdentitySignature, set.QEIdentityIssuerChain, err = c.signed(ctx,
		c.path(q.TEE, "qe/identity", q, ""), "enclaveIdentity",
		"SGX-Enclave-Identity-Issuer-Chain"); err != nil {
		return nil, fmt.Errorf("pcs: QE identity: %w", err)
	}
	// A list that is missing is a fault of the service, and says nothing of the platform: the
	// error hides its cause, which may be that the list was not found.
	var header http.Header
	if set.PCKCRL, header, err = c.list(ctx, fmt.Sprintf("%s/sgx/certification/v%d/pckcrl?ca=%s&encoding=der",
		c.cfg.URL, c.cfg.Version, url.QueryEscape(q.CA))); err != nil {
		return nil, errors.New("pcs: PCK CRL: " + err.Error())
	}
	if set.PCKCRLIssuerChain, err = chain(header, "SGX-PCK-CRL-Issuer-Chain"); err != nil {
		return nil, fmt.Errorf("pcs: PCK CRL: %w", err)
	}
	if set.RootCRL, _, err = c.list(ctx, c.cfg.RootCRL); err != nil {
		return nil, errors.New("pcs: root CRL: " + err.Error())
	}
	return set, nil
}

// list gets a revocation list in any of its wrappings.
func (c *Client) list(ctx context.Context, address string) ([]byte, http.Header, error) {
	body, header, err := c.service.Bytes(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	der, err := collateral.DecodeCRL(body)
	return der, header, err
}

// path builds the address of a document of a TEE. An evaluation number and an
// update kind exclude each other.
func (c *Client) path(tee collateral.TEE, document string, q collateral.Query, query string) string {
	parts := []string{}
	if query != "" {
		parts = append(parts, query)
	}
	switch {
	case q.EvaluationNumber != 0:
		parts = append(parts, fmt.Sprintf("tcbEvaluationDataNumber=%d", q.EvaluationNumber))
	case c.cfg.Update != "":
		parts = append(parts, "update="+c.cfg.Update)
	}
	address := fmt.Sprintf("%s/%s/certification/v%d/%s", c.cfg.URL, strings.ToLower(string(tee)),
		c.cfg.Version, document)
	if len(parts) > 0 {
		address += "?" + strings.Join(parts, "&")
	}
	return address
}

// signed gets a document of the form {"member":…,"signature":…} with the chain
// of its signer.
func (c *Client) signed(
	ctx context.Context, address, member string, headers ...string,
) (text, signature, issuers []byte, err error) {
	body, header, err := c.service.Bytes(ctx, address)
	if err != nil {
		return nil, nil, nil, err
	}
	if text, signature, err = collateral.ParseResponse(body, member); err != nil {
		return nil, nil, nil, err
	}
	issuers, err = chain(header, headers...)
	return text, signature, issuers, err
}

// chain reads a certificate chain from the first header that is there: PEM,
// percent-encoded unless a proxy undid that.
func chain(h http.Header, names ...string) ([]byte, error) {
	for _, name := range names {
		value := h.Get(name)
		if value == "" {
			continue
		}
		text := value
		if strings.Contains(value, "%") {
			var err error
			// Not QueryUnescape: base64 contains +.
			if text, err = url.PathUnescape(value); err != nil {
				return nil, fmt.Errorf("header %s: %w", name, err)
			}
		}
		if !strings.HasPrefix(text, "-----BEGIN CERTIFICATE-----") {
			return nil, fmt.Errorf("header %s is not a PEM chain", name)
		}
		return []byte(text), nil
	}
	return nil, fmt.Errorf("no header %s", names[0])
}

// EvaluationNumber is one release of Intel's TCB baseline.
type EvaluationNumber struct {
	Number   uint32    `json:"tcbEvaluationDataNumber"`
	Recovery time.Time `json:"tcbRecoveryEventDate"`
	Date     time.Time `json:"tcbDate"`
}

// EvaluationNumbers lists the TCB evaluation data numbers that the service
// offers, the newest first as it sends them. The list is signed like TCB info;
// it is returned as a hint, and what is fetched by a number is verified by
// itself.
func (c *Client) EvaluationNumbers(ctx context.Context, tee collateral.TEE) ([]EvaluationNumber, error) {
	if c.cfg.Version < 4 {
		return nil, errors.New("pcs: version 3 of the API has no evaluation numbers")
	}
	text, _, _, err := c.signed(ctx, fmt.Sprintf("%s/%s/certification/v4/tcbevaluationdatanumbers", c.cfg.URL,
		strings.ToLower(string(tee))), "tcbEvaluationDataNumbers",
		"TCB-Evaluation-Data-Numbers-Issuer-Chain")
	if err != nil {
		return nil, fmt.Errorf("pcs: evaluation numbers: %w", err)
	}
	var list struct {
		Numbers []EvaluationNumber `json:"tcbEvalNumbers"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("pcs: evaluation numbers: %w", err)
	}
	return list.Numbers, nil
}
