package openenclave

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/dcap"
)

// endorsementItems is the number of items of an endorsements blob: version,
// TCB info, TCB info chain, PCK CRL, root CRL, CRL chain, QE identity, QE
// identity chain, creation time.
const endorsementItems = 9

// ParseEndorsements reads an endorsements blob without verifying its pieces. For SGX
// that is oe_endorsements: version, type, size and number of items, then offsets and
// data. For TDX (oe_get_tdx_endorsements) it is Intel's sgx_ql_qve_collateral_t as it
// is in memory, with the data of its pointers after it.
func ParseEndorsements(b []byte) (*collateral.Intel, error) {
	if len(b) >= structHeader && binary.LittleEndian.Uint32(b[4:]) == dcap.TEETypeTDX {
		return parseStruct(b)
	}
	if len(b) < 16+4*endorsementItems {
		return nil, errors.New("openenclave: endorsements: shorter than their header")
	}
	header := [4]uint32{}
	for i := range header {
		header[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	if header[0] != 1 || header[1] != 2 || header[3] != endorsementItems {
		return nil,
			fmt.Errorf("openenclave: endorsements: version %d, type %d, %d items; want 1, 2 (SGX ECDSA), %d",
				header[0], header[1], header[3], endorsementItems)
	}
	if uint64(header[2]) != uint64(len(b)-16) {
		return nil, fmt.Errorf("openenclave: endorsements: size %d, but %d bytes follow the header",
			header[2], len(b)-16)
	}
	data := b[16+4*endorsementItems:]
	var items [endorsementItems][]byte
	for i := range items {
		from := binary.LittleEndian.Uint32(b[16+4*i:])
		to := uint32(len(data))
		if i+1 < endorsementItems {
			to = binary.LittleEndian.Uint32(b[16+4*(i+1):])
		}
		if i == 0 && from != 0 || from > to || uint64(to) > uint64(len(data)) {
			return nil, fmt.Errorf("openenclave: endorsements: item %d is outside the data", i+1)
		}
		items[i] = data[from:to]
	}
	return endorsementSet(items)
}

// The structure of TDX endorsements: version, TEE type, and seven pieces of pointer,
// size and padding. The pointers are those of the process that wrote them.
const (
	structPieces = 7
	structHeader = 8 + 16*structPieces
)

// parseStruct reads TDX endorsements. The data follow in the order of the pieces.
func parseStruct(b []byte) (*collateral.Intel, error) {
	if version := binary.LittleEndian.Uint32(b); version&0xffff != 3 && version&0xffff != 4 {
		return nil, fmt.Errorf("openenclave: TDX endorsements: version %d.%d, want 3 or 4", version&0xffff,
			version>>16)
	}
	var pieces [structPieces][]byte
	data := b[structHeader:]
	for i := range pieces {
		size := binary.LittleEndian.Uint32(b[8+16*i+8:])
		if uint64(size) > uint64(len(data)) {
			return nil, fmt.Errorf(
				"openenclave: TDX endorsements: piece %d of %d bytes, but %d are left: the file was cut off",
				i+1, size, len(data),
			)
		}
		pieces[i], data = data[:size], data[size:]
	}
	if len(bytes.Trim(data, "\x00")) > 0 {
		return nil, fmt.Errorf("openenclave: TDX endorsements: %d bytes after the last piece", len(data))
	}
	c, err := collateral.NewIntel(pieces)
	if err != nil {
		return nil, fmt.Errorf("openenclave: TDX endorsements: %w", err)
	}
	return c, nil
}

func endorsementSet(items [endorsementItems][]byte) (*collateral.Intel, error) {
	text := func(i int) []byte { return bytes.TrimRight(items[i], "\x00") }
	c := &collateral.Intel{
		TCBInfoIssuerChain:    text(2),
		PCKCRLIssuerChain:     text(5),
		QEIdentityIssuerChain: text(7),
	}
	var err error
	if c.TCBInfo, c.TCBInfoSignature, err = collateral.ParseResponse(text(1), "tcbInfo"); err != nil {
		return nil, fmt.Errorf("openenclave: endorsements: TCB info: %w", err)
	}
	c.QEIdentity, c.QEIdentitySignature, err = collateral.ParseResponse(text(6), "enclaveIdentity")
	if err != nil {
		return nil, fmt.Errorf("openenclave: endorsements: QE identity: %w", err)
	}
	if c.PCKCRL, err = crl(items[3]); err != nil {
		return nil, fmt.Errorf("openenclave: endorsements: PCK CRL: %w", err)
	}
	if c.RootCRL, err = crl(items[4]); err != nil {
		return nil, fmt.Errorf("openenclave: endorsements: root CRL: %w", err)
	}
	return c, nil
}

// crl returns a CRL without the NUL that may be after its DER form.
func crl(b []byte) ([]byte, error) {
	der, err := collateral.DecodeCRL(b)
	if err != nil || len(der) < 4 || der[0] != 0x30 || der[1] != 0x82 {
		return der, err
	}
	if size := 4 + int(der[2])<<8 + int(der[3]); size+1 == len(der) && der[size] == 0 {
		der = der[:size]
	}
	return der, nil
}
