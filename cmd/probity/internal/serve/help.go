package serve

import "github.com/probity-dev/probity/cmd/probity/internal/term"

// What --help says about each command of this package.

func (Command) Page() term.Page {
	return term.Page{
		About: `Reads the configuration file. Three variables of the environment stand for files that it names:
PROBITY_ADMIN_TOKEN for adminTokenFile (the administrator's token, 16 characters or more),
PROBITY_POSTGRES for store.postgresFile (a connection string), and PROBITY_MASTER_KEY for
masterKeyFile (base64 of 32 bytes). Logs go to standard error as JSON.

SIGTERM drains: /readyz answers 503, and after limits.drain running requests end. SIGHUP reads the
configuration and its files again.`,
		Examples: `
probity serve --config probity.json
probity serve --dev --data ./probity-data`,
		Yes:     "the service was asked to stop, and stopped",
		Trouble: "the service could not start, or failed",
	}
}

func (DemoCommand) Page() term.Page {
	return term.Page{
		About: `Starts the service on the embedded store, makes simulated SGX evidence under a test root,
attests it over HTTPS and prints every check, the token and how to go on. It then stays up until
Ctrl-C. Nothing in it proves anything about real hardware.

With --release, a confidential machine (SEV-SNP) is attested and gets a key, and one with another
measurement does not: each step, each check, and the condition that failed.`,
		Examples: `
probity demo
probity demo --release --once
probity demo --listen localhost:9443 --once`,
		Yes:     "the evidence was attested",
		Trouble: "the demonstration could not start, or failed",
	}
}

func (configCheckCommand) Page() term.Page {
	return term.Page{
		About: `Opens the files that the configuration names, as serve does, but asks no databases, networks or
PKCS#11 tokens. Paths are relative to the working directory.`,
		Examples: `
probity config check probity.json
probity config check probity.json --show`,
		Yes:     "the configuration is valid",
		No:      "it is not, with every mistake",
		Trouble: "wrong usage",
	}
}
