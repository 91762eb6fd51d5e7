package manage

import (
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// What --help says about each command of this package.

func (providerListCommand) Page() term.Page {
	return term.Page{
		Examples: `
probity provider list
probity provider list --subscription probity --group default --format json`,
		Yes:     "the providers are listed",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (providerShowCommand) Page() term.Page {
	return term.Page{
		Examples: `
probity provider show team-a
probity provider show team-a --format json`,
		Yes:     "the provider is shown",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (providerCreateCommand) Page() term.Page {
	return term.Page{
		About: `The settings are those of docs/guide/providers.md. A provider with signers is Isolated: it takes
policies that one of them signed, and no others. A provider that exists stays as it is: provider
update changes it.`,
		Examples: `
probity provider create team-a
probity provider create payments --signer policy-signer.pem --settings payments.json`,
		Yes:     "the provider is created",
		No:      "it exists already, or the service refused",
		Trouble: remote.HelpTrouble,
	}
}

func (providerUpdateCommand) Page() term.Page {
	return term.Page{
		About: "Tags and settings replace those that the provider has; what is not named stays.",
		Examples: `
probity provider update team-a --settings team-a.json
probity provider update default --tpm-authentication Disabled`,
		Yes:     "the provider is changed",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (providerDeleteCommand) Page() term.Page {
	return term.Page{
		About:    `Removes the provider with its policies. Its ledger stays.`,
		Examples: "probity provider delete team-a",
		Yes:      "the provider is deleted",
		No:       "there is no such provider, or the service refused",
		Trouble:  remote.HelpTrouble,
	}
}

func (keysListCommand) Page() term.Page {
	return term.Page{
		Examples: `
probity keys list
probity keys list --provider payments --format json`,
		Yes:     "the keys are listed",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (keysRotateCommand) Page() term.Page {
	return term.Page{
		About: "Makes a key that is published at once and signs once clients have fetched it (signing.publishAhead).",
		Examples: `
probity keys rotate
probity keys rotate --algorithm RS256 --now`,
		Yes:     "the key is made",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (keysRetireCommand) Page() term.Page {
	return term.Page{
		About: `For a key that someone else may have. Clients refuse its tokens as soon as they fetch the key set
again.`,
		Examples: "probity keys retire 3f9a0c1d",
		Yes:      "the key is retired",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (tokenCreateCommand) Page() term.Page {
	return term.Page{
		About: "Prints the token alone on standard output. The service keeps its hash.",
		Examples: `
probity token create ci --role contributor --provider team-a > ci.token
probity token create auditor --role reader --for 720h`,
		Yes:     "the token is printed",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (tokenListCommand) Page() term.Page {
	return term.Page{
		Examples: `
probity token list
probity token list --format json`,
		Yes:     "the tokens are listed",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (tokenRevokeCommand) Page() term.Page {
	return term.Page{
		About:    "The service refuses the token from then on.",
		Examples: "probity token revoke ci",
		Yes:      "the token is removed",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (ledgerTailCommand) Page() term.Page {
	return term.Page{
		About: "JSON is one entry a line.",
		Examples: `
probity ledger tail -n 50
probity ledger tail --follow --provider team-a`,
		Yes:     "the entries are shown",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (ledgerSearchCommand) Page() term.Page {
	return term.Page{
		About: "Prints the entries that match all flags; JSON is one entry a line.",
		Examples: `
probity ledger search --outcome refused --check dcap.tcb.status
probity ledger search --type change --provider team-a`,
		Yes:     "entries are found",
		No:      "no entry matches, or the service refused",
		Trouble: remote.HelpTrouble,
	}
}

func (ledgerVerifyCommand) Page() term.Page {
	return term.Page{
		About: `Reads a database, a copy of one, or an export, and changes nothing. Each ledger is compared with its
checkpoints in the database, with the one that the service keeps outside it (anchor/ledger in the
data directory), and with those of --checkpoint.

A checkpoint kept elsewhere shows a forgery even by someone who has the database, the data directory
and the key.`,
		Examples: `
probity ledger verify --data /var/lib/probity-service
probity ledger verify --export ledger.ndjson --data /var/lib/probity-service
probity ledger verify --export ledger.ndjson --verifier "$KEY" --checkpoint kept.txt`,
		Yes:     "the ledgers are intact",
		No:      "one is damaged, with every row that is wrong",
		Trouble: "it could not be verified: wrong usage, or a database or file that cannot be read",
	}
}

func (ledgerAcceptCommand) Page() term.Page {
	return term.Page{
		About: `A ledger is stopped when the database does not have the history that was signed. After an older
backup was restored, this accepts the history as it is now. Run it on each node, as the service's
user; the service goes on within a minute, and records that you did so. The last checkpoint is kept
beside the new one, and checkpoints in the database that contradict the history are moved to a file
there.

Do not use it before you know who changed the database: entries that are missing then stay missing.

Rows whose text was changed or removed while their hashes stayed cannot be recovered without a
backup. --damaged-rows accepts them as they are: ledger verify then counts them, and the ledger says
that you accepted them.`,
		Examples: `
probity ledger accept --data /var/lib/probity-service --provider default
probity ledger accept --data /var/lib/probity-service --provider default --damaged-rows`,
		Yes:     "the history is accepted",
		Trouble: "nothing is accepted: damaged rows, or a database that cannot be read",
	}
}

func (ledgerExportCommand) Page() term.Page {
	return term.Page{
		About: `Keep an export with a checkpoint (probity ledger key) at another place: together they show later
changes.`,
		Examples: "probity ledger export --provider team-a > ledger.ndjson",
		Yes:      "the ledger is written",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (ledgerKeyCommand) Page() term.Page {
	return term.Page{
		About: `Prints the checkpoint on standard output and the key on standard error; with a witness also its
cosigned checkpoint.`,
		Examples: `
probity ledger key > kept.txt
probity ledger key --provider team-a --format json`,
		Yes:     "the checkpoint is printed",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (ledgerRotateKeyCommand) Page() term.Page {
	return term.Page{
		About: `Makes a new key for checkpoints. Each ledger gets an entry that names it, under a checkpoint that
the old key signs too, so that anyone who knows the old key can follow to the new one. Stop all nodes
first, and start them afterwards. It needs the master key, as the service does.`,
		Examples: "probity ledger rotate-key --config /etc/probity/probity.json",
		Yes:      "the new key is printed",
		Trouble:  "there is no new key: no master key, or a database that cannot be read",
	}
}

func (ledgerProveCommand) Page() term.Page {
	return term.Page{
		About: `Fetches the proof that an entry is in the ledger, and checks it with the key of the checkpoints.
JSON is the proof itself, for others to check.`,
		Examples: `
probity ledger prove 3
probity ledger prove 3 --provider team-a --format json > proof.json`,
		Yes:     "the entry is in the ledger",
		No:      "the proof is invalid, or the service refused",
		Trouble: remote.HelpTrouble,
	}
}

func (tpmRootsImportCommand) Page() term.Page {
	return term.Page{
		About: `Roots of endorsement keys are compared with the list of what vendors publish; others need --unknown.
A service reads them at its next start.`,
		Examples: `
probity tpm roots import infineon.pem --for endorsement
probity tpm roots import azure --for attestation
probity tpm roots import site-root.pem --for attestation --unknown`,
		Yes:     "the authorities are trusted",
		Trouble: "nothing was imported: an unknown root, or a file that cannot be read",
	}
}

func (tpmRootsListCommand) Page() term.Page {
	return term.Page{
		Examples: `
probity tpm roots list
probity tpm roots list --config /etc/probity/probity.json --format json`,
		Yes: "the authorities are listed",
	}
}

func (tpmRootsVendorsCommand) Page() term.Page {
	return term.Page{
		About: "The list is in this program: it grows with its versions.",
		Examples: `
probity tpm roots vendors
probity tpm roots vendors --format json`,
		Yes:     "the list is printed",
		Trouble: "wrong usage",
	}
}

func (tpmKeysListCommand) Page() term.Page {
	return term.Page{
		Examples: `
probity tpm keys list
probity tpm keys list --provider team-a --data /var/lib/probity-service`,
		Yes:     "the keys are listed",
		Trouble: "there is no answer: no database of a service",
	}
}

func (tpmKeysRemoveCommand) Page() term.Page {
	return term.Page{
		About: `A service that runs refuses evidence by these keys within seconds. It needs the master key, as the
service does.`,
		Examples: "probity tpm keys remove host-1 --config /etc/probity/probity.json",
		Yes:      "the keys are removed",
		Trouble:  "nothing was removed: no such machine, or no database of a service",
	}
}

func (tpmEKCommand) Page() term.Page {
	return term.Page{
		About: `Verifies, without a network, that a certificate is for an endorsement key and leads to a root that
you give. Says which root it is, and whether vendors publish it.

It proves that there is a TPM of this vendor with this key. It does not say which attestation keys
are in it, and so nothing about a quote: for that the TPM opens a credential (probity agent enroll).`,
		Examples: `
tpm2_nvread 0x1c00002 -o ek.der
probity tpm ek ek.der --root vendor-ca.pem`,
		Yes:     "the certificate is verified",
		No:      "it is refused, with the reason",
		Trouble: "no verdict: wrong usage, or a file that is no certificate",
	}
}
