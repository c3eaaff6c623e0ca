package main

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/worker/buildinfo"
)

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}, {"worker", "--version"}} {
		var out, errs strings.Builder
		if code := run(t.Context(), args, streams{strings.NewReader(""), &out, &errs}); code != exitDone || errs.Len() > 0 ||
			!strings.HasPrefix(out.String(), "rescind ") || !strings.HasSuffix(out.String(), runtime.GOOS+"/"+runtime.GOARCH+"\n") {
			t.Errorf("%q: exit %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
	var out strings.Builder
	var b buildinfo.Info
	if code := run(t.Context(), []string{"version", "--json"}, streams{strings.NewReader(""), &out, &out}); code != exitDone {
		t.Errorf("exit %d: %s", code, out.String())
	}
	if err := json.Unmarshal([]byte(out.String()), &b); err != nil || b.Go != runtime.Version() {
		t.Errorf("%s: %v", out.String(), err)
	}
	full := buildinfo.Info{Version: "v1.2.3", Commit: "abc", Time: "2026-11-29T00:00:00Z", Modified: true, Go: "go1.26.0", Platform: "linux/amd64"}
	if got, want := full.String(), "rescind v1.2.3, commit abc of 2026-11-29T00:00:00Z with changes, go1.26.0 linux/amd64"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
