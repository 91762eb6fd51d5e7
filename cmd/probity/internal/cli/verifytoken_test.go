package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// TestTheArgumentOfVerifyTokenIsLookedAtFirst: no service is asked about what is not a token.
func TestTheArgumentOfVerifyTokenIsLookedAtFirst(t *testing.T) {
	empty, text := writeFile(t, "token.jwt", " \n"), writeFile(t, "notes.txt", "no token\n")
	const issuer = "https://localhost:1" // nothing listens there
	for name, c := range map[string]struct {
		arg  string
		code int
		want string
	}{
		"no file":        {"nope.jwt", term.Trouble, "nope.jwt: no such file (and the text is not a token)"},
		"an empty file":  {empty, term.Trouble, empty + " is empty"},
		"standard input": {"-", term.Trouble, "standard input is empty"},
		"a folder":       {filepath.Dir(empty), term.Trouble, "is a directory"},
		"a text":         {text, term.No, "not valid: not a compact JWS: 1 part, want header.payload.signature"},
		"a cut token":    {"eyJhbGciOiJub25lIn0.e30", term.No, "not valid: not a compact JWS: 2 parts"},
	} {
		t.Run(name, func(t *testing.T) {
			answers(t, c.code, []string{c.want}, "verify", "token", c.arg, "--issuer", issuer)
		})
	}
}

// TestTheAnswerOfTheServiceIsReadAsAToken: nothing has to take the token out of {"token":"…"}.
func TestTheAnswerOfTheServiceIsReadAsAToken(t *testing.T) {
	const compact = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2V4YW1wbGUub3JnIn0."
	file := writeFile(t, "answer.json", `{ "token": "`+compact+`" }`+"\n")
	answers(t, term.Yes, []string{"JSON Web Token", "https://example.org"}, "inspect", file)
	answers(t, term.Trouble, []string{"nothing listens there"}, "verify", "token", file, "--issuer", "https://localhost:1")
	other := writeFile(t, "other.json", `{"token":"`+compact+`","more":1}`)
	answers(t, term.No, []string{"not valid: not a compact JWS"}, "verify", "token", other,
		"--issuer", "https://localhost:1")
}

// TestOneSetOfVariables: the address of a service, its CA and its administrator's token are taken from the
// same variables by each command that asks a service, and its help names them.
func TestOneSetOfVariables(t *testing.T) {
	startService(t)
	answers(t, term.No, []string{"the token is not signed"}, "verify", "token", "eyJhbGciOiJub25lIn0.e30.")
	for _, n := range leaves(t) {
		for _, flag := range n.Flags {
			name := strings.TrimPrefix(n.FullPath(), "probity ")
			want := map[string]string{"service": "PROBITY_URL", "issuer": "PROBITY_URL", "ca": "PROBITY_CA"}[flag.Name]
			// Without --service, attest sends nothing where it writes the evidence to a file.
			if hosts := name == "attest" || name == "agent run" || name == "key unlock"; hosts && flag.Name == "service" {
				want = ""
			}
			// What a disk says is compared with the file of disks, not with the environment; an issuer of
			// claims is a name in a policy.
			if strings.HasPrefix(name, "disk ") || name == "key policy test" {
				want = ""
			}
			if want != "" && (len(flag.Envs) != 1 || flag.Envs[0] != want) {
				t.Errorf("%s: --%s reads %q, not %s", name, flag.Name, flag.Envs, want)
			}
		}
	}
	help := answers(t, term.Yes, nil, "provider", "list", "--help")
	help = strings.Join(strings.Fields(help), " ")
	for _, want := range []string{"by default https://localhost:8443", "$PROBITY_URL", "$PROBITY_CA", "PROBITY_TOKEN"} {
		if !strings.Contains(help, want) {
			t.Errorf("provider list --help does not name %s: %s", want, help)
		}
	}
}
