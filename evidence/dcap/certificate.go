package dcap

import (
	"errors"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/ratls"
)

// OpenCertificate takes the quote out of a certificate of attested TLS. What is not a
// certificate is returned as it is. The caller, once the quote is verified, lets the
// certificate check its key. The error is a *[evidence.Rejection].
func OpenCertificate(result *evidence.Result, raw []byte) (quote []byte, cert *ratls.Certificate, err error) {
	if !ratls.Is(raw) {
		return raw, nil, nil
	}
	cert, err = ratls.Parse(raw)
	switch {
	case err != nil:
	case cert.SNP:
		err = errors.New("it carries a SEV-SNP report: use attestation type SevSnpVm")
	case cert.Form == ratls.OpenEnclave || cert.Form == ratls.OpenEnclaveOld:
		err = errors.New("it is a certificate of Open Enclave: use attestation type OpenEnclave")
	}
	if err != nil {
		return nil, nil, ratls.Malformed(result, err)
	}
	cert.Pass(result)
	return cert.Evidence, cert, nil
}
