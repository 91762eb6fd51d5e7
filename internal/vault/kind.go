package vault

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/probity-dev/probity/wording/spelling"
)

var keyName = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`)

// fold is the name under which a key is stored: names are compared without case.
func fold(name string) string { return strings.ToLower(name) }

func checkName(name string) error {
	if !keyName.MatchString(name) {
		return bad(CheckKeyName, "1 to 127 letters, digits and dashes", fmt.Sprintf("%.150q", name))
	}
	return nil
}

// Kind is the kind of a key: its type as JSON Web Keys name it, with the size of RSA and oct keys in
// bits or the name of a curve.
type Kind struct {
	// Type is RSA, EC or oct, with -HSM if it was asked for so.
	Type  string
	Size  int
	Curve string
}

// The families of keys.
const (
	RSA = "RSA"
	EC  = "EC"
	Oct = "oct"
)

// Family is the type without -HSM.
func (k Kind) Family() string { return strings.TrimSuffix(k.Type, "-HSM") }

func types() []string { return []string{RSA, RSA + "-HSM", EC, EC + "-HSM", Oct, Oct + "-HSM"} }

var (
	rsaSizes = []int{2048, 3072, 4096}
	octSizes = []int{128, 192, 256}
	curves   = []string{"P-256", "P-384", "P-521"}
)

// MaxOct is the size of the largest oct key, in bytes. Azure's have 16 to 32 bytes; here a key may be a passphrase,
// a certificate or a small file.
const MaxOct = 64 << 10

func checkType(kty string) error {
	if !slices.Contains(types(), kty) {
		return bad(CheckKeyType, "kty "+strings.Join(types(), ", "),
			fmt.Sprintf("%.40q%s", kty, spelling.After("; ", kty, types())))
	}
	return nil
}

// generated checks a kind of which a key is to be made, and fills in what Azure's vault chooses.
func (k Kind) generated() (Kind, error) {
	if err := checkType(k.Type); err != nil {
		return k, err
	}
	if k.Family() == EC {
		if k.Size != 0 {
			return k, bad(CheckKeyType, "no key_size for EC; the curve tells it", fmt.Sprintf("key_size %d", k.Size))
		}
		if k.Curve == "" {
			k.Curve = "P-256"
		}
		if !slices.Contains(curves, k.Curve) {
			return k, bad(CheckKeyType, "crv "+strings.Join(curves, ", "), fmt.Sprintf("%.40q", k.Curve))
		}
		return k, nil
	}
	if k.Curve != "" {
		return k, bad(CheckKeyType, "no crv for "+k.Type, fmt.Sprintf("crv %.40q", k.Curve))
	}
	sizes, standard := rsaSizes, 2048
	if k.Family() == Oct {
		sizes, standard = octSizes, 256
	}
	if k.Size == 0 {
		k.Size = standard
	}
	if !slices.Contains(sizes, k.Size) {
		return k, bad(CheckKeyType, fmt.Sprintf("key_size one of %v for %s", sizes, k.Type), fmt.Sprint(k.Size))
	}
	return k, nil
}

// operations are what keys of a family may be for, the ones of a key that names none first.
var operations = map[string][]string{
	RSA: {"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey", "import", "export"},
	EC:  {"sign", "verify", "import", "export"},
	Oct: {"encrypt", "decrypt", "wrapKey", "unwrapKey", "import", "export"},
}

// checkOperations checks the operations of a key; nil stands for all that Azure's vault gives.
func (k Kind) checkOperations(ops []string) ([]string, error) {
	known := operations[k.Family()]
	if ops == nil {
		return known[:len(known)-2], nil
	}
	for i, op := range ops {
		if !slices.Contains(known, op) {
			return nil, bad(CheckAttributes, "key_ops of "+strings.Join(known, ", "), fmt.Sprintf("%.40q", op))
		}
		if slices.Contains(ops[:i], op) {
			return nil, bad(CheckAttributes, "each of key_ops once", op+" twice")
		}
	}
	return ops, nil
}
