package eventlog_test

import (
	"strings"
	"testing"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// ran is what GRUB measures of a command, loaded of a kernel that it loads.
func ran(command string) evidencetest.BootEvent {
	return evidencetest.BootEvent{
		PCR: 8, Type: 0xd, Data: []byte("grub_cmd: " + command + "\x00"), Hashed: []byte(command),
	}
}

func loaded(line string) evidencetest.BootEvent {
	return evidencetest.BootEvent{
		PCR: 8, Type: 0xd, Data: []byte("kernel_cmdline: " + line + "\x00"), Hashed: []byte(line),
	}
}

const (
	wanted  = "/vmlinuz root=/dev/mapper/verity ro lockdown=confidentiality"
	hostile = "/vmlinuz root=/dev/sda1 rw init=/bin/sh"
)

// TestACommandLineHasOneReading: labels, types and data that no digest covers are the
// sender's; what GRUB does is not.
func TestACommandLineHasOneReading(t *testing.T) {
	label := func(e evidencetest.BootEvent, text string) evidencetest.BootEvent {
		e.Data = []byte(text + string(e.Hashed) + "\x00")
		return e
	}
	typed := func(e evidencetest.BootEvent, typ uint32) evidencetest.BootEvent { e.Type = typ; return e }
	bare := func(e evidencetest.BootEvent) evidencetest.BootEvent { return label(e, "") }
	list := func(events ...evidencetest.BootEvent) []evidencetest.BootEvent { return events }
	red := func(text string) evidencetest.BootEvent { // Red Hat's GRUB, as if it hashed its labels
		return evidencetest.BootEvent{PCR: 8, Type: 0xd, Data: []byte(text + "\x00"), Hashed: []byte(text)}
	}
	boot := list(ran("set root=hd0"), ran("linux "+wanted), loaded(wanted), ran("initrd /initrd.img"))
	evil := list(ran(wanted), ran("linux "+hostile), loaded(hostile))
	for name, tc := range map[string]struct {
		events []evidencetest.BootEvent
		want   string
	}{
		"GRUB":                         {boot, wanted},
		"GRUB, commands with linuxefi": {list(ran("linuxefi "+wanted), loaded(wanted)), wanted},
		"labels that are hashed": {list(red("grub_cmd: set x=1"), red("grub_cmd: linux "+wanted),
			red("kernel_cmdline: "+wanted)), wanted},
		"the same kernel twice": {append(boot, boot...), wanted},
		"arguments in quotes": {
			list(ran(`linux /k dyndbg=file a +p x="1`), loaded(`/k "dyndbg=file a +p" x=\"1`)),
			`/k "dyndbg=file a +p" x=\"1`,
		},
		"a line that was run as a command behind": {
			[]evidencetest.BootEvent{ran("linux " + hostile), loaded(hostile), ran(wanted), ran("x=1")},
			hostile,
		},
		"a line that was run as a command": {evil, hostile},
		"the labels exchanged": {
			list(label(evil[0], "kernel_cmdline: "), evil[1], label(evil[2], "grub_cmd: ")), hostile,
		},
		"the labels of Red Hat": {list(label(evil[0], "grub_kernel_cmdline "), label(evil[1], "grub_cmd "),
			label(evil[2], "grub_cmd ")), hostile},
		"no labels": {
			list(label(evil[0], "kernel_cmdline: "), bare(evil[1]), bare(evil[2])), hostile,
		},
		"other types": {
			list(evil[0], typed(bare(evil[1]), 5), typed(bare(evil[2]), 0x80000001)), hostile,
		},
		"two kernels": {append(list(ran("linux "+wanted), loaded(wanted)), ran("linux "+hostile),
			loaded(hostile)), ""},
		"two kernels, one by linux16": {append(list(ran("linux "+wanted), loaded(wanted)),
			ran("linux16 "+hostile), loaded(hostile)), ""},
		"data that are not covered": {append(list(typed(label(ran("linux "+hostile), "grub_cmd: "), 0xd)),
			evidencetest.BootEvent{PCR: 8, Type: 0xd, Data: []byte("?"), Hashed: []byte(hostile)},
			ran("linux "+wanted), loaded(wanted)), ""},
		"no data": {append(list(evidencetest.BootEvent{
			PCR: 8, Type: 0xd, Data: nil, Hashed: []byte("linux " + hostile),
		}), boot...), ""},
		"a command line without its command": {list(loaded(wanted)), ""},
		"a command without its line": {
			list(ran("linux "+wanted), ran("linux "+hostile), loaded(hostile)), "",
		},
		"another line after the command": {list(ran("linux "+wanted), loaded(hostile)), ""},
		"something between":              {list(ran("linux "+wanted), ran("echo"), loaded(wanted)), ""},
		"another loader behind":          {append(boot, ran("chainloader /evil.efi")), ""},
		"another loader before": {
			append(list(ran("chainloader /evil.efi"), ran("boot")), boot...), "",
		},
		"a hypervisor":              {append(list(ran("xen_hypervisor /xen")), boot...), ""},
		"a family of loaders":       {append(list(ran("legacy_configfile /menu.lst")), boot...), ""},
		"GRUB was left":             {append(boot, ran("exit")), ""},
		"memory was written":        {append(boot, ran("write_dword 0x1000 0")), ""},
		"an unknown command behind": {append(boot, ran("anotherloader /evil")), ""},
		"labels that are hashed, and not": {list(red("grub_cmd: linux "+wanted),
			red("kernel_cmdline: "+wanted), ran("linux "+hostile), loaded(hostile)), ""},
		"a line that cannot be printed": {list(ran("linux "+wanted+"\x1b[2J"), loaded(wanted+"\x1b[2J")), ""},
		"a line in two lines":           {list(ran("linux /k\nx"), loaded("/k\nx")), ""},
		"a line that is not text":       {list(ran("linux /k \xff"), loaded("/k \xff")), ""},
		"events of another register": {
			list(typed(evidencetest.BootEvent{PCR: 9, Type: 0xd, Data: []byte(wanted)}, 0xd)), "",
		},
	} {
		f := facts(t, evidencetest.NewBoot(tc.events...))
		if f.KernelCommandLine != tc.want {
			t.Errorf("%s: %q, want %q", name, f.KernelCommandLine, tc.want)
		}
		told := strings.Contains(strings.Join(f.LeftOut, ";"), "kernel command line: ")
		if told != (tc.want == "" && tc.events[0].PCR == 8) && name != "a command line without its command" {
			t.Errorf("%s: the reason: %q", name, f.LeftOut)
		}
	}
}

// TestTheCommandLineOfSystemd: one text in PCR 12, and nothing in PCR 8.
func TestTheCommandLineOfSystemd(t *testing.T) {
	line := func(text string) evidencetest.BootEvent {
		return evidencetest.BootEvent{PCR: 12, Type: 0xd, Data: evidencetest.UTF16(text)}
	}
	earlier := line(wanted)
	earlier.PCR = 8
	hidden := line(hostile)
	hidden.Data, hidden.Hashed = []byte("?"), hidden.Data
	retyped := line(hostile)
	retyped.Type = 0x8401
	behind := evidencetest.UTF16(wanted)
	behind = append(behind, evidencetest.UTF16("init=/bin/sh")...)
	for name, tc := range map[string]struct {
		events []evidencetest.BootEvent
		want   string
	}{
		"systemd-boot":         {[]evidencetest.BootEvent{line(wanted)}, wanted},
		"its earlier versions": {[]evidencetest.BootEvent{earlier}, wanted},
		"two lines":            {[]evidencetest.BootEvent{line(hostile), line(wanted)}, ""},
		"one that is hidden":   {[]evidencetest.BootEvent{hidden, line(wanted)}, ""},
		"one of another type":  {[]evidencetest.BootEvent{retyped, line(wanted)}, ""},
		"both registers": {
			[]evidencetest.BootEvent{line(hostile), ran("linux " + wanted), loaded(wanted)}, "",
		},
		"both registers, one by each": {[]evidencetest.BootEvent{earlier, line(hostile)}, ""},
		"text after the terminator":   {[]evidencetest.BootEvent{{PCR: 12, Type: 0xd, Data: behind}}, ""},
		"bytes that are not text": {
			[]evidencetest.BootEvent{{PCR: 12, Type: 0xd, Data: []byte("\x01\x00\x02\x00")}}, "",
		},
		"what Windows tags": {
			[]evidencetest.BootEvent{{PCR: 12, Type: 6, Data: evidencetest.SIPA(0x00050003, []byte{1})}},
			"",
		},
		"the same as another type": {
			[]evidencetest.BootEvent{{PCR: 12, Type: 0xd, Data: evidencetest.SIPA(0x00050003, []byte{1})}},
			"",
		},
	} {
		if f := facts(t, evidencetest.NewBoot(tc.events...)); f.KernelCommandLine != tc.want {
			t.Errorf("%s: %q, want %q", name, f.KernelCommandLine, tc.want)
		}
	}
	boot := evidencetest.NewBoot(line(wanted))
	registers := bank(boot)
	registers.Values[8] = nil
	p, err := eventlog.Prove([]eventlog.Sent{{Data: boot.Log}}, registers)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := p.Facts(); err != nil || f.KernelCommandLine != "" || len(f.LeftOut) != 1 {
		t.Errorf("PCR 8 is not quoted: %+v, %v", f, err)
	}
}
