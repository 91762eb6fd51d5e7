package key

import (
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// What --help says about each command of this package.

func (createCommand) Page() term.Page {
	return term.Page{
		About: `With a release policy, the key can be released to machines whose tokens satisfy it; without one it
never leaves the service. A key of the name gets a new version, under its policy.`,
		Examples: `
probity key create disk --type oct --size 256 --release-policy release.json
probity key create signer --type EC --curve P-384 --release-policy release.json --immutable
probity key create disk --type oct --size 256 --provider payments --tag of=platform --expires 2030-01-01T00:00:00Z`,
		Yes:     "the key is made",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (importCommand) Page() term.Page {
	return term.Page{
		Examples: `
probity key import tls key.pem --release-policy release.json
probity key import volume volume.key --octets --release-policy release.json`,
		Yes:     "the key is kept",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (showCommand) Page() term.Page {
	return term.Page{
		About: "Private parts are never shown.",
		Examples: `
probity key show disk
probity key show disk --format json`,
		Yes:     "the key is shown",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (listCommand) Page() term.Page {
	return term.Page{
		Examples: `
probity key list
probity key list --deleted --provider team-a --format json`,
		Yes:     "the keys are listed",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (versionsCommand) Page() term.Page {
	return term.Page{
		Examples: "probity key versions disk",
		Yes:      "the versions are listed",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (updateCommand) Page() term.Page {
	return term.Page{
		About: "A release policy is that of all versions; the other flags are about one.",
		Examples: `
probity key update disk --release-policy release.json
probity key update signer --disable`,
		Yes:     "the key is changed",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (rotateCommand) Page() term.Page {
	return term.Page{
		About:    "The new version is of the kind of the last one. Earlier versions can still be released by their id.",
		Examples: "probity key rotate disk",
		Yes:      "the version is made",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (rotationCommand) Page() term.Page {
	return term.Page{
		About: `Without flags, shows when the key is rotated; with them, sets it. Durations are ISO 8601: P90D is 90
days, P1Y6M a year and six months.`,
		Examples: `
probity key rotation disk
probity key rotation disk --every P90D
probity key rotation disk --before P30D --expires P1Y`,
		Yes:     "the rotation is shown",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (deleteCommand) Page() term.Page {
	return term.Page{
		Examples: "probity key delete tls",
		Yes:      "the key is deleted",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (recoverCommand) Page() term.Page {
	return term.Page{
		Examples: "probity key recover tls",
		Yes:      "the key can be used again",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (purgeCommand) Page() term.Page {
	return term.Page{
		About:    "For a key that was deleted before. What it encrypts cannot be read after that, except with a backup.",
		Examples: "probity key purge tls",
		Yes:      "the key is removed",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (backupCommand) Page() term.Page {
	return term.Page{
		About:    "The file is encrypted under the master key of the service.",
		Examples: "probity key backup disk --out disk.backup",
		Yes:      "the file is written",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (restoreCommand) Page() term.Page {
	return term.Page{
		About:    "A key is restored at the provider that it was backed up at, while no key has its name.",
		Examples: "probity key restore disk.backup",
		Yes:      "the key is there again",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (releaseCommand) Page() term.Page {
	return term.Page{
		About: `Sends a token, verifies the answer, and prints it: the key, wrapped to the key of the machine that the
token names. With --machine-key it is unwrapped into a file: the bytes of a symmetric key, or a PEM
file. A machine itself uses key unlock.

A refusal shows the condition that failed, if the provider's setting vault.explainReleases is true.`,
		Examples: `
probity key release disk token.jwt
probity key release disk token.jwt --machine-key machine-key.pem --out disk.key`,
		Yes:     "the key is released, and the answer is verified",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (policyCheckCommand) Page() term.Page {
	return term.Page{
		About: `Reports every mistake, with the place and how to fix it, and policies that no token can satisfy.`,
		Examples: `
probity key policy check release.json
probity key policy check release.json --authority https://attest.example.org --format json`,
		Yes:     "every policy can be used",
		No:      "one cannot",
		Trouble: "a file cannot be read",
	}
}

func (policyTestCommand) Page() term.Page {
	return term.Page{
		About: `Shows each condition with what was expected and found. Signature and times of a token are not looked
at: a service does that before.`,
		Examples: `
probity key policy test release.json token.jwt
probity key policy test release.json --claims guest-claims.json --issuer https://localhost:8443`,
		Yes:     "the policy is satisfied, and the token has a key to wrap to",
		No:      "it is not, with the conditions that failed",
		Trouble: "no answer: wrong usage, or a file that cannot be read",
	}
}
