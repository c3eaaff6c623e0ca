package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestNoSuchCommand is also why the test binary contains the program. The tests of processes run
// what go build makes, which go test does not know: without a test that calls run, it would use cached
// results after the program has changed.
func TestNoSuchCommand(t *testing.T) {
	var out, err bytes.Buffer
	code := run(t.Context(), []string{"stop"}, streams{strings.NewReader(""), &out, &err})
	if code != exitMisused || !strings.Contains(err.String(), `"rescind --help"`) {
		t.Errorf("exit code %d, says %q", code, err.String())
	}
}
