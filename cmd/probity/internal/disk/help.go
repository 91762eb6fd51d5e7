package disk

import (
	"github.com/alecthomas/kong"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// LongHelp has the texts of flags that do not fit into their tags, by the names that the tags give them.
func LongHelp() kong.Vars {
	return kong.Vars{
		"slotHelp": "Key slots that may exist beside the enrolled one, such as a recovery passphrase's; " +
			"repeat it or separate them by commas.",
		"cipherHelp":    "Ciphers that the disk may have instead of aes-xts-plain64.",
		"integrityHelp": "Integrity protection that the disk must have, as its header names it: hmac(sha256).",
		"tokenTypeHelp": "Types of tokens that may exist beside Probity's, such as clevis.",
		"disksHelp": "File with the disks that this machine expects, as /etc/probity/disks.json. " +
			"What a disk says about itself is compared with it.",
		"passphraseCommandHelp": "Command that writes the passphrase to its standard output, instead of getting the key " +
			"here; PROBITY_KEY and PROBITY_URL say which.",
		"passphraseFileHelp": "File with a passphrase that opens the disk today, as it is, without a line break; - is standard " +
			"input. By default it is asked for.",
		"releasePolicyHelp": "Make the key, with the release policy in this file: 256 random bits. Without it, the key is there, and " +
			"is released to this machine.",
	}
}

// What --help says about each command of this package.

const (
	helpRefused = "the header was refused, with the check that failed"
	helpTrouble = "there is no answer: wrong usage, no device, no key, or cryptsetup said no"
)

func (checkCommand) Page() term.Page {
	return term.Page{
		About: `Reads both headers of a LUKS2 disk and accepts the expected shape alone: one encrypted segment, a cipher that
encrypts, key slots and tokens that you know, no unfinished reencryption. The checksums of a header say
nothing about changes that someone made on purpose, and a right passphrase opens a changed header, too.

With --service and --key, a token of the disk must name them.`,
		Examples: `
probity disk check /dev/sdb1 --slot 0
probity disk check /dev/sdb1 --slot 0 --service https://attest.example.org --key disk-web-1
probity disk check disk.img --slot 0,1 --token-type clevis --format json`,
		Yes:     "the header is of the expected shape",
		No:      helpRefused,
		Trouble: "there is no answer: wrong usage, or a device that cannot be read",
	}
}

func (enrollCommand) Page() term.Page {
	return term.Page{
		About: `Adds a key slot whose passphrase is a key of the vault, and a token that names the key. The header is
checked before the existing passphrase is used, and checked again afterwards.

With --release-policy, the key is made here, sent to the vault, and kept nowhere else; this takes the role of
an officer (PROBITY_TOKEN, --bearer-file). Otherwise the key is in the vault, and this machine gets it.

Keep the existing passphrase somewhere else: it opens the disk when the service cannot be reached.`,
		Examples: `
probity disk enroll /dev/sdb1 --service https://attest.example.org --key disk-web-1 --release-policy release.json
probity disk enroll /dev/sdb1 --service https://attest.example.org --key disk-web-1 --passphrase-file recovery.txt`,
		Yes:     "the disk is enrolled, and the key was tried",
		No:      helpRefused,
		Trouble: helpTrouble,
	}
}

func (unlockCommand) Page() term.Page {
	return term.Page{
		About: `Checks the header, attests this machine, gets the key, and opens the disk by a copy of the header that was
checked, so that the disk cannot show cryptsetup another one. Service and key come from flags or from the file,
never from the disk: its token must name the same.`,
		Examples: `
probity disk unlock /dev/sdb1 --name data --slot 0 --service https://attest.example.org --key disk-web-1
probity disk unlock --config /etc/probity/disks.json
probity disk unlock /dev/sdb1 --test-passphrase --slot 0 --service https://attest.example.org --key disk-web-1`,
		Yes:     "the disks are open; with --test-passphrase, the passphrase opens them",
		No:      helpRefused + "; or the service did not release the key",
		Trouble: helpTrouble,
	}
}

func (listCommand) Page() term.Page {
	return term.Page{
		About: "Reads the file as unlock does. The scripts of initramfs-tools and dracut ask for names and files.",
		Examples: `
probity disk list --config /etc/probity/disks.json
probity disk list --config /etc/probity/disks.json --files`,
		Yes:     "the file is what unlock reads",
		Trouble: "there is no file, or it has a mistake",
	}
}

func (clevisEncryptCommand) Page() term.Page {
	return term.Page{
		About: `clevis luks bind calls it as the pin probity. The settings must be those of a disk in the file: what a disk
says later is compared with it.`,
		Examples: `
probity disk clevis encrypt '{"url":"https://attest.example.org","key":"disk-web-1"}' < secret > secret.jwe
clevis luks bind -d /dev/sdb1 probity '{"url":"https://attest.example.org","key":"disk-web-1"}'`,
		Yes:     "the JWE is in standard output",
		Trouble: helpTrouble,
	}
}

func (clevisDecryptCommand) Page() term.Page {
	return term.Page{
		About: `clevis decrypt and clevis luks unlock call it as the pin probity. If the file names the device of the disk, its
header is checked before the key is asked for. Clevis reads the header again when it opens the disk:
probity disk unlock does not, and is the safer way where the host is not trusted.`,
		Examples: `
probity disk clevis decrypt < secret.jwe
clevis luks unlock -d /dev/sdb1 -n data`,
		Yes:     "the secret is in standard output",
		No:      helpRefused,
		Trouble: helpTrouble,
	}
}
