// Package pipeline is the path of one command through a worker:
//
//	decode → admit → claim → authorize → resolve → cancel → complete
//
// It owns what becomes of a message. Each stage is a method of [Pipeline] that either passes the
// execution on or returns a disposition: complete the command with an outcome, publish a stored outcome
// again, defer the message, or drop it. [Pipeline.finish] is the only place that acts on dispositions: it
// stores, publishes and settles, in that order. The package knows no AWS SDK and no API of a service;
// those are behind [handlers.Handler].
//
// The cancel stage takes each target through its cancelling call and, where the answer does not show what
// became of it, through readings of its state. In a dry run a reading takes the place of the call, and
// what the handler predicts of it the place of the answer. Where the command asks for proof (confirm), a
// target that AWS took is looked at again: the stage stores its progress and defers the message, and the
// next receive goes through all stages anew, resuming from the ledger. Where it asks for escalate, what
// has not stopped in time goes through the lanes of the stronger action.
//
// Where to look:
//
//   - pipeline.go: the stages, in their order; disposition.go: the exit
//   - cancel.go: the calls and readings of a command's targets
//   - execution.go: what is known of one command; target.go: of one target; describe.go: the outcome
//   - proof.go: when the next look comes, and the stronger action; listing.go: listings that answer looks
//   - events.go: AWS's events, which answer looks
//   - stale.go: which readings count yet
//   - authorize.go: what may be called; admission.go: who may take a place
//   - claims.go: the ledger as stages see it; gate.go: what closes intake
//   - lanes.go: the lanes of each operation; refusals.go: whose fault the refusal of a whole request is
//   - location.go: what there is for an account and region
//   - report.go: what is reported of calls; own.go: outcomes that come in as commands
package pipeline
