package snp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/internal/crl"
)

// What the claim x-probity-snp-revocation says.
const (
	revocationGood    = "good"
	revocationStale   = "stale"
	revocationUnknown = "unknown"
)

// withdrawn are intermediates that AMD has revoked, by line and serial, so that
// they are refused without a list available too (Genoa list of 2024-10-23).
var withdrawn = map[Line][]*big.Int{Genoa: {big.NewInt(0x020001)}}

// revocation checks the intermediate against the list of its branch, and tells
// what was found, and whether a list was used that outlived itself.
func (v *Verifier) revocation(
	ctx context.Context, result *evidence.Result, e *endorsement, ev evidence.Evidence,
) (found string, stale bool, _ error) {
	serial := e.ca.cert.SerialNumber
	revoked := func(where string) error {
		return result.Fail(CheckRevoked, e.ca.cert.Subject.CommonName+" not revoked",
			fmt.Sprintf("serial %x is %s", serial, where))
	}
	for _, known := range withdrawn[e.leaf.Line] {
		if serial.Cmp(known) == 0 {
			return "", false, revoked("known to be revoked")
		}
	}
	published, missing, err := v.published(ctx, e, ev)
	if err != nil {
		return "", false, err
	}
	if missing != "" {
		if v.cfg.RequireCRL {
			return "", false, result.Fail(CheckCRL, "a current revocation list", missing)
		}
		result.Pass(CheckCRL, "a revocation list, if one is available", missing)
		return revocationUnknown, false, nil
	}
	list, err := v.parseCRL(published.CRL, e.root, e.leaf.Line)
	if err != nil {
		return "", false,
			result.FailErr(CheckCRL, "a revocation list signed by "+e.root.cert.Subject.CommonName, err)
	}
	if list.Has(serial) {
		return "", false, revoked("on the list of " + stamp(list.ThisUpdate))
	}
	result.Pass(CheckRevoked, e.ca.cert.Subject.CommonName+" not revoked",
		"not on the list of "+stamp(list.ThisUpdate))
	window := stamp(list.ThisUpdate) + " to " + stamp(list.NextUpdate)
	if ev.Time.Before(list.ThisUpdate) || ev.Time.After(list.NextUpdate) {
		if v.cfg.RequireCRL && !published.Stale {
			return "", false, result.FailWith(CheckCRL,
				"a revocation list that is current at "+stamp(ev.Time), "a list valid from "+window,
				fmt.Sprintf("the list for %s expired on %s; run: probity collateral fetch --amd %s, "+
					"or import a newer bundle",
					e.leaf.Line, stamp(list.NextUpdate), e.leaf.Line))
		}
		result.Pass(CheckCRL, "a revocation list", "stale: "+window)
		return revocationStale, published.Stale, nil
	}
	result.Pass(CheckCRL, "a revocation list that is current at "+stamp(ev.Time), "valid from "+window)
	return revocationGood, false, nil
}

// published asks the source for what AMD publishes for the branch, and says why
// there is no revocation list if there is none. A source that could not be
// reached is an error only where a list is required: the answer may differ when
// it is asked again.
func (v *Verifier) published(
	ctx context.Context, e *endorsement, ev evidence.Evidence,
) (c *collateral.AMD, missing string, err error) {
	if ev.Collateral == nil {
		return nil, "no revocation list", nil
	}
	c, err = ev.Collateral.AMD(ctx, collateral.AMDQuery{Line: string(e.leaf.Line), VLEK: e.leaf.VLEK})
	switch {
	case errors.Is(err, collateral.ErrNotFound):
		return nil, err.Error(), nil
	case errors.Is(err, collateral.ErrUnavailable) && !v.cfg.RequireCRL:
		return nil, "no revocation list, and AMD's service fails", nil
	case err != nil:
		return nil, "", err
	case len(c.CRL) == 0:
		return nil, "no revocation list", nil
	}
	return c, "", nil
}

// parseCRL reads a list and checks the root's signature, once for each list.
func (v *Verifier) parseCRL(der []byte, root *ca, line Line) (*crl.List, error) {
	var key [sha256.Size + 1]byte
	sum := sha256.Sum256(der)
	copy(key[:], sum[:])
	key[sha256.Size] = line[0]
	if list, ok := v.crls.get(key); ok {
		return list, nil
	}
	list, err := readCRL(der, root)
	if err == nil {
		v.crls.add(key, list)
	}
	return list, err
}

func readCRL(der []byte, root *ca) (*crl.List, error) {
	return crl.Read(der, crl.Issuer{
		Named:     func(rawName []byte) bool { return bytes.Equal(rawName, root.cert.RawSubject) },
		Algorithm: x509.SHA384WithRSAPSS,
		Signed:    root.key.VerifyMessage,
	})
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
