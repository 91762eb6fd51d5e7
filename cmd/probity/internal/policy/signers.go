package policy

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/internal/files"
	"github.com/probity-dev/probity/policy/policyjws"
	"github.com/probity-dev/probity/token"
	"github.com/probity-dev/probity/wording/phrase"
)

type signersCommands struct {
	List   signersListCommand   `cmd:"" help:"List the certificates that may sign policies."`
	Add    signersChangeCommand `cmd:"" help:"Add a certificate."`
	Remove signersRemoveCommand `cmd:"" help:"Remove a certificate; the last one stays."`
}

type signersListCommand struct {
	remote.Flags
	remote.ProviderFlag
}

// Run prints the certificates.
func (c *signersListCommand) Run(e *term.Env) error {
	api, err := c.At(c.ProviderFlag)
	if err != nil {
		return err
	}
	compact, err := api.Certificates(e.Ctx)
	if err != nil {
		return remote.Refused(e, err)
	}
	_, payload, err := token.Decode(compact)
	if err != nil {
		return err
	}
	if e.JSON {
		return term.PrintJSON(e.Out, payload)
	}
	var list struct {
		Certificates client.SignerSet `json:"x-ms-policy-certificates"`
	}
	if err := json.Unmarshal(payload, &list); err != nil {
		return err
	}
	if len(list.Certificates.Keys) == 0 {
		fmt.Fprintln(e.Out, "no certificates: the provider takes policies without a signature")
	}
	for _, key := range list.Certificates.Keys {
		cert, err := policyjws.Certificate(key)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.Out, "%s  %s  until %s\n", policyjws.Thumbprint(cert), cert.Subject,
			phrase.Stamp(cert.NotAfter))
	}
	return nil
}

type signersChangeCommand struct {
	remote.Flags
	remote.ProviderFlag
	signFlags
	Certificate string `arg:"" help:"PEM file with the certificate."`
}

// Run adds the certificate.
func (c *signersChangeCommand) Run(e *term.Env) error { return c.change(e, true) }

func (c *signersChangeCommand) change(e *term.Env, add bool) error {
	if c.Key == "" || c.Cert == "" {
		return errors.New(
			"name a registered certificate and its key, which sign the request: --cert FILE --key FILE",
		)
	}
	api, err := c.At(c.ProviderFlag)
	if err != nil {
		return err
	}
	key, chain, err := c.signFlags.open()
	if err != nil {
		return err
	}
	subject, err := files.ReadChain(c.Certificate)
	if err != nil {
		return err
	}
	purpose := policyjws.PurposeRemoveCertificate
	if add {
		purpose = policyjws.PurposeAddCertificate
	}
	binding, err := c.binding(e.Ctx, api, purpose, "", nil)
	if err != nil {
		return remote.Refused(e, err)
	}
	jws, err := policyjws.WrapCertificate(rand.Reader, subject[0], key, chain, binding...)
	if err != nil {
		return err
	}
	if _, err := api.ChangeCertificate(e.Ctx, jws, add); err != nil {
		return remote.Refused(e, err)
	}
	thumbprint := policyjws.Thumbprint(subject[0])
	may := map[bool]string{true: "may sign policies", false: "may not sign policies"}[add]
	return e.Say(thumbprint+"  "+may, map[string]any{"thumbprint": thumbprint, "signs": add})
}

type signersRemoveCommand struct{ signersChangeCommand }

// Run removes the certificate.
func (c *signersRemoveCommand) Run(e *term.Env) error { return c.change(e, false) }
