package collateral

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// AMDQuery names a branch of AMD's hierarchy: a product line, and whether its
// CA certifies VCEKs (chip keys) or VLEKs (keys lent to cloud providers).
type AMDQuery struct {
	Line string // "Milan", "Genoa", "Turin"
	VLEK bool
}

// Branch is "vcek" or "vlek", as in the paths of AMD's service.
func (q AMDQuery) Branch() string {
	if q.VLEK {
		return "vlek"
	}
	return "vcek"
}

func (q AMDQuery) String() string { return q.Branch() + "/v1/" + q.Line }

// AMD is what AMD's key distribution service publishes for a branch. Absent
// pieces are empty.
type AMD struct {
	AMDQuery
	// Chain is PEM: the intermediate CA (ASK or ASVK) and the root (ARK), in any
	// order.
	Chain []byte
	// CRL is DER: the list of revoked intermediates, signed by the ARK.
	CRL []byte
	// Stale says that the CRL has outlived its nextUpdate and is given all the
	// same, as the source could not get a newer one and was told to go on.
	Stale bool
	// File is where a [Loader] read it, for messages.
	File string
}

// VCEKQuery names the certificate of one chip at one TCB.
type VCEKQuery struct {
	Line string
	// HWID is the chip's id: 64 bytes, on Turin 8.
	HWID []byte
	// SPL are the security patch levels in the order of AMD's documentation.
	SPL []SPL
}

// SPL is one component of a TCB by its name in AMD's service, such as "blSPL".
type SPL struct {
	Name  string
	Value uint8
}

// String is the path of the certificate in AMD's service below its host (AMD
// publication 57230). It is unique, and so serves as a key.
func (q VCEKQuery) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "vcek/v1/%s/%s?", q.Line, hex.EncodeToString(q.HWID))
	for i, spl := range q.SPL {
		if i > 0 {
			b.WriteByte('&')
		}
		fmt.Fprintf(&b, "%s=%02d", spl.Name, spl.Value)
	}
	return b.String()
}

// ParseVCEKQuery reads what [VCEKQuery.String] wrote.
func ParseVCEKQuery(path string) (VCEKQuery, error) {
	var q VCEKQuery
	head, query, _ := strings.Cut(path, "?")
	parts := strings.Split(head, "/")
	if len(parts) != 4 || parts[0] != "vcek" || parts[1] != "v1" {
		return q, fmt.Errorf("%q is not the path of a VCEK", path)
	}
	var err error
	if q.HWID, err = hex.DecodeString(parts[3]); err != nil {
		return q, fmt.Errorf("%q: chip id: %w", path, err)
	}
	q.Line = parts[2]
	for part := range strings.SplitSeq(query, "&") {
		name, text, _ := strings.Cut(part, "=")
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil {
			return q, fmt.Errorf("%q: %s: %w", path, name, err)
		}
		q.SPL = append(q.SPL, SPL{Name: name, Value: uint8(n)})
	}
	if q.String() != path {
		return q, fmt.Errorf("%q is not in the form of AMD's service", path)
	}
	return q, nil
}

// VCEK is the certificate of one chip at one TCB.
type VCEK struct {
	// Path is [VCEKQuery.String].
	Path string
	// Certificate is DER.
	Certificate []byte
	// File is where a [Loader] read it, for messages.
	File string
}
