// Package buildinfo says what this binary was built from, as Go recorded it.
package buildinfo

import (
	"runtime"
	"runtime/debug"
	"sync"
)

// Info is what a binary was built from. Fields are empty where Go did not record them.
type Info struct {
	Version  string `json:"version"`            // of the module; "(devel)" for a build of a working copy, "unknown" where Go says none
	Commit   string `json:"commit,omitempty"`   // of the repository
	Time     string `json:"time,omitempty"`     // of the commit
	Modified bool   `json:"modified,omitempty"` // the working copy had changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Read returns what this binary was built from.
var Read = sync.OnceValue(read)

func read() Info {
	b := Info{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.time":
			b.Time = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	return b
}

// String is one line: "rescind v1.2.3, commit abc of 2026-11-29T00:00:00Z, go1.26.0 linux/amd64".
func (b Info) String() string {
	text := "rescind " + b.Version
	if b.Commit != "" {
		text += ", commit " + b.Commit
	}
	if b.Time != "" {
		text += " of " + b.Time
	}
	if b.Modified {
		text += " with changes"
	}
	return text + ", " + b.Go + " " + b.Platform
}
