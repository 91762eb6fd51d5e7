package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/probity-dev/probity/agent"
	"github.com/probity-dev/probity/client"
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/files"
)

type AttestCommand struct {
	hostFlags
	dataFlag
	Nonce         string   `help:"${nonceHelp}" placeholder:"TEXT"`
	PrintEvidence string   `help:"${printEvidenceHelp}" placeholder:"FILE"`
	Out           string   `help:"Write the token to this file, for its owner alone, instead of standard output." placeholder:"FILE"`
	Env           string   `help:"Write PROBITY_TOKEN=TOKEN to this file, for its owner alone." placeholder:"FILE"`
	Exec          bool     `help:"Run the command after --, with PROBITY_TOKEN in its environment, only if the host was attested."`
	Command       []string `arg:"" optional:"" help:"With --exec: the command and its arguments, after --."`
	term.Output
}

// hostFlags say where the service is and what of the host to attest.
type hostFlags struct {
	Service    string `help:"${serviceHelp}" placeholder:"URL"`
	CA         string `name:"ca" help:"PEM file with the CA of the service, instead of the system's." env:"PROBITY_CA" placeholder:"FILE"`
	Kind       string `complete:"kind" help:"${hostKindHelp}" default:"auto"`
	TPM        string `name:"tpm" help:"${tpmHelp}" default:"/dev/tpmrm0" placeholder:"TPM"`
	State      string `help:"${stateHelp}" default:"/var/lib/probity" placeholder:"DIR"`
	EventLog   string `help:"Log of measured boot, by default the kernel's." placeholder:"FILE"`
	BearerFile string `help:"File with a bearer token, for services that ask who attests; it is read each time." placeholder:"FILE"`
	IMA        string `name:"ima" help:"List of measured files (IMA), by default the kernel's." placeholder:"FILE"`
	remote.CertificateFlags
}

// dataFlag names the data that the evidence of a guest binds.
type dataFlag struct {
	RuntimeData string `help:"${runtimeDataHelp}" placeholder:"FILE"`
}

// Run attests the host.
func (c *AttestCommand) Run(e *term.Env) error {
	if c.Exec != (len(c.Command) > 0) {
		return errors.New(
			"--exec and a command after -- belong together, as in: probity attest --exec -- ./server",
		)
	}
	if c.Service == "" && c.PrintEvidence == "" {
		c.Service = os.Getenv(remote.URLEnv)
	}
	if c.Service == "" && c.PrintEvidence == "" {
		return errors.New("name a service with --service or PROBITY_URL, " +
			"or a file for the evidence with --print-evidence")
	}
	h, err := c.open(c.RuntimeData)
	if err != nil {
		return err
	}
	defer h.close()
	if c.Nonce != "" && h.kind != evidence.TPM && (h.kind == evidence.AzureGuest || c.Service == "") {
		return fmt.Errorf("--nonce: %s carries none here; bind what must be fresh with --runtime-data", h.kind)
	}
	if c.Service == "" {
		nonce, err := term.ChallengeBytes("--nonce", c.Nonce)
		if err != nil {
			return err
		}
		b, err := h.evidence(e.Ctx, nonce)
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.PrintEvidence, b, 0o644); err != nil {
			return err
		}
		if e.JSON {
			return term.PrintJSON(e.Out, collected{h.kind, c.PrintEvidence, len(b)})
		}
		fmt.Fprintf(e.Err, "%s evidence of %d bytes in %s; look at it with: probity verify evidence %s %s\n",
			h.kind, len(b), c.PrintEvidence, h.kind, c.PrintEvidence)
		return nil
	}
	h.nonce, h.copy = c.Nonce, c.PrintEvidence
	token, err := h.attest(e.Ctx)
	if err != nil {
		return refusedByService(e, err)
	}
	return c.deliver(e, h.kind, token)
}

// collected is evidence that was written without asking a service, for programs.
type collected struct {
	Kind  evidence.Kind `json:"kind"`
	File  string        `json:"file"`
	Bytes int           `json:"bytes"`
}

