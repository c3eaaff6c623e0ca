package permissions

import (
	"slices"
	"strings"

	"github.com/rescindhq/rescind/handlers"
)

// Deployment says what is switched on, and what its resources are called.
type Deployment struct {
	// Name of the deployment, which is part of the name of its sessions in other accounts.
	Name string
	// Account and Region are the worker's own; Regions are those that commands may name.
	Account, Region string
	Regions         []string
	// Handlers are those of the services whose commands are run.
	Handlers []handlers.Handler
	// DryRunOnly: nothing is cancelled.
	DryRunOnly bool

	QueueARNs        []string // of the command queues, in their order
	DeadLetterARNs   []string // of the queues for what cannot be run
	DeadLettersNamed bool     // RESCIND_DLQ_URL names it; else it is the redrive target of the queues
	StateQueueARN    string   // of the queue of AWS's events of state changes; "": none
	TopicARN         string
	Table            string // of the ledger; "": it is in a file
	// Role is the role in other accounts, "{account}" standing for the account; "": none.
	Role string
	// OtherAccounts are those of the role. None: any that have it.
	OtherAccounts []string
}

// expand replaces the names in braces in patterns. A name that stands for several makes several; accounts are those
// of the targets.
func (d *Deployment) expand(patterns, accounts []string) []string {
	partition := handlers.PartitionOf(d.Region)
	role := strings.NewReplacer("{account}", "{otherAccount}").Replace(d.Role)
	all := slices.Clone(patterns)
	for _, each := range []struct {
		name   string
		values []string
	}{
		{"{queues}", d.QueueARNs},
		{"{firstQueue}", d.QueueARNs[:min(1, len(d.QueueARNs))]},
		{"{deadLetters}", d.DeadLetterARNs},
		{"{stateQueue}", []string{d.StateQueueARN}},
		{"{topic}", []string{d.TopicARN}},
		{"{table}", []string{"arn:" + partition + ":dynamodb:" + d.Region + ":" + d.Account + ":table/" + d.Table}},
		{"{role}", []string{role}},
		{"{otherAccount}", d.otherAccounts()},
		{"{partition}", []string{partition}},
		{"{region}", d.Regions},
		{"{account}", accounts},
	} {
		var next []string
		for _, pattern := range all {
			if !strings.Contains(pattern, each.name) {
				next = append(next, pattern)
				continue
			}
			for _, value := range each.values {
				next = append(next, strings.ReplaceAll(pattern, each.name, value))
			}
		}
		all = next
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// otherAccounts are the accounts that have the role; "*" where they are not known.
func (d *Deployment) otherAccounts() []string {
	if len(d.OtherAccounts) == 0 {
		return []string{"*"}
	}
	return d.OtherAccounts
}
