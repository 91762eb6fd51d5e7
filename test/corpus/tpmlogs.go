package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/probity-dev/probity/evidence/eventlog"
)

// logFields is what a manifest says of a log.
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

// logProblems replays a log in every bank, compares the registers with those of
// the manifest, and what it proves with what others read from it.
func logProblems(folder string, c caseJSON) []string {
	raw, err := os.ReadFile(filepath.Join(folder, "eventlog.bin"))
	if err != nil {
		return []string{err.Error()}
	}
	l, err := eventlog.Parse(raw)
	if c.Expected.Outcome == "reject" {
		if err == nil {
			return []string{"parsed"}
		}
		return nil
	}
	if err != nil {
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
	var banks []string
	for _, algorithm := range l.Banks {
		banks = append(banks, algorithm.String())
	}
	differs("events", want.Events, events)
	differs("event_types", want.EventTypes, types)
	differs("algs", want.Algorithms, banks)
	differs("startup_locality", want.StartupLocality, l.Locality)
	if len(want.PCRs) == 0 {
		problems = append(problems, "the manifest has no PCRs")
	}
	for name, registers := range want.PCRs {
		problems = append(problems, bankProblems(raw, name, registers, want)...)
	}
	return problems
}

func bankProblems(raw []byte, name string, registers map[string]string, want logFields) []string {
	algorithm, ok := map[string]eventlog.Algorithm{"sha1": eventlog.SHA1, "sha256": eventlog.SHA256, "sha384": eventlog.SHA384}[name]
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
	var problems []string
	if len(p.Explained) != len(registers) || len(p.Unexplained) != 0 {
		problems = append(problems, fmt.Sprintf("%s: explained %v, unexplained %v, of %d registers", name, p.Explained, p.Unexplained, len(registers)))
	}
	if text := p.JSON(); !json.Valid([]byte(text)) {
		problems = append(problems, name+": the events are not JSON")
	}
	f, err := p.Facts()
	if err != nil {
		return append(problems, name+": "+err.Error())
	}
	linux := p.Linux()
	if linux.KernelCommandLine != f.KernelCommandLine {
		problems = append(problems, name+": two answers to what the kernel was started with")
	}
	if s := want.SecureBoot; s != nil {
		if f.DB == nil || f.DBX == nil {
			return append(problems, name+": no databases were read")
		}
		got := fmt.Sprint(f.SecureBoot, len(f.DB.Certificates), len(f.DBX.Hashes))
		if wanted := fmt.Sprint(s.Enabled, s.DBCerts, s.DBXHashes); wanted != got {
			problems = append(problems, fmt.Sprintf("%s: secure boot, db, dbx: want %s, got %s", name, wanted, got))
		}
		// Some versions of shim log more than they measured: such certificates are
		// seen by others and not proven.
		if s.Enabled && (s.AuthorityCerts < len(f.Authorities) || s.AuthorityCerts > f.AuthorityEvents) {
			problems = append(problems, fmt.Sprintf("%s: authorities: want %d, got %d of %d events", name, s.AuthorityCerts, len(f.Authorities), f.AuthorityEvents))
		}
	}
	if line := strings.TrimRight(want.KernelCommandLine, "\x00"); line != "" && line != f.KernelCommandLine {
		problems = append(problems, fmt.Sprintf("%s: command line: want %q, got %q", name, line, f.KernelCommandLine))
	}
	if want.GrubCommands != nil && *want.GrubCommands != len(linux.Commands)+lineCommands(p) {
		problems = append(problems, fmt.Sprintf("%s: GRUB commands: want %d, got %d and %d", name, *want.GrubCommands, len(linux.Commands), lineCommands(p)))
	}
	if want.GrubFiles != nil && *want.GrubFiles != len(linux.Files) {
		problems = append(problems, fmt.Sprintf("%s: GRUB files: want %d, got %d", name, *want.GrubFiles, len(linux.Files)))
	}
	return problems
}

// lineCommands counts command lines of PCR 8 that the manifest counts as commands.
func lineCommands(p *eventlog.Proof) (n int) {
	for _, e := range p.Events() {
		if e.Register == 8 && e.Type == eventlog.IPL && e.Covered && !strings.HasPrefix(string(e.Data), "grub_cmd") {
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

// imaProblems reads every list of a case; the long one must lead to the PCR 10 of
// the manifest.
func imaProblems(folder string, c caseJSON) []string {
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) == 0 {
		return []string{"no lists"}
	}
	var problems []string
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err == nil {
			var list []eventlog.Measurement
			if list, err = eventlog.ParseIMAText(raw); err == nil && strings.HasPrefix(filepath.Base(file), "ascii") {
				err = imaReplays(list, c)
			}
		}
		if err != nil {
			problems = append(problems, filepath.Base(file)+": "+err.Error())
		}
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
