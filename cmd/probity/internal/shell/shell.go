// Package shell makes completion scripts and manual pages of the tree of commands. For completion it
// shows the tree to cobra, which makes the scripts and answers them. The commands themselves are
// kong's; cobra runs none of them.
package shell

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/spf13/cobra"

	"github.com/probity-dev/probity/evidence"
)

// Shells are the shells with completion.
const Shells = "bash,zsh,fish"

// Asks reports whether a command line is a question of a completion script.
func Asks(args []string) bool {
	return len(args) > 0 &&
		(args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// Answer prints the completions that a script asks for.
func Answer(app *kong.Application, args []string, out, errs io.Writer) error {
	root := Tree(app)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	return root.Execute()
}

// WriteScript writes the completion script of a shell.
func WriteScript(app *kong.Application, shell string, w io.Writer) error {
	root := Tree(app)
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "zsh":
		return root.GenZshCompletion(w)
	case "fish":
		return root.GenFishCompletion(w, true)
	}
	return fmt.Errorf("no completion for %q; want one of %s", shell, Shells)
}

// Tree is the tree of commands in the words of cobra.
func Tree(app *kong.Application) *cobra.Command {
	root := command(app.Node)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Use: "no-help", Hidden: true}) // kong's tree has one
	root.SilenceErrors, root.SilenceUsage = true, true
	return root
}

func command(node *kong.Node) *cobra.Command {
	c := &cobra.Command{Use: node.Name, Short: strings.TrimSuffix(node.Help, "."), Hidden: node.Hidden}
	for _, flag := range node.Flags {
		if flag.Name == "help" || flag.Hidden {
			continue
		}
		set := c.Flags()
		if node.Parent == nil {
			set = c.PersistentFlags()
		}
		short := ""
		if flag.Short != 0 {
			short = string(flag.Short)
		}
		added := set.VarPF(&value{flag}, flag.Name, short, flag.Help)
		if flag.IsBool() {
			added.NoOptDefVal, added.DefValue = "true", "false"
			continue
		}
		if err := c.RegisterFlagCompletionFunc(flag.Name, completions(flag.Value, flag.PlaceHolder)); err != nil {
			panic(err) // a flag of that name was just added
		}
	}
	for _, child := range node.Children {
		c.AddCommand(command(child))
	}
	if len(node.Children) == 0 {
		c.Run = func(*cobra.Command, []string) {}
		c.ValidArgsFunction = arguments(node)
	}
	return c
}

// value is a flag for cobra: it takes anything, and keeps nothing.
type value struct{ flag *kong.Flag }

func (v *value) String() string   { return v.flag.Default }
func (v *value) Set(string) error { return nil }

func (v *value) Type() string {
	switch {
	case v.flag.IsBool():
		return "bool"
	case v.flag.IsCumulative():
		return "stringArray" // may be given again
	}
	return "string"
}

// arguments completes the arguments of a command.
func arguments(node *kong.Node) cobra.CompletionFunc {
	return func(c *cobra.Command, given []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if node.FullPath() == "probity help" {
			return helpTopics(c.Root(), given), cobra.ShellCompDirectiveNoFileComp
		}
		if len(node.Positional) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		at := min(len(given), len(node.Positional)-1)
		p := node.Positional[at]
		if len(given) > at && !p.IsCumulative() {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completions(p, strings.ToUpper(p.Name))(c, given, typed)
	}
}

// helpTopics are the commands below those given.
func helpTopics(at *cobra.Command, given []string) (names []cobra.Completion) {
	for _, name := range given {
		i := slices.IndexFunc(at.Commands(), func(c *cobra.Command) bool { return c.Name() == name })
		if i < 0 {
			return nil
		}
		at = at.Commands()[i]
	}
	for _, c := range at.Commands() {
		if !c.Hidden {
			names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
		}
	}
	return names
}

// fileNames are the placeholders and arguments that stand for files.
var fileNames = []string{
	"FILE", "FILES", "PATH", "MORE", "OLD", "NEW", "TOKEN", "CERTIFICATE", "COMMAND",
}

// completions completes a value: by the list of those that are allowed, or by files where the
// placeholder names some.
func completions(v *kong.Value, placeholder string) cobra.CompletionFunc {
	var words []string
	directive := cobra.ShellCompDirectiveNoFileComp
	switch {
	case v.Tag.Get("complete") == "kind":
		for _, kind := range evidence.Kinds() {
			words = append(words, string(kind))
		}
	case v.Enum != "":
		words = slices.DeleteFunc(v.EnumSlice(), func(word string) bool { return word == "" })
	case slices.Contains([]string{"DIR", "FOLDER"}, placeholder):
		directive = cobra.ShellCompDirectiveFilterDirs
	case slices.Contains(fileNames, placeholder):
		directive = cobra.ShellCompDirectiveDefault
	}
	return cobra.FixedCompletions(words, directive)
}
