// Package kds gets certificates and revocation lists from AMD's key distribution
// service (AMD publication 57230).
//
// AMD allows few requests per address, about one in ten seconds: give a
// throttle that all processes share, and keep every answer.
package kds

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/internal/get"
	"github.com/probity-dev/probity/strict/pubkey"
)

// AMDURL is AMD's own service.
const AMDURL = "https://kdsintf.amd.com"

// Spacing is how far apart requests to AMD's service must be.
const Spacing = 10 * time.Second

// Config says whom to ask.
type Config struct {
	// URL is the service without a path. Empty stands for [AMDURL].
	URL string
	// Transport replaces the standard one.
	Transport http.RoundTripper
	// Throttle spaces requests; nil stands for none.
	Throttle get.Throttle
	// Timeout bounds one request; 0 stands for 30 seconds.
	Timeout time.Duration
}

// Client gets AMD's collateral. It is safe for concurrent use.
type Client struct {
	url     string
	service get.Service
}

// New returns a client.
func New(cfg Config) *Client {
	if cfg.URL == "" {
		cfg.URL = AMDURL
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	return &Client{
		url:     strings.TrimSuffix(cfg.URL, "/"),
		service: get.Service{Client: get.NewClient(cfg.Timeout, cfg.Transport), Throttle: cfg.Throttle},
	}
}

// VCEK gets the certificate of a chip at a TCB.
func (c *Client) VCEK(ctx context.Context, q collateral.VCEKQuery) (*collateral.VCEK, error) {
	body, _, err := c.service.Bytes(ctx, c.url+"/"+q.String())
	if err != nil {
		return nil, fmt.Errorf("kds: %w", err)
	}
	if _, err := pubkey.ParseCertificate(body); err != nil {
		return nil, fmt.Errorf("kds: VCEK: %w", err)
	}
	return &collateral.VCEK{Path: q.String(), Certificate: body}, nil
}

// AMD gets the CAs and the revocation list of a branch.
func (c *Client) AMD(ctx context.Context, q collateral.AMDQuery) (*collateral.AMD, error) {
	chain, _, err := c.service.Bytes(ctx, c.url+"/"+q.String()+"/cert_chain")
	if err != nil {
		return nil, fmt.Errorf("kds: %w", err)
	}
	body, _, err := c.service.Bytes(ctx, c.url+"/"+q.String()+"/crl")
	if err != nil {
		return nil, fmt.Errorf("kds: %w", err)
	}
	crl, err := collateral.DecodeCRL(body)
	if err != nil {
		return nil, fmt.Errorf("kds: CRL: %w", err)
	}
	return &collateral.AMD{AMDQuery: q, Chain: chain, CRL: crl}, nil
}
