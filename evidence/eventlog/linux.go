package eventlog

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Linux is what the boot loaders of Linux measured. Each entry is covered by a
// digest, except Files, whose digests are those of the files' contents.
type Linux struct {
	// KernelCommandLine is what the kernel was started with, as GRUB,
	// systemd-boot or a unified kernel measured it.
	KernelCommandLine string
	// Commands are those that GRUB ran (PCR 8), Files the names of those that it
	// read (PCR 9); anybody could have written the names.
	Commands, Files []string
	// Sections are those of a unified kernel (PCR 11).
	Sections []string
	// Shim are the variables of shim (PCR 14 and 7) by name: MokList,
	// MokListTrusted, Shim, SbatLevel.
	Shim []string
}

// Linux returns what is proven of a Linux boot.
func (p *Proof) Linux() Linux {
	var l Linux
	for i := range p.events {
		if p.events[i].Type != IPL {
			continue
		}
		e := p.event(i)
		switch {
		case e.Covered && (e.Register == pcrGRUBCommands || e.Register == pcrWindows):
			l.command(e)
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

// KernelCommandLine returns what the kernel was started with, or "".
func (p *Proof) KernelCommandLine() string {
	var l Linux
	for i := range p.events {
		e := &p.events[i]
		if e.Type == IPL && (e.Register == pcrGRUBCommands || e.Register == pcrWindows) && !isCommand(e.Data) {
			if e = p.event(i); e.Covered {
				l.command(e)
			}
		}
	}
	return l.KernelCommandLine
}

// isCommand reports whether GRUB says that an entry is a command that it ran.
func isCommand(data []byte) bool { return bytes.HasPrefix(data, []byte("grub_cmd")) }

// command sorts an entry of PCR 8 (GRUB, and systemd-boot before 251) or PCR 12
// (systemd-boot).
func (l *Linux) command(e *Proven) {
	text, data := plain(e.Payload), string(e.Data)
	for _, prefix := range grubPrefixes { // some versions hash it too
		text = strings.TrimPrefix(text, prefix)
	}
	switch {
	case isCommand(e.Data):
		l.Commands = append(l.Commands, text)
	case strings.HasPrefix(data, "kernel_cmdline: "), strings.HasPrefix(data, "grub_kernel_cmdline "):
		l.KernelCommandLine = text
	case strings.HasPrefix(data, "module_cmdline: "):
	case l.KernelCommandLine == "":
		l.KernelCommandLine = text
	}
}

// plain reads text in UTF-8, or in UTF-16 if every other byte says so.
func plain(b []byte) string {
	if len(b) >= 4 && len(b)%2 == 0 && b[1] == 0 && b[3] == 0 {
		return utf16Text(b)
	}
	text := strings.TrimRight(string(b), "\x00")
	if !utf8.ValidString(text) {
		return strings.ToValidUTF8(text, "\ufffd")
	}
	return text
}
