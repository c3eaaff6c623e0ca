package command_test

import (
	"strings"
	"testing"

	"github.com/rescindhq/rescind/worker/command"
)

func TestNextID(t *testing.T) {
	for id, want := range map[string]string{
		"one": "one.2", "one.2": "one.3", "one.9": "one.10", "one.999": "one.999.2",
		"one.1": "one.1.2", "one.02": "one.02.2", "one.2026": "one.2026.2", "one.": "one..2", ".2": ".2.2", "a.2.b": "a.2.b.2",
		"sqs:x": "", "": "", strings.Repeat("x", 126): strings.Repeat("x", 126) + ".2", strings.Repeat("x", 127): "",
	} {
		if got := command.NextID(id); got != want {
			t.Errorf("after %q comes %q, want %q", id, got, want)
		}
	}
}
