package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd is `rescind completion`.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is printed by "rescind completion --help" above the flags.
func (*completionCmd) Help() string {
	return `Prints a script that makes a shell complete rescind's commands, flags, and values that are one of a
few, actions among them.`
}

// Run prints a shell's script.
func (c *completionCmd) Run(s streams) error {
	if _, err := io.WriteString(s.out, completionScripts[c.Shell]); err != nil {
		return fmt.Errorf("writing the script: %w", err)
	}
	return nil
}

// completeWords is the first argument by which the scripts ask for completions. The rest are the words after
// "rescind" up to the cursor; the last one is completed.
const completeWords = "__complete"

// completionScripts has the script of each shell. They fall back to names of files.
var completionScripts = map[string]string{
	// bash takes the part after : or = for a word of its own, and replaces that part alone.
	"bash": `# bash completion for rescind. To load it: source <(rescind completion bash)
_rescind() {
  local line=${COMP_LINE:0:COMP_POINT} breaks=${COMP_WORDBREAKS//[^:=]/} cut="" current completion
  local -a words
  IFS=$' \t\n' read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  current=${words[${#words[@]}-1]}
  [[ -n $breaks ]] && cut=${current%"${current##*[$breaks]}"}
  COMPREPLY=()
  while IFS= read -r completion; do
    COMPREPLY+=("${completion#"$cut"}")
  done < <("${words[0]}" ` + completeWords + ` "${words[@]:1}" 2>/dev/null)
}
complete -o default -F _rescind rescind
`,
	"zsh": `#compdef rescind
# zsh completion for rescind. To load it, after compinit: source <(rescind completion zsh)
_rescind() {
  local -a completions
  completions=("${(@f)$("${words[1]}" ` + completeWords + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n ${completions[1]} ]]; then
    compadd -- "${completions[@]}"
  else
    _files
  fi
}
if [[ ${funcstack[1]} == _rescind ]]; then
  _rescind "$@"
else
  compdef _rescind rescind
fi
`,
	"fish": `# fish completion for rescind. To load it: rescind completion fish | source
function __rescind_complete
    set -l words (commandline -opc)
    $words[1] ` + completeWords + ` $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c rescind -a '(__rescind_complete)'
`,
}

// completions returns what the last word may become. The words before it say which command it belongs to.
func completions(app *kong.Application, words []string) (found []string) {
	if len(words) == 0 {
		return nil
	}
	last := words[len(words)-1]
	node, positional := app.Node, 0
	var flag *kong.Flag // whose value comes next
	for _, word := range words[:len(words)-1] {
		switch {
		case flag != nil:
			flag = nil
		case strings.HasPrefix(word, "-"):
			if f := flagNamed(node, word); f != nil && !f.IsBool() {
				flag = f
			}
		default:
			if i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word }); i >= 0 {
				node = node.Children[i]
			} else {
				positional++
			}
		}
	}
	offer := func(before string, all ...string) {
		for _, each := range all {
			if strings.HasPrefix(before+each, last) {
				found = append(found, before+each)
			}
		}
	}
	name, _, assigned := strings.Cut(last, "=")
	switch {
	case flag != nil:
		offer("", valuesOf(flag.Value)...)
	case assigned && strings.HasPrefix(last, "--"):
		if f := flagNamed(node, name); f != nil {
			offer(name+"=", valuesOf(f.Value)...)
		}
	case strings.HasPrefix(last, "-"):
		for _, group := range node.AllFlags(true) {
			for _, f := range group {
				offer("--", f.Name)
			}
		}
	default:
		for _, child := range node.Children {
			if !child.Hidden {
				offer("", child.Name)
			}
		}
		if positional < len(node.Positional) {
			offer("", valuesOf(node.Positional[positional])...)
		}
	}
	return found
}

// flagNamed returns the flag that a word such as --name or -n stands for; nil: there is none.
func flagNamed(node *kong.Node, word string) *kong.Flag {
	for _, group := range node.AllFlags(false) {
		for _, f := range group {
			if word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short) {
				return f
			}
		}
	}
	return nil
}

// valuesOf returns the values of a flag or an argument that is one of a few; of any other, none.
func valuesOf(v *kong.Value) []string {
	switch {
	case v.Name == "action":
		return actionNames()
	case v.Name == "services":
		return serviceNames()
	case v.Name == "log-level": // the worker checks it by itself, as all that it is given
		return logLevels
	case v.Name == "log-format":
		return logFormats
	case v.Enum != "":
		return v.EnumSlice()
	}
	return nil
}
