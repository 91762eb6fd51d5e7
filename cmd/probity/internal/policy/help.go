package policy

import (
	"github.com/probity-dev/probity/cmd/probity/internal/remote"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// What --help says about each command of this package.

func (checkCommand) Page() term.Page {
	return term.Page{
		About: `Reports every mistake, with the place and how to fix it. With --type, also names of claims that such
evidence does not have.`,
		Examples: `
probity policy check enclave.policy --type SgxEnclave
probity policy check policies/*.policy --strict --format json`,
		Yes:     "every policy can be used",
		No:      "one cannot",
		Trouble: "a file cannot be read",
	}
}

func (fmtCommand) Page() term.Page {
	return term.Page{
		About: "Formatting never changes what a policy decides; it does change its hash.",
		Examples: `
probity policy fmt enclave.policy
probity policy fmt -w policies/*.policy
probity policy fmt -d policies/*.policy`,
		Yes:     "the policies are written, or, with -d, none would change",
		No:      "with -d: policies would change",
		Trouble: "a policy does not parse, or a file cannot be read",
	}
}

func (evalCommand) Page() term.Page {
	return term.Page{
		About: `With --evidence the verdict is that of verify evidence --policy and of the service: the policy's
configuration rules are obeyed. --format json prints the object that verify evidence prints, in
every outcome.`,
		Examples: `
probity policy eval enclave.policy --claims claims.json --trace
probity policy eval enclave.policy --evidence SgxEnclave quote.bin \
  --collateral collateral.json --trace
probity policy eval aci.policy --evidence SevSnpVm report.bin --certs certs/ \
  --uvm reference_info.cose --trace`,
		Yes:     "the policy permits",
		No:      "it denies, or the evidence is refused before the policy sees it",
		Trouble: "no verdict: wrong usage, or a file that cannot be read",
	}
}

func (testCommand) Page() term.Page {
	return term.Page{
		About: `A test file is JSON and its name ends in .test.json:

  {"policyFile": "enclave.policy",                       or "policy": the text
   "claims": {"good": {"x-ms-sgx-svn": 3}, "old": {"x-ms-sgx-svn": 1}},
   "cases":  [{"claims": "good", "want": "permit", "issued": {"svn": 3}},
              {"claims": "old",  "want": "deny",   "reason": "svn"}]}

want is permit, deny or error (a rule that fails, or configuration rules with wrong values); issued,
if given, is all that the policy issues; reason is part of the reason. Paths are relative to the
test file. The coverage names rules and conditions that no case made true, or none made false.`,
		Examples: `
probity policy test policies/
probity policy test enclave.test.json`,
		Yes:     "all cases pass",
		No:      "some fail",
		Trouble: "a test file or a policy cannot be read",
	}
}

func (diffCommand) Page() term.Page {
	return term.Page{
		About: `Applies both policies to each recorded claim set, and prints where the verdict or the issued claims
differ.`,
		Examples: "probity policy diff old.policy new.policy --claims recorded/",
		Yes:      "no claim set changes its verdict or what is issued",
		No:       "some do",
		Trouble:  "a policy or a claim set cannot be read",
	}
}

func (explainCommand) Page() term.Page {
	return term.Page{
		About:    "Says in the order of the rules what permits, what denies, and what the token carries.",
		Examples: "probity policy explain enclave.policy",
		Yes:      "the text is printed",
		Trouble:  "the policy does not parse, or cannot be read",
	}
}

func (hashCommand) Page() term.Page {
	return term.Page{
		About:    "The hash is over the exact text: one line break more or less changes it.",
		Examples: "probity policy hash enclave.policy",
		Yes:      "the hash is printed",
		Trouble:  "the file cannot be read",
	}
}

func (signCommand) Page() term.Page {
	return term.Page{
		About: "Prints the compact JWS that PUT /policies/{type} takes.",
		Examples: `
probity policy sign enclave.policy > enclave.jws
probity policy sign enclave.policy --key signer-key.pem --cert signer.pem > enclave.jws
probity policy sign enclave.policy --key signer-key.pem --cert signer.pem \
  --for https://localhost:8443/p/payments --type SgxEnclave > enclave.jws`,
		Yes:     "the JWS is printed",
		Trouble: "the policy does not parse, or a file cannot be read",
	}
}

func (unwrapCommand) Page() term.Page {
	return term.Page{
		About:    "Prints the policy text on standard output, and who signed it on standard error.",
		Examples: "probity policy unwrap enclave.jws",
		Yes:      "the policy is printed; a signature, if it has one, is valid",
		No:       "it is no JWS of a policy, or its signature is invalid",
	}
}

func (setCommand) Page() term.Page {
	return term.Page{
		About: `Prints the warnings of policy check, and which version is in force where. The environment
variables PROBITY_URL, PROBITY_CA and PROBITY_TOKEN are read where no flag is given.`,
		Examples: `
probity policy set SgxEnclave enclave.policy
probity policy set SgxEnclave enclave.policy --provider payments --key signer-key.pem --cert signer.pem`,
		Yes:     "the policy is in force",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (resetCommand) Page() term.Page {
	return term.Page{
		About: "The earlier versions stay in the history.",
		Examples: `
probity policy reset SgxEnclave
probity policy reset SgxEnclave --provider team-a --if-version 3`,
		Yes:     "the default policy is in force",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (historyCommand) Page() term.Page {
	return term.Page{
		Examples: `
probity policy history SgxEnclave
probity policy history SgxEnclave --provider team-a --format json`,
		Yes:     "the versions are listed",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (showCommand) Page() term.Page {
	return term.Page{
		About: `Prints the policy in force, or the version that is named: the text on standard output, and when and
by whom it was set on standard error.`,
		Examples: `
probity policy show SgxEnclave
probity policy show SgxEnclave 2 --provider team-a --format json`,
		Yes:     "the policy is printed",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (rollbackCommand) Page() term.Page {
	return term.Page{
		About: "The text of the earlier version becomes a new version; nothing is removed from the history.",
		Examples: `
probity policy rollback SgxEnclave 2
probity policy rollback SgxEnclave 2 --if-version 4`,
		Yes:     "the version is in force",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (proposalsCommand) Page() term.Page {
	return term.Page{
		About: `A provider whose setting approvals asks for several callers keeps changes until enough of them
agree.`,
		Examples: "probity policy proposals --provider payments",
		Yes:      "the changes are listed",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (approveCommand) Page() term.Page {
	return term.Page{
		About: "The command policy proposals lists the ids.",
		Examples: `
probity policy approve 4Jc2Zk --provider payments
probity policy approve 4Jc2Zk --provider payments --reject`,
		Yes:     "the approval or rejection is recorded",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (signersListCommand) Page() term.Page {
	return term.Page{
		Examples: `
probity policy signers list --provider payments
probity policy signers list --provider payments --format json`,
		Yes:     "the certificates are listed",
		No:      remote.HelpRefused,
		Trouble: remote.HelpTrouble,
	}
}

func (signersChangeCommand) Page() term.Page {
	return term.Page{
		About:    "A registered certificate and its key sign the request.",
		Examples: "probity policy signers add new-signer.pem --provider payments --cert signer.pem --key signer-key.pem",
		Yes:      "the certificate may sign policies",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (signersRemoveCommand) Page() term.Page {
	return term.Page{
		About:    "A registered certificate and its key sign the request. The last certificate stays.",
		Examples: "probity policy signers remove old-signer.pem --provider payments --cert signer.pem --key signer-key.pem",
		Yes:      "the certificate may not sign policies any more",
		No:       remote.HelpRefused,
		Trouble:  remote.HelpTrouble,
	}
}

func (lSPCommand) Page() term.Page {
	return term.Page{
		About:    "Editors start this command. A comment \"// type: SgxEnclave\" in a policy says whose claims it reads.",
		Examples: "probity policy lsp --type SgxEnclave",
		Yes:      "the editor ended it",
		Trouble:  "the editor does not speak the protocol",
	}
}
