// Package rescind holds the test of the walls between the rooms; see ARCHITECTURE.md.
package rescind

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rescindhq/rescind/"

// deps returns the packages that pkg's own code is built from, directly or not.
func deps(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg).Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", pkg, err)
	}
	all := strings.Fields(string(out))
	return slices.DeleteFunc(all, func(d string) bool { return d == pkg })
}

// packages returns the module's packages under a folder.
func packages(t *testing.T, under string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", under).Output()
	if err != nil {
		t.Fatalf("go list %s: %v", under, err)
	}
	return strings.Fields(string(out))
}

// TestWalls holds the imports to one direction: cmd → worker → handlers.
func TestWalls(t *testing.T) {
	for _, pkg := range packages(t, "./...") {
		room := strings.TrimPrefix(pkg, module)
		t.Run(room, func(t *testing.T) {
			for _, dep := range deps(t, pkg) {
				if why := forbidden(room, dep); why != "" {
					t.Errorf("%s depends on %s: %s", room, dep, why)
				}
			}
		})
	}
}

// forbidden says why a room must not depend on a package; "" where it may.
func forbidden(room, dep string) string {
	inside := strings.TrimPrefix(dep, module)
	ours := inside != dep
	switch {
	case room == "handlers":
		return "handlers imports the standard library alone"
	case ours && strings.HasPrefix(inside, "cmd/"):
		return "nobody imports the binary"
	case strings.HasPrefix(room, "handlers/"):
		switch {
		case strings.Contains(dep, "watermill"):
			return "no handler knows Watermill"
		case ours && strings.HasPrefix(inside, "worker"):
			return "no handler knows the worker"
		case ours && strings.HasPrefix(inside, "handlers/") && inside != room:
			return "no handler knows another"
		}
	case room == "worker/lane":
		if ours || strings.Contains(dep, "aws") || strings.Contains(dep, "watermill") {
			return "lane knows no AWS service, no Watermill, and nothing of ours"
		}
	case room == "worker/ledger" || room == "worker/queue" || strings.HasPrefix(room, "worker/ledger/"):
		for _, other := range []string{"worker/lane", "worker/ledger", "worker/queue"} {
			if ours && inside == other && !strings.HasPrefix(room, other) {
				return "lane, ledger and queue do not know each other"
			}
		}
	}
	if ours && strings.HasPrefix(inside, "internal/") && inside != "internal/defect" && !strings.HasPrefix(room, "internal/") && !strings.HasPrefix(room, "cmd/") && room != "handlers/handlertest" {
		return "only the binary and tests know AWS in a box and the facts"
	}
	return ""
}

// TestWallsCanFail shows that the rules see what they forbid.
func TestWallsCanFail(t *testing.T) {
	for room, dep := range map[string]string{
		"handlers":       "github.com/aws/smithy-go",
		"handlers/batch": module + "worker/lane",
		"worker/lane":    "github.com/ThreeDotsLabs/watermill/message",
		"worker/queue":   module + "worker/ledger",
		"worker":         module + "cmd/rescind",
		"worker/results": module + "internal/awssim",
	} {
		if forbidden(room, dep) == "" {
			t.Errorf("%s may depend on %s", room, dep)
		}
	}
}
