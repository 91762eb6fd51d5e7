package evidence

import (
	"fmt"
	"slices"
	"strings"
)

// Component is one part of a TCB that is older than a level of its vendor.
type Component struct {
	// Name tells the component in full: "SGX TCB component 8 (SEAMLDR ACM, OS/VMM)".
	Name string `json:"name"`
	// Number is its place in the vendor's list from 1, or zero; Type and Category are
	// the vendor's words for what it is and who updates it.
	Number   int    `json:"number,omitzero"`
	Type     string `json:"type,omitzero"`
	Category string `json:"category,omitzero"`
	Needs    int    `json:"needs"`
	Has      int    `json:"has"`
}

// remedies say how a component is updated, by a part of its type.
var remedies = []struct{ part, remedy string }{
	{"TDX Module", "update the TDX module"},
	{"SEAMLDR", "update the loader of the TDX module (SEAMLDR ACM), which the BIOS or the OS loads"},
	{"SINIT", "update the TXT SINIT module that the OS or VMM loads"},
	{"Late Microcode", "update the microcode that the OS or VMM loads"},
	{"Early Microcode", "update the BIOS, which contains the microcode"},
	{
		"PCE",
		"update Intel's SGX software on the platform, which contains the provisioning certification enclave",
	},
	{"firmware", "update the SNP firmware of the host"},
}

// Remedy says how the component is updated.
func (c Component) Remedy() string {
	for _, r := range remedies {
		if strings.Contains(c.Type, r.part) {
			return r.remedy
		}
	}
	switch c.Category {
	case "BIOS":
		return "update the BIOS"
	case "OS/VMM":
		return "update the microcode and modules that the OS or VMM loads"
	}
	return "update the BIOS and microcode"
}

// Components are parts of a TCB that are older than a level of its vendor.
type Components []Component

// Remedy says how the components are updated, each way once.
func (l Components) Remedy() string {
	var ways []string
	for _, c := range l {
		if way := c.Remedy(); !slices.Contains(ways, way) {
			ways = append(ways, way)
		}
	}
	return strings.Join(ways, "; ")
}

// Compare writes what the components need and have: "NAME of at least 5" and "NAME of 3".
func (l Components) Compare() (needs, has string) {
	var left, right []string
	for _, c := range l {
		left = append(left, fmt.Sprintf("%s of at least %d", c.Name, c.Needs))
		right = append(right, fmt.Sprintf("%s of %d", c.Name, c.Has))
	}
	return strings.Join(left, ", "), strings.Join(right, ", ")
}
