package main

import (
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// model is the command line as Kong knows it.
func model(t *testing.T) *kong.Kong {
	t.Helper()
	parser, err := newParser(t.Context(), streams{strings.NewReader(""), t.Output(), t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	return parser
}

func TestHelpOfEverySubcommand(t *testing.T) {
	for _, command := range model(t).Model.Children {
		code, out, complaints := ran(t, "", command.Name, "--help")
		if code != exitDone || complaints != "" || !strings.HasPrefix(out, "Usage: rescind "+command.Name) || !strings.HasSuffix(out, "\nExamples:\n"+examples[command.Name]+"\n") || examples[command.Name] == "" {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", command.Name, code, out, complaints)
		}
	}
	code, out, _ := ran(t, "", "send", "--help")
	for _, action := range actionNames() {
		if code != exitDone || !strings.Contains(out, "  "+action+"\n") {
			t.Errorf("the help of send does not name %s", action)
		}
	}
}

// TestExamplesCanBeTyped: each example of the help is a command line of this binary.
func TestExamplesCanBeTyped(t *testing.T) {
	for name, text := range examples {
		for line := range strings.Lines(text) {
			if len(strings.TrimRight(line, "\n")) > 80 {
				t.Errorf("an example of %s does not fit a terminal of 80 columns: %s", name, line)
			}
		}
		for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", "")) {
			_, line, found := strings.Cut(line, "rescind ")
			if !found || strings.Contains(line, "RESCIND_") {
				continue
			}
			line, _, _ = strings.Cut(line, "#")
			line, _, _ = strings.Cut(line, "|")
			if args := shellWords(strings.TrimRight(line, " )\n")); args[0] != name {
				t.Errorf("an example of %s is of %s", name, args[0])
			} else if parsed, err := model(t).Parse(args); err != nil {
				t.Errorf("rescind %s: %v", line, err)
			} else if send, ok := parsed.Selected().Target.Addr().Interface().(*sendCmd); ok && send.File == "" {
				if r, err := checked(t, send, "{}"); err != nil || r.Commands[0].Error != "" {
					t.Errorf("rescind %s: %v %+v", line, err, r.Commands)
				}
			}
		}
	}
}

// shellWords splits a line as a shell would that knows spaces and quotes.
func shellWords(line string) []string {
	var quote rune
	words := strings.FieldsFunc(line, func(r rune) bool {
		switch {
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case r == quote:
			quote = 0
		}
		return r == ' ' && quote == 0
	})
	for i, word := range words {
		words[i] = strings.NewReplacer(`'`, "", `="`, "=", `" `, " ").Replace(word)
	}
	return words
}

func TestBareRescindPrintsItsHelp(t *testing.T) {
	code, out, complaints := ran(t, "")
	if code != exitMisused || out != "" || !strings.HasPrefix(complaints, "Usage: rescind <command>") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out, complaints)
	}
	for _, service := range []string{"Batch", "EMR", "FSx", "IoT", "Step Functions", "SWF"} {
		if !strings.Contains(complaints, service) {
			t.Errorf("the help does not name %s", service)
		}
	}
}

func TestTheFirstSignalSaysWhatIsFinished(t *testing.T) {
	for n, want := range map[int]string{
		0: "stopping; no message is held here", 1: "stopping; finishing or releasing 1 message that the worker holds, within 25s",
		2: "stopping; finishing or releasing 2 messages that the worker holds, within 25s",
	} {
		if got := stopping(n, 25*time.Second); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
