package collateral

import "github.com/probity-dev/probity/cmd/probity/internal/term"

// What --help says about each command of this package.

func (fetchCommand) Page() term.Page {
	return term.Page{
		About: `Asks the vendors' own services unless the flags or the configuration name others. What comes is
verified up to the vendors' roots before it is kept. AMD allows one request in ten seconds.`,
		Examples: `
probity collateral fetch --evidence tdquote.bin --evidence report.bin
probity collateral fetch --fmspc 00806F050000 --tee TDX --out bundle.json
probity collateral fetch --amd Milan --amd Genoa --out amd.json
probity collateral fetch --fmspc 00806F050000 --intel-url https://pccs.example.org:8081 --tls-ca pccs.pem
probity collateral fetch --numbers --tee TDX`,
		Yes:     "everything was fetched and verified",
		No:      "something was not, with the reason",
		Trouble: "nothing was asked for: wrong usage, or a file that cannot be read",
	}
}

func (listCommand) Page() term.Page {
	return term.Page{
		About: "Nothing is verified: see probity collateral verify.",
		Examples: `
probity collateral list
probity collateral list bundle.json --format json`,
		Yes:     "the pieces are listed",
		Trouble: "there is no data directory, or the file cannot be read",
	}
}

func (showCommand) Page() term.Page {
	return term.Page{
		About: "Prints the pieces whose key begins so, as probity collateral list prints keys.",
		Examples: `
probity collateral show amd/vcek/Milan
probity collateral show intel/TDX bundle.json --format json`,
		Yes:     "the pieces are decoded",
		Trouble: "no key begins so, or the file cannot be read",
	}
}

func (exportCommand) Page() term.Page {
	return term.Page{
		About: `The bundle holds the pieces as their vendors signed them, for any mix of vendors. Carry it to the
other site and import it there: every piece is verified again.`,
		Examples: "probity collateral export bundle.json --data /var/lib/probity-service",
		Yes:      "the bundle is written",
		Trouble:  "nothing is stored, or the file cannot be written",
	}
}

func (importCommand) Page() term.Page {
	return term.Page{
		About: `Every signature, window and revocation in the bundle is checked up to the vendors' roots before a
piece is kept; what is refused changes nothing. A running service takes it over within a minute.`,
		Examples: "probity collateral import bundle.json --data /var/lib/probity-service",
		Yes:      "every piece is kept",
		No:       "a piece was refused",
		Trouble:  "the bundle or the data directory cannot be read",
	}
}

func (verifyCommand) Page() term.Page {
	return term.Page{
		About: "Checks every signature, window and revocation up to the vendors' roots.",
		Examples: `
probity collateral verify bundle.json
probity collateral verify bundle.json --at 2026-12-24T00:00:00Z`,
		Yes:     "every piece is valid",
		No:      "one is not, with the reason",
		Trouble: "the bundle cannot be read",
	}
}
