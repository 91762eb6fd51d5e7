package luks

import "github.com/probity-dev/probity/evidence"

// altered is the remedy where no mistake of an operator explains what was found.
const altered = "do not open the disk: its header was damaged, or changed by someone who can write to it; " +
	"restore the header from a backup (cryptsetup luksHeaderRestore)"

// The checks of a header, in the order in which they are made.
var (
	checks evidence.Checks

	CheckSize = checks.Define("luks.device.size",
		"the device has room for two headers",
		"name the encrypted device itself, such as a partition, and not the disk that contains it")
	CheckMagic = checks.Define("luks.header.magic",
		"the device begins with the mark of LUKS",
		"name the encrypted device itself; a new one is made by: cryptsetup luksFormat --type luks2 DEVICE")
	CheckVersion = checks.Define("luks.header.version",
		"the version of the format is 2",
		"a disk of version 1 is converted by: cryptsetup convert --type luks2 DEVICE")
	CheckHeaderSize = checks.Define("luks.header.size",
		"both headers have one of the nine sizes of the specification and are inside the device", altered)
	CheckOffset = checks.Define("luks.header.offset",
		"each header says where it is", altered)
	CheckAlgorithm = checks.Define("luks.header.algorithm",
		"the checksum of each header is SHA-256", altered)
	CheckChecksum = checks.Define("luks.header.checksum",
		"each header has the checksum that it states; it shows damage, not changes that someone made on purpose",
		"repair the header with: cryptsetup repair DEVICE; or restore it from a backup")
	CheckFields = checks.Define("luks.header.fields",
		"label, subsystem and UUID are text that ends, and reserved bytes are zero", altered)
	CheckSecondary = checks.Define("luks.header.secondary",
		"the secondary header says the same as the primary one",
		"after an interrupted change, repair the headers with: cryptsetup repair DEVICE; otherwise "+altered)
	CheckMetadata = checks.Define("luks.metadata.format",
		"the metadata are one JSON object with the five members of the specification, and zeros after it", altered)
	CheckConfig = checks.Define("luks.config.sizes",
		"the sizes of metadata and key slots are those of the header, and inside the device", altered)
	CheckFlags = checks.Define("luks.config.flags",
		"the flags that stay with the disk are ones that change speed alone",
		"remove the flags with: cryptsetup refresh --persistent MAPPING; otherwise "+altered)
	CheckRequirements = checks.Define("luks.config.requirements",
		"the disk needs nothing unusual to be opened, and is not being reencrypted",
		"if you started a reencryption, end it where you trust the disk: cryptsetup reencrypt --resume-only DEVICE")
	CheckSegments = checks.Define("luks.segment.count",
		"the disk has one segment, so that no part of it is in plain text", altered)
	CheckSegmentType = checks.Define("luks.segment.type",
		"the segment is encrypted, and not a remainder of a reencryption", altered)
	CheckCipher = checks.Define("luks.segment.cipher",
		"the cipher of the segment is on the list, and encrypts",
		"if you chose another cipher for this disk, name it; otherwise "+altered)
	CheckIntegrity = checks.Define("luks.segment.integrity",
		"the segment has the integrity protection that is expected, or none if none is",
		"if you chose integrity protection for this disk, name it; otherwise "+altered)
	CheckSector = checks.Define("luks.segment.sector",
		"sectors have 512, 1024, 2048 or 4096 bytes and are numbered from zero", altered)
	CheckSegmentArea = checks.Define("luks.segment.area",
		"the data begin after the key slots and end inside the device", altered)
	CheckTokens = checks.Define("luks.token.types",
		"each token is of a type on the list and names key slots that exist",
		"name the type of the token if you use it, or remove it: cryptsetup token remove --token-id N DEVICE")
	CheckBinding = checks.Define("luks.token.binding",
		"the token of the enrolment names the service and the key that the machine expects, not ones that the disk chooses",
		"compare the names given to this machine with those given when the disk was enrolled; do not take them from the disk")
	CheckSlots = checks.Define("luks.keyslot.expected",
		"the key slots are the enrolled one and those that the operator named",
		"name a slot that you made, such as a recovery passphrase's, or remove it: cryptsetup luksKillSlot DEVICE N")
	CheckSlotType = checks.Define("luks.keyslot.type",
		"each key slot is a plain one of LUKS2", altered)
	CheckKeySize = checks.Define("luks.keyslot.key-size",
		"each key slot contains a key of the length that the cipher takes", altered)
	CheckSlotCipher = checks.Define("luks.keyslot.cipher",
		"the cipher of each key slot is on the list, and encrypts",
		"if you chose another cipher for this slot, name it; otherwise "+altered)
	CheckKDF = checks.Define("luks.keyslot.kdf",
		"the passphrase of each key slot is stretched by argon2id or PBKDF2, at no less cost than the slot needs and no "+
			"more than a boot can wait for",
		"make the slot again with: cryptsetup luksConvertKey --pbkdf argon2id --key-slot N DEVICE")
	CheckSplit = checks.Define("luks.keyslot.af",
		"the key in each slot is split into 4000 stripes with SHA-256 or SHA-512", altered)
	CheckSlotArea = checks.Define("luks.keyslot.area",
		"the area of each key slot is inside the space of key slots, long enough, and shared with no other", altered)
	CheckDigest = checks.Define("luks.digest.format",
		"one digest of PBKDF2 identifies the key of the disk", altered)
	CheckDigestCovers = checks.Define("luks.digest.covers",
		"the digest covers the segment and every key slot, so that a key from a slot is this disk's", altered)
)

// Catalogue returns the checks in the order in which they are made.
func Catalogue() []*evidence.Definition { return checks.All() }
