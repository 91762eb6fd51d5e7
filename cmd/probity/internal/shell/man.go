package shell

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/probity-dev/probity/cmd/probity/internal/term"
)

// Edition is what the foot of manual pages says about the program.
type Edition struct{ Version, Date string }

// PageName is the name of the manual page of a command.
func PageName(node *kong.Node) string { return strings.ReplaceAll(node.FullPath(), " ", "-") }

// WriteManPages writes the page of the program and of each command into a folder.
func WriteManPages(app *kong.Application, of Edition, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return writeBelow(app.Node, of, dir)
}

func writeBelow(node *kong.Node, of Edition, dir string) error {
	f, err := os.Create(filepath.Join(dir, PageName(node)+".1"))
	if err != nil {
		return err
	}
	err = WriteManPage(node, of, f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	for _, child := range node.Children {
		if err == nil && !child.Hidden {
			err = writeBelow(child, of, dir)
		}
	}
	return err
}

// WriteManPage writes the manual page of a command, in the language of man(7).
func WriteManPage(node *kong.Node, of Edition, w io.Writer) error {
	b := bufio.NewWriter(w)
	name, page := PageName(node), term.PageOf(node)
	fmt.Fprintf(b, ".TH %s 1 %q %q Probity\n", strings.ToUpper(literal(name)), of.Date, "probity "+of.Version)
	fmt.Fprintf(b, ".SH NAME\n%s \\- %s\n", literal(name), roff(strings.TrimSuffix(node.Help, ".")))
	fmt.Fprintf(b, ".SH SYNOPSIS\n%s\n", literal("probity "+strings.TrimSpace(node.Summary())))
	fmt.Fprintf(b, ".SH DESCRIPTION\n%s\n", roff(node.Help))
	for paragraph := range strings.SplitSeq(page.About, "\n\n") {
		switch {
		case paragraph == "":
		case strings.HasPrefix(paragraph, "  "):
			fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", literal(paragraph))
		default:
			fmt.Fprintf(b, ".PP\n%s\n", roff(paragraph))
		}
	}
	if leaves := node.Leaves(true); !node.Leaf() && len(leaves) > 0 {
		fmt.Fprint(b, ".SH COMMANDS\n")
		for _, leaf := range leaves {
			entry(b, leaf.FullPath(), leaf.Help)
		}
	}
	if len(node.Positional) > 0 {
		fmt.Fprint(b, ".SH ARGUMENTS\n")
	}
	for _, p := range node.Positional {
		entry(b, p.Summary(), p.Help)
	}
	fmt.Fprint(b, ".SH OPTIONS\n")
	for _, group := range node.AllFlags(true) {
		for _, flag := range group {
			entry(b, flag.String(), kong.DefaultHelpValueFormatter(flag.Value))
		}
	}
	fmt.Fprintf(b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", literal(strings.TrimSpace(page.Examples)))
	fmt.Fprint(b, ".SH EXIT STATUS\n")
	for _, line := range page.ExitCodes() {
		code, meaning, _ := strings.Cut(line, "  ")
		entry(b, code, meaning)
	}
	seeAlso(b, node)
	return b.Flush()
}

// entry writes a term and what it means.
func entry(w io.Writer, name, meaning string) {
	fmt.Fprintf(w, ".TP\n.B %s\n%s\n", literal(name), roff(meaning))
}

// seeAlso names the pages above and below.
func seeAlso(w io.Writer, node *kong.Node) {
	var pages []string
	if node.Parent != nil {
		pages = append(pages, PageName(node.Parent))
	}
	for _, child := range node.Children {
		if !child.Hidden {
			pages = append(pages, PageName(child))
		}
	}
	fmt.Fprintf(w, ".SH SEE ALSO\n%s(1)\n", literal(strings.Join(pages, "(1), ")))
}

// roff is text whose lines man may break elsewhere.
func roff(text string) string { return literal(strings.Join(strings.Fields(text), " ")) }

// literal escapes what man would obey, and keeps - as the character that a shell reads.
func literal(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
