// Package host is the commands of the attested machine: attest and agent.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/probity-dev/probity/agent"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/strict/bounds"
)

type AgentCommands struct {
	Run    agentRunCommand    `cmd:"" help:"Attest this host on a schedule, and keep the token fresh in a file."`
	Enroll agentEnrollCommand `cmd:"" help:"Bind the attestation key of this host to its TPM at a service."`
}

type agentEnrollCommand struct {
	Service string `help:"URL of the attestation service." required:"" env:"PROBITY_URL" placeholder:"URL"`
	CA      string `name:"ca" help:"PEM file with the CA of the service, instead of the system's." env:"PROBITY_CA" placeholder:"FILE"`
	TPM     string `name:"tpm" help:"${tpmHelp}" default:"/dev/tpmrm0" placeholder:"TPM"`
	State   string `help:"${stateHelp}" default:"/var/lib/probity" placeholder:"DIR"`
	Name    string `help:"Name of this machine; by default its host name." placeholder:"NAME"`

	BearerFile string `help:"File with a bearer token, for a provider that asks who enrols." placeholder:"FILE"`
	remote.CertificateFlags
	term.Output
}

// Run enrols the host.
func (c *agentEnrollCommand) Run(e *term.Env) error {
	if c.Name == "" {
		var err error
		if c.Name, err = os.Hostname(); err != nil {
			return fmt.Errorf("%w; name the machine with --name", err)
		}
	}
	flags := hostFlags{
		Service: c.Service, CA: c.CA, TPM: c.TPM, State: c.State, BearerFile: c.BearerFile,
		CertificateFlags: c.CertificateFlags,
	}
	service, err := flags.connect()
	if err != nil {
		return err
	}
	t, err := agent.OpenTPM(c.TPM, c.State)
	if err != nil {
		return err
	}
	defer t.Close()
	done, err := agent.Enrol(e.Ctx, service, t, c.Name)
	if err != nil {
		return refusedByService(e, err)
	}
	return e.Answer(done, "%s as %s\n\n  attestation key  %s\n  endorsement key  %s\n", e.UI.Good("enrolled"),
		done.Name, done.AttestationKey, done.EndorsementKey)
}

type agentRunCommand struct {
	hostFlags
	dataFlag
	Every  time.Duration `help:"Time between attestations." default:"1h"`
	Jitter time.Duration `help:"The longest random delay that is added, so that a fleet does not ask all at once." default:"5m"`
	Retry  time.Duration `help:"Time after a failure." default:"1m"`
	Out    string        `help:"${outHelp}" default:"/run/probity/token" aliases:"token-file" placeholder:"FILE"`
	Health string        `help:"${healthHelp}" placeholder:"ADDRESS"`
}

// Run attests until it is told to stop.
func (c *agentRunCommand) Run(e *term.Env) error {
	if c.Service == "" {
		c.Service = os.Getenv(remote.URLEnv)
	}
	if c.Service == "" {
		return errors.New("name the service with --service or PROBITY_URL")
	}
	if err := errors.Join(bounds.Check("--every", c.Every, time.Second, 30*24*time.Hour),
		bounds.Check("--retry", c.Retry, time.Millisecond, 24*time.Hour),
		bounds.Check("--jitter", c.Jitter, 0, 24*time.Hour)); err != nil {
		return err
	}
	if err := writable(c.Out); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if _, err := c.connect(); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(e.Err, &slog.HandlerOptions{ReplaceAttr: term.PlainError}))
	loop := &agent.Loop{
		Every: c.Every, Jitter: c.Jitter, Retry: c.Retry, TokenFile: c.Out, Log: log,
		Attest: c.once,
	}
	if c.Health != "" {
		l, err := (&net.ListenConfig{}).Listen(e.Ctx, "tcp", c.Health)
		if err != nil {
			return fmt.Errorf("--health: %w", err)
		}
		s := &http.Server{
			Handler: loop, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
			WriteTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		}
		go s.Serve(l)
		defer s.Close()
	}
	return loop.Run(e.Ctx)
}

// once opens the host again: a TPM is shared with others, and what says who attests
// may have been renewed.
func (c *agentRunCommand) once(ctx context.Context) (string, error) {
	h, err := c.open(c.RuntimeData)
	if err != nil {
		return "", err
	}
	defer h.close()
	return h.attest(ctx)
}
