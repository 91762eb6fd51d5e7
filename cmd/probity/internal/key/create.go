package key

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/release/document"
	"github.com/probity-dev/probity/release/keywrap"
)

type createCommand struct {
	named
	Type  string `help:"RSA, EC or oct; each also with -HSM." enum:"RSA,EC,oct,RSA-HSM,EC-HSM,oct-HSM" default:"RSA" placeholder:"TYPE"`
	Size  int    `help:"Size in bits, of RSA and oct; by default the service's." placeholder:"BITS"`
	Curve string `help:"Curve, of EC: P-256, P-384 or P-521." placeholder:"NAME"`
	attributeFlags
	policyFlags
}

// Run makes a key.
func (c *createCommand) Run(e *term.Env) error {
	policy, err := c.read(e)
	if err != nil {
		return err
	}
	k := client.NewKey{Type: c.Type, Size: c.Size, Curve: c.Curve, Operations: c.Op, Tags: c.Tag, Policy: policy}
	if k.Attributes, err = c.attributes(); err != nil {
		return err
	}
	k.Attributes.Exportable = exportable(policy)
	v, err := c.vault()
	if err != nil {
		return err
	}
	made, err := v.Create(e.Ctx, c.Name, k)
	return put(e, made, err)
}

// exportable is what a release policy makes of a key: nothing is said without one, so that a new version
// of a key can be made without naming its policy.
func exportable(policy *client.ReleasePolicy) *bool {
	if policy == nil {
		return nil
	}
	yes := true
	return &yes
}

type importCommand struct {
	named
	File   string `arg:"" help:"PEM file with a private RSA or EC key; with --octets, a file with the key itself."`
	Octets bool   `help:"The file is a symmetric key: its bytes, as they are; - reads standard input."`
	HSM    bool   `name:"hsm" help:"Give the key a type with -HSM, as some clients want it."`
	attributeFlags
	policyFlags
}

// Run imports a key.
func (c *importCommand) Run(e *term.Env) error {
	policy, err := c.read(e)
	if err != nil {
		return err
	}
	k := client.ImportedKey{HSM: c.HSM, Operations: c.Op, Tags: c.Tag, Policy: policy}
	if k.Attributes, err = c.attributes(); err != nil {
		return err
	}
	k.Attributes.Exportable = exportable(policy)
	if k.Material, err = c.material(e); err != nil {
		return err
	}
	defer k.Material.Erase()
	v, err := c.vault()
	if err != nil {
		return err
	}
	made, err := v.Import(e.Ctx, c.Name, k)
	return put(e, made, err)
}

func (c *importCommand) material(e *term.Env) (*document.Material, error) {
	if c.Octets {
		b, err := e.ReadLimited(c.File, keywrap.MaxSecret)
		if err == nil && len(b) == 0 {
			err = fmt.Errorf("%s: the file is empty, and no key", c.File)
		}
		return &document.Material{Octets: b}, err
	}
	key, err := files.ReadKey(c.File)
	if err != nil {
		return nil, fmt.Errorf("%w; a symmetric key goes with --octets", err)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return &document.Material{RSA: key}, nil
	case *ecdsa.PrivateKey:
		return &document.Material{EC: key}, nil
	default:
		return nil, fmt.Errorf("%s: expected an RSA or EC key, found %T", c.File, key)
	}
}
