// Command bench drains the same commands from one AWS simulator by Rescind and by other people's
// ways of doing it, and prints how they compare.
//
//	cd worker/bench && go run .
//
// The simulator is a process of its own, and every contender in every round is one too: this binary
// again, with the name of a part. Contenders meet the same queue of commands (batch:CancelJob, a
// job each, all RUNNABLE; -fleet emr: emr:CancelSteps, a PENDING step each over ten clusters; -fleet
// iot: iot:CancelJobExecution, an execution that is QUEUED), the same latency on every request and no quota, and share one way of
// making HTTP connections. Time runs from the word "go" to the moment at which every outcome
// is published and the queue is empty. What a contender did is checked after each round: an
// outcome that is missing, or a job that still runs, ends the bench with an error.
//
// # Reading the numbers
//
// Simulator and contender share the machine's processors, so that on a small machine the requests that
// a contender makes slow it twice: ratios hold, commands a second do not travel. CPU is user and
// system time of the contender's whole process, start and stop included.
//
// What contenders give differs. Rescind alone remembers commands in a ledger (synced to disk, or in
// the simulator's DynamoDB), reads every job's state after the cancel, and says "cancelled"; the others
// say "accepted" of what AWS took, and their second look at a redelivered command is a second cancel.
//
// With -growth, Rescind alone runs at 20,000 commands and at -commands, with its ledger and without
// one, and the table says what a command costs at each.
//
// It is a module of its own, so that peers are not in Rescind's go.mod. It runs on Unix.
package main
