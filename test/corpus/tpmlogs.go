package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/tpm"
)

// logFields is what a manifest says about a log.
type logFields struct {
	Agile           *bool
	Events          int
	EventTypes      map[string]int `json:"event_types"`
	Algorithms      []string       `json:"algs"`
	StartupLocality byte           `json:"startup_locality"`
	SecureBoot      *struct {
		AuthorityCerts int `json:"authority_certs"`
		DBCerts        int `json:"db_certs"`
		DBXHashes      int `json:"dbx_hashes"`
		Enabled        bool
	} `json:"secure_boot"`
	KernelCommandLine string                       `json:"kernel_cmdline"`
	GrubCommands      *int                         `json:"grub_commands"`
	GrubFiles         *int                         `json:"grub_files"`
	PCRs              map[string]map[string]string `json:"pcrs"`
}

// unreadable judges a log or list that does not parse. A log by itself has no check:
// the one for logs would refuse evidence with it.
func unreadable(e expectation) []string {
	if err := e.refusal(tpm.CheckLog.ID); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// logProblems replays a log in every bank, compares the registers with those of
// the manifest, and what it proves with what others read from it.
func logProblems(c caseJSON, e expectation) []string {
	raw := c.read("eventlog.bin")
	l, err := eventlog.Parse(raw)
	switch {
	case e.demand != mustAccept && err == nil:
		return []string{"accepted: the log parses"}
	case e.demand != mustAccept:
		return unreadable(e)
	case err != nil:
		return []string{err.Error()}
	}
	b, err := json.Marshal(c.KeyFields)
	var want logFields
	if err == nil {
		err = json.Unmarshal(b, &want)
	}
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	differs := func(what string, want, got any) {
		if fmt.Sprint(want) != fmt.Sprint(got) {
			problems = append(problems, fmt.Sprintf("%s: want %v, got %v", what, want, got))
		}
	}
	events, types := 0, map[string]int{}
	for _, e := range l.Events {
		if e.Register < eventlog.Registers {
			events++
			types[fmt.Sprintf("%#x", uint32(e.Type))]++
		}
	}
	var algorithms []string
	for _, algorithm := range l.Banks {
		algorithms = append(algorithms, algorithm.String())
	}
	differs("events", want.Events, events)
	differs("event_types", want.EventTypes, types)
	differs("algs", want.Algorithms, algorithms)
	differs("startup_locality", want.StartupLocality, l.Locality)
	if len(want.PCRs) == 0 {
		problems = append(problems, "the manifest has no PCRs")
	}
	for name, registers := range want.PCRs {
		problems = append(problems, bankProblems(raw, name, registers, want)...)
	}
	return problems
}

var banks = map[string]eventlog.Algorithm{
	"sha1": eventlog.SHA1, "sha256": eventlog.SHA256, "sha384": eventlog.SHA384,
}

func bankProblems(raw []byte, name string, registers map[string]string, want logFields) (problems []string) {
	algorithm, ok := banks[name]
	if !ok {
		return []string{"unknown bank " + name}
	}
	bank, err := bankOf(algorithm, registers)
	if err != nil {
		return []string{err.Error()}
	}
	p, err := eventlog.Prove([]eventlog.Sent{{Data: raw}}, bank)
	if err != nil {
		return []string{name + ": " + err.Error()}
	}
	problem := func(format string, values ...any) {
		problems = append(problems, name+": "+fmt.Sprintf(format, values...))
	}
	if len(p.Explained) != len(registers) || len(p.Unexplained) != 0 {
		problem("explained %v, unexplained %v, of %d registers", p.Explained, p.Unexplained, len(registers))
	}
	if text := p.JSON(); !json.Valid([]byte(text)) {
		problem("the events are not JSON")
	}
	f, err := p.Facts()
	if err != nil {
		problem("%v", err)
		return problems
	}
	want.compareSecureBoot(f, problem)
	want.compareLinux(p, f, problem)
	return problems
}

// compareSecureBoot compares the state of secure boot and its databases.
func (want logFields) compareSecureBoot(f *eventlog.Facts, problem func(format string, values ...any)) {
	s := want.SecureBoot
	if s == nil {
		return
	}
	if f.DB == nil || f.DBX == nil {
		problem("no databases were read")
		return
	}
	got := fmt.Sprint(f.SecureBoot, len(f.DB.Certificates), len(f.DBX.Hashes))
	if wanted := fmt.Sprint(s.Enabled, s.DBCerts, s.DBXHashes); wanted != got {
		problem("secure boot, db, dbx: want %s, got %s", wanted, got)
	}
	// Some versions of shim log more than they measured: such certificates are
	// seen by others and not proven.
	if s.Enabled && (s.AuthorityCerts < len(f.Authorities) || s.AuthorityCerts > f.AuthorityEvents) {
		problem("authorities: want %d, got %d of %d events", s.AuthorityCerts, len(f.Authorities),
			f.AuthorityEvents)
	}
}

// compareLinux compares what GRUB did and what the kernel was started with.
func (want logFields) compareLinux(
	p *eventlog.Proof, f *eventlog.Facts, problem func(format string, values ...any),
) {
	linux := p.Linux()
	if linux.KernelCommandLine != f.KernelCommandLine {
		problem("two answers to what the kernel was started with")
	}
	line := strings.TrimRight(want.KernelCommandLine, "\x00")
	if line != "" && line != f.KernelCommandLine {
		problem("command line: want %q, got %q", line, f.KernelCommandLine)
	}
	commands, lines := len(linux.Commands), lineCommands(p)
	if want.GrubCommands != nil && *want.GrubCommands != commands+lines {
		problem("GRUB commands: want %d, got %d and %d", *want.GrubCommands, commands, lines)
	}
	if want.GrubFiles != nil && *want.GrubFiles != len(linux.Files) {
		problem("GRUB files: want %d, got %d", *want.GrubFiles, len(linux.Files))
	}
}

// lineCommands returns how many command lines of PCR 8 the manifest takes for commands.
func lineCommands(p *eventlog.Proof) (n int) {
	for _, e := range p.Events() {
		named := strings.HasPrefix(string(e.Data), "grub_cmd")
		if e.Register == 8 && e.Type == eventlog.IPL && e.Covered && !named {
			n++
		}
	}
	return n
}

func bankOf(algorithm eventlog.Algorithm, registers map[string]string) (eventlog.Bank, error) {
	bank := eventlog.Bank{Algorithm: algorithm}
	for i, text := range registers {
		var n int
		if _, err := fmt.Sscanf(i, "%d", &n); err != nil || n < 0 || n >= eventlog.Registers {
			return bank, fmt.Errorf("PCR %q", i)
		}
		var err error
		if bank.Values[n], err = hex.DecodeString(text); err != nil {
			return bank, err
		}
	}
	return bank, nil
}

// imaProblems reads every list of a case; one of them must lead to the PCR 10 of the
// manifest.
func imaProblems(c caseJSON, e expectation, files map[string][]byte) []string {
	var problems []string
	replayed := errors.New("no list")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		list, err := eventlog.ParseIMAText(files[name])
		if err != nil {
			problems = append(problems, name+": "+err.Error())
			continue
		}
		if replayed != nil {
			replayed = imaReplays(list, c)
		}
	}
	switch {
	case e.demand != mustAccept && len(problems) > 0:
		return unreadable(e)
	case e.demand != mustAccept:
		return []string{"accepted: all lists parse"}
	case replayed != nil:
		problems = append(problems, replayed.Error())
	}
	return problems
}

func imaReplays(list []eventlog.Measurement, c caseJSON) error {
	text, _ := c.KeyFields["pcr10_sha1_of_ascii_runtime_measurements"].(string)
	quoted, err := hex.DecodeString(text)
	if err != nil || len(quoted) == 0 {
		return errors.New("the manifest has no PCR 10")
	}
	n := eventlog.ReplayIMA(list, eventlog.SHA1, make([]byte, 20), quoted, false)
	if want, _ := c.KeyFields["entries"].(float64); n != int(want) {
		return fmt.Errorf("PCR 10 is reached after %d entries, want %v", n, want)
	}
	return nil
}