// attested is where a token is, for programs: in the answer itself unless a file was named.
type attested struct {
	Kind  evidence.Kind `json:"kind"`
	Token string        `json:"token,omitzero"`
	Out   string        `json:"out,omitzero"`
	Env   string        `json:"env,omitzero"`
}

// refusedByService prints the failed check of a refusal.
func refusedByService(e *term.Env, err error) error {
	var answer *client.Error
	if !errors.As(err, &answer) || answer.Status < 400 || answer.Status >= 500 || len(answer.Details) == 0 {
		return err
	}
	if e.JSON {
		return remote.Refused(e, err)
	}
	d := answer.Details[0]
	fmt.Fprintf(e.Err, "%s %s\n\n  expected  %s\n  found     %s\n  remedy    %s\n  see       %s\n",
		e.UI.Bad("refused:"), d.Check, d.Expected, d.Found, d.Remedy, term.CheckPage(d.Check))
	return term.Exit(term.No)
}

// deliver hands the token on. With --exec, standard output is the command's.
func (c *AttestCommand) deliver(e *term.Env, kind evidence.Kind, token string) error {
	if c.Env != "" {
		if err := agent.WriteSecret(c.Env, []byte("PROBITY_TOKEN="+token+"\n")); err != nil {
			return err
		}
	}
	if c.Out != "" {
		if err := agent.WriteSecret(c.Out, []byte(token+"\n")); err != nil {
			return err
		}
		if !e.Quiet {
			fmt.Fprintf(e.Err, "attested; token in %s\n", c.Out)
		}
	}
	if !c.Exec {
		return c.answer(e, kind, token)
	}
	cmd := exec.CommandContext(e.Ctx, c.Command[0], c.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.In, e.Out, e.Err
	cmd.Env = append(os.Environ(), "PROBITY_TOKEN="+token)
	return exitOf(cmd.Run())
}

// answer prints the token, unless a file has it.
func (c *AttestCommand) answer(e *term.Env, kind evidence.Kind, token string) error {
	done := attested{Kind: kind, Out: c.Out, Env: c.Env}
	if c.Out == "" && c.Env == "" {
		done.Token = token
	} else if !e.JSON {
		return nil
	}
	return e.Answer(done, "%s\n", token)
}

// host is what is attested, and by whom.
type host struct {
	hostFlags
	kind   evidence.Kind
	client *client.Client
	tpm    *agent.TPM
	azure  *agent.Azure
	// nonce comes back in the token; a copy of the evidence goes to the file.
	nonce, copy string
	// runtime are the data that the evidence binds; no type means Binary.
	runtime     []byte
	runtimeType evidence.DataType
}

func (h *host) close() {
	if h.tpm != nil {
		h.tpm.Close()
	}
	if h.azure != nil {
		h.azure.Close()
	}
}

func (f hostFlags) connect() (*client.Client, error) {
	pool, err := files.CertPool(f.CA)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	cfg := client.Config{URL: f.Service, Roots: pool}
	if f.BearerFile != "" {
		b, err := os.ReadFile(f.BearerFile)
		if err != nil {
			return nil, fmt.Errorf("--bearer-file: %w", err)
		}
		if cfg.Token = strings.TrimSpace(string(b)); cfg.Token == "" {
			return nil, fmt.Errorf("--bearer-file: %s is empty", f.BearerFile)
		}
	}
	if cfg.Certificate, err = f.Certificate(); err != nil {
		return nil, err
	}
	return client.New(cfg)
}

// detect says what of the host to attest.
func (f hostFlags) detect() (evidence.Kind, error) {
	if f.Kind != "auto" {
		return evidence.ParseKind(f.Kind)
	}
	return agent.Detect(f.TPM), nil
}

// open finds out what the host has, and opens it. The file with the data that its evidence binds may
// be empty.
func (f hostFlags) open(runtimeData string) (h *host, err error) {
	h = &host{hostFlags: f}
	if f.Service != "" {
		if h.client, err = f.connect(); err != nil {
			return nil, err
		}
	}
	if runtimeData != "" {
		if h.runtime, err = os.ReadFile(runtimeData); err != nil {
			return nil, err
		}
	}
	if h.kind, err = f.detect(); err != nil {
		return nil, err
	}
	if h.kind == evidence.TPM && runtimeData != "" {
		return nil, errors.New("--runtime-data: nothing of a TPM binds it; give its hash as --nonce")
	}
	switch h.kind {
	case evidence.TPM:
		h.tpm, err = agent.OpenTPM(f.TPM, f.State)
	case evidence.AzureGuest:
		h.azure, err = agent.OpenAzure(f.TPM)
	case evidence.SEVSNPVM, evidence.TDXVM:
	default:
		err = fmt.Errorf("%s cannot be collected on a host; Tpm, AzureGuest, SevSnpVm and TdxVm can", h.kind)
	}
	return h, err
}

func (h *host) logs() agent.Logs { return agent.Logs{TCG: h.EventLog, IMA: h.IMA} }

// evidence collects evidence for a challenge that no service gave.
func (h *host) evidence(ctx context.Context, challenge []byte) ([]byte, error) {
	switch h.kind {
	case evidence.TPM:
		if len(challenge) == 0 {
			return nil, errors.New("a TPM answers a challenge: give one with --nonce")
		}
		return h.tpm.Evidence(agent.Challenge{Challenge: challenge}, h.logs())
	case evidence.AzureGuest:
		return h.azure.Info(ctx, h.logs(), h.runtime)
	default:
		r, err := agent.HardwareReport(agent.BindData(h.runtime))
		if err != nil {
			return nil, err
		}
		return append(r.Raw, r.Certificates...), nil
	}
}

// attest collects evidence, sends it, and returns the token.
func (h *host) attest(ctx context.Context) (string, error) {
	keep := func(b []byte) error {
		if h.copy == "" {
			return nil
		}
		return os.WriteFile(h.copy, b, 0o644)
	}
	switch h.kind {
	case evidence.TPM:
		c, err := h.client.ChallengeTPM(ctx, true)
		var answer *client.Error
		if errors.As(err, &answer) && answer.Status == http.StatusBadRequest {
			// The service enrols no TPMs: its policy may take keys of no certificate.
			c, err = h.client.ChallengeTPM(ctx, false)
		}
		if err != nil {
			return "", err
		}
		b, err := h.tpm.Evidence(agent.Challenge{
			Challenge:        c.Challenge,
			Context:          c.Context,
			RelyingPartyData: []byte(h.nonce),
		}, h.logs())
		if err = errors.Join(err, keep(b)); err != nil {
			return "", err
		}
		return h.client.AttestTPM(ctx, b)
	case evidence.AzureGuest:
		b, err := h.azure.Info(ctx, h.logs(), h.runtime)
		if err = errors.Join(err, keep(b)); err != nil {
			return "", err
		}
		sealed, err := h.client.AttestGuest(ctx, b)
		if err != nil {
			return "", err
		}
		return h.azure.Open(sealed)
	default: // the others are reports of hardware
	}
	r, err := agent.HardwareReport(agent.BindData(h.runtime))
	if err != nil {
		return "", err
	}
	raw := append(r.Raw, r.Certificates...)
	if err := keep(raw); err != nil {
		return "", err
	}
	request := client.Request{Kind: r.Kind, Evidence: raw, Nonce: h.nonce}
	if h.runtime != nil {
		request.RuntimeData = &evidence.Data{Bytes: h.runtime, Type: cmp.Or(h.runtimeType, evidence.Binary)}
	}
	if r.Kind == evidence.TDXVM {
		request.EventLog = agent.CCEL(h.EventLog)
	}
	return h.client.Attest(ctx, request)
}

// writable reports early that a folder cannot be written to.
func writable(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".probity-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
