package term

import (
	"strings"

	"github.com/alecthomas/kong"
)

// Page is the help of a command beyond its summary and flags.
type Page struct {
	// About says what the command does, in paragraphs; it may be empty where the summary says it.
	About string
	// Examples are commands to copy, one a line; a line that ends with \ goes on in the next.
	Examples string
	// Yes, No and Trouble say what the exit codes 0, 1 and 2 mean. A command that never says no has
	// no No; Trouble has a default.
	Yes, No, Trouble string
}

const anyTrouble = "there is no answer: wrong usage, or a file that cannot be read"

// groupPage says what exit codes mean for the commands of a group.
var groupPage = Page{
	Yes:     "yes: done, accepted, valid",
	No:      "no, with the reason: refused, not valid, different",
	Trouble: "no answer: wrong usage, a file or a service that could not be read",
}

// groupExamples is how many commands of a group its page shows.
const groupExamples = 3

// PageOf returns the page of a command. That of a group shows its first commands.
func PageOf(node *kong.Node) Page {
	if node.Target.IsValid() && node.Target.CanAddr() {
		if p, ok := node.Target.Addr().Interface().(interface{ Page() Page }); ok {
			return p.Page()
		}
	}
	page := groupPage
	for _, leaf := range node.Leaves(true) {
		examples := PageOf(leaf).Lines()
		if len(page.Lines()) == groupExamples || len(examples) == 0 {
			break
		}
		page.Examples += examples[0] + "\n"
	}
	return page
}

// Lines returns the examples, each in one line.
func (p Page) Lines() []string {
	text := strings.TrimSpace(p.Examples)
	if text == "" {
		return nil
	}
	lines := strings.Split(strings.ReplaceAll(text, "\\\n", ""), "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return lines
}

// ExitCodes returns the codes with their meanings, one a line.
func (p Page) ExitCodes() []string {
	codes := []string{"0  " + p.Yes}
	if p.No != "" {
		codes = append(codes, "1  "+p.No)
	}
	if p.Trouble == "" {
		p.Trouble = anyTrouble
	}
	return append(codes, "2  "+p.Trouble)
}

// End is the page's end: the examples and the exit codes.
func (p Page) End() string {
	return "\nExamples:\n" + Indent(strings.TrimSpace(p.Examples)) +
		"\nExit codes:\n" + Indent(strings.Join(p.ExitCodes(), "\n"))
}

// Indent indents each line, as help shows what is to be copied.
func Indent(text string) string {
	return "  " + strings.ReplaceAll(text, "\n", "\n  ") + "\n"
}
