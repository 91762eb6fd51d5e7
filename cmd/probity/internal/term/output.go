package term

import "fmt"

// Output says in which form a command answers.
type Output struct {
	Format string `help:"Output: text or json." enum:"text,json" default:"text"`
}

// JSON reports whether the answer is wanted as JSON.
func (o Output) JSON() bool { return o.Format == "json" }

// Say prints what a command did: a sentence, or an object with that sentence as result and
// the values besides.
func (o Output) Say(e *Env, sentence string, values map[string]any) error {
	if !o.JSON() {
		_, err := fmt.Fprintln(e.Out, sentence)
		return err
	}
	answer := map[string]any{"result": sentence}
	for name, value := range values {
		answer[name] = value
	}
	return PrintJSON(e.Out, answer)
}

// CheckPage is where a check is explained.
func CheckPage(id string) string { return "docs/guide/checks.md#" + id }
