package term

import "fmt"

// Output chooses the form of an answer. Each command that prints one embeds it; [Env.JSON] then
// says what was chosen.
type Output struct {
	Format string `help:"Output: text or json." enum:"text,json" default:"text"`
}

// Answer prints the value as JSON, or the text for people.
func (e *Env) Answer(value any, format string, args ...any) error {
	if e.JSON {
		return PrintJSON(e.Out, value)
	}
	_, err := fmt.Fprintf(e.Out, format, args...)
	return err
}

// Say prints what a command did: a sentence, or an object with that sentence as result and
// the values besides.
func (e *Env) Say(sentence string, values map[string]any) error {
	answer := map[string]any{"result": sentence}
	for name, value := range values {
		answer[name] = value
	}
	return e.Answer(answer, "%s\n", sentence)
}

// CheckPage is where a check is explained.
func CheckPage(id string) string { return "docs/guide/checks.md#" + id }
