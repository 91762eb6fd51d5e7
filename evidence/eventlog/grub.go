package eventlog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// GRUB extends PCR 8 by the text of each command before it runs it, and by the command line
// of a kernel when it loads one. The digest covers the text. It does not cover the label
// before it ("grub_cmd: ", "kernel_cmdline: "), which the sender of the log chooses: a
// command can be made to look like a command line. The texts alone are read here, in the
// order in which they were extended, which the register proves. What GRUB does then leaves
// one reading: the command linux with its arguments, followed by the same arguments.

// grubLabels are what GRUB writes before a text, in its own versions and in those of Red Hat.
var grubLabels = []string{
	"grub_cmd: ", "kernel_cmdline: ", "module_cmdline: ", "grub_cmd ", "grub_kernel_cmdline ",
}

// loadsLinux are the commands that load a kernel of Linux.
var loadsLinux = names("linux", "linuxefi", "linux16")

// loadsOther are commands after which something other than the kernel may run, or that
// write to memory. Those of the families legacy_, syslinux_, xen_, xnu_ and of the BSDs are
// among them.
var (
	loadsOther = names("appleloader", "blsuki", "chainloader", "exit", "freedos", "kexec", "lua", "module",
		"module2", "multiboot", "multiboot2",
		"normal_exit", "ntldr", "plan9", "pxechainloader", "truecrypt", "uki", "write_byte", "write_word",
		"write_dword")
	loaderFamilies = []string{
		"extract_", "kfreebsd", "knetbsd", "kopenbsd", "legacy_", "syslinux_", "xen_", "xnu_",
	}
)

// afterLinux are the commands that may follow a loaded kernel and leave it the one that runs.
var afterLinux = names(
	"[", "boot", "devicetree", "echo", "export", "false", "gfxmode", "increment", "initrd", "initrd16",
	"initrdefi", "initrdfail",
	"insmod", "load_env", "load_video", "recordfail", "save_env",
	"savedefault", "search", "search.file", "search.fs_label", "search.fs_uuid", "set", "sleep",
	"terminal_input", "terminal_output", "test", "true", "unset",
)

func names(list ...string) map[string]bool {
	m := make(map[string]bool, len(list))
	for _, name := range list {
		m[name] = true
	}
	return m
}

// loader is what a boot loader measured as text.
type loader struct {
	// line is the command line of the kernel, or "". reason says why there is none,
	// although the log seems to contain one.
	line, reason string
	// grub are the texts of PCR 8.
	grub []measuredText
}

// commands are the texts of PCR 8 that no command line was found to be.
func (l *loader) commands() (list []string) {
	for _, t := range l.grub {
		if t.covered && !t.utf16 && (l.reason != "" || !t.line) {
			list = append(list, t.text)
		}
	}
	return list
}

// measuredText is what an event of PCR 8 or 12 measured.
type measuredText struct {
	text           string
	utf16, covered bool
	end            int  // in the text of all
	line           bool // that it is the command line after the command that loads a kernel
}

// loader reads PCR 8 (GRUB, and systemd-boot before version 251) and PCR 12 (systemd-boot and
// its stub). Where both were extended, one may be the work of what ran later, and neither
// tells the command line.
func (p *Proof) loader() loader {
	if grub := p.texts(pcrGRUBCommands); len(grub) > 0 {
		l := loader{}
		if len(grub) == 1 && grub[0].utf16 {
			l = oneLine(grub)
		} else {
			l = readGRUB(grub)
		}
		if value := p.Bank.Values[pcrWindows]; l.line != "" && value != nil && !initial(pcrWindows, value) {
			l.line, l.reason = "",
				"PCR 8 and PCR 12 were both extended; a system that was started later may have extended "+
					"one of them"
		}
		return l
	}
	stub := p.texts(pcrWindows)
	if !containsLine(stub) {
		return loader{}
	}
	l := oneLine(stub)
	if l.line != "" && !p.untouched(pcrGRUBCommands) {
		l.line, l.reason = "", "PCR 12 contains a command line, but PCR 8 is not quoted, "+
			"or was extended by something that the log does not show"
	}
	return l
}

// oneLine reads a register that must contain one text and nothing else.
func oneLine(list []measuredText) loader {
	switch {
	case len(list) != 1:
		return loader{reason: fmt.Sprintf(
			"its register has %d entries, so it is not known which one the kernel was started with",
			len(list),
		)}
	case !list[0].covered:
		return loader{reason: "its digest does not cover its text"}
	case !printable(list[0].text):
		return loader{reason: "its text is not printable"}
	}
	return loader{line: list[0].text}
}

