package permissions_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/handlers"
)

// TestOperationsHasTheTableOfServices holds the table in OPERATIONS.md to the handlers' rows.
func TestOperationsHasTheTableOfServices(t *testing.T) {
	text, err := os.ReadFile("../../deploy/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := servicesTable(t); !strings.Contains(string(text), want) {
		t.Errorf("deploy/OPERATIONS.md does not have this table:\n%s", want)
	}
}

func servicesTable(t *testing.T) string {
	t.Helper()
	lines := []string{"| service | to read | to cancel | also for `confirm` | also for `escalate` |", "|---|---|---|---|---|"}
	var names []string
	for _, h := range registered(every) {
		names = append(names, h.Action().Service())
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		line := "| " + name
		for _, use := range handlers.Uses() {
			line += " | " + cell(t, registered(serviceOf(name)), use)
		}
		lines = append(lines, line+" |")
	}
	return strings.Join(lines, "\n") + "\n"
}

// cell has the actions of one use.
func cell(t *testing.T, some []handlers.Handler, use handlers.Use) string {
	t.Helper()
	var actions []string
	for _, h := range some {
		says, ok := h.(handlers.Permitter)
		if !ok {
			t.Fatalf("%s does not say what it needs", h.Action())
		}
		for _, p := range says.Permissions() {
			if action := fmt.Sprintf("`%s`", p.Action); p.For == use && !slices.Contains(actions, action) {
				actions = append(actions, action)
			}
		}
	}
	if len(actions) == 0 {
		return "–"
	}
	return strings.Join(actions, ", ")
}
