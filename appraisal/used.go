package appraisal

import (
	"context"
	"crypto/sha256"

	"github.com/probity-dev/probity/collateral"
)

// usedCollateral remembers the digests of the endorsements that one appraisal
// asks for.
type usedCollateral struct {
	source  collateral.Source
	digests []byte
}

// orNil keeps a source that is not there absent.
func (u *usedCollateral) orNil() collateral.Source {
	if u.source == nil {
		return nil
	}
	return u
}

func (u *usedCollateral) sum() (sum [sha256.Size]byte) {
	if len(u.digests) > 0 {
		sum = sha256.Sum256(u.digests)
	}
	return sum
}

func (u *usedCollateral) add(digest [sha256.Size]byte) { u.digests = append(u.digests, digest[:]...) }

// Intel implements [collateral.Source].
func (u *usedCollateral) Intel(ctx context.Context, q collateral.Query) (*collateral.Intel, error) {
	c, err := u.source.Intel(ctx, q)
	if err == nil {
		u.add(c.Digest())
	}
	return c, err
}

// PCKs implements [collateral.Source]. The chain that a verifier picks is not added to the
// digests: like that of a quote it is part of what is verified, not of what it is judged by.
func (u *usedCollateral) PCKs(ctx context.Context) ([][]byte, error) { return u.source.PCKs(ctx) }

// AMD implements [collateral.Source].
func (u *usedCollateral) AMD(ctx context.Context, q collateral.AMDQuery) (*collateral.AMD, error) {
	c, err := u.source.AMD(ctx, q)
	if err == nil {
		u.add(sha256.Sum256(c.Chain))
		u.add(sha256.Sum256(c.CRL))
	}
	return c, err
}

// VCEK implements [collateral.Source].
func (u *usedCollateral) VCEK(ctx context.Context, q collateral.VCEKQuery) (*collateral.VCEK, error) {
	c, err := u.source.VCEK(ctx, q)
	if err == nil {
		u.add(sha256.Sum256(c.Certificate))
	}
	return c, err
}
