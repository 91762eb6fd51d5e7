// Package luks reads the headers of encrypted disks in the format LUKS2 (LUKS2 On-Disk Format
// Specification, version 1.1) and refuses those that are not of the expected shape, before anyone uses a
// passphrase with them.
//
// An attacker who can write to the disk of a confidential machine can also change these headers: their
// checksum is no signature. Headers that name a cipher that does not encrypt, a second segment in plain text, or an
// unfinished reencryption make a guest write its data in the clear, or run data of the host's, although the
// passphrase is right (CVE-2025-58356, CVE-2025-59054, CVE-2021-4122). So [Inspect] accepts what is on its
// lists and nothing else.
//
// Inspect returns a [Device] with the bytes that were checked. A disk that is read again may answer
// otherwise: open it with the copy that [Device.CopyTo] makes, as a detached header.
//
// The package does not decrypt anything, and cannot tell an older copy of a disk from the newest.
package luks
