package snp

import (
	"fmt"
	"strings"

	"github.com/probity-dev/probity/collateral"
)

// Line is a product line of AMD's key distribution service. Bergamo and Siena
// are of line Genoa.
type Line string

// The product lines.
const (
	Milan Line = "Milan"
	Genoa Line = "Genoa"
	Turin Line = "Turin"
)

// Lines lists the product lines.
func Lines() []Line { return []Line{Milan, Genoa, Turin} }

// lineOf returns the product line of a CPU. The upper bounds of models are
// those of AMD's numbering of a generation.
func lineOf(family, model uint8) (Line, bool) {
	switch {
	case family == 0x19 && model <= 0x0f:
		return Milan, true
	case family == 0x19 && (model >= 0x10 && model <= 0x1f || model >= 0xa0 && model <= 0xaf):
		return Genoa, true
	case family == 0x1a && model <= 0x11:
		return Turin, true
	}
	return "", false
}

// lineOfName returns the line of a product name such as "Milan-B0".
func lineOfName(name string) (Line, bool) {
	for _, line := range Lines() {
		if name == string(line) || strings.HasPrefix(name, string(line)+"-") {
			return line, true
		}
	}
	return "", false
}

// hwidSize is the length of a chip's id: the rest of CHIP_ID is zero.
func (l Line) hwidSize() int {
	if l == Turin {
		return 8
	}
	return 64
}

// RawTCB is a TCB version as it is in a report. Which byte is which
// component depends on the product line.
type RawTCB [8]byte

// layout says where a component stands.
type layout struct {
	name, spl string
	at        int
	arc       int // below 1.3.6.1.4.1.3704.1.3
}

// layout returns the components of the line in the order of AMD's service
// (publication 57230). Bytes that are not named are reserved.
func (l Line) layout() []layout {
	if l == Turin {
		return []layout{
			{"FMC", "fmcSPL", 0, 9}, {"boot loader", "blSPL", 1, 1}, {"TEE", "teeSPL", 2, 2},
			{"SNP firmware", "snpSPL", 3, 3}, {"microcode", "ucodeSPL", 7, 8},
		}
	}
	return []layout{
		{"boot loader", "blSPL", 0, 1},
		{"TEE", "teeSPL", 1, 2},
		{"SNP firmware", "snpSPL", 6, 3},
		{"microcode", "ucodeSPL", 7, 8},
	}
}

// TCB is a TCB version taken apart.
type TCB struct {
	FMC        uint8 // Turin only
	BootLoader uint8
	TEE        uint8
	SNP        uint8
	Microcode  uint8
}

// Parse takes a TCB version apart.
func (l Line) Parse(raw RawTCB) TCB {
	if l == Turin {
		return TCB{FMC: raw[0], BootLoader: raw[1], TEE: raw[2], SNP: raw[3], Microcode: raw[7]}
	}
	return TCB{BootLoader: raw[0], TEE: raw[1], SNP: raw[6], Microcode: raw[7]}
}

// describe writes a TCB version, component by component.
func (l Line) describe(raw RawTCB) string {
	parts := make([]string, 0, 5)
	for _, c := range l.layout() {
		parts = append(parts, fmt.Sprintf("%s %d", c.name, raw[c.at]))
	}
	return strings.Join(parts, ", ")
}

// atLeast reports whether every component of a is at least that of b. Each is
// one byte on every line; reserved ones are compared too.
func (a RawTCB) atLeast(b RawTCB) bool {
	for i := range a {
		if a[i] < b[i] {
			return false
		}
	}
	return true
}

// Query names the VCEK of a chip at a TCB.
func (l Line) Query(chip []byte, raw RawTCB) collateral.VCEKQuery {
	q := collateral.VCEKQuery{Line: string(l), HWID: chip[:min(len(chip), l.hwidSize())]}
	for _, c := range l.layout() {
		q.SPL = append(q.SPL, collateral.SPL{Name: c.spl, Value: raw[c.at]})
	}
	return q
}

// LineOf returns the product line that a report names, from version 3 on.
func LineOf(r *Report) (Line, bool) {
	if r.Version < 3 {
		return "", false
	}
	return lineOf(r.Family, r.Model)
}
