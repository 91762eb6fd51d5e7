package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	stdjson "encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/sgx"
	"github.com/probity-dev/probity/evidence/tdx"
	"github.com/probity-dev/probity/internal/api/data/wire"
	"github.com/probity-dev/probity/token"
)

func pairs() []pair {
	list := verifications()
	list = append(list, decoding(10<<10), decoding(60<<10))
	return append(list, signing(), recording())
}

// verifications measures SGX and TDX with real sizes: a TCB info of 18 levels, a
// PCK CRL of 129 entries, as Intel publishes them.
func verifications() []pair {
	now := time.Now()
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	runtimeData := &evidence.Data{Bytes: []byte(`{"key":"value"}`), Type: evidence.JSON}
	enclave, td := evidencetest.DemoEnclave(), evidencetest.HealthyTD()
	enclave.ReportData = evidencetest.BindData(runtimeData.Bytes)
	td.V15, td.ReportData = true, enclave.ReportData
	var list []pair
	for _, tee := range []struct {
		name  string
		tcb   evidencetest.TCB
		quote evidencetest.QuoteConfig
		kind  func(*dcap.Verifier) evidence.Verifier
	}{
		{
			"SGX", evidencetest.HealthyTCB(now), evidencetest.QuoteConfig{Enclave: enclave},
			func(v *dcap.Verifier) evidence.Verifier { return sgx.New(v) },
		},
		{
			"TDX", evidencetest.HealthyTDXTCB(now), evidencetest.QuoteConfig{TD: td},
			func(v *dcap.Verifier) evidence.Verifier { return tdx.New(v) },
		},
	} {
		quote, source := m.Quote(tee.quote), collateral.Fixed(pki.Collateral(m, realSizes(now, tee.tcb)))
		// verify has memories of the given sizes; -1 is none.
		verify := func(chains, sets int) func() {
			v := tee.kind(dcap.New(dcap.Config{Anchor: pki.Anchor(), Chains: chains, Collateral: sets}))
			return func() {
				if _, err := v.Verify(context.Background(), evidence.Evidence{
					Raw: quote, RuntimeData: runtimeData, Collateral: source, Time: now,
				}); err != nil {
					panic(err)
				}
			}
		}
		list = append(list,
			pair{tee.name + ", PCK chain and collateral seen before", 1.3, "2 bare P-256 checks", verify(0,
				0), checks(2)},
			pair{tee.name + ", collateral seen before", 1.25, "4 bare P-256 checks", verify(-1, 0), checks(4)},
			pair{tee.name + ", everything cold", 1.5, "9 bare P-256 checks", verify(-1, -1), checks(9)})
	}
	return list
}

// realSizes are collateral of the sizes that Intel publishes.
func realSizes(now time.Time, tcb evidencetest.TCB) evidencetest.CollateralConfig {
	lowest := tcb.Levels[1]
	tcb.Levels = tcb.Levels[:1]
	for i := range 17 {
		level := lowest
		level.PCESVN = 12
		level.Components = append([]uint8(nil), lowest.Components...)
		level.Components[3] = 0
		level.Components[4] = uint8(200 - i)
		tcb.Levels = append(tcb.Levels, level)
	}
	return evidencetest.CollateralConfig{TCB: tcb, EditCRL: func(issuer string, crl *x509.RevocationList) {
		if issuer == "Intel SGX Root CA" {
			return // its lists have no entry
		}
		for i := range 60 { // the Platform CA's lists have up to 57 entries, each with a reason
			serial := new(big.Int).Lsh(big.NewInt(int64(i+1000)), 140)
			crl.RevokedCertificateEntries = append(crl.RevokedCertificateEntries,
				x509.RevocationListEntry{SerialNumber: serial, RevocationTime: now.AddDate(0, 0, -2), ReasonCode: 1})
		}
	}}
}

// checks makes n bare signature checks.
func checks(n int) func() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256([]byte("message"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	return func() {
		for range n {
			if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], signature) {
				panic("bad signature")
			}
		}
	}
}

// decoding reads the body of an attestation, base64 included, beside
// encoding/json reading the same.
func decoding(size int) pair {
	body := []byte(fmt.Sprintf(`{"quote":"%s","runtimeData":{"data":"%s","dataType":"JSON"},"nonce":"n"}`,
		text(size*9/10), text(size/10)))
	type data struct {
		Data     string `json:"data"`
		DataType string `json:"dataType"`
	}
	return pair{fmt.Sprintf("decode a body of %d KB", size>>10), -3, "faster than encoding/json",
		func() {
			if _, err := wire.Decode(body); err != nil {
				panic(err)
			}
		},
		func() {
			var r struct {
				Quote       string `json:"quote"`
				RuntimeData data   `json:"runtimeData"`
				Nonce       string `json:"nonce"`
			}
			if err := stdjson.Unmarshal(body, &r); err != nil {
				panic(err)
			}
			for _, text := range []string{r.Quote, r.RuntimeData.Data} {
				if _, err := base64.RawURLEncoding.DecodeString(text); err != nil {
					panic(err)
				}
			}
		}}
}

func rsaKey() (*rsa.PrivateKey, *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	cert, err := token.InstanceCertificate(rand.Reader, "https://localhost:8443", key, time.Now())
	if err != nil {
		panic(err)
	}
	return key, cert
}

// signing makes a token of usual size beside the bare RSA signature.
func signing() pair {
	key, cert := rsaKey()
	signer, err := token.NewSigner("https://localhost:8443", key, cert, "")
	if err != nil {
		panic(err)
	}
	payload := []byte(`{"claim":"` + strings.Repeat("x", 2000) + `"}`)
	sum := sha256.Sum256(payload)
	return pair{"sign a token of 2 KB (RS256)", 1.15, "the bare signature",
		func() {
			if _, err := signer.Sign(payload); err != nil {
				panic(err)
			}
		},
		func() {
			if _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:]); err != nil {
				panic(err)
			}
		}}
}
