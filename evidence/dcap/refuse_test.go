package dcap_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestHealthyQuotesAreProven(t *testing.T) {
	l := newLab()
	for name, edit := range map[string]func(*scene){
		"version 3":                       func(*scene) {},
		"version 4":                       func(s *scene) { s.quote.Version = 4 },
		"version 5":                       func(s *scene) { s.quote.Version = 5 },
		"TCB info version 2":              func(s *scene) { s.collateral.TCB.Version = 2 },
		"Processor CA":                    func(s *scene) { s.platform.Processor = true },
		"zero padding after the quote":    func(s *scene) { s.quote.Trailer = make([]byte, 3000) },
		"FMSPC in upper case":             func(s *scene) { s.collateral.EditTCBInfo = upperFMSPC },
		"the evaluation number asked for": func(s *scene) { s.number = 20 },
		"no line break between certificates": func(s *scene) {
			s.editQuote = nil
			s.quote.CertType = 5
			s.quote.CertData = nil
		},
		"empty QE authentication data": func(s *scene) { s.quote.AuthData = []byte{} },
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			edit(&s)
			if s.quote.CertType == 5 {
				m := l.pki.Platform(s.platform)
				s.quote.CertData = bytes.ReplaceAll(m.Chain, []byte("-----END CERTIFICATE-----\n-"),
					[]byte("-----END CERTIFICATE------"))
				s.quote.QEKey = m.PCK.Key
			}
			proof, _, err := l.verify(t, s)
			if err != nil {
				t.Fatal(err)
			}
			if proof.TCB.Status != "UpToDate" || proof.TCB.EvaluationDataNumber != 20 {
				t.Errorf("TCB = %+v", proof.TCB)
			}
		})
	}
}

func upperFMSPC(info string) string { return strings.Replace(info, "00906ed50000", "00906ED50000", 1) }

