// Package report sums up what became of a campaign, from the ledger's records of its commands and, where there is one, the
// plan that they were sent by. It owns the sums, the table of all targets (CSV), the page (HTML), and the choice of what may
// be tried again. It knows no queue, no terminal and no AWS service.
//
// [New] begins a report; [Builder.Record] takes the ledger's records, in any order and each once; then
// [Builder.PlannedLine] takes the plan's lines, so that what was sent and has no record is found; [Builder.Report] sums up.
// Of a campaign of any size it stores a hash for each command and the rows of what did not end well.
package report
