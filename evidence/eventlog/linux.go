package eventlog

import (
	"strings"
	"unicode/utf8"
)

// Linux is what the boot loaders of Linux measured. Each entry is covered by a
// digest, except Files, whose digests are those of the files' contents.
type Linux struct {
	// KernelCommandLine is what the kernel was started with, as GRUB or systemd-boot
	// measured it.
	KernelCommandLine string
	// Commands are the other texts of PCR 8: what GRUB ran. Files are the names of those
	// that it read (PCR 9); anyone could have written the names.
	Commands, Files []string
	// Sections are those of a unified kernel (PCR 11).
	Sections []string
	// Shim are the variables of shim (PCR 14 and 7) by name: MokList,
	// MokListTrusted, Shim, SbatLevel.
	Shim []string
}

// Linux returns what is proven of a Linux boot.
func (p *Proof) Linux() Linux {
	boot := p.loader()
	l := Linux{KernelCommandLine: boot.line, Commands: boot.commands()}
	for i := range p.events {
		if p.events[i].Type != IPL {
			continue
		}
		e := p.event(i)
		switch {
		case e.Register == pcrFiles:
			l.Files = append(l.Files, strings.TrimRight(string(e.Data), "\x00"))
		case e.Register == pcrUnifiedKernel && e.Covered:
			l.Sections = append(l.Sections, plain(e.Payload))
		case e.Register == pcrWindowsAuthority:
			l.Shim = append(l.Shim, strings.TrimRight(string(e.Data), "\x00"))
		}
	}
	return l
}

// inUTF16 reports whether every other byte says that a text is in UTF-16.
func inUTF16(b []byte) bool { return len(b) >= 4 && len(b)%2 == 0 && b[1] == 0 && b[3] == 0 }

// plain reads text in UTF-8, or in UTF-16 if every other byte says so.
func plain(b []byte) string {
	if inUTF16(b) {
		return utf16Text(b)
	}
	text := strings.TrimRight(string(b), "\x00")
	if !utf8.ValidString(text) {
		return strings.ToValidUTF8(text, "\ufffd")
	}
	return text
}
