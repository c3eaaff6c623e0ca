package permissions

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rescindhq/rescind/handlers"
)

// Role is who is to have a policy. The set is closed.
type Role string

// The roles.
const (
	Worker   Role = "worker"
	Sender   Role = "sender"   // puts commands on the queue, and may wait for their outcomes
	Operator Role = "operator" // looks at what was dead-lettered, sends it again, deletes it
	Auditor  Role = "auditor"  // reads the ledger's table
	Target   Role = "target-account-role"
)

// Row is one permission of a role: an action, on what, and which feature needs it.
type Row struct {
	Feature   string // "Receive", "BatchCancel": letters and digits
	Deny      bool
	Action    string
	Resources []string // ARNs in order, or "*" alone
	Condition Condition
}

// Condition has values by key, by operator.
type Condition map[string]map[string][]string

// Rows returns the permissions of a role, without any that another row has already. An error says which handler does
// not tell what it needs.
func Rows(role Role, d *Deployment) ([]Row, error) {
	var rows []Row
	switch role {
	case Worker:
		of, err := ofHandlers(d, []string{d.Account})
		if err != nil {
			return nil, err
		}
		rows = append(rowsOf(ofWorker, d), of...)
	case Sender:
		rows = append(rowsOf(ofSender, d), guard(d)...)
	case Operator:
		rows = rowsOf(ofOperator, d)
	case Auditor:
		rows = append(rowsOf(ofAuditor, d), guard(d)...)
	case Target:
		return ofHandlers(d, d.otherAccounts())
	default:
		return nil, fmt.Errorf("no such role: %q", role)
	}
	if rows = once(rows); len(rows) == 0 {
		return nil, fmt.Errorf("a role of %s needs no permission here", role)
	}
	return rows, nil
}

func rowsOf(features []feature, d *Deployment) (rows []Row) {
	for _, f := range features {
		if !f.on(d) {
			continue
		}
		for _, action := range f.actions {
			rows = append(rows, Row{Feature: f.name, Action: action, Resources: d.expand(f.resources, nil)})
		}
	}
	return rows
}

// ofHandlers are the permissions of the services, by use and then by handler: what the action itself needs is not said
// again under a later use.
func ofHandlers(d *Deployment, accounts []string) (rows []Row, err error) {
	for _, use := range usesOf(d) {
		for _, h := range d.Handlers {
			says, ok := h.(handlers.Permitter)
			if !ok {
				return nil, fmt.Errorf("the handler of %s does not say which permissions it needs", h.Action())
			}
			for _, p := range says.Permissions() {
				if p.For == use {
					rows = append(rows, Row{Feature: title(h.Action().Service()) + title(string(use)), Action: p.Action, Resources: d.expand(p.Resources, accounts)})
				}
			}
		}
	}
	return once(rows), nil
}

// once leaves out of each row what an earlier one allows.
func once(rows []Row) (kept []Row) {
	seen := map[string]bool{}
	for _, row := range rows {
		if !row.Deny {
			row.Resources = slices.DeleteFunc(slices.Clone(row.Resources), func(resource string) bool {
				known := seen[row.Action+" "+resource]
				seen[row.Action+" "+resource] = true
				return known
			})
		}
		if len(row.Resources) > 0 {
			kept = append(kept, row)
		}
	}
	return kept
}

func title(word string) string { return strings.ToUpper(word[:1]) + word[1:] }
