package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/dcap"
)

// ownFiles are files of a case that are not collateral.
var ownFiles = append([]string{"runtime_data.bin", "runtime-data.json", "custom_claims.bin",
	"endorsements.bin"}, evidenceNames...)

// sourceIntel returns the case's collateral: one file, or loose pieces as a quote
// library keeps them, with the PCK certificates that are beside them; or nothing.
func sourceIntel(c caseJSON) (collateral.Source, error) {
	set, pcks, err := loadIntel(c)
	if err != nil || set == nil {
		return nil, err
	}
	return collateral.Fixed(set, pcks...), nil
}

func loadIntel(c caseJSON) (*collateral.Intel, [][]byte, error) {
	files, err := c.files()
	if err != nil {
		return nil, nil, err
	}
	name := "."
	if files["collateral.json"] != nil {
		name = "collateral.json"
	} else {
		for _, name := range ownFiles {
			delete(files, name)
		}
		if len(files) == 0 {
			return nil, nil, nil
		}
	}
	bundle, err := collateral.Load(os.DirFS(c.folder), name)
	if err != nil {
		return nil, nil, err
	}
	if len(bundle.Intel) == 0 {
		return nil, nil, errors.New("the collateral has no set of Intel's")
	}
	return bundle.Intel[0], bundle.PCK, nil
}

// sourceSNP serves the revocation list of a case, if it has one.
func sourceSNP(c caseJSON) (collateral.Source, error) {
	b, err := os.ReadFile(filepath.Join(c.folder, "crl.pem"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	der, err := collateral.DecodeCRL(b)
	if err != nil {
		return nil, err
	}
	amd := &collateral.AMD{AMDQuery: collateral.AMDQuery{Line: c.Product}, CRL: der}
	return collateral.NewStatic(&collateral.Bundle{AMD: []*collateral.AMD{amd}})
}

// lent is the collateral of another case, with the time that case is judged at.
type lent struct {
	label string
	set   *collateral.Intel
	at    time.Time
}

// collateralFor returns the collateral of all genuine cases that is for the platform of
// a guest's TD quote.
func (all *corpus) collateralFor(info map[string]any) ([]lent, error) {
	pck, err := guestPCK(info)
	if err != nil {
		return nil, err
	}
	var list []lent
	for _, c := range all.cases {
		if word, _ := split(c.Expected.words()); demands[word] != mustAccept || c.read("collateral.json") == nil {
			continue
		}
		set, _, err := loadIntel(c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.label, err)
		}
		about, err := set.About()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.label, err)
		}
		if about.TEE != collateral.TDX || about.FMSPC != pck.FMSPC {
			continue
		}
		at, err := c.time()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.label, err)
		}
		list = append(list, lent{c.label, set, at})
	}
	slices.SortFunc(list, func(a, b lent) int { return a.at.Compare(b.at) })
	return list, nil
}

// guestPCK reads the certificate of the platform in a guest's TD quote.
func guestPCK(info map[string]any) (*dcap.PCK, error) {
	isolation, _ := info["IsolationInfo"].(map[string]any)
	inner, _ := isolation["Evidence"].(map[string]any)
	text, _ := inner["Proof"].(string)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	quote, err := dcap.ParseQuote(raw)
	if err != nil {
		return nil, err
	}
	return dcap.InspectPCK(quote.CertificationData)
}
