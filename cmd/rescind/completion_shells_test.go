package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shellRows are what a shell makes of a line, whatever the shell.
var shellRows = []struct{ line, want string }{
	{"rescind wor", "worker"},
	{"rescind send --action emr:", "emr:CancelSteps"},
	{"rescind send --action=fsx:C", "--action=fsx:CancelDataRepositoryTask"},
	{"rescind completion ", "bash fish zsh"},
}

// shellScripts ask a shell for completions of LINE, in its own way, once its script is loaded.
var shellScripts = map[string]string{
	"bash": `source <(rescind completion bash)
complete -p rescind | grep -q -- '-F _rescind' || echo "not registered"
COMP_LINE=$LINE COMP_POINT=${#LINE}
_rescind
for each in "${COMPREPLY[@]}"; do
  # What bash does with a completion: it replaces the word that it sees, which begins after : or =.
  word=${LINE##* }
  echo "${word%"${word##*[:=]}"}$each"
done`,
	"zsh": `autoload -Uz compinit && compinit -D
source <(rescind completion zsh)
[[ ${_comps[rescind]} == _rescind ]] || echo "not registered"
compadd() { shift; print -l -- "$@" }
words=("${(@s: :)LINE}") CURRENT=${#words}
_rescind`,
	"fish": `rescind completion fish | source
complete -C "$LINE" | cut -f1`,
}

// TestCompletionInShells loads the scripts in the shells that are here.
func TestCompletionInShells(t *testing.T) {
	t.Setenv("PATH", filepath.Dir(build(t))+":"+os.Getenv("PATH"))
	for shell, script := range shellScripts {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skipf("skipped, not tested: completion in %s: it is not installed", shell)
			}
			for _, row := range shellRows {
				c := exec.CommandContext(t.Context(), shell, "-c", script)
				c.Dir = t.TempDir() // where there are no files to complete
				c.Env = append(os.Environ(), "LINE="+row.line, "HOME="+c.Dir)
				out, err := c.CombinedOutput()
				got := strings.Fields(string(out))
				slices.Sort(got)
				if err != nil || strings.Join(got, " ") != row.want {
					t.Errorf("%q: %q, want %q; %v", row.line, got, row.want, err)
				}
			}
		})
	}
}