func containsLine(list []measuredText) bool {
	for _, t := range list {
		if t.covered && t.utf16 {
			return true
		}
	}
	return false
}

// texts returns what the events of a register measured as text; registers of Windows have
// no texts.
func (p *Proof) texts(register uint32) []measuredText {
	count, size := 0, 0
	for i := range p.events {
		if e := &p.events[i]; e.Register == register && e.Measurement == nil {
			count, size = count+1, size+len(e.Data)
		}
	}
	list := make([]measuredText, 0, count)
	arena := make([]byte, 0, size) // of all texts, so that they are copied together
	for i := range p.events {
		e := &p.events[i]
		if e.Register != register || e.Measurement != nil {
			continue
		}
		if e.windows() {
			return nil
		}
		// The type is covered by nothing and is not asked.
		probe := Proven{Event: e.Event}
		one := measuredText{covered: probe.coverText(p.Bank.Algorithm)}
		if one.utf16 = one.covered && inUTF16(probe.Payload); one.utf16 {
			one.text = utf16Text(probe.Payload)
			// What is after a terminator is no part of the text.
			one.covered = len(utf16.Encode([]rune(one.text)))*2 == len(bytes.TrimSuffix(probe.Payload, []byte{0, 0}))
		} else if one.covered {
			arena = append(arena, bytes.TrimRight(probe.Payload, "\x00")...)
			one.end = len(arena)
		}
		list = append(list, one)
	}
	all, begin := string(arena), 0
	for i := range list {
		if t := &list[i]; t.covered && !t.utf16 {
			t.text, begin = all[begin:t.end], t.end
		}
	}
	return list
}

// readGRUB reads the texts of PCR 8 in their order.
func readGRUB(list []measuredText) loader {
	l := loader{grub: list}
	l.line, l.reason = commandLine(list)
	return l
}

// commandLine finds the command line of the kernel, marks it, or says why there is none.
func commandLine(list []measuredText) (line, reason string) {
	if reason := unlabel(list); reason != "" {
		return "", reason
	}
	loaded := false
	for i := 0; i < len(list); i++ {
		name, arguments, _ := strings.Cut(list[i].text, " ")
		switch {
		case loadsLinux[name]:
			if i+1 == len(list) || unquote(list[i+1].text) != arguments {
				return "", fmt.Sprintf(
					"the command %s in PCR 8 is not followed by the command line that GRUB then measures",
					name,
				)
			}
			i++
			if loaded && line != list[i].text {
				return "", "PCR 8 has commands for different command lines"
			}
			list[i].line, line, loaded = true, list[i].text, true
		case loadsOther[name] || slices.ContainsFunc(loaderFamilies,
			func(family string) bool { return strings.HasPrefix(name, family) }):
			return "", fmt.Sprintf("PCR 8 has the command %s, after which something else may run", name)
		case loaded && commandName(name) && !afterLinux[name]:
			return "", fmt.Sprintf("PCR 8 has %q after the kernel, and its effect is not known", shorten(name))
		}
	}
	if loaded && !printable(line) {
		return "", "its text is not printable"
	}
	return line, ""
}

// commandName reports whether a word can be the name of a command. Assignments are not; nor
// is a path, which GRUB does not find as a command.
func commandName(word string) bool {
	return word != "" &&
		strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:[]") == ""
}

// unlabel takes the labels off where a version of GRUB hashes them too: then all texts have
// one. Where only some have, a text that begins like a label was measured.
func unlabel(list []measuredText) (reason string) {
	labelled := 0
	for i := range list {
		t := &list[i]
		if !t.covered || t.utf16 {
			return "PCR 8 has an entry whose text its digest does not cover"
		}
		for _, label := range grubLabels {
			if rest, ok := strings.CutPrefix(t.text, label); ok {
				t.text = rest
				labelled++
				break
			}
		}
	}
	if labelled > 0 && labelled < len(list) {
		return "some texts in PCR 8 begin with a label and others do not"
	}
	return ""
}

// unquote undoes how GRUB writes the arguments of a command line: those with a space in
// double quotes, and a backslash before quotes and backslashes.
func unquote(line string) string {
	if !strings.ContainsAny(line, "\\\"") {
		return line
	}
	b := make([]byte, 0, len(line))
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line):
			i++
			b = append(b, line[i])
		case c != '"':
			b = append(b, c)
		}
	}
	return string(b)
}

// printable reports whether a text is one that a person can read in one line.
func printable(s string) bool {
	return s != "" && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError })
}

// shorten bounds what a reason quotes of a log.
func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
