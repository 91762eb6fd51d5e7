package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/cmd/probity/internal/term"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/wording/jsonerror"
	"github.com/probity-dev/probity/wording/phrase"
)

type testCommand struct {
	Dir string `arg:"" help:"Folder with test files, or one test file."`
	term.Output
}

type suite struct {
	PolicyFile string                    `json:"policyFile"`
	Policy     string                    `json:"policy"`
	Claims     map[string]jsontext.Value `json:"claims"`
	Cases      []suiteCase               `json:"cases"`
}

type suiteCase struct {
	Name   string         `json:"name"`
	Claims string         `json:"claims"`
	Want   string         `json:"want"`
	Issued jsontext.Value `json:"issued"`
	Reason string         `json:"reason"`
}

// Run runs the tests.
func (c *testCommand) Run(e *term.Env) error {
	files, err := suiteFiles(e, c.Dir)
	if err != nil {
		return err
	}
	all := testResults{Files: []testResult{}}
	for _, file := range files {
		r, err := runSuite(e, file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if !e.JSON {
			r.print(e)
		}
		all.Files = append(all.Files, *r)
		all.Passed, all.Failed = all.Passed+r.passed, all.Failed+len(r.Failures)
	}
	if err := e.Answer(all, "%d passed, %d failed\n", all.Passed, all.Failed); err != nil {
		return err
	}
	if all.Failed > 0 {
		return term.Exit(term.No)
	}
	return nil
}

func suiteFiles(e *term.Env, path string) ([]string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return []string{path}, nil
	}
	var files, others []string
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
		case strings.HasSuffix(name, ".test.json"):
			files = append(files, name)
		case strings.HasSuffix(name, ".json"):
			others = append(others, strings.TrimPrefix(name, filepath.Clean(path)+string(filepath.Separator)))
		}
		return err
	})
	notUsed(e, others, ".test.json")
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: no files whose names end in .test.json", path)
	}
	return files, err
}

// notUsed says in one line which files a command does not read.
func notUsed(e *term.Env, names []string, suffix string) {
	if len(names) == 0 || e.Quiet {
		return
	}
	list := strings.Join(names[:min(len(names), 5)], ", ")
	if len(names) > 5 {
		list += ", …"
	}
	verb, whose := "are", "their names do"
	if len(names) == 1 {
		verb, whose = "is", "its name does"
	}
	fmt.Fprintf(e.Err, "probity: %s %s not used (%s): %s not end in %s\n", phrase.Plural(len(names), "file"), verb,
		list, whose, suffix)
}

func runSuite(e *term.Env, file string) (*testResult, error) {
	b, err := e.ReadLimited(file, 4<<20)
	if err != nil {
		return nil, err
	}
	var s suite
	if err := json.Unmarshal(b, &s, json.RejectUnknownMembers(true)); err != nil {
		return nil, term.JSONFault(b, errors.New(jsonerror.Text(err)))
	}
	p, err := s.policy(e, file)
	if err != nil {
		return nil, err
	}
	sets := map[string]claims.Set{}
	for name, raw := range s.Claims {
		if sets[name], err = claims.ParseSet(raw, claims.AttestationService); err != nil {
			return nil, fmt.Errorf("claims %q: %w", name, err)
		}
	}
	if len(s.Cases) == 0 {
		return nil, errors.New("no cases")
	}
	r, cover := &testResult{File: file, Failures: []testFailure{}, Gaps: []string{}}, newCoverage(p)
	for i, test := range s.Cases {
		set, ok := sets[test.Claims]
		if !ok {
			return nil, fmt.Errorf("case %d: there are no claims %q", i+1, test.Claims)
		}
		verdict := appraisal.JudgeClaims(set, p)
		cover.add(&verdict.Policy)
		problem, err := test.judge(verdict)
		if err != nil {
			return nil, fmt.Errorf("case %d: %w", i+1, err)
		}
		if problem == "" {
			r.passed++
			continue
		}
		name := test.Name
		if name == "" {
			name = fmt.Sprintf("case %d (%s)", i+1, test.Claims)
		}
		r.Failures = append(r.Failures, testFailure{name, problem})
	}
	cover.report(r)
	return r, nil
}

func (s *suite) policy(e *term.Env, file string) (*policy.Policy, error) {
	if (s.Policy == "") == (s.PolicyFile == "") {
		return nil, errors.New("give either policy or policyFile")
	}
	if s.PolicyFile != "" {
		return e.ReadPolicy(filepath.Join(filepath.Dir(file), s.PolicyFile), false)
	}
	return policy.Parse(s.Policy)
}

// judge returns what is wrong with a verdict, or "".
func (c *suiteCase) judge(v *appraisal.Verdict) (string, error) {
	got, reason := "permit", v.Policy.Reason()
	if !v.Accepted {
		got, reason = "deny", v.Rejection.Check.Found
		if v.Rejection.Cause != nil || !v.Rejection.Is(appraisal.CheckPolicy) {
			got = "error"
		}
	}
	if !slices.Contains([]string{"permit", "deny", "error"}, c.Want) {
		return "", fmt.Errorf("want is %q, not permit, deny or error", c.Want)
	}
	if got != c.Want {
		return fmt.Sprintf("want %s, got %s: %s", c.Want, got, reason), nil
	}
	if !strings.Contains(reason, c.Reason) {
		return fmt.Sprintf("the reason %q does not contain %q", reason, c.Reason), nil
	}
	if c.Issued == nil {
		return "", nil
	}
	issued, err := v.Issued.MarshalJSON()
	if err != nil {
		return "", err
	}
	want := c.Issued.Clone()
	if err := want.Format(jsontext.ReorderRawObjects(true)); err != nil {
		return "", err
	}
	if !bytes.Equal(want, issued) {
		return fmt.Sprintf("issued %s, want %s", issued, want), nil
	}
	return "", nil
}
