package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/probity-dev/probity/evidence"
)

// manifestJSON covers the forms of manifests: cases of evidence, and policies.
type manifestJSON struct {
	Cases    []caseJSON   `json:"cases"`
	Policies []policyJSON `json:"policies"`
}

type caseJSON struct {
	Name           string         `json:"name"`
	EvaluateAt     string         `json:"evaluate_at"`
	EvaluationTime any            `json:"evaluation_time"`
	Expected       expectedJSON   `json:"expected"`
	ExpectedFields map[string]any `json:"expected_fields"`
	Product        string         `json:"product"`
	KeyFields      map[string]any `json:"key_fields"`
	// Files are the names of the files of the case, where the manifest lists them.
	Files fileNames `json:"files"`

	// folder is where the files of the case are, read from the manifest's place.
	folder string
	// label is the case's name for people, below the folder of the corpus.
	label string
}

type expectedJSON struct {
	Verdict string `json:"verdict"`
	Outcome string `json:"outcome"`
	// Why, Stage and Reason say why a case is refused; manifests use one form or the other.
	Why            string `json:"why"`
	Stage          string `json:"stage"`
	Reason         string `json:"reject_reason"`
	Status         string `json:"tcb_status"`
	PlatformStatus string `json:"platform_tcb_status"`
	PlatformDate   string `json:"platform_tcb_date"`
	QEStatus       string `json:"qe_tcb_status"`
	LaunchStatus   string `json:"launch_status"`
	CurrentStatus  string `json:"current_status"`
	Module         *struct {
		Status     string   `json:"status"`
		Advisories []string `json:"advisories"`
	} `json:"tdx_module"`
	Advisories []string `json:"advisory_ids"`
	Debug      *bool    `json:"debug"`

	// Remarks of the manifests, which are not facts of the evidence to compare.
	Findings any `json:"parser_findings"`
	Runtime  any `json:"runtime_binding"`
	Custom   any `json:"custom_claims_binding"`
	Trailing any `json:"trailing_bytes"`
	Zero     any `json:"trailing_all_zero"`
}

// UnmarshalJSON refuses members that the runner would not compare.
func (e *expectedJSON) UnmarshalJSON(b []byte) error {
	type plain expectedJSON
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode((*plain)(e)); err != nil {
		return fmt.Errorf("expected: %w", err)
	}
	return nil
}

// words is the outcome as the manifest writes it.
func (e expectedJSON) words() string {
	if e.Verdict != "" {
		return e.Verdict
	}
	return e.Outcome
}

// why is the shortest text that says why the case is refused: the stage, where the
// manifest names one.
func (e expectedJSON) why() string {
	for _, text := range []string{e.Stage, e.Why, e.Reason} {
		if text != "" {
			return text
		}
	}
	return ""
}

type policyJSON struct {
	Name, File, Syntax string

	folder string
}

func (p policyJSON) path() string { return filepath.Join(p.folder, p.File) }

// corpus is everything that the manifests of a folder list.
type corpus struct {
	cases    []caseJSON
	policies []policyJSON
}

// readCorpus reads the manifests of a folder and of its direct subfolders.
func readCorpus(root string) (*corpus, error) {
	manifests, err := findManifests(root)
	if err != nil {
		return nil, err
	}
	if len(manifests) == 0 {
		return nil, fmt.Errorf("no MANIFEST.json or *-MANIFEST.json in %s or its direct subfolders", root)
	}
	all := &corpus{}
	for _, path := range manifests {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var m manifestJSON
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		folder := filepath.Dir(path)
		for _, c := range m.Cases {
			c.folder = filepath.Join(folder, c.Name)
			if c.label, err = filepath.Rel(root, c.folder); err != nil {
				return nil, err
			}
			all.cases = append(all.cases, c)
		}
		for _, p := range m.Policies {
			p.folder = folder
			all.policies = append(all.policies, p)
		}
	}
	return all, nil
}

func findManifests(folder string) ([]string, error) {
	var found []string
	patterns := []string{"MANIFEST.json", "*-MANIFEST.json", "*/MANIFEST.json", "*/*-MANIFEST.json"}
	for _, pattern := range patterns {
		list, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// stated returns the reservations that an accepted case needs because of facts that its manifest states.
func (c caseJSON) stated() (accept []string) {
	if c.Expected.Debug != nil && *c.Expected.Debug {
		accept = append(accept, evidence.DebugGuest)
	}
	if td, ok := c.ExpectedFields["mrservicetd"].(string); ok && strings.Trim(td, "0") != "" {
		accept = append(accept, evidence.BoundServiceTD)
	}
	return accept
}

// time returns when the case is to be judged: a date, or seconds since 1970;
// now, if the manifest names no time.
func (c caseJSON) time() (time.Time, error) {
	if c.EvaluateAt != "" {
		return time.Parse(time.RFC3339, c.EvaluateAt)
	}
	switch t := c.EvaluationTime.(type) {
	case string:
		return time.Parse(time.RFC3339, t)
	case float64:
		return time.Unix(int64(t), 0), nil
	}
	return time.Now(), nil
}

// read returns a file of the case, or nil if the case has none of the name.
func (c caseJSON) read(name string) []byte {
	b, err := os.ReadFile(filepath.Join(c.folder, name))
	if err != nil {
		return nil
	}
	return b
}

// first returns the first of the files that is there.
func (c caseJSON) first(names ...string) ([]byte, error) {
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(c.folder, name))
		if err == nil {
			return b, nil
		}
		if !os.IsNotExist(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("none of %s", strings.Join(names, ", "))
}

// files returns every file of the case by its name.
func (c caseJSON) files() (map[string][]byte, error) {
	entries, err := os.ReadDir(c.folder)
	if err != nil {
		return nil, fmt.Errorf("the case has no folder: %w", err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			continue
		}
		if files[entry.Name()], err = os.ReadFile(filepath.Join(c.folder, entry.Name())); err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("the case has no files in %s", c.label)
	}
	return files, c.listed(files)
}

// listed checks that the folder has the files that the manifest lists, and no others.
func (c caseJSON) listed(files map[string][]byte) error {
	if c.Files == nil {
		return nil
	}
	have := slices.Sorted(maps.Keys(files))
	if want := slices.Sorted(slices.Values(c.Files)); !slices.Equal(have, want) {
		return fmt.Errorf("the manifest lists the files %s, the folder has %s", strings.Join(want, ", "),
			strings.Join(have, ", "))
	}
	return nil
}

// fileNames are a list of names, or an object whose members are named like the files.
type fileNames []string

// UnmarshalJSON implements json.Unmarshaler.
func (f *fileNames) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, (*[]string)(f)) == nil {
		return nil
	}
	var object map[string]any
	if err := json.Unmarshal(b, &object); err != nil {
		return errors.New("files: want a list of names, or an object with a member for each file")
	}
	*f = slices.Collect(maps.Keys(object))
	return nil
}
