// Package rescind tests which package may import which; see ARCHITECTURE.md.
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
		name := strings.TrimPrefix(pkg, module)
		t.Run(name, func(t *testing.T) {
			for _, dep := range deps(t, pkg) {
				if why := forbidden(name, dep); why != "" {
					t.Errorf("%s depends on %s: %s", name, dep, why)
				}
			}
		})
	}
}

// forbidden says why a package must not depend on another; "" where it may.
func forbidden(pkg, dep string) string {
	inside := strings.TrimPrefix(dep, module)
	ours := inside != dep
	switch {
	case pkg == "handlers":
		return "handlers imports the standard library alone"
	case ours && strings.HasPrefix(inside, "cmd/"):
		return "nobody imports the binary"
	case strings.HasPrefix(pkg, "handlers/"):
		switch {
		case strings.Contains(dep, "watermill"):
			return "no handler knows Watermill"
		case ours && strings.HasPrefix(inside, "worker"):
			return "no handler knows the worker"
		case ours && strings.HasPrefix(inside, "handlers/") && inside != pkg:
			return "no handler knows another"
		}
	case pkg == "worker/lane":
		if ours || strings.Contains(dep, "aws") || strings.Contains(dep, "watermill") {
			return "lane knows no AWS service, no Watermill, and nothing of ours"
		}
	case pkg == "worker/ledger" || pkg == "worker/queue" || strings.HasPrefix(pkg, "worker/ledger/"):
		for _, other := range []string{"worker/lane", "worker/ledger", "worker/queue"} {
			if ours && inside == other && !strings.HasPrefix(pkg, other) {
				return "lane, ledger and queue do not know each other"
			}
		}
	}
	if ours && strings.HasPrefix(inside, "internal/") && !strings.HasPrefix(pkg, "internal/") && !strings.HasPrefix(pkg, "cmd/") && pkg != "handlers/handlertest" {
		return "only the binary and tests know the AWS simulator and the facts"
	}
	return ""
}

// TestWallsCanFail shows that the rules see what they forbid.
func TestWallsCanFail(t *testing.T) {
	for pkg, dep := range map[string]string{
		"handlers":       "github.com/aws/smithy-go",
		"handlers/batch": module + "worker/lane",
		"worker/lane":    "github.com/ThreeDotsLabs/watermill/message",
		"worker/queue":   module + "worker/ledger",
		"worker":         module + "cmd/rescind",
		"worker/results": module + "internal/awssim",
	} {
		if forbidden(pkg, dep) == "" {
			t.Errorf("%s may depend on %s", pkg, dep)
		}
	}
}
