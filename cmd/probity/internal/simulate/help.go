package simulate

import "github.com/probity-dev/probity/cmd/probity/internal/term"

// What --help says about each command of this package.

func (Command) Page() term.Page {
	return term.Page{
		About: `Writes evidence in the form of real hardware, under new test roots, for those who have none: the
evidence, the data that it binds, the root, a bundle of collateral, and the configuration with which
a service accepts it. It proves nothing about real hardware, and no service trusts its roots unless
it is told to.`,
		Examples: `
probity simulate SevSnpVm
probity simulate SevSnpVm --line Turin --out turin
probity simulate SevSnpVm --machine-key --out machine
probity simulate TdxVm --debug --runtime-data runtime.json
probity simulate SgxEnclave --tcb OutOfDate --out outdated`,
		Yes:     "the folder is written",
		Trouble: "nothing was written: wrong usage, or a folder that cannot be written to",
	}
}