// refusals has a case for each way to fail; the names of those that stem from
// the list of known verifier defects begin with its number.
var refusals = map[string]struct {
	check string
	edit  func(*lab, *scene)
}{
	"01 QE identity signed by a stranger": {"dcap.qe-identity.chain", func(l *lab, s *scene) {
		evil := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
		s.editSet = func(c *collateral.Intel) {
			c.QEIdentitySignature = evidencetest.SignRaw(evil.TCBSigner.Key, c.QEIdentity)
			c.QEIdentityIssuerChain = slices.Concat(evil.TCBSigner.PEM(), l.pki.Root.PEM())
		}
	}},
	"01 QE identity changed after signing": {"dcap.qe-identity.signature", func(_ *lab, s *scene) {
		s.editSet = func(c *collateral.Intel) {
			c.QEIdentity = bytes.Replace(c.QEIdentity, []byte(`"isvprodid":1`), []byte(`"isvprodid":2`), 1)
		}
	}},
	"01 another enclave in the place of the QE": {"dcap.qe.identity", func(_ *lab, s *scene) {
		s.quote.QE = evidencetest.HealthyQE()
		s.quote.QE.MRSigner[0] ^= 1
	}},
	"01 another product of the QE's signer": {"dcap.qe.identity", func(_ *lab, s *scene) {
		s.quote.QE = evidencetest.HealthyQE()
		s.quote.QE.ProductID = 2
	}},
	"01 MISCSELECT of the QE": {"dcap.qe.identity", func(_ *lab, s *scene) {
		s.quote.QE = evidencetest.HealthyQE()
		s.quote.QE.MiscSelect = 1
	}},
	"02 PCESVN below every level": {"dcap.tcb.level", func(_ *lab, s *scene) {
		s.platform.PCESVN = 12
		s.collateral.TCB.Levels = s.collateral.TCB.Levels[:1]
	}},
	"04 QE vendor is not Intel": {"dcap.quote.header", func(_ *lab, s *scene) {
		s.quote.Header = func(h []byte) { h[12] ^= 1 }
	}},
	"05 unknown TCB status": {"dcap.tcbinfo.format", func(_ *lab, s *scene) {
		s.collateral.TCB.Levels[0].Status = "Fine"
	}},
	"05 unknown QE status": {"dcap.qe-identity.format", func(_ *lab, s *scene) {
		s.collateral.TCB.QELevels[0].Status = "uptodate"
	}},
	"05 relaunch status in collateral": {"dcap.tcbinfo.format", func(_ *lab, s *scene) {
		s.collateral.TCB.Levels[0].Status = "TDRelaunchAdvised"
	}},
	"05 platform revoked": {"dcap.tcb.revoked", func(_ *lab, s *scene) {
		s.collateral.TCB.Levels[0].Status = "Revoked"
	}},
	"05 QE revoked": {"dcap.tcb.revoked", func(_ *lab, s *scene) {
		s.quote.QE = evidencetest.HealthyQE()
		s.quote.QE.SVN = 2
	}},
	"06 fifteen components": {"dcap.tcbinfo.format", func(_ *lab, s *scene) {
		s.collateral.TCB.Levels[0].Components = s.collateral.TCB.Levels[0].Components[:15]
	}},
	"06 seventeen components": {"dcap.tcbinfo.format", func(_ *lab, s *scene) {
		s.collateral.TCB.Levels[0].Components = append(slices.Clone(s.collateral.TCB.Levels[0].Components), 0)
	}},
	"06 no components": {"dcap.tcbinfo.format", func(_ *lab, s *scene) {
		s.collateral.TCB.Levels[0].Components = nil
	}},
	"06 a component without svn": {"dcap.tcbinfo.format", func(_ *lab, s *scene) {
		s.collateral.EditTCBInfo = func(j string) string { return strings.Replace(j, `{"svn":255}`, `{}`, 1) }
	}},
	"07 levels out of order": {"dcap.tcbinfo.format", func(_ *lab, s *scene) {
		slices.Reverse(s.collateral.TCB.Levels)
	}},
	"07 QE levels out of order": {"dcap.qe-identity.format", func(_ *lab, s *scene) {
		slices.Reverse(s.collateral.TCB.QELevels)
	}},
	"08 garbage after the TCB info": {"dcap.tcbinfo.format", func(_ *lab, s *scene) {
		s.collateral.EditTCBInfo = func(j string) string { return j + "{}" }
	}},
	"08 duplicate member in the TCB info": {"dcap.tcbinfo.format", func(_ *lab, s *scene) {
		s.collateral.EditTCBInfo = func(j string) string {
			return strings.Replace(j, "{", `{"fmspc":"000000000000",`, 1)
		}
	}},
	"08 duplicate member in the QE identity": {"dcap.qe-identity.format", func(_ *lab, s *scene) {
		s.collateral.EditQEIdentity = func(j string) string { return strings.Replace(j, "{", `{"id":"QE",`, 1) }
	}},
	"08 TCB info re-serialised": {"dcap.tcbinfo.signature", func(_ *lab, s *scene) {
		s.editSet = func(c *collateral.Intel) { c.TCBInfo = bytes.ReplaceAll(c.TCBInfo, []byte(","), []byte(", ")) }
	}},
	"09 debug QE": {"dcap.qe.debug", func(_ *lab, s *scene) {
		s.quote.QE = evidencetest.HealthyQE()
		s.quote.QE.Debug = true
		// An identity that does not look at the flag must not let it pass.
		s.collateral.EditQEIdentity = func(j string) string {
			return strings.Replace(j, "fbffffffffffffff", "f9ffffffffffffff", 1)
		}
	}},
	"11 no PCK CRL": {"dcap.collateral", func(_ *lab, s *scene) {
		s.editSet = func(c *collateral.Intel) { c.PCKCRL = nil }
	}},
	"11 no root CRL": {"dcap.collateral", func(_ *lab, s *scene) {
		s.editSet = func(c *collateral.Intel) { c.RootCRL = nil }
	}},
	"11 PCK CRL expired": {"dcap.pck-crl.freshness", func(_ *lab, s *scene) {
		s.collateral.EditCRL = func(issuer string, crl *x509.RevocationList) {
			if issuer != "Intel SGX Root CA" {
				crl.NextUpdate = now.Add(-time.Second)
			}
		}
	}},
	"11 root CRL expired": {"dcap.root-crl.freshness", func(_ *lab, s *scene) {
		s.collateral.EditCRL = func(issuer string, crl *x509.RevocationList) {
			if issuer == "Intel SGX Root CA" {
				crl.NextUpdate = now.Add(-time.Second)
			}
		}
	}},
	"11 PCK CRL from the future": {"dcap.pck-crl.freshness", func(_ *lab, s *scene) {
		s.collateral.EditCRL = func(issuer string, crl *x509.RevocationList) {
			if issuer != "Intel SGX Root CA" {
				crl.ThisUpdate = now.Add(time.Second)
			}
		}
	}},
	"11 CRL of the other PCK CA": {"dcap.pck-crl.signature", func(l *lab, s *scene) {
		s.collateral.PCKCA = &l.pki.ProcessorCA
	}},
	"11 CRL of a CA of the same name": {"dcap.pck-crl.signature", func(_ *lab, s *scene) {
		s.collateral.PCKCA = &evidencetest.NewIntel(evidencetest.IntelConfig{Now: now}).PlatformCA
	}},
	"11 delta CRL": {"dcap.pck-crl.signature", func(_ *lab, s *scene) {
		s.collateral.EditCRL = func(issuer string, crl *x509.RevocationList) {
			if issuer == "Intel SGX Root CA" {
				return
			}
			crl.ExtraExtensions = []pkix.Extension{{
				Id:       asn1.ObjectIdentifier{2, 5, 29, 27},
				Critical: true,
				Value:    []byte{2, 1, 1},
			}}
		}
	}},
	"11 PCK revoked": {"dcap.pck.revocation", func(_ *lab, s *scene) {
		s.platform.Edit = func(c *x509.Certificate) { c.SerialNumber = big.NewInt(4711) }
		s.collateral.EditCRL = func(issuer string, crl *x509.RevocationList) {
			if issuer != "Intel SGX Root CA" {
				crl.RevokedCertificateEntries = []x509.RevocationListEntry{{
					SerialNumber:   big.NewInt(4711),
					RevocationTime: now.AddDate(0, 0, -2),
				}}
			}
		}
	}},
	"11 PCK CA revoked": {"dcap.pck-ca.revocation", func(l *lab, s *scene) {
		s.collateral.Revoked = []*x509.Certificate{l.pki.PlatformCA.Cert}
	}},
	"11 TCB signer revoked": {"dcap.tcb-signing.revocation", func(l *lab, s *scene) {
		s.collateral.Revoked = []*x509.Certificate{l.pki.TCBSigner.Cert}
	}},
	"12 collateral from the future": {"dcap.tcbinfo.freshness", func(_ *lab, s *scene) {
		s.collateral.EditTCBInfo = func(j string) string { return swapDate(j, "issueDate", now.Add(time.Second)) }
	}},
	"12 TCB info expired": {"dcap.tcbinfo.freshness", func(_ *lab, s *scene) {
		s.collateral.EditTCBInfo = func(j string) string { return swapDate(j, "nextUpdate", now.Add(-time.Second)) }
	}},
	"12 QE identity expired": {"dcap.qe-identity.freshness", func(_ *lab, s *scene) {
		s.collateral.EditQEIdentity = func(j string) string {
			return swapDate(j, "nextUpdate", now.Add(-time.Second))
		}
	}},
	"12 judged after everything ran out": {"dcap.root-crl.freshness", func(_ *lab, s *scene) {
		s.at = now.AddDate(0, 2, 0)
	}},
	"12 PCK certificate expired": {"dcap.pck.validity", func(_ *lab, s *scene) {
		s.at = now.AddDate(8, 0, 0)
	}},
	"12 PCK certificate not valid yet": {"dcap.pck.validity", func(_ *lab, s *scene) {
		s.at = now.AddDate(-2, 0, 0)
	}},
	"12 TCB signing certificate expired": {"dcap.tcb-signing.validity", func(l *lab, s *scene) {
		*l = *labWhere("Intel SGX TCB Signing", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) })
	}},
	"13 another root of the same name": {"dcap.pck.root", func(l *lab, _ *scene) {
		l.pki = evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	}},
	"13 leaf of another hierarchy": {"dcap.pck.chain", func(_ *lab, s *scene) {
		s.platform.Issuer = &evidencetest.NewIntel(evidencetest.IntelConfig{Now: now}).PlatformCA
	}},
	"13 chain without intermediate": {"dcap.pck.certificates", func(l *lab, s *scene) {
		s.quote.CertType, s.quote.CertData = 5, slices.Concat(l.pki.Platform(s.platform).PCK.PEM(),
			l.pki.Root.PEM())
	}},
	"13 chain without root": {"dcap.pck.certificates", func(l *lab, s *scene) {
		s.quote.CertType, s.quote.CertData = 5, slices.Concat(l.pki.Platform(s.platform).PCK.PEM(),
			l.pki.PlatformCA.PEM())
	}},
	"13 four certificates": {"dcap.pck.certificates", func(l *lab, s *scene) {
		s.quote.CertType, s.quote.CertData = 5, slices.Concat(l.pki.Platform(s.platform).Chain, l.pki.Root.PEM())
	}},
	"13 two roots, no CA": {"dcap.pck.chain", func(l *lab, s *scene) {
		s.quote.CertType, s.quote.CertData = 5, slices.Concat(l.pki.Platform(s.platform).PCK.PEM(),
			l.pki.Root.PEM(), l.pki.Root.PEM())
	}},
	"13 text among the certificates": {"dcap.pck.certificates", func(l *lab, s *scene) {
		s.quote.CertType, s.quote.CertData = 5, append([]byte("subject=x\n"), l.pki.Platform(s.platform).Chain...)
	}},
	"13 no certificates": {"dcap.pck.certificates", func(_ *lab, s *scene) {
		s.quote.CertType, s.quote.CertData = 5, []byte{0}
	}},
	"13 TCB signer as PCK CA": {"dcap.pck.chain", func(l *lab, s *scene) {
		s.platform.Issuer = &l.pki.TCBSigner
	}},
	"13 PCK as TCB signer": {
		"dcap.tcbinfo.chain",
		func(l *lab, s *scene) { m := l.pki.Platform(s.platform); s.collateral.Signer = &m.PCK },
	},
	"13 PCK CA as TCB signer": {"dcap.tcbinfo.chain", func(l *lab, s *scene) {
		s.collateral.Signer = &l.pki.PlatformCA
	}},
	"13 PCK named TCB Signing, not under the root": {"dcap.tcbinfo.chain", func(l *lab, s *scene) {
		p := s.platform
		p.Edit = func(c *x509.Certificate) { c.Subject.CommonName = "Intel SGX TCB Signing" }
		m := l.pki.Platform(p)
		s.collateral.Signer = &m.PCK
	}},
	"13 TCB signer is a CA": {"dcap.tcbinfo.chain", func(l *lab, _ *scene) {
		*l = *labWhere("Intel SGX TCB Signing", func(c *x509.Certificate) { c.IsCA = true })
	}},
	"13 PCK CA is no CA": {"dcap.pck.chain", func(l *lab, _ *scene) {
		*l = *labWhere("Intel SGX PCK Platform CA",
			func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false })
	}},
	"13 PCK CA may issue CAs": {"dcap.pck.chain", func(l *lab, _ *scene) {
		*l = *labWhere("Intel SGX PCK Platform CA",
			func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false })
	}},
	"13 PCK CA may not sign": {"dcap.pck.chain", func(l *lab, _ *scene) {
		*l = *labWhere("Intel SGX PCK Platform CA",
			func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	}},
	"13 PCK is a CA": {"dcap.pck.chain", func(_ *lab, s *scene) {
		s.platform.Edit = func(c *x509.Certificate) { c.IsCA = true }
	}},
	"13 PCK has an unknown critical extension": {"dcap.pck.chain", func(_ *lab, s *scene) {
		s.platform.Edit = func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions,
				pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
		}
	}},
	"14 TCB info of the other TEE": {"dcap.tcbinfo.tee", func(_ *lab, s *scene) {
		s.collateral.TCB = evidencetest.HealthyTDXTCB(now)
	}},
	"14 QE identity of the other TEE": {"dcap.qe-identity.id", func(_ *lab, s *scene) {
		s.collateral.TCB.QEID = "TD_QE"
	}},
	"14 TCB info of another FMSPC": {"dcap.tcbinfo.fmspc", func(_ *lab, s *scene) {
		s.collateral.TCB.FMSPC[5] = 1
	}},
	"14 TCB info of another PCE": {"dcap.tcbinfo.pceid", func(_ *lab, s *scene) {
		s.collateral.TCB.PCEID[0] = 1
	}},
	"14 TCB info version 4": {"dcap.tcbinfo.format", func(_ *lab, s *scene) { s.collateral.TCB.Version = 4 }},
	"14 TCB info version 2 with an id": {"dcap.tcbinfo.format", func(_ *lab, s *scene) {
		s.collateral.TCB.Version = 2
		s.collateral.EditTCBInfo = func(j string) string { return strings.Replace(j, "{", `{"id":"SGX",`, 1) }
	}},
	"14 TDX quote under an SGX type": {"dcap.quote.header", func(_ *lab, s *scene) {
		s.quote.Header = func(h []byte) { h[4] = 0x81 }
	}},
	"15 attestation key not bound": {"dcap.qe-report.binding", func(_ *lab, s *scene) {
		s.quote.QEReport = func(r []byte) { r[320] ^= 1 }
	}},
	"15 only a prefix of the binding": {"dcap.qe-report.binding", func(_ *lab, s *scene) {
		s.quote.QEReport = func(r []byte) { r[320+31] ^= 1 }
	}},
	"15 second half of the QE report data": {"dcap.qe-report.binding", func(_ *lab, s *scene) {
		s.quote.QEReport = func(r []byte) { r[320+63] = 1 }
	}},
	"15 QE authentication data changed": {"dcap.qe-report.binding", func(_ *lab, s *scene) {
		s.quote.Signature = func(f *evidencetest.SignatureFields) { f.AuthData[0] ^= 1 }
	}},
	"16 v5 signed without type and size": {"dcap.quote.signature", func(_ *lab, s *scene) {
		s.quote.Version = 5
		s.quote.Signed = func(b []byte) []byte { return slices.Delete(b, 48, 54) }
	}},
	"16 v5 body size not that of its type": {"dcap.quote.format", func(_ *lab, s *scene) {
		s.quote.Version = 5
		s.editQuote = func(b []byte) []byte { b[50]--; return b }
	}},
	"16 v5 TDX body in an SGX quote": {"dcap.quote.format", func(_ *lab, s *scene) {
		s.quote.Version = 5
		s.editQuote = func(b []byte) []byte { b[48] = 2; binary.LittleEndian.PutUint32(b[50:], 584); return b }
	}},
	"17 signature data length 0xffffffff": {"dcap.quote.format", func(_ *lab, s *scene) {
		s.editQuote = func(b []byte) []byte { copy(b[432:], "\xff\xff\xff\xff"); return b }
	}},
	"17 signature data length 0xfffffff0": {"dcap.quote.format", func(_ *lab, s *scene) {
		s.editQuote = func(b []byte) []byte { copy(b[432:], "\xf0\xff\xff\xff"); return b }
	}},
	"17 authentication data longer than left": {"dcap.quote.format", func(_ *lab, s *scene) {
		s.editQuote = func(b []byte) []byte { copy(b[436+64+64+384+64:], "\xff\xff"); return b }
	}},
	"17 certification data longer than left": {"dcap.quote.format", func(_ *lab, s *scene) {
		s.editQuote = func(b []byte) []byte { copy(b[436+64+64+384+64+2+32+2:], "\xff\xff\xff\xff"); return b }
	}},
	"17 cut short": {"dcap.quote.format", func(_ *lab, s *scene) {
		s.editQuote = func(b []byte) []byte { return b[:len(b)-1] }
	}},
	"17 empty": {"dcap.quote.format", func(_ *lab, s *scene) {
		s.editQuote = func([]byte) []byte { return nil }
	}},
	"17 larger than any quote": {"dcap.quote.format", func(_ *lab, s *scene) {
		s.quote.Trailer = make([]byte, 1<<16)
	}},
	"18 r of the quote signature is zero": {"dcap.quote.signature", func(_ *lab, s *scene) {
		s.quote.Signature = func(f *evidencetest.SignatureFields) { clear(f.Signature[:32]) }
	}},
	"18 s of the quote signature is zero": {"dcap.quote.signature", func(_ *lab, s *scene) {
		s.quote.Signature = func(f *evidencetest.SignatureFields) { clear(f.Signature[32:]) }
	}},
	"18 r at least the group order": {"dcap.quote.signature", func(_ *lab, s *scene) {
		s.quote.Signature = func(f *evidencetest.SignatureFields) {
			copy(f.Signature, bytes.Repeat([]byte{0xff}, 32))
		}
	}},
	"18 QE report signature of zeros": {"dcap.qe-report.signature", func(_ *lab, s *scene) {
		s.quote.Signature = func(f *evidencetest.SignatureFields) { clear(f.QESignature) }
	}},
	"18 attestation key not on the curve": {"dcap.attestation-key", func(l *lab, s *scene) {
		m := l.pki.Platform(s.platform)
		s.quote.CertType, s.quote.CertData = 5, m.Chain
		s.quote.Signature = func(f *evidencetest.SignatureFields) {
			f.Key[63] ^= 1
			data := evidencetest.BindData(slices.Concat(f.Key, f.AuthData))
			copy(f.QEReport[320:], data[:])
			f.QESignature = evidencetest.SignRaw(m.PCK.Key, f.QEReport)
		}
	}},
	"22 bytes after the quote": {"dcap.quote.format", func(_ *lab, s *scene) {
		s.quote.Trailer = []byte{0, 0, 1}
	}},
	"22 bytes left in the v4 nest": {
		"dcap.quote.format", func(_ *lab, s *scene) { s.quote.Version = 4; s.editQuote = growNest },
	},
	"23 another evaluation number": {"dcap.tcbinfo.evaluation-number", func(_ *lab, s *scene) { s.number = 21 }},
	"25 platform items under the Processor CA": {"dcap.pck.extension", func(_ *lab, s *scene) {
		s.platform.Processor = true
		s.platform.EditItems = func(items []evidencetest.Item) []evidencetest.Item {
			return append(items, evidencetest.Item{Arc: 6, Value: make([]byte, 16)})
		}
	}},
	"SGX extension: item twice": {"dcap.pck.extension", func(_ *lab, s *scene) {
		s.platform.EditItems = func(items []evidencetest.Item) []evidencetest.Item {
			return append(items, items[3])
		}
	}},
	"SGX extension: FMSPC missing": {"dcap.pck.extension", func(_ *lab, s *scene) {
		s.platform.EditItems = func(items []evidencetest.Item) []evidencetest.Item {
			return slices.Delete(items, 3, 4)
		}
	}},
	"SGX extension: FMSPC too long": {"dcap.pck.extension", func(_ *lab, s *scene) {
		s.platform.EditItems = func(items []evidencetest.Item) []evidencetest.Item {
			items[3].Value = make([]byte, 7)
			return items
		}
	}},
	"SGX extension: negative SVN": {"dcap.pck.extension", func(_ *lab, s *scene) { s.platform.PCESVN = -1 }},
	"no SGX extension": {"dcap.pck.extension", func(_ *lab, s *scene) {
		s.platform.Edit = func(c *x509.Certificate) { c.ExtraExtensions = nil }
	}},
	"EPID quote": {"dcap.quote.header", func(_ *lab, s *scene) {
		s.quote.Header = func(h []byte) { h[2] = 0 }
	}},
	"P-384 attestation key": {"dcap.quote.header", func(_ *lab, s *scene) {
		s.quote.Header = func(h []byte) { h[2] = 3 }
	}},
	"version 6": {"dcap.quote.header", func(_ *lab, s *scene) {
		s.quote.Header = func(h []byte) { h[0] = 6 }
	}},
	"version 2": {"dcap.quote.header", func(_ *lab, s *scene) {
		s.quote.Header = func(h []byte) { h[0] = 2 }
	}},
	"body changed after signing": {"dcap.quote.signature", func(_ *lab, s *scene) {
		s.editQuote = func(b []byte) []byte { b[48+64] ^= 1; return b }
	}},
	"header changed after signing": {"dcap.quote.signature", func(_ *lab, s *scene) {
		s.editQuote = func(b []byte) []byte { b[8] ^= 1; return b }
	}},
	"QE report changed after signing": {"dcap.qe-report.signature", func(_ *lab, s *scene) {
		s.editQuote = func(b []byte) []byte { b[436+128+64] ^= 1; return b }
	}},
	"QE report signed by another key": {"dcap.qe-report.signature", func(l *lab, s *scene) {
		s.quote.QEKey = l.pki.TCBSigner.Key
	}},
	"certification data of type 1": {"dcap.pck.certificates", func(_ *lab, s *scene) {
		s.quote.CertType, s.quote.CertData = 1, make([]byte, 36)
	}},
	"certification data of type 7": {"dcap.pck.certificates", func(_ *lab, s *scene) {
		s.quote.CertType, s.quote.CertData = 7, make([]byte, 36)
	}},
	"no collateral": {"dcap.collateral", func(_ *lab, s *scene) { s.noSet = true }},
	"TCB info signature cut short": {"dcap.tcbinfo.signature", func(_ *lab, s *scene) {
		s.editSet = func(c *collateral.Intel) { c.TCBInfoSignature = c.TCBInfoSignature[:63] }
	}},
	"no TCB info signature": {"dcap.tcbinfo.signature", func(_ *lab, s *scene) {
		s.editSet = func(c *collateral.Intel) { c.TCBInfoSignature = nil }
	}},
	"root CRL of another CA": {"dcap.root-crl.signature", func(_ *lab, s *scene) {
		s.editSet = func(c *collateral.Intel) { c.RootCRL = c.PCKCRL }
	}},
	"CRL signature changed": {"dcap.pck-crl.signature", func(_ *lab, s *scene) {
		s.editSet = func(c *collateral.Intel) { c.PCKCRL = flipLast(c.PCKCRL) }
	}},
	"TCB info without levels": {"dcap.tcbinfo.format", func(_ *lab, s *scene) {
		s.collateral.TCB.Levels = nil
	}},
	"QE identity without levels": {"dcap.qe-identity.format", func(_ *lab, s *scene) {
		s.collateral.TCB.QELevels = nil
	}},
	"QE below every level": {
		"dcap.qe.tcb",
		func(_ *lab, s *scene) { s.quote.QE = evidencetest.HealthyQE(); s.quote.QE.SVN = 1 },
	},
	"stranger among the TCB certificates": {"dcap.tcbinfo.chain", func(l *lab, s *scene) {
		s.editSet = func(c *collateral.Intel) {
			c.TCBInfoIssuerChain = slices.Concat(l.pki.TCBSigner.PEM(), l.pki.PlatformCA.PEM())
		}
	}},
}

func TestMustRefuse(t *testing.T) {
	for name, tc := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, s := newLab(), healthy()
			tc.edit(l, &s)
			_, checks, err := l.verify(t, s)
			var rejection *evidence.Rejection
			if !errors.As(err, &rejection) {
				t.Fatalf("error = %v, want a rejection", err)
			}
			c := rejection.Check
			if c.ID != tc.check {
				t.Errorf("refused by %v, want %s", rejection, tc.check)
			}
			if c.OK || c.Expected == "" || c.Found == "" || c.Remedy == "" {
				t.Errorf("the check does not explain itself: %+v", c)
			}
			if last := checks[len(checks)-1]; last != c {
				t.Errorf("last check is %s, the rejection is of %s", last.ID, c.ID)
			}
			for _, passed := range checks[:len(checks)-1] {
				if !passed.OK {
					t.Errorf("check %s failed before", passed.ID)
				}
			}
		})
	}
}
